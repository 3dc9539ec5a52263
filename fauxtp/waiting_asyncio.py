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

__all__ = ["AsyncioHome", "Sleep", "home_of"]

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

    __slots__ = ("__weakref__", "deadlines", "depth", "hosts", "loop", "turns")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.deadlines: dict[float, _Deadlines] = {}  # by timeout
        self.hosts: dict[object, Any] = {}  # by task group: see hosting_asyncio.py
        # Of tasks, given by other tasks: see turns_asyncio.py
        self.turns = 0  # so far
        self.depth = 0  # each in the one before, now

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

    def running_task(self) -> asyncio.Task[Any] | None:
        return asyncio.current_task(self.loop)

    def new_waiter(self) -> Waiter:
        return _AsyncioWaiter(self)

    def new_sleep(self) -> Waiter:
        return Sleep(self)

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


class Sleep(Future[Any]):
    """The waiter of an idle process, and what its task waits for, in one.

    A future has the event loop give its task a turn. This one knows which turn that will be,
    so somebody who waits for what the task is to do can give it one at once: see
    `fauxtp.turns_asyncio`.
    """

    __slots__ = ("_context", "_home", "_next", "_turn", "woken")

    def __init__(self, home: AsyncioHome) -> None:
        Future.__init__(self, loop=home.loop)
        self._home = home
        self._turn: Callable[[Sleep], object] | None = None  # of the task, by its own function
        self._context: Context | None = None
        self._next: asyncio.Handle | None = None  # the event loop is to give it
        self.woken = False

    @property
    def waits(self) -> bool:
        """Whether nothing has ended the wait so far."""
        return not self.done()

    def time(self) -> float:
        return self._home.loop.time()

    def wait(self, timeout: float | None, *, common: bool = False) -> Awaitable[bool]:
        assert timeout is None, "an idle process waits for as long as it takes"
        return self

    def add_done_callback(
        self, fn: Callable[[Any], object], /, *, context: Context | None = None
    ) -> None:
        """Learn from the task that waits how to give it a turn; nobody else is told."""
        self._turn, self._context = fn, context

    def wake(self) -> bool:
        if _get_running_loop() is not self._home.loop:
            return self._home.run_soon(self.wake)
        if not self.done():
            insist_on_room(TO_WAKE)
            self.set_result(True)
            self._schedule()
        self.woken = True
        return True

    def cancel(self, msg: Any | None = None) -> bool:
        if not super().cancel(msg):
            return False
        self._schedule()
        return True

    def _schedule(self) -> None:
        if self._turn is not None:
            self._next = self._home.loop.call_soon(self._turn, self, context=self._context)

    def take_turn(self) -> Callable[[], object] | None:
        """Return what gives the task the turn that it would have soon, and no more has."""
        turn, context, planned = self._turn, self._context, self._next
        if turn is None or context is None or planned is None:
            return None
        planned.cancel()
        self._next = None
        return lambda: context.run(turn, self)


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
