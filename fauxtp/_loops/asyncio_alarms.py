"""Alarms on asyncio: one timer of the event loop, for the first of them."""

from __future__ import annotations

import asyncio
import time
from contextvars import Context

from fauxtp._base.tell_all import tell_all
from fauxtp._loops.alarm_heap import Due
from fauxtp._loops.alarms import FEW, Alarms
from fauxtp._loops.asyncio_internals import current_task, running_loop

__all__ = ["AsyncioAlarms"]

_CLOCK = time.get_clock_info("monotonic").resolution


class AsyncioAlarms(Alarms):
    """What is to be called in one asyncio loop, each at its time.

    The timer that the loop has for it may go off in vain, as the first was cancelled.
    """

    __slots__ = ("_is_monotonic", "_loop", "_next", "go_off")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        # The `time` of asyncio's own loops asks for no more than that, in Python.
        self._is_monotonic = type(loop).time is asyncio.BaseEventLoop.time
        self.go_off = False  # just now, so that the loop is awake
        self._next: tuple[float, asyncio.TimerHandle] | None = None  # when the loop looks

    def set(self, alarm: Due) -> None:
        self._heap.push(alarm)
        known = self._next
        if known is None or alarm.due < known[0]:
            self._hurry(alarm)

    def set_in(self, seconds: float, alarm: Due) -> None:
        now = time.monotonic() if self._is_monotonic else self._loop.time()
        alarm.due = due = now + seconds
        self._heap.push(alarm)
        known = self._next
        if known is None or due < known[0]:
            self._hurry(alarm)

    def cancelled_here(self, due: float) -> float | None:
        if running_loop() is not self._loop:
            return None
        self._cancelled = many = self._cancelled + 1
        if many > FEW:
            self._throw_out(many)
        return due - (time.monotonic() if self._is_monotonic else self._loop.time())

    def _hurry(self, alarm: Due) -> None:
        try:
            self._look_in_time()
        except BaseException:
            alarm.take()  # whoever asked for it is told that it is not set
            raise

    def _look_in_time(self) -> None:
        """Have the loop look when the first is due, if it is to look later, or not at all."""
        loop, heap = self._loop, self._heap
        while (due := heap.first()) is not None:
            known = self._next
            if known is not None and known[0] <= due:
                break
            new = due, loop.call_at(due, self._look, due, context=Context())
            known, self._next = self._next, new  # in one line: who comes in between has set one
            if known is not None:
                known[1].cancel()
            if current_task(loop) is None and not self.go_off:
                loop.call_soon_threadsafe(_nothing)  # it may be asleep, under a signal handler

    def _look(self, due: float) -> None:
        known, self._next = self._next, None
        if known is not None:
            known[1].cancel()
        self.go_off = True
        try:
            tell_all(self._due(max(due, self._loop.time() + _CLOCK)))
        finally:
            try:
                self._look_in_time()
            finally:
                self.go_off = False


def _nothing() -> None:
    pass
