"""Many waits with one timeout: one timer serves them all."""

from __future__ import annotations

import time
from collections import OrderedDict
from contextvars import Context
from typing import Any, Protocol

__all__ = ["Deadlines"]

_CLOCK = time.get_clock_info("monotonic").resolution


class Expiring(Protocol):
    """What is told that its time is over."""

    def expire(self) -> None: ...


class Deadlines:
    """The waits on one loop that have the same timeout: the first to start is the first to end.

    One timer serves them all: it is set for the oldest of them, and then for the next oldest.
    Most waits end without it.
    """

    __slots__ = ("_ends", "_loop", "_timed", "_timeout")

    def __init__(self, loop: Any, timeout: float) -> None:
        self._loop = loop
        self._timeout = timeout
        # Of a plain dict, the first is found only behind all that were first before.
        self._ends: OrderedDict[Expiring, float] = OrderedDict()
        self._timed = False

    def add(self, waiter: Expiring) -> dict[Any, float]:
        """Let `waiter` end in time; return from what to remove it if it ends before."""
        end = self._loop.time() + self._timeout
        if not self._timed:
            self._set_timer(end)
        self._ends[waiter] = end
        return self._ends

    def _set_timer(self, end: float) -> None:
        self._loop.call_at(end, self._expire, context=Context())
        self._timed = True  # not before: what fails here must not leave the others without one

    def _expire(self) -> None:
        self._timed = False
        now = self._loop.time() + _CLOCK
        while self._ends:
            try:
                waiter, end = next(iter(self._ends.items()))
            except (RuntimeError, StopIteration):
                continue  # a finaliser has ended some
            if end > now:
                self._set_timer(end)
                return
            self._ends.pop(waiter, None)
            waiter.expire()
