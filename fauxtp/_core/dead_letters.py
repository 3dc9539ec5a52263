"""Dead letters: messages that nobody will ever read, counted and observable."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, final

from fauxtp._base.arguments import expect_callable
from fauxtp._base.carried import bare
from fauxtp._base.events import note
from fauxtp._base.record import fill, record
from fauxtp._base.tell_all import tell_all
from fauxtp.registry import PID

__all__ = ["DeadLetter", "DeadLetters", "dead_letters"]


@final
@record
class DeadLetter:
    """A message that nobody will read: to whom it went, what it was, and why not.

    `to` is a PID or a name; None for an answer to a caller that is no process. `message` is what
    was sent, `reason` one of those that `dead_letters` counts.

    >>> DeadLetter("nobody", "hello", "noproc").reason
    'noproc'
    """

    to: PID | str | None
    message: Any
    reason: str

    def __init__(self, to: PID | str | None, message: Any, reason: str) -> None:
        fill(self, to, message, reason)


# Of the counts and the observers. A finaliser may send while this thread is counting.
_lock = threading.RLock()


def _free_lock() -> threading.RLock:
    # At the interpreter's end no other thread runs: one that has the lock is frozen.
    return threading.RLock() if sys.is_finalizing() else _lock


class DeadLetters:
    """Count what cannot be delivered, by reason, and tell whoever wants to know.

    The reasons are `"noproc"` (there is no such process), `"exited"` (it ended before it
    read the message), `"late reply"` (the caller had given up), `"unhandled"` (the server has
    no handler for it) and `"mailbox full"` (of a member of a group, as `publish` waits for
    nobody).

    >>> letters = DeadLetters()
    >>> with letters.observed_by(print):
    ...     letters.add("nobody", "hello", "noproc")
    DeadLetter(to='nobody', message='hello', reason='noproc')
    >>> letters.counts(), letters.total()
    ({'noproc': 1}, 1)
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._observers: tuple[Callable[[DeadLetter], object], ...] = ()

    def add(self, to: PID | str | None, message: Any, reason: str) -> None:
        message = bare(message)
        with _free_lock():
            self._counts.setdefault(reason, 0)
            self._counts[reason] += 1  # in one line, as the lock lets a finaliser in
            observers = self._observers
        try:
            if self is dead_letters:
                note(("dead_letter", reason), None, {"to": to, "message": message})
        finally:
            if observers:
                tell_all(observers, DeadLetter(to, message, reason))

    def counts(self) -> dict[str, int]:
        """Return how many there were, by reason."""
        with _free_lock():
            return dict(self._counts)

    def total(self) -> int:
        """Return how many there were."""
        return sum(self.counts().values())

    @contextmanager
    def observed_by(self, observer: Callable[[DeadLetter], object]) -> Iterator[None]:
        """Call `observer` for each dead letter while the context lasts, in any thread."""
        expect_callable("observer", observer)
        with _free_lock():
            self._observers += (observer,)
        try:
            yield
        finally:
            with _free_lock():
                remaining = list(self._observers)
                remaining.remove(observer)
                self._observers = tuple(remaining)


dead_letters: DeadLetters = DeadLetters()
"""The dead letters of this interpreter."""


def _after_fork_in_child() -> None:
    """Let go of a lock that a thread holds which is not here."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
