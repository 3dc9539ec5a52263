"""Levels: when something that has grown too large is worth a word again."""

from __future__ import annotations

from typing import final

__all__ = ["Level"]


@final
class Level:
    """Tells of a value at its limit, and at each doubling of that; and once when it has fallen.

    >>> level = Level(10)
    >>> [level.rises(value) for value in (9, 10, 19, 45, 50, 79, 80)]
    [False, True, False, True, False, False, True]
    >>> level.falls(), level.falls(), level.rises(10)
    (True, False, True)
    """

    __slots__ = ("_limit", "_next")

    def __init__(self, limit: float) -> None:
        self._limit = self._next = limit

    @property
    def is_high(self) -> bool:
        """Whether it was told of, and has not fallen since."""
        return self._next > self._limit

    def rises(self, value: float) -> bool:
        """Return whether to tell of `value` now."""
        if value < self._next:
            return False
        while self._next <= value:
            self._next *= 2
        return True

    def falls(self) -> bool:
        """Note that it is as it should be; return whether to tell of that."""
        was_high, self._next = self.is_high, self._limit
        return was_high
