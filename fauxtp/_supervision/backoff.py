"""Backoff: how long a supervisor waits before it starts a child again."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import final

from fauxtp._base.arguments import unexpected

__all__ = ["Backoff"]


@final
@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a supervisor waits before it starts a child again.

    `first` seconds before the first restart, and `factor` times as long before each further
    one, but never more than `most` seconds. A child that has run for `most` seconds begins
    afresh. By up to `jitter`, a share of it, each wait is longer or shorter by chance, so that
    those who failed together do not come back together.

    Raises `TypeError` if one of them is no number, `ValueError` if it is out of range.

    >>> steady = Backoff(first=0.5, most=3, jitter=0)
    >>> [steady.seconds(failures) for failures in (1, 2, 3, 4)]
    [0.5, 1.0, 2.0, 3]
    """

    first: float = 0.1
    factor: float = 2.0
    most: float = 30.0
    jitter: float = 0.1

    def __post_init__(self) -> None:
        for name in ("first", "factor", "most", "jitter"):
            came = getattr(self, name)
            if not isinstance(came, (int, float)) or isinstance(came, bool):
                raise unexpected(name, "a number", came)
        if not (0 < self.first <= self.most < math.inf):
            raise ValueError(
                f"expected 0 < first <= most, in seconds, got {self.first} and {self.most}"
            )
        if not 1 <= self.factor < math.inf:
            raise ValueError(f"expected factor to be at least 1, got {self.factor}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"expected jitter to be from 0 to 1, got {self.jitter}")

    def seconds(self, failures: int) -> float:
        """Return how many seconds to wait after so many `failures` in a row. It raises nothing."""
        try:
            wait = min(self.first * self.factor ** (failures - 1), self.most)
        except OverflowError:
            wait = self.most
        if not self.jitter:
            return wait
        return wait * (1 + self.jitter * random.uniform(-1, 1))
