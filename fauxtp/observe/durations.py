"""How long handlers take, by class, while somebody wants to know."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeVar

from fauxtp._base.durations import BOUNDS, durations
from fauxtp._base.events import TIMED, set_timed, wanted

__all__ = ["are_measured", "histograms", "measure"]

T = TypeVar("T")

_wanted = 0  # by so many
_changing = threading.RLock()


def measure(want: bool) -> None:
    """Measure for one more, or for one less; for nobody, nothing is measured."""
    global _wanted
    with _changing:
        _wanted += 1 if want else -1
        set_timed(_wanted > 0)


def are_measured() -> bool:
    """Return whether there is something to tell."""
    return wanted(TIMED) != 0


def histograms(make: Callable[[dict[float, int], int, float], T]) -> dict[tuple[str, ...], T]:
    """Return for each class what `make` makes of its buckets, their total, and all seconds."""
    found: dict[tuple[str, ...], T] = {}
    for name, (numbers, nanoseconds) in durations().items():
        total, buckets = 0, {}
        for bound, number in zip(BOUNDS, numbers, strict=False):
            total += number
            buckets[bound] = total
        found[name,] = make(buckets, total + numbers[-1], nanoseconds / 1e9)
    return found


def _after_fork_in_child() -> None:
    global _changing
    _changing = threading.RLock()  # who held it is not here


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
