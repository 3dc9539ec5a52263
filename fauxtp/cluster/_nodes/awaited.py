"""Waiting until something holds of a name, in any event loop or thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import final

from anyio import current_time

from fauxtp._loops.current import new_waiter
from fauxtp._loops.protocols import Waiter
from fauxtp._loops.thread_waiter import ThreadWaiter
from fauxtp.cluster._engines.engine import NoConnection

__all__ = ["Awaited"]


@final
class Awaited:
    """Who waits for something of which name. `is_over` tells that nothing will come any more."""

    __slots__ = ("_is_over", "_lock", "_waiting")

    def __init__(self, is_over: Callable[[], bool]) -> None:
        self._is_over = is_over
        self._waiting: dict[str, list[Waiter | ThreadWaiter]] = {}
        self._lock = threading.RLock()

    def after_fork(self) -> None:
        """Let go of a lock that a thread holds which is not here."""
        self._lock = threading.RLock()

    async def until(
        self, name: str, holds: Callable[[], bool], limit: float | None = None
    ) -> bool:
        """Wait until `holds` of `name`, or for `limit` seconds; it is asked at each change.

        Return False if that is over. Raises `NoConnection` if the cluster is left before that.
        """
        end = None if limit is None else current_time() + limit
        while True:
            waiter = new_waiter()
            with self._among(name, waiter):
                if self._has_come(holds):
                    return True
                left = None if end is None else max(0.0, end - current_time())
                if not await waiter.wait(left):
                    return False

    def until_blocking(
        self, name: str, holds: Callable[[], bool], limit: float | None = None
    ) -> bool:
        """Do as `until`, in a thread that runs no event loop."""
        end = None if limit is None else monotonic() + limit
        while True:
            waiter = ThreadWaiter()
            with self._among(name, waiter):
                if self._has_come(holds):
                    return True
                left = None if end is None else max(0.0, end - monotonic())
                if not waiter.wait_blocking(left):
                    return False

    def _has_come(self, holds: Callable[[], bool]) -> bool:
        if holds():
            return True
        if self._is_over():
            raise NoConnection("the cluster was left")
        return False

    @contextmanager
    def _among(self, name: str, waiter: Waiter | ThreadWaiter) -> Iterator[None]:
        with self._lock:
            self._waiting.setdefault(name, []).append(waiter)
        try:
            yield
        finally:
            with self._lock:
                self._waiting[name].remove(waiter)
                if not self._waiting[name]:
                    del self._waiting[name]

    def wake(self, name: str) -> None:
        """Let who waits for something of `name` look again."""
        with self._lock:
            waiters = list(self._waiting.get(name, ()))
        for waiter in waiters:
            waiter.wake()

    def wake_all(self) -> None:
        """Let all who wait look again."""
        with self._lock:
            names = list(self._waiting)
        for name in names:
            self.wake(name)
