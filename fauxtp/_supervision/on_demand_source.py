"""Where an address has from who it means: a supervisor is asked to start each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

from fauxtp._actors.actor import Actor
from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.calls import Call
from fauxtp._core.process import Process
from fauxtp._core.succession import Address, Source, bury_in_line
from fauxtp._supervision.child import Expected
from fauxtp._supervision.child_spec import ChildSpec
from fauxtp._supervision.expecting import begin, expected_under
from fauxtp.errors import NoProcess
from fauxtp.registry import PID

__all__ = ["Supervised"]


@final
class Supervised:
    """The `fauxtp._core.succession.Source` of those under one supervisor, whose names begin alike.

    `address` is the class of their addresses.
    """

    __slots__ = ("_idle_timeout", "address", "prefix", "spec", "supervisor")

    def __init__(
        self, spec: ChildSpec, supervisor: PID | str, prefix: str, idle_timeout: float | None
    ) -> None:
        self.supervisor: PID | str = supervisor
        self.address: type[Address] = type(
            "Address", (Address,), {"__slots__": (), "source": self}
        )
        self.spec: ChildSpec = spec
        self.prefix: str = prefix
        self._idle_timeout = idle_timeout

    def new_process(self, name: str, /) -> Process:
        try:
            return expected_under(self.supervisor, self.spec.actor_class, self)
        except NoProcess:
            text = f"{name!r} cannot be started: no living process behind {self.supervisor!r}"
            raise NoProcess(name, text) from None
        except ValueError as error:  # what a timer, too, can take for an answer
            raise NoProcess(name, f"{name!r} cannot be started: {error}") from None

    def expected(self, source: Source) -> Process:
        """Return the process of an actor that is yet to be made, of which `source` hears."""
        return expected_under(self.supervisor, self.spec.actor_class, source)

    def drop(self, process: Process, /) -> None:
        pass

    def start(self, process: Process, name: str, on_the_spot: bool, /) -> None:
        key = name[len(self.prefix) :]
        begin(Expected(self.spec, process, name, self._make, key), on_the_spot)

    def start_for(self, key: str, process: Process, name: str, on_the_spot: bool) -> None:
        """Do as `start`, for who gets `key` and has another name."""
        begin(Expected(self.spec, process, name, self._make, key), on_the_spot)

    def _make(self, key: str) -> Actor:
        actor: Any = self.spec.actor_class(key)  # type: ignore[call-arg]
        if self._idle_timeout is not None:
            actor.idle_timeout = self._idle_timeout
        return actor  # type: ignore[no-any-return]

    def bury(
        self, process: Process, reason: ExitReason, why: Callable[[Call], BaseException], /
    ) -> None:
        bury_in_line(process, reason, why, self.address)
