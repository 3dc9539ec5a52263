"""AnySupervisor: what the classes of all supervisors have."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar, Final

from fauxtp._actors.classes import ITS_BASE
from fauxtp._actors.genserver import GenServer
from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.texts import label
from fauxtp._core.calls import NO_REPLY, Call
from fauxtp._core.phase import DEAD
from fauxtp._supervision.child_spec import ChildInfo

__all__ = ["AnySupervisor"]

_NEVER_IDLE: Final = "a supervisor does not end when it is idle"


class AnySupervisor(GenServer[Any, Any]):
    """A process whose work is to keep others running, of whichever kind."""

    max_restarts: int = 3
    """How many restarts there may be within `max_seconds`; one more ends the supervisor."""

    max_seconds: float = 5.0
    """In how many seconds; older restarts do not count."""

    def on_restart(self, child: ChildInfo, reason: ExitReason, count: int, /) -> object:
        """Hear that `child`, which ended by `reason`, is started again: restart number `count`.

        What this returns is nobody's business. What it raises is logged, and harms nobody.
        """

    def on_give_up(self, child: ChildInfo, reason: ExitReason, /) -> object:
        """Hear that `child`, which ended by `reason`, is given up, as it crashes too often.

        If it has no restart intensity of its own, the supervisor ends. What this returns is
        nobody's business. What it raises is logged, and harms nobody.
        """

    async def handle_call(self, request: Any, from_: Call, state: Any, /) -> Any:
        """Answer a call that is none of the questions to a supervisor: by an error."""
        what = f"expected a question for a supervisor, got {label(request)}"
        from_.fail(ValueError(what))
        return NO_REPLY, state

    def _repr_html_(self) -> str | None:
        """Return what a notebook shows: a picture of those below it; None is the usual text."""
        process = self._fauxtp_process
        if process is None or process.phase is DEAD:
            return None
        # It stands above this, as whoever looks in does; so it is found only when it is wanted.
        picture: str = import_module("fauxtp.observe.notebook").picture_of(process)
        return picture

    _fauxtp_keeps: ClassVar = {
        "run": ITS_BASE,
        "idle_timeout": _NEVER_IDLE,
        "handle_timeout": _NEVER_IDLE,
    }
