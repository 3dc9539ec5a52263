"""Waiting for somebody in any thread: of a task on asyncio or trio, or of a plain thread.

A waiter is made by whoever is about to wait, serves one wait at a time, and may be woken from
any thread, before the wait or during it. Neither asyncio nor trio is imported before somebody
runs an event loop of that kind: the waiters of each are in a module of their own.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from types import coroutine
from typing import TYPE_CHECKING, Any, Protocol

from anyio.lowlevel import checkpoint

try:
    from sniffio import thread_local as innermost
except ModuleNotFoundError:  # then there is no trio either, which rests on it
    innermost = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import asyncio

    import trio

    from fauxtp.process import Process

__all__ = [
    "Home",
    "ThreadWaiter",
    "Waiter",
    "current_home",
    "give_way",
    "is_trio_innermost",
    "new_waiter",
    "running_asyncio_loop",
    "running_trio_token",
    "seconds",
    "turn",
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
    woken: bool
    """Whether it has been woken, in its event loop: there is no need to do it again."""

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

    @property
    def is_asyncio(self) -> bool:
        """Whether it is one of asyncio."""
        ...

    def is_here(self) -> bool:
        """Return whether the loop runs in this thread."""
        ...

    def is_over(self) -> bool:
        """Return whether the loop has ended for good, as far as that can be known."""
        ...

    def end(self) -> None:
        """Bury who lives in the loop, which has ended."""
        ...

    def is_free(self) -> bool:
        """Return whether it is here, and may be told to do something now, not only soon."""
        ...

    def run(self, function: Callable[[], object]) -> bool:
        """Call `function` in the loop's thread: now if the loop is free, else soon.

        Return False if the loop has ended.
        """
        ...

    def running_task(self) -> Any:
        """Return the task that runs in the loop, which is the running one."""
        ...

    def runs(self, task: object) -> bool:
        """Return whether `task` is the one that runs, in this thread."""
        ...

    def new_waiter(self, server: Process | None = None) -> Waiter:
        """Return a waiter for a task of this loop, which is the running one.

        If it waits for the messages to a `server`, others may step that one meanwhile.
        """
        ...


class ThreadWaiter:
    """The waiter of a thread that runs no event loop."""

    __slots__ = ("_asleep", "_sleeper")

    def __init__(self) -> None:
        # Not an Event, in which a signal handler of the thread that waits would find it locked.
        self._asleep = threading.Lock()
        self._asleep.acquire()
        self._sleeper = [True]  # for who wakes it, the first time

    def wake(self) -> bool:
        try:
            self._sleeper.pop()
        except IndexError:
            return True
        self._asleep.release()
        return True

    def time(self) -> float:
        return time.monotonic()

    def wait_blocking(self, timeout: float | None) -> bool:
        return self._asleep.acquire(timeout=-1 if timeout is None else timeout)


_asyncio_loop: Callable[[], asyncio.AbstractEventLoop | None] | None = None


def running_asyncio_loop() -> asyncio.AbstractEventLoop | None:
    """Return the asyncio loop that runs in this thread, or None."""
    global _asyncio_loop
    running = _asyncio_loop
    if running is None:
        # Another thread may be about to import it, and then there is no more than a part yet.
        running = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)
        if running is None:
            return None
        _asyncio_loop = running
    return running()


def running_trio_token() -> trio.lowlevel.TrioToken | None:
    """Return the token of the trio loop that runs in this thread, or None.

    If that is the guest of another loop, it counts as running in between, too.
    """
    lowlevel = getattr(sys.modules.get("trio"), "lowlevel", None)
    in_trio_run = getattr(lowlevel, "in_trio_run", None)
    if in_trio_run is None or not in_trio_run():
        return None
    return lowlevel.current_trio_token()  # type: ignore[no-any-return, union-attr]


def is_trio_innermost() -> bool:
    """Return whether trio runs what runs here: perhaps as the guest of an asyncio loop.

    It tells so itself, as anyio asks for it.
    """
    return innermost is not None and innermost.name == "trio"


_home_of: Callable[[asyncio.AbstractEventLoop], Home] | None = None


def current_home() -> Home | None:
    """Return the event loop that runs in this thread, or None; the innermost, if there are two."""
    global _home_of
    loop = running_asyncio_loop() if _asyncio_loop is None else _asyncio_loop()
    if loop is not None and (innermost is None or innermost.name != "trio"):
        if _home_of is None:
            from fauxtp.waiting_asyncio import home_of  # noqa: PLC0415

            _home_of = home_of
        return _home_of(loop)
    token = running_trio_token()
    if token is None:
        return None
    from fauxtp.waiting_trio import home_of as home_of_trio  # noqa: PLC0415

    return home_of_trio(token)


def new_waiter() -> Waiter:
    """Return a waiter for the running task.

    Raises `RuntimeError` where no event loop runs.
    """
    home = current_home()
    if home is None:
        raise RuntimeError("no event loop runs in this thread")
    return home.new_waiter()


@coroutine
def turn() -> Generator[None, None, None]:
    """Wait for the next turn of an asyncio task."""
    yield


async def give_way() -> None:
    """Let others have a turn, and notice a cancellation; do nothing where no event loop runs.

    Whoever tries again and again what fails at once, or asks again and again for what is there
    already, would else keep everybody from changing it.
    """
    if current_home() is not None:
        await checkpoint()
