"""A clock that nobody sets, and that goes on while the machine sleeps: a lease is over then."""

from __future__ import annotations

import time

__all__ = ["boot_time"]

_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)


def boot_time() -> float:
    """Return seconds; only differences mean anything.

    >>> boot_time() <= boot_time()
    True
    """
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)
