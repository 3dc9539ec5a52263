"""How much of the stack of Python calls is left, for whoever must not stop halfway."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from fauxtp._base.implementation import implementation

__all__ = ["TO_ANSWER", "TO_END", "TO_WAKE", "has_room", "insist_on_room", "is_free"]

# More calls, one within the other, than it takes …
TO_WAKE: Final = 32  # … to wake a task
TO_ANSWER: Final = 40  # … to answer somebody, who is woken
TO_END: Final = 64  # … to wake or cancel one that is to end


def has_room(calls: int) -> bool:
    """Return whether so many calls, one within the other, are still to be had."""
    return not _has_frame(max(0, sys.getrecursionlimit() - calls))


def is_free() -> bool:
    """Return whether three quarters of the stack are left, as for code that somebody else runs."""
    return has_room(sys.getrecursionlimit() * 3 // 4)


def insist_on_room(calls: int) -> None:
    """Raise `RecursionError` unless so many calls are still to be had.

    What fails halfway, as it tells that something has happened, never tells it again.
    """
    if not has_room(calls):
        raise RecursionError(f"expected room on the stack for {calls} calls")


def _has_frame(depth: int) -> bool:
    if sys.version_info >= (3, 12):  # which raises no error, and takes a tenth of the time
        return sys._getframemodulename(depth) is not None
    try:
        sys._getframe(depth)
    except ValueError:
        return False
    return True


if not TYPE_CHECKING and implementation == "cython":
    from fauxtp._base._native import has_room, insist_on_room, is_free
