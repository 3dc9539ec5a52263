"""How much of the stack is left, for whoever must not stop halfway."""

from __future__ import annotations

from sys import getrecursionlimit
from typing import TYPE_CHECKING, Final

from fauxtp.registry import implementation

if TYPE_CHECKING or implementation == "python":
    from fauxtp._stack_py import has_room
else:
    from fauxtp._stack import has_room

__all__ = ["TO_ANSWER", "TO_END", "TO_WAKE", "has_room", "insist_on_room", "is_free"]

# More calls, one within the other, than it takes …
TO_WAKE: Final = 32  # … to wake a task
TO_ANSWER: Final = 40  # … to answer somebody, who is woken
TO_END: Final = 64  # … to wake or cancel one that is to end


def insist_on_room(calls: int) -> None:
    """Raise `RecursionError` unless so many calls are still to be had.

    What fails halfway, as it tells that something has happened, never tells it again.
    """
    if not has_room(calls):
        raise RecursionError(f"expected room on the stack for {calls} calls")


def is_free() -> bool:
    """Return whether three quarters of the stack are left, as for code that somebody else runs."""
    return has_room(getrecursionlimit() * 3 // 4)
