"""Durations of handlers, by class, in buckets of powers of two: while somebody wants them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, final

from fauxtp._base.events import MOST, OTHER, Counter
from fauxtp._base.implementation import implementation

__all__ = ["BOUNDS", "durations", "forget_durations", "note_duration"]

BOUNDS: Final = tuple(2.0**power for power in range(-20, 8, 2))
"""Seconds: from one microsecond to a minute, each four times the one before."""


@final
class _Durations:
    """How long the handlers of one class took."""

    __slots__ = ("buckets", "nanoseconds")

    def __init__(self) -> None:
        self.buckets = [Counter() for _ in range(len(BOUNDS) + 1)]  # the last has no bound
        self.nanoseconds = Counter()


_by_class: dict[str, _Durations] = {}


def note_duration(name: str, seconds: float, /) -> None:
    """Note how long a handler of a process took, whose class has that name."""
    found = _by_class.get(name)
    if found is None:
        if len(_by_class) >= MOST:
            name = OTHER
        found = _by_class.setdefault(name, _Durations())
    place = 0
    for bound in BOUNDS:
        if seconds <= bound:
            break
        place += 1
    found.nanoseconds.add(int(seconds * 1e9))
    found.buckets[place].add(1)


def durations() -> dict[str, tuple[list[int], int]]:
    """Return for each class how many took up to each bound, or longer; and all nanoseconds."""
    return {
        name: ([counter.value for counter in its.buckets], its.nanoseconds.value)
        for name, its in _by_class.copy().items()
    }


def forget_durations() -> None:
    """Note from nothing."""
    _by_class.clear()


def _after_fork_in_child() -> None:
    forget_durations()  # what has happened before is what the parent tells of


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


if not TYPE_CHECKING and implementation == "cython":
    from fauxtp._base._native import durations, forget_durations, note_duration
