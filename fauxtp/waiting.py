"""Waiting for somebody in any thread: of a task on asyncio or trio, or of a plain thread.

A waiter is made by whoever is about to wait, serves one wait, and may be woken from any
thread, before the wait or during it. Neither asyncio nor trio is imported here: whoever
runs an event loop has done so.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol
from weakref import ref

if TYPE_CHECKING:
    import asyncio

    import trio

__all__ = [
    "Home",
    "ThreadWaiter",
    "Waiter",
    "current_home",
    "current_task",
    "new_waiter",
    "seconds",
]


def seconds(timeout: float | None) -> float | None:
    """Return `timeout` as every waiter takes it: at least 0, or None to wait for ever.

    Raises `TypeError` if it is neither a number nor None, and `ValueError` if it is nan.

    >>> seconds(-1), seconds(float("inf"))
    (0.0, None)
    """
    if timeout is None:
        return None
    if not isinstance(timeout, (int, float)):
        raise TypeError(f"expected timeout to be a number or None, got {type(timeout).__name__}")
    if timeout >= 0:
        return None if timeout > threading.TIMEOUT_MAX else timeout
    if timeout < 0:
        return 0.0
    raise ValueError("expected timeout to be a number of seconds, got nan")


class Waiter(Protocol):
    def wake(self) -> bool:
        """End the wait, from whichever thread; return False if its event loop has ended.

        A second time nothing happens.
        """
        ...

    def time(self) -> float:
        """Return the seconds on the clock by which timeouts are measured."""
        ...

    def wait(self, timeout: float | None, *, common: bool = False) -> Awaitable[bool]:
        """Return True when woken, False after `timeout` seconds.

        With `common`, many waits have this timeout. Whoever stops waiting for one of these
        before its end should `wake` it.
        """
        ...


class Home(Protocol):
    """An event loop, as the place where something must be done."""

    def run(self, function: Callable[[], object]) -> bool:
        """Call `function` in the loop's thread: now if this is it, else soon.

        Return False if the loop has ended.
        """
        ...

    def new_waiter(self) -> Waiter: ...


def _run_soon(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> bool:
    try:
        loop.call_soon_threadsafe(function)
    except RuntimeError:
        if not loop.is_closed():
            raise
        return False
    return True


class _AsyncioWaiter:
    __slots__ = ("_deadlines", "_future", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[bool] = loop.create_future()
        self._deadlines: _Deadlines | None = None

    def _settle(self) -> None:
        if self._deadlines is not None:
            self._deadlines.remove(self._future)
        if not self._future.done():
            self._future.set_result(True)

    def wake(self) -> bool:
        if running_asyncio_loop() is not self._loop:
            return _run_soon(self._loop, self._settle)
        if self._deadlines is not None:
            self._deadlines.remove(self._future)
        if not self._future.done():
            self._future.set_result(True)
        return True

    def time(self) -> float:
        return self._loop.time()

    def wait(self, timeout: float | None, *, common: bool = False) -> Awaitable[bool]:
        if timeout is None:
            return self._future
        self._deadlines = _deadlines_of(self._loop, timeout) if common else None
        if self._deadlines is not None:
            self._deadlines.add(self._future)
        else:
            timer = self._loop.call_later(timeout, self._expire, context=Context())
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

    __slots__ = ("_ends", "_timed", "_timeout")

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._ends: dict[asyncio.Future[bool], float] = {}
        self._timed = False

    def add(self, future: asyncio.Future[bool]) -> None:
        loop = future.get_loop()
        self._ends[future] = end = loop.time() + self._timeout
        if not self._timed:
            self._timed = True
            loop.call_at(end, self._expire, loop, context=Context())

    def remove(self, future: asyncio.Future[bool]) -> None:
        self._ends.pop(future, None)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timed = False
        now = loop.time() + _CLOCK
        for future, end in list(self._ends.items()):
            if end > now:
                self._timed = True
                loop.call_at(end, self._expire, loop, context=Context())
                return
            del self._ends[future]
            if not future.done():
                future.set_result(False)


_CLOCK = time.get_clock_info("monotonic").resolution
_TIMEOUTS = 32  # different timeouts on one loop that have a queue of their own
_queues: dict[int, tuple[ref[asyncio.AbstractEventLoop], dict[float, _Deadlines]]] = {}


def _deadlines_of(loop: asyncio.AbstractEventLoop, timeout: float) -> _Deadlines | None:
    known = _queues.get(id(loop))
    if known is None or known[0]() is not loop:
        for number, (reference, _) in list(_queues.items()):
            if reference() is None:
                _queues.pop(number, None)
        known = _queues[id(loop)] = (ref(loop), {})
    queues = known[1]
    queue = queues.get(timeout)
    if queue is None and len(queues) < _TIMEOUTS:
        queue = queues[timeout] = _Deadlines(timeout)
    return queue


class _AsyncioHome:
    __slots__ = ("_loop",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def run(self, function: Callable[[], object]) -> bool:
        if running_asyncio_loop() is self._loop:
            function()
            return True
        return _run_soon(self._loop, function)

    def new_waiter(self) -> Waiter:
        return _AsyncioWaiter(self._loop)


class _TrioWaiter:
    __slots__ = ("_event", "_home")

    def __init__(self, home: _TrioHome) -> None:
        self._home = home
        self._event: trio.Event = sys.modules["trio"].Event()

    def wake(self) -> bool:
        return self._home.run(self._event.set)

    def time(self) -> float:
        return sys.modules["trio"].current_time()  # type: ignore[no-any-return]

    async def wait(self, timeout: float | None, *, common: bool = False) -> bool:
        if timeout is None:
            await self._event.wait()
        else:
            with sys.modules["trio"].move_on_after(timeout):
                await self._event.wait()
        return self._event.is_set()


class _TrioHome:
    __slots__ = ("_token",)

    def __init__(self, token: trio.lowlevel.TrioToken) -> None:
        self._token = token

    def run(self, function: Callable[[], object]) -> bool:
        if _running_trio_token() is self._token:
            function()
            return True
        try:
            self._token.run_sync_soon(function)
        except sys.modules["trio"].RunFinishedError:
            return False
        return True

    def new_waiter(self) -> Waiter:
        return _TrioWaiter(self)


class ThreadWaiter:
    """The waiter of a thread that runs no event loop."""

    __slots__ = ("_woken",)

    def __init__(self) -> None:
        self._woken = threading.Event()

    def wake(self) -> bool:
        self._woken.set()
        return True

    def time(self) -> float:
        return time.monotonic()

    def wait_blocking(self, timeout: float | None) -> bool:
        return self._woken.wait(timeout)


def running_asyncio_loop() -> asyncio.AbstractEventLoop | None:
    """Return the asyncio loop that runs in this thread, or None."""
    asyncio = sys.modules.get("asyncio")
    return None if asyncio is None else asyncio._get_running_loop()


def _running_trio_token() -> trio.lowlevel.TrioToken | None:
    trio = sys.modules.get("trio")
    if trio is None or not trio.lowlevel.in_trio_run():
        return None
    return trio.lowlevel.current_trio_token()  # type: ignore[no-any-return]


def current_home() -> Home | None:
    """Return the event loop that runs in this thread, or None."""
    loop = running_asyncio_loop()
    if loop is not None:
        return _AsyncioHome(loop)
    token = _running_trio_token()
    return None if token is None else _TrioHome(token)


def new_waiter() -> Waiter:
    """Return a waiter for the running task.

    Raises `RuntimeError` where no event loop runs.
    """
    loop = running_asyncio_loop()
    if loop is not None:
        return _AsyncioWaiter(loop)
    home = current_home()
    if home is None:
        raise RuntimeError("no event loop runs in this thread")
    return home.new_waiter()


def current_task() -> Any:
    """Return the running task as its event loop knows it, or None outside of any."""
    if running_asyncio_loop() is not None:
        return sys.modules["asyncio"].current_task()
    if _running_trio_token() is not None:
        return sys.modules["trio"].lowlevel.current_task()
    return None
