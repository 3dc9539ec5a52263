"""What the runtime asks of those that it runs, whoever they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from anyio import CancelScope
    from anyio.abc import TaskGroup

    from fauxtp._base.exit_reason import ExitReason
    from fauxtp.registry import PID

__all__ = [
    "Behaviour",
    "Handlers",
    "Life",
    "ProcessScope",
    "Startable",
    "Succeeds",
    "Succession",
]


class Handlers(Protocol):
    """What a server does with each kind of message."""

    async def handle_call(self, request: Any, from_: Any, state: Any, /) -> Any: ...
    async def handle_cast(self, request: Any, state: Any, /) -> Any: ...
    async def handle_info(self, message: Any, state: Any, /) -> Any: ...
    async def handle_continue(self, request: Any, state: Any, /) -> Any: ...
    async def handle_task_end(self, pid: PID, status: str, result: Any, state: Any, /) -> Any: ...


class Startable(Protocol):
    """What can be started: an actor of whichever class."""

    mailbox_size: int
    trap_exit: bool
    _fauxtp_process: Any

    @property
    def _fauxtp_behaviour(self) -> Callable[[], Behaviour] | None: ...

    async def init(self) -> Any: ...
    async def run(self, state: Any, /) -> Any: ...
    async def terminate(self, reason: ExitReason, state: Any, /) -> None: ...
    def format_state(self, state: Any, /) -> Any: ...
    def _fauxtp_work(self, process: Any) -> Coroutine[Any, Any, None] | None: ...
    @property
    def _fauxtp_can_be_stepped(self) -> bool: ...
    @property
    def _fauxtp_may_wait(self) -> bool: ...
    @property
    def _fauxtp_leave(self) -> Callable[[], Awaitable[None]] | None: ...


class Behaviour(Protocol):
    """What a process does: most often that is the actor itself.

    Names that begin with `_fauxtp` are asked of classes in which everything else is the user's.
    A server has `Handlers` as well.
    """

    @property
    def trap_exit(self) -> bool: ...

    async def init(self) -> Any: ...
    async def run(self, state: Any, /) -> Any: ...
    async def terminate(self, reason: ExitReason, state: Any, /) -> None: ...
    def format_state(self, state: Any, /) -> Any: ...

    def _fauxtp_work(self, process: Any) -> Coroutine[Any, Any, None] | None:
        """Return what does all the work, or None if `run` does it round by round."""
        ...

    @property
    def _fauxtp_can_be_stepped(self) -> bool:
        """Whether others may handle a call to it on the spot."""
        ...

    @property
    def _fauxtp_may_wait(self) -> bool:
        """Whether it may wait for anything while it handles a message."""
        ...

    @property
    def _fauxtp_leave(self) -> Callable[[], Awaitable[None]] | None:
        """What must be done before the children are cancelled, if there is anything."""
        ...


Life = Callable[[bool], Coroutine[Any, Any, None]]
"""What a process does, told whether it begins in a turn of somebody else's."""


class ProcessScope(Protocol):
    """What ends with a process: its own `init` and `run`, and the tasks of its children."""

    @property
    def children(self) -> TaskGroup:
        """The task group of the children."""
        ...

    @property
    def has_children(self) -> bool:
        """Whether somebody has asked for their task group."""
        ...

    @property
    def own_scope(self) -> CancelScope:
        """What ends the process for those who have a handle of it."""
        ...

    @property
    def entered(self) -> bool:
        """Whether `cancel` reaches the process's own code."""
        ...

    def enter(self) -> None:
        """Prepare for the process's own code to run."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether handlers may begin: it has been prepared for them."""
        ...

    def prepare(self) -> None:
        """Enter it before a handler runs, unless no handler can wait."""
        ...

    def leave(self) -> None:
        """Prepare for what comes after `init`: to be idle, perhaps for all its life."""
        ...

    def cancel(self) -> None:
        """End `init`, `run` and the children."""
        ...

    def put_off(self, error: BaseException) -> bool:
        """Let it come again where the process waits next; return False if that is not needed.

        It is if a cancellation has come while others ran as the process: see handover.py.
        """
        ...

    def run_last_turn(self) -> bool:
        """Let the process, which was asked to end, do so now, if it can be done.

        Return whether the running task, which might not wait any more, should wait for a turn:
        see `fauxtp._hosting.turns.has_pending_cancel`.
        """
        ...

    def idle(self, waiter: Any, /) -> Awaitable[object]:
        """Wait for `waiter`, which wakes the server when there is something to do."""
        ...

    def detach(self) -> None:
        """Note that the life of the process ends here, without an error."""
        ...

    def open(self) -> Awaitable[object] | None:
        """Begin, as the task of the process; return what has to be awaited, if anything has."""
        ...

    def close(self) -> Awaitable[object] | None:
        """Do as `close_after` without an error, which has to be awaited if this is not None."""
        ...

    async def close_after(self, error: BaseException | None) -> bool:
        """Wait for the end of the children, after `error` if that has ended the process.

        Raise what a task group would raise; return True if nothing has to be.
        """
        ...


class Succeeds(Protocol):
    """What starts the successor of a process, for what comes too late."""

    def bury(
        self, process: Any, reason: ExitReason, why: Callable[[Any], BaseException], /
    ) -> None:
        """Bury it so that what comes too late goes to the successor."""
        ...


class Succession(Protocol):
    """Why a mailbox is closed whose messages go to a successor."""

    def takes(self, message: Any, /) -> bool:
        """Return whether what lay there goes to the successor."""
        ...

    def takes_late(self, message: Any, /) -> bool:
        """Return whether what finds the mailbox closed goes there."""
        ...

    def hand_on(self, message: Any, /) -> None:
        """Give the successor a message."""
        ...

    def hand_on_all(self, queue: Any, /) -> None:
        """Give the successor what it takes of what lies in a closed mailbox."""
        ...
