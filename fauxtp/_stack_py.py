"""How much of the stack of Python calls is left: the twin in Python of `fauxtp._stack`."""

from __future__ import annotations

import sys

__all__ = ["has_room"]


def has_room(calls: int) -> bool:
    """Return whether so many calls, one within the other, are still to be had."""
    return not _has_frame(max(0, sys.getrecursionlimit() - calls))


def _has_frame(depth: int) -> bool:
    if sys.version_info >= (3, 12):  # which raises no error, and takes a tenth of the time
        return sys._getframemodulename(depth) is not None
    try:
        sys._getframe(depth)
    except ValueError:
        return False
    return True
