"""Waiting on asyncio, whichever loop it is that runs."""

from __future__ import annotations

import asyncio
import time
from asyncio import Future, _get_running_loop
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any, Final
from weakref import WeakValueDictionary, ref

from fauxtp.stack import TO_WAKE, insist_on_room
from fauxtp.waiting import Waiter

__all__ = ["AsyncioHome", "home_of"]

TIMEOUTS: Final = 32  # different timeouts on one loop that have a queue of their own

_CLOCK = time.get_clock_info("monotonic").resolution

_homes: WeakValueDictionary[int, AsyncioHome] = WeakValueDictionary()
_latest: Callable[[], AsyncioHome | None] = type(None)  # a reference to the last one asked for


def home_of(loop: asyncio.AbstractEventLoop) -> AsyncioHome:
    """Return the one home that `loop` has while anybody lives in it."""
    global _latest
    home = _latest()
    if home is None or home.loop is not loop:
        home = _homes.get(id(loop))
        if home is None:
            home = _homes[id(loop)] = AsyncioHome(loop)
        _latest = ref(home)
    return home


class AsyncioHome:
    """An asyncio loop, as the place where something must be done."""

    __slots__ = ("__weakref__", "deadlines", "depth", "hosts", "loop", "starts")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.deadlines: dict[float, _Deadlines] = {}  # by timeout
        self.hosts: dict[object, Any] = {}  # by task group: see hosting_asyncio.py
        self.starts = 0  # of processes so far: see starting_asyncio.py
        self.depth = 0  # how many processes are in their first step

    def is_here(self) -> bool:
        return _get_running_loop() is self.loop

    def run(self, function: Callable[[], object]) -> bool:
        if _get_running_loop() is self.loop:
            function()
            return True
        return self.run_soon(function)

    def run_soon(self, function: Callable[[], object]) -> bool:
        """Call `function` in the next turn of the loop; return False if the loop has ended."""
        try:
            self.loop.call_soon_threadsafe(function)
        except RuntimeError:
            if not self.loop.is_closed():
                raise
            return False
        return True

    def new_waiter(self) -> Waiter:
        return _AsyncioWaiter(self)

    def new_deadlines(self, timeout: float) -> _Deadlines | None:
        """Return a new queue of the waits that have this timeout, if there can be one."""
        if len(self.deadlines) >= TIMEOUTS:
            return None
        queue = self.deadlines[timeout] = _Deadlines(self.loop, timeout)
        return queue


class _AsyncioWaiter:
    __slots__ = ("_ends", "_future", "_home", "woken")

    def __init__(self, home: AsyncioHome) -> None:
        self._home = home
        self._future: Future[bool] = Future(loop=home.loop)  # as the loop does, with a call less
        self._ends: dict[Future[bool], float] | None = None  # where its deadline is
        self.woken = False

    @property
    def waits(self) -> bool:
        """Whether nothing has ended the wait so far."""
        return not self._future.done()

    def wake(self) -> bool:
        if _get_running_loop() is not self._home.loop:
            return self._home.run_soon(self.wake)
        if self._ends is not None:
            self._ends.pop(self._future, None)
        if not self._future.done():
            insist_on_room(TO_WAKE)
            self._future.set_result(True)
        self.woken = True
        return True

    def renew(self) -> None:
        self._future = Future(loop=self._home.loop)
        self.woken = False

    def time(self) -> float:
        return self._home.loop.time()

    def wait(self, timeout: float | None, *, common: bool = False) -> Awaitable[bool]:
        if timeout is None:
            return self._future
        home = self._home
        deadlines = None
        if common:
            deadlines = home.deadlines.get(timeout) or home.new_deadlines(timeout)
        if deadlines is not None:
            self._ends = deadlines.add(self._future)
        else:
            timer = home.loop.call_later(timeout, self._expire, context=Context())
            self._future.add_done_callback(lambda _: timer.cancel(), context=Context())
        return self._future

    def _expire(self) -> None:
        if not self._future.done():
            self._future.set_result(False)


class _Deadlines:
    """The waits on one loop that have the same timeout: the first to start is the first to end.

    One timer serves them all: it is set for the oldest of them, and then for the next oldest.
    Most waits end without it.
    """

    __slots__ = ("_ends", "_loop", "_timed", "_timeout")

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self._loop = loop
        self._timeout = timeout
        self._ends: dict[Future[bool], float] = {}
        self._timed = False

    def add(self, future: Future[bool]) -> dict[Future[bool], float]:
        """Let `future` end in time; return from what to remove it if it ends before."""
        self._ends[future] = end = self._loop.time() + self._timeout
        if not self._timed:
            self._timed = True
            self._loop.call_at(end, self._expire, context=Context())
        return self._ends

    def _expire(self) -> None:
        self._timed = False
        now = self._loop.time() + _CLOCK
        for future, end in list(self._ends.items()):
            if end > now:
                self._timed = True
                self._loop.call_at(end, self._expire, context=Context())
                return
            del self._ends[future]
            if not future.done():
                future.set_result(False)
