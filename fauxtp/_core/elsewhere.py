"""Processes that are not here: what stands in for their mailbox, and what is asked of that."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from fauxtp._base.carried import bare
from fauxtp._core.calls import Call
from fauxtp._core.given_up import NONE_GIVEN_UP
from fauxtp._core.queue import NOTHING, Queue
from fauxtp.registry import PID

if TYPE_CHECKING:
    from fauxtp._base.exit_reason import ExitReason
    from fauxtp.registry import Ref

__all__ = ["Elsewhere", "Place"]

NOT_HERE: Final = -1
"""In place of how many messages a mailbox takes."""


class Place(Protocol):
    """Where a process is that is not here."""

    def stand_in(self, pid: PID, /) -> Elsewhere:
        """Return what stands here for the process of that PID."""
        ...


class Elsewhere(Queue):
    """What stands here for the mailbox of a process that is not here, and for the process.

    Nothing ever lies in it, so all of them have the same in place of what a mailbox has; and
    whoever delivers a message asks `deliver`, the compiled code too.
    """

    __slots__ = ()

    max_size = NOT_HERE
    inbox = NOTHING
    kept = ()  # type: ignore[assignment]
    removals = 0
    given_up = NONE_GIVEN_UP
    owed = None
    waiting = ()
    receivers = 0

    def __init__(self, pid: PID) -> None:
        self.pid = pid
        self.closed_because = None

    def __repr__(self) -> str:
        return f"<what stands for {self.pid!r}>"

    def deliver(self, message: Any) -> bool:
        """Send `message` there; return False if it is known that there is nobody."""
        if self.closed_because is not None:
            return False
        if type(message) is Call:
            self.pass_on_call(message, None)
        else:
            self.pass_on(bare(message))  # values are of here
        return True

    def forward(self, call: Call, limit: float | None) -> None:
        """Send a call there, whose caller waits for so many seconds; or let it fail."""
        if self.closed_because is None:
            self.pass_on_call(call, limit)
        else:
            self.refuse(call)

    @abstractmethod
    def pass_on(self, message: Any) -> None:
        """Send a message that nobody waits for, or lose it as a dead letter."""

    @abstractmethod
    def pass_on_call(self, call: Call, limit: float | None) -> None:
        """Send a call, or let it fail."""

    @abstractmethod
    def give_up(self, call: Call) -> bool:
        """Tell that nobody waits for `call` any more; return False, as nothing lies here."""

    @abstractmethod
    def waited_for(self, call: Call) -> None:
        """Hear that `call` is for somebody who waits, through others or not, for the process.

        Or that it is for the process, and its caller waits from now on, though it was sent before.
        """

    @abstractmethod
    def watch(self, ref: Ref, watcher: Callable[[PID, ExitReason], object]) -> bool:
        """Call `watcher` at the end of the process; return False if it is known to have ended."""

    @abstractmethod
    def unwatch(self, ref: Ref) -> None:
        """Let nobody hear of it by `ref`."""

    @abstractmethod
    def request_exit(self, reason: ExitReason) -> bool:
        """Ask for its end; return False if that cannot be asked."""

    @abstractmethod
    def bind(self, process: Any) -> bool:
        """Link `process`, of here, with it; return False if it is known to have ended."""

    @abstractmethod
    def unbind(self, process: Any) -> None:
        """End that link."""
