"""Alarms: what is to be called in one event loop, each at its time."""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import count
from operator import itemgetter
from typing import Any, Final, Protocol

__all__ = ["FEW", "Alarm", "Alarms", "GoesOff"]

Claim = list[Any]  # what an alarm is set for; or nothing, if it was cancelled

FEW: Final = 64  # cancelled ones that may lie in the heap, however few the others are
_is_set = itemgetter(2)


class GoesOff(Protocol):
    """What is set: it lies in the heap itself; a method bound to it would take 64 bytes more."""

    def go_off(self) -> None:
        """Do what is due."""


class Alarms(ABC):
    """What is to be called in one event loop, in a heap: the loop itself knows of the first.

    For most are cancelled, and those of the event loops take longer to set and to cancel.
    """

    # A finaliser may set or cancel one on any line. So whatever is done to the heap is one
    # call of a function in C that calls nothing else.

    __slots__ = ("_cancelled", "_heap", "_number")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Claim, GoesOff]] = []
        self._number: Callable[[], int] = (
            count().__next__
        )  # of two at one time, the first is first
        self._cancelled = 0  # that lie in the heap

    @abstractmethod
    def set(self, due: float, claim: Claim, what: GoesOff) -> None:
        """Let `what` go off when it is `due`, unless `claim` is empty by then.

        That is for who runs in the loop, which may be a signal handler.
        """

    @abstractmethod
    def set_in(self, seconds: float, claim: Claim, what: GoesOff) -> float:
        """Do as `set` does, with what is due in so many `seconds`; return when that is."""

    @abstractmethod
    def cancelled_here(self, due: float) -> float | None:
        """Do as `cancelled` does, of what was `due` then; return the seconds that were left.

        Return None where the loop does not run: then nothing was done.
        """

    def cancelled(self) -> None:
        """Note that a claim is empty now; throw those out if they are many. In the loop only."""
        self._cancelled = many = self._cancelled + 1
        if many > FEW:
            self._throw_out(many)

    def _throw_out(self, many: int) -> None:
        """Throw out those that were cancelled, if they are half of all."""
        if many > len(self._heap) // 2:
            self._heap[:] = filter(_is_set, self._heap)
            heapq.heapify(self._heap)
            self._cancelled = 0

    def _due(self, now: float) -> Iterator[Callable[[], object]]:
        """Yield what is to be called `now`, but nothing that is set meanwhile."""
        heap, number = self._heap, self._number()
        while heap and heap[0][0] <= now and heap[0][1] < number:
            first = heapq.heappop(heap)
            if not first[2]:
                self._cancelled -= 1
            elif first[0] <= now:
                yield first[3].go_off
            else:  # that before it was thrown out in between
                heapq.heappush(heap, first)


class Alarm:
    """One alarm, for whoever may cancel it."""

    __slots__ = ("_alarms", "_claim")

    def __init__(self, alarms: Alarms, due: float, function: Callable[[], object]) -> None:
        self._alarms, self._claim = alarms, [function]
        alarms.set(due, self._claim, self)

    def go_off(self) -> None:
        """Call the function: whoever runs the alarms does."""
        self._claim.pop()()

    def cancel(self) -> None:
        """Let it not be called, in the loop's thread; what it would call is let go of."""
        if self._claim:
            self._claim.clear()
            self._alarms.cancelled()
