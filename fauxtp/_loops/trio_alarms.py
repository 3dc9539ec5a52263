"""Alarms on trio, which calls nothing at a given time: one task sleeps until the next is due."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import Context

import trio
from trio.lowlevel import spawn_system_task

from fauxtp._base.tell_all import tell_all
from fauxtp._loops.alarm_heap import Due
from fauxtp._loops.alarms import Alarms

__all__ = ["TrioAlarms"]


class TrioAlarms(Alarms):
    """What is to be called in one trio loop, each at its time.

    The task for that is one of trio's own nursery: it ends with the loop, and holds it up
    neither at its end nor where a test lets the clock jump. There is none before the first.
    """

    __slots__ = ("_is_here", "_sleep", "_tell")

    def __init__(
        self, tell: Callable[[Callable[[], object]], bool], is_here: Callable[[], bool]
    ) -> None:
        super().__init__()
        self._is_here = is_here  # whether the loop runs in this thread
        self._tell = tell  # who calls what must not be called within the code of trio
        self._sleep: trio.CancelScope | None = None  # of the task, until the next is due

    def set(self, alarm: Due) -> None:
        self._heap.push(alarm)
        try:
            if self._sleep is None:
                self._start(alarm.due)
            elif alarm.due < self._sleep.deadline:
                self._tell(self._hurry)
        except BaseException:
            alarm.take()  # whoever asked for it is told that it is not set
            raise

    def set_in(self, seconds: float, alarm: Due) -> None:
        alarm.due = trio.current_time() + seconds
        self.set(alarm)

    def cancelled_here(self, due: float) -> float | None:
        if not self._is_here():
            return None
        self.cancelled()
        return due - trio.current_time()

    def _start(self, due: float) -> None:
        """Have a task begin that sleeps until the first is `due`."""
        self._sleep = trio.CancelScope(deadline=due)
        try:
            self._tell(self._begin)
        except BaseException:
            self._sleep = None  # the next who sets one tries again
            raise

    def _begin(self) -> None:
        spawn_system_task(self._call_in_time, name="timers of fauxtp", context=Context())

    def _hurry(self) -> None:
        """Let the task sleep no longer than until the next is due."""
        due = self._heap.first()
        if due is not None and self._sleep is not None:
            self._sleep.deadline = min(self._sleep.deadline, due)

    async def _call_in_time(self) -> None:
        while True:
            due = self._heap.first()
            self._sleep = trio.CancelScope(deadline=math.inf if due is None else due)
            self._hurry()
            with self._sleep:
                await trio.sleep_forever()
            tell_all(self._due(trio.current_time()))
