"""What the runtime asks of those that it runs, whoever they are."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from fauxtp.process import ExitReason, Process
    from fauxtp.registry import PID

__all__ = ["Behaviour", "Handlers"]


class Handlers(Protocol):
    """What a server does with each kind of message."""

    async def handle_call(self, request: Any, from_: Any, state: Any, /) -> Any: ...
    async def handle_cast(self, request: Any, state: Any, /) -> Any: ...
    async def handle_info(self, message: Any, state: Any, /) -> Any: ...
    async def handle_task_end(self, pid: PID, status: str, result: Any, state: Any, /) -> Any: ...


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

    def _fauxtp_work(self, process: Process) -> Coroutine[Any, Any, None] | None:
        """Return what does all the work, or None if `run` does it round by round."""
        ...

    @property
    def _fauxtp_can_be_stepped(self) -> bool:
        """Whether others may handle a call to it on the spot."""
        ...

    def _fauxtp_leave(self) -> Awaitable[None] | None:
        """Return what must be done before the children are cancelled, if there is anything."""
        ...
