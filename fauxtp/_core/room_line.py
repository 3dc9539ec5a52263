"""The line of those who wait for room in a bounded mailbox: the first to come is the first in."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Protocol, final

__all__ = ["NO_LINE", "AnyWaiter", "Line"]


class AnyWaiter(Protocol):
    """Who waits for room: a task, a thread, or a message that nobody waits with."""

    def wake(self) -> bool:
        """Let it use its room, from whichever thread; return False if it never will."""
        ...


@final
class Line:
    """Who waits for room, in the order in which they came; and for whom room is kept.

    Whoever is called up has room of its own from then on, however late it wakes: nobody who
    comes meanwhile gets that. To leave takes as long wherever one stands.

    Whoever uses a line has the gate of its mailbox, which is no help against what comes in
    between in its own thread: so nobody is ever in neither place, and whoever moves a message
    keeps room for it until it lies where it is counted.
    """

    __slots__ = ("_called_up", "_kept", "_waiting")

    def __init__(self) -> None:
        self._waiting: OrderedDict[AnyWaiter, bool] = OrderedDict()  # whether it comes at once
        self._kept: dict[object, None] = {}  # for whom
        self._called_up: dict[object, None] = {}  # those of them who are yet to come in

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def kept(self) -> int:
        """For how many room is kept."""
        return len(self._kept)

    def keep(self, who: object) -> None:
        """Keep room for `who`, until that is let go."""
        self._kept[who] = None

    def let_go(self, who: object) -> None:
        """Keep no room for `who` any more."""
        self._kept.pop(who, None)

    def keeps(self, who: object) -> bool:
        """Return whether room is kept for `who`."""
        return who in self._kept

    def join(self, waiter: AnyWaiter, comes_at_once: bool = False) -> None:
        """Go to the end of the line.

        Who `comes_at_once`, as it is woken, waits until all have come in who were called up
        before: so it overtakes nobody.
        """
        self._waiting[waiter] = comes_at_once

    def leave(self, waiter: AnyWaiter) -> bool:
        """Be in the line no more, and need no room; return whether there was room kept for it."""
        self._waiting.pop(waiter, None)
        self._called_up.pop(waiter, None)
        return waiter in self._kept and self._kept.pop(waiter, 0) is None

    def call_up(self, room: int) -> AnyWaiter | None:
        """Keep room for the first, and return who that is; None if `room` is kept already."""
        while self._waiting and len(self._kept) < room:
            try:
                first, comes_at_once = next(iter(self._waiting.items()))
            except (RuntimeError, StopIteration):
                continue  # something has come in between
            if comes_at_once and self._called_up:
                return None  # whoever comes in last makes room again
            self._kept[first] = None
            self._called_up[first] = None
            self._waiting.pop(first, None)
            return first
        return None

    def call_back(self, waiter: AnyWaiter) -> None:
        """Let `waiter`, who could not be woken, be the first in the line again."""
        self._waiting[waiter] = False
        self._waiting.move_to_end(waiter, last=False)
        self._called_up.pop(waiter, None)
        self._kept.pop(waiter, None)

    def dissolve(self) -> None:
        """Wake everybody, as nobody will get room."""
        while self._waiting:
            try:
                waiter, _ = self._waiting.popitem(last=False)
            except KeyError:
                return  # another thread was quicker
            waiter.wake()


NO_LINE: Final = Line()
"""That of all mailboxes that always have room. Nobody ever joins it."""
