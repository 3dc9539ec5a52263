"""Waiting in a thread that runs no event loop."""

from __future__ import annotations

import threading
import time

__all__ = ["ThreadWaiter"]


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
