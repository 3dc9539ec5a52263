"""The rows of lists of processes, as `top` shows them: what an agent tells of each."""

from __future__ import annotations

import time
from typing import Any, Final, final

from fauxtp._base.texts import label
from fauxtp._core.calls import Call
from fauxtp._core.phase import STARTING
from fauxtp._core.process import Process, find_process
from fauxtp._core.wait_for_room import ROOM
from fauxtp._supervision.beside import Beside
from fauxtp.observe.actions import number_of
from fauxtp.registry import PID, default

__all__ = ["MOST", "ProcessRows"]

MOST: Final = 1000  # of whatever may be many for one process

_NONE: Final[dict[PID | None, int]] = {}


@final
class ProcessRows:
    """The rows of one list: what a supervisor has restarted is read once for all its children."""

    def __init__(self) -> None:
        self._restarts: dict[PID, dict[PID | None, int]] = {}

    def row(self, process: Process) -> dict[str, Any]:
        """Return what a list of processes tells of one."""
        handling, call = process.handling, process.waiting_for
        return {
            "pid": number_of(process.pid),
            "names": default.names(process.pid)[:MOST],
            "class": process.kind.__qualname__,
            "phase": process.phase.value,
            "mailbox": len(process.mailbox),
            "handling": None if handling is None else label(handling),
            "handling_for": self.handling_for(process),
            "waiting_for": None if call is None else number_of(call.target),
            "waits": None if call is None else _wait(call),
            "supervisor": None if process.supervisor is None else number_of(process.supervisor),
            "children": len(process.children),
            "watchers": len(process.watchers),
            "handled": 0 if process.handled is None else process.handled.value,
            "restarts": self.restarts(process),
            "restarts_below": sum(self._restarts_of(process).values()),
        }

    def handling_for(self, process: Process) -> float:
        """Return for how many seconds it has handled what it handles."""
        if process.handling is None:
            return 0.0
        return max(0.0, time.monotonic() - process.handled_since)

    def restarts(self, process: Process) -> int:
        """Return how often its supervisor has started it again."""
        chief = None if process.supervisor is None else find_process(process.supervisor)
        return 0 if chief is None else self._restarts_of(chief).get(process.pid, 0)

    def most_restarts(self, process: Process) -> tuple[int, int]:
        """Return how often it, or one of its children, was started again; and how often it was.

        So a child stands before its supervisor, which stands for who is not there just now.
        """
        own = self.restarts(process)
        return max(own, *self._restarts_of(process).values(), 0), own

    def _restarts_of(self, chief: Process) -> dict[PID | None, int]:
        """Return how often each child of `chief` was started again: by its PID, if it runs."""
        actor = chief.actor  # which another thread may see to its end just now
        if not isinstance(actor, Beside):
            return _NONE
        known = self._restarts.get(chief.pid)
        if known is None:
            known = self._restarts[chief.pid] = actor.restarts()
        return known


def _wait(call: Call) -> str:
    """Return what a process waits for, that has made this call."""
    if call.request is ROOM:
        return "room"
    target = find_process(call.target)
    return "start" if target is not None and target.phase is STARTING else "answer"
