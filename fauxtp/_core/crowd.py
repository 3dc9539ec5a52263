"""Several who wait for the next message of one mailbox, as one waiter."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from fauxtp._loops.protocols import Waiter

__all__ = ["Crowd"]


@final
class Crowd:
    """Wakes all its members. To join and to leave take as long however many they are."""

    __slots__ = ("_asleep", "_members")

    def __init__(self, *members: Waiter) -> None:
        self._members: dict[Waiter, None] = dict.fromkeys(members)
        self._asleep: OrderedDict[Waiter, None] = OrderedDict.fromkeys(members)

    @property
    def woken(self) -> bool:
        """Whether all have been woken: there is no need to do it again."""
        return not self._asleep

    @property
    def waits(self) -> bool:
        """Whether nothing has ended the wait of any of them so far."""
        return all(member.waits for member in list(self._members))  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[Waiter]:
        return iter(list(self._members))

    def __len__(self) -> int:
        return len(self._members)

    def join(self, waiter: Waiter) -> None:
        self._members[waiter] = None
        self._asleep[waiter] = None

    def leave(self, waiter: Waiter) -> None:
        self._asleep.pop(waiter, None)
        self._members.pop(waiter, None)

    def wake(self) -> bool:
        for waiter in list(self._asleep):
            waiter.wake()
            self._asleep.pop(waiter, None)  # not before: who could not be woken is still asleep
        return True
