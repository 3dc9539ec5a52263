"""What ends with a process on trio: a task group, in which its own code and its children run."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from anyio import CancelScope, create_task_group
from anyio.abc import TaskGroup

from fauxtp._core.process import Process

if TYPE_CHECKING:
    from fauxtp._loops.protocols import Waiter

__all__ = ["TrioScope"]


class TrioScope:
    """The `fauxtp._core.protocols.ProcessScope` of a process on trio."""

    __slots__ = ("_group", "_process", "_used")

    def __init__(self, process: Process) -> None:
        self._process = process
        self._group = create_task_group()
        self._used = False

    @property
    def children(self) -> TaskGroup:
        self._used = True
        return self._group

    @property
    def has_children(self) -> bool:
        return self._used

    @property
    def own_scope(self) -> CancelScope:
        return self._group.cancel_scope

    @property
    def entered(self) -> bool:
        return True

    is_ready = entered

    def enter(self) -> None:
        if self._process.exit_request is not None:
            self.cancel()

    prepare = enter

    def leave(self) -> None:
        pass

    def cancel(self) -> None:
        if self._group.cancel_scope is not None:  # else it is not entered yet
            self._group.cancel_scope.cancel()

    def put_off(self, error: BaseException) -> bool:
        return False

    def run_last_turn(self) -> bool:
        return False

    def idle(self, waiter: Waiter, /) -> Awaitable[object]:
        return waiter.wait(None)

    def detach(self) -> None:
        pass

    def open(self) -> Awaitable[object]:
        return self._group.__aenter__()

    def close(self) -> Awaitable[object]:
        return self.close_after(None)

    async def close_after(self, error: BaseException | None) -> bool:
        if self._used:
            self.cancel()
        if error is None:
            return bool(await self._group.__aexit__(None, None, None))
        return bool(await self._group.__aexit__(type(error), error, error.__traceback__))
