"""How much of the stack is left, for whoever must not stop halfway: chooses who knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fauxtp._base.installation import implementation

if TYPE_CHECKING or implementation == "python":
    from fauxtp._base._stack_py import has_room, insist_on_room, is_free
else:
    from fauxtp._base._stack import has_room, insist_on_room, is_free

__all__ = ["TO_ANSWER", "TO_END", "TO_WAKE", "has_room", "insist_on_room", "is_free"]

# More calls, one within the other, than it takes …
TO_WAKE: Final = 32  # … to wake a task
TO_ANSWER: Final = 40  # … to answer somebody, who is woken
TO_END: Final = 64  # … to wake or cancel one that is to end
