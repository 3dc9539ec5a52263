"""Alarms: what is to be called in one event loop, each at its time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Final

from fauxtp._base.carried import MISSING
from fauxtp._loops.alarm_heap import AlarmHeap, Due

__all__ = ["FEW", "Alarm", "Alarms"]

FEW: Final = 64  # cancelled ones that may lie in the heap, however few the others are


class Alarms(ABC):
    """What is to be called in one event loop, in a heap: the loop itself knows of the first.

    For most are cancelled, and those of the event loops take longer to set and to cancel.
    """

    __slots__ = ("_cancelled", "_heap")

    def __init__(self) -> None:
        self._heap = AlarmHeap()
        self._cancelled = 0  # that lie in the heap

    @abstractmethod
    def set(self, alarm: Due) -> None:
        """Let `alarm` go off when it is due, unless what it keeps is taken before.

        That is for who runs in the loop, which may be a signal handler.
        """

    @abstractmethod
    def set_in(self, seconds: float, alarm: Due) -> None:
        """Do as `set` does, with what is to be due in so many `seconds`."""

    @abstractmethod
    def cancelled_here(self, due: float) -> float | None:
        """Do as `cancelled` does, of what was `due` then; return the seconds that were left.

        Return None where the loop does not run: then nothing was done.
        """

    def cancelled(self) -> None:
        """Note that what one kept was taken; throw such out if they are many. In the loop only."""
        self._cancelled = many = self._cancelled + 1
        if many > FEW:
            self._throw_out(many)

    def _throw_out(self, many: int) -> None:
        """Throw out those that were cancelled, if they are half of all."""
        if many > len(self._heap) // 2:
            self._heap.throw_out()
            self._cancelled = 0

    def _due(self, now: float) -> Iterator[Callable[[], object]]:
        """Yield what is to be called `now`, but nothing that is set meanwhile."""
        heap = self._heap
        mark = heap.mark()
        while (first := heap.pop(now, mark)) is not None:
            if first.kept() is MISSING:
                self._cancelled -= 1
            else:
                yield first.go_off


class Alarm(Due):
    """One alarm, for whoever may cancel it."""

    __slots__ = ("_alarms",)

    def __init__(self, alarms: Alarms, due: float, function: Callable[[], object]) -> None:
        self._alarms = alarms
        self.due = due
        self.keep(function)
        alarms.set(self)

    def go_off(self) -> None:
        """Call the function: whoever runs the alarms does."""
        self.take()()

    def cancel(self) -> None:
        """Let it not be called, in the loop's thread; what it would call is let go of."""
        if self.take() is not MISSING:
            self._alarms.cancelled()
