"""A clock that nobody sets, and that goes on while the machine sleeps: a lease is over then."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

__all__ = ["boot_time"]

_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)


boot_time: Final[Callable[[], float]] = (
    time.monotonic if _CLOCK is None else partial(time.clock_gettime, _CLOCK)
)
"""Return seconds; only differences mean anything."""
