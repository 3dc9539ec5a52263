"""Calls that were given up while they lay in a mailbox: all that is left of them is a count."""

from __future__ import annotations

from typing import Final, final

from fauxtp._core.calls import Call

__all__ = ["NONE_GIVEN_UP", "GivenUp"]

LEAST: Final = 64  # calls that may lie there until it is worth while to sweep them away


@final
class GivenUp:
    """The calls that lie in a mailbox, and that nobody waits for any more.

    They are swept away when there are as many of them as of other messages.
    """

    __slots__ = ("_calls", "_gone", "due")

    def __init__(self) -> None:
        self._calls: set[Call] = set()
        self._gone = 0
        self.due: bool = False  # that somebody sweeps

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def total(self) -> int:
        """How many there have been."""
        return self._gone + len(self._calls)

    def add(self, call: Call, others: int) -> bool:
        """Note one more, beside that many `others`; return whether to sweep now."""
        self._calls.add(call)
        if self.due or len(self._calls) <= max(LEAST, others):
            return False
        self.due = True
        return True

    def known(self) -> set[Call]:
        return self._calls.copy()

    def forget(self, calls: set[Call]) -> None:
        """Note that these lie there no more, as whoever reads the mailbox."""
        before = len(self._calls)
        self._calls -= calls
        self._gone += before - len(self._calls)


NONE_GIVEN_UP: Final = GivenUp()
"""That of all mailboxes in which no call was given up. Nobody ever adds one."""
