"""Waiting on trio."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from fauxtp.stack import TO_WAKE, insist_on_room
from fauxtp.waiting import Waiter, is_trio_innermost, running_trio_token

if TYPE_CHECKING:
    from fauxtp.process import Process

__all__ = ["TrioHome"]


class TrioHome:
    """A trio loop, as the place where something must be done."""

    __slots__ = ("_token",)
    is_asyncio = False

    def __init__(self, token: trio.lowlevel.TrioToken) -> None:
        self._token = token

    def is_here(self) -> bool:
        return is_trio_innermost() and running_trio_token() is self._token

    def run(self, function: Callable[[], object]) -> bool:
        if self.is_here():
            function()
            return True
        try:
            self._token.run_sync_soon(function)
        except trio.RunFinishedError:
            return False
        return True

    def running_task(self) -> trio.lowlevel.Task:
        return trio.lowlevel.current_task()

    def runs(self, task: object) -> bool:
        return self.is_here() and trio.lowlevel.current_task() is task

    def new_waiter(self, server: Process | None = None) -> Waiter:
        return _TrioWaiter(self)


class _TrioWaiter:
    __slots__ = ("_event", "_home", "woken")

    def __init__(self, home: TrioHome) -> None:
        self._home = home
        self._event = trio.Event()
        self.woken = False

    def wake(self) -> bool:
        insist_on_room(TO_WAKE)
        return self._home.run(self._end)

    def _end(self) -> None:
        self._event.set()
        self.woken = True

    def time(self) -> float:
        return trio.current_time()

    async def wait(self, timeout: float | None, *, common: bool = False) -> bool:
        if timeout is None:
            await self._event.wait()
        else:
            with trio.move_on_after(timeout):
                await self._event.wait()
        return self._event.is_set()
