"""Alarms on trio, which calls nothing at a given time: one task sleeps until the next is due."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from contextvars import Context
from itertools import count
from operator import itemgetter
from typing import TYPE_CHECKING, Final

import trio
from trio.lowlevel import spawn_system_task

from fauxtp._base.tell_all import tell_all

if TYPE_CHECKING:
    from fauxtp._loops.protocols import Alarm

__all__ = ["Alarms"]

Functions = list[Callable[[], object]]  # one, or none if the alarm was cancelled

FEW: Final = 64  # cancelled ones that may lie in the heap, however few the others are
_is_set = itemgetter(2)


class Alarms:
    """What is to be called in one trio loop, each at its time.

    The task for that is one of trio's own nursery: it ends with the loop, and holds it up
    neither at its end nor where a test lets the clock jump. There is none before the first.
    """

    # A finaliser may set or cancel one on any line. So whatever is done to the heap is one
    # call of a function in C that calls nothing else.

    __slots__ = ("_cancelled", "_heap", "_numbers", "_sleep", "_tell")

    def __init__(self, tell: Callable[[Callable[[], object]], bool]) -> None:
        self._tell = tell  # who calls what must not be called within the code of trio
        self._heap: list[tuple[float, int, Functions]] = []
        self._numbers = count()  # of two that are due at one time, the first set comes first
        self._cancelled = 0  # that lie in the heap
        self._sleep: trio.CancelScope | None = None  # of the task, until the next is due

    def set(self, due: float, function: Callable[[], object]) -> Alarm:
        """Let the loop call `function` when it is `due`."""
        functions = [function]
        alarm = _Alarm(self, functions)  # first: there may be no memory for it
        heapq.heappush(self._heap, (due, next(self._numbers), functions))
        try:
            if self._sleep is None:
                self._start(due)
            elif due < self._sleep.deadline:
                self._tell(self._hurry)
        except BaseException:
            functions.clear()  # whoever asked for it is told that it is not set
            raise
        return alarm

    def cancelled(self) -> None:
        """Note that one lies in the heap that was cancelled; throw them out if they are many."""
        self._cancelled += 1
        if self._cancelled > max(FEW, len(self._heap) // 2):
            self._heap[:] = filter(_is_set, self._heap)
            heapq.heapify(self._heap)
            self._cancelled = 0

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
        if self._heap and self._sleep is not None:
            self._sleep.deadline = min(self._sleep.deadline, self._heap[0][0])

    async def _call_in_time(self) -> None:
        while True:
            self._sleep = trio.CancelScope(deadline=self._heap[0][0] if self._heap else math.inf)
            self._hurry()
            with self._sleep:
                await trio.sleep_forever()
            tell_all(self._due(trio.current_time(), next(self._numbers)))

    def _due(self, now: float, number: int) -> Iterator[Callable[[], object]]:
        """Yield what is to be called `now`, but nothing that was set after that `number`."""
        while self._heap and self._heap[0][0] <= now and self._heap[0][1] < number:
            functions = heapq.heappop(self._heap)[2]
            if functions:
                yield functions.pop()
            else:
                self._cancelled -= 1


class _Alarm:
    __slots__ = ("_alarms", "_functions")

    def __init__(self, alarms: Alarms, functions: Functions) -> None:
        self._alarms = alarms
        self._functions = functions

    def cancel(self) -> None:
        if self._functions:
            self._functions.clear()
            self._alarms.cancelled()
