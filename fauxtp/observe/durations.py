"""Durations of handlers, by class, while somebody wants them: in buckets of powers of two."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final, TypeVar, final

from fauxtp._base.events import MOST, OTHER, Counter
from fauxtp.observe.events import HANDLED, Event, Listener, listen

__all__ = ["BOUNDS", "are_measured", "histograms", "measure"]

BOUNDS: Final = tuple(2.0**power for power in range(-20, 8, 2))
"""Seconds: from one microsecond to a minute, each four times the one before."""

T = TypeVar("T")


@final
class _Durations:
    """How long the handlers of one class took."""

    __slots__ = ("buckets", "nanoseconds")

    def __init__(self) -> None:
        self.buckets = [Counter() for _ in range(len(BOUNDS) + 1)]  # the last has no bound
        self.nanoseconds = Counter()


_by_class: dict[str, _Durations] = {}
_listener: Listener | None = None
_wanted = 0  # by so many
_changing = threading.RLock()


def measure(wanted: bool) -> None:
    """Measure for one more, or for one less; for nobody, nothing is measured."""
    global _listener, _wanted
    with _changing:
        _wanted += 1 if wanted else -1
        if wanted and _listener is None:
            _listener = listen(_note, HANDLED)
        elif not _wanted and _listener is not None:
            _listener.detach()
            _listener = None


def are_measured() -> bool:
    """Return whether there is something to tell."""
    return _listener is not None


def _note(event: Event) -> None:
    (name,), seconds = event.labels, event.details["seconds"]
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


def histograms(make: Callable[[dict[float, int], int, float], T]) -> dict[tuple[str, ...], T]:
    """Return for each class what `make` makes of its buckets, their total, and all seconds."""
    found: dict[tuple[str, ...], T] = {}
    for name, durations in _by_class.copy().items():
        total, buckets = 0, {}
        for bound, counter in zip(BOUNDS, durations.buckets, strict=False):
            total += counter.value
            buckets[bound] = total
        total += durations.buckets[-1].value
        found[name,] = make(buckets, total, durations.nanoseconds.value / 1e9)
    return found


def _after_fork_in_child() -> None:
    global _changing
    _changing = threading.RLock()  # who held it is not here
    _by_class.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
