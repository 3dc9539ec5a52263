"""Where the engine of a node lives: the event loop that joined, or one in a thread of its own.

What goes on at a node goes on in that loop, one thing after the other, so that nothing there needs
a lock. Others, in whichever thread, ask for it here.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar, final
from weakref import WeakSet

import anyio
from anyio.abc import TaskGroup

from fauxtp._base import switches
from fauxtp._base.logs import logger
from fauxtp._loops.current import current_home, new_waiter
from fauxtp._loops.protocols import Home, Waiter
from fauxtp.cluster._engines.engine import NoConnection
from fauxtp.cluster._nodes.boot_time import boot_time

__all__ = ["Hub", "hub_for"]

T = TypeVar("T")


@final
class Hub:
    """An event loop in which an engine is used, and the task group of what goes on meanwhile.

    `on_fork` is told in a child by `fork` that this is over there. `time` returns seconds, on a
    clock that goes on while the machine sleeps.
    """

    __slots__ = (
        "__weakref__",
        "_group",
        "_to_start",
        "_waiter",
        "home",
        "is_over",
        "on_fork",
        "thread",
        "time",
    )

    def __init__(self, home: Home, group: TaskGroup) -> None:
        self.home: Home = home
        self.time: Callable[[], float] = home.time if switches.simulated else boot_time
        self.thread: int = threading.get_ident()  # in which this is made, and the loop runs
        self.on_fork: list[Callable[[], object]] = []
        self._group: TaskGroup = group
        self.is_over: bool = False
        self._to_start: deque[Callable[[], Awaitable[object]]] = deque()
        self._waiter: Waiter | None = None
        _hubs.add(self)

    async def run(self) -> None:
        """Start what others ask for: they may be callbacks, which no task can be started from."""
        while True:
            self._waiter = waiter = new_waiter()
            while self._to_start:
                self._group.start_soon(_logged, self._to_start.popleft())
            await waiter.wait(None)

    def end(self) -> None:
        """Let nobody ask for anything any more."""
        self.is_over = True
        self._group.cancel_scope.cancel()

    def forget(self) -> None:
        """Be over, as this process is a fork: the loop, and the connection, are its parent's."""
        self.is_over = True
        for tell in self.on_fork:
            tell()

    def post(self, function: Callable[[], object]) -> bool:
        """Call `function` in the hub's thread, now if that is this one; in order.

        Return False if it is not called, as the hub is over.
        """
        if self.is_over:
            return False
        if self.home.is_here():
            function()
            return True
        return self.home.run_soon(function)

    def start(self, function: Callable[[], Awaitable[object]]) -> None:
        """Let a task do `function()`. What it raises is logged, and ends nothing else."""
        self._to_start.append(function)
        if self._waiter is not None:
            self._waiter.wake()

    async def ask(self, function: Callable[[], Awaitable[T]]) -> T:
        """Return what `function()` returns, which is awaited in the hub's loop."""
        if self.is_over:
            raise NoConnection("the cluster was left")
        if self.home.is_here():
            return await function()
        asked: _Asked[T] = _Asked(function)
        if not self.home.run_soon(lambda: self._begin(asked)):
            raise NoConnection("the cluster was left")
        try:
            await asked.waiter.wait(None)
        except BaseException:
            self.home.run_soon(asked.cancel)
            raise
        return asked.result()

    def _begin(self, asked: _Asked[Any]) -> None:
        if self.is_over:
            asked.end(NoConnection("the cluster was left"))
        else:
            self.start(asked.run)


_hubs: WeakSet[Hub] = WeakSet()


def _after_fork_in_child() -> None:
    for hub in list(_hubs):
        hub.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


async def _logged(function: Callable[[], Awaitable[object]]) -> None:
    try:
        await function()
    except Exception:
        logger().exception("a task of a cluster has failed")


@final
class _Asked(Generic[T]):
    """What somebody in another event loop waits for."""

    def __init__(self, function: Callable[[], Awaitable[T]]) -> None:
        self._function = function
        self._answers: list[T] = []
        self._error: BaseException | None = None
        self.waiter = new_waiter()
        self._scope: anyio.CancelScope | None = None
        self._is_cancelled = False

    def cancel(self) -> None:
        """Let it end, as nobody waits any more."""
        self._is_cancelled = True
        if self._scope is not None:
            self._scope.cancel()

    async def run(self) -> None:
        error: BaseException | None = NoConnection("the cluster was left")
        try:
            with anyio.CancelScope() as self._scope:
                if self._is_cancelled:
                    self._scope.cancel()
                self._answers.append(await self._function())
                error = None
        except Exception as failure:
            error = failure
        finally:
            self.end(error)

    def end(self, error: BaseException | None) -> None:
        self._error = error
        self.waiter.wake()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._answers[0]


@asynccontextmanager
async def hub_for(asyncio_only: bool) -> AsyncIterator[Hub]:
    """Let there be a hub meanwhile: in the running event loop, if the engine can be used there."""
    home = current_home()
    if home is None:
        raise RuntimeError("no event loop runs in this thread")
    async with _hub_in_thread() if asyncio_only and not home.is_asyncio else _hub_in(home) as hub:
        yield hub


@asynccontextmanager
async def _hub_in(home: Home) -> AsyncIterator[Hub]:
    error: BaseException | None = None
    async with anyio.create_task_group() as group:
        hub = Hub(home, group)
        group.start_soon(hub.run)
        try:
            yield hub
        except BaseException as failure:  # of who joined: as it is, and not in a group
            error = failure
        finally:
            hub.end()
    try:
        if error is not None:
            raise error
    finally:
        error = None


@asynccontextmanager
async def _hub_in_thread() -> AsyncIterator[Hub]:
    begun, ended = new_waiter(), new_waiter()
    hubs: list[Hub] = []
    stop = asyncio.Event()

    async def main() -> None:
        home = current_home()
        assert home is not None
        async with _hub_in(home) as hub:
            hubs.append(hub)
            begun.wake()
            await stop.wait()

    def in_thread() -> None:
        try:
            asyncio.run(main())
        finally:
            begun.wake()
            ended.wake()

    threading.Thread(target=in_thread, name="fauxtp cluster", daemon=True).start()
    with anyio.CancelScope(shield=True):  # or nobody would end the thread
        await begun.wait(None)
    (hub,) = hubs
    try:
        yield hub
    finally:
        with anyio.CancelScope(shield=True):
            hub.home.run_soon(stop.set)
            await ended.wait(None)
