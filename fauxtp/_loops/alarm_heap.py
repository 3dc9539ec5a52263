"""What is due in one event loop, each at its time, in the order of these times."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Self, final

from fauxtp._base.carried import MISSING
from fauxtp._base.implementation import implementation

__all__ = ["AlarmHeap", "Due"]


class Due:
    """What goes off at its time: it keeps something until then, unless somebody takes that.

    Any thread may take it, and one of them gets it: so that decides what becomes of an alarm.
    `due` is its time on the clock of the event loop, and not changed while it lies in a heap.
    """

    __slots__ = ("_fauxtp_kept", "due")
    _fauxtp_kept: list[Any]
    due: float

    def __new__(cls, *_: Any) -> Self:
        self = super().__new__(cls)
        self.due = 0.0
        self._fauxtp_kept = []
        return self

    def keep(self, what: object, /) -> None:
        """Have it keep `what`; it keeps nothing yet."""
        self._fauxtp_kept.append(what)

    def kept(self) -> Any:
        """Return what it keeps; `MISSING` is nothing."""
        try:
            return self._fauxtp_kept[0]
        except IndexError:
            return MISSING

    def take(self) -> Any:
        """Return what it keeps, which it does not from then on; `MISSING` is nothing."""
        try:
            return self._fauxtp_kept.pop()
        except IndexError:
            return MISSING

    def go_off(self) -> None:
        """Do what is due: whoever runs the alarms calls this."""
        raise NotImplementedError


_is_wanted = itemgetter(2)


@final
class AlarmHeap:
    """What is due in one event loop; it is asked and changed there only.

    A finaliser may set or cancel an alarm on any line: so whatever is done to the list here is
    one call of a function in C that calls nothing else.
    """

    __slots__ = ("_heap", "_number")

    def __init__(self) -> None:
        # In each, what is compared comes first: of two at one time, the first is first.
        self._heap: list[tuple[float, int, list[Any], Due]] = []
        self._number: Callable[[], int] = count().__next__

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, alarm: Due, /) -> None:
        """Put in an alarm that does not lie here."""
        heappush(self._heap, (alarm.due, self._number(), alarm._fauxtp_kept, alarm))

    def first(self) -> float | None:
        """Return when the first is due, if there is one."""
        try:
            return self._heap[0][0]
        except IndexError:
            return None

    def mark(self) -> int:
        """Return what tells `pop` to leave what is put in from now on."""
        return self._number()

    def pop(self, now: float, mark: int, /) -> Due | None:
        """Take out and return the first that is due `now`, and was put in before the `mark`."""
        heap = self._heap
        while heap and heap[0][0] <= now and heap[0][1] < mark:
            first = heappop(heap)
            if first[0] <= now and first[1] < mark:
                return first[3]
            heappush(heap, first)  # that before it was thrown out in between
        return None

    def throw_out(self) -> None:
        """Take out all that keep nothing any more."""
        self._heap[:] = filter(_is_wanted, self._heap)
        heapify(self._heap)


if not TYPE_CHECKING and implementation == "cython":
    from fauxtp._base._native import AlarmHeap, Due
