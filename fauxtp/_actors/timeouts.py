"""The timeouts of a state machine: which are running, and which are due now."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, final

from fauxtp._actors.transition import EventTimeout, NamedTimeout, StateTimeout, Timeout
from fauxtp._core.carried_messages import kept
from fauxtp._messaging.timers import Timer, cancel_timer, send_after
from fauxtp.registry import PID

__all__ = ["Elapsed", "Timeouts"]


@final
class Elapsed:
    """The message that the time of a timeout is over, if it was not cancelled meanwhile."""

    __slots__ = ("key", "timeout", "timer")

    def __init__(self, key: Hashable, timeout: Timeout) -> None:
        self.key = key
        self.timeout = timeout
        self.timer: Timer | None = None


@final
class Timeouts:
    """Those of one machine: one for the state, one for the next event, and one of each name.

    One of no time is due as soon as all events that are known have been handled, and before any
    other message. Until it is taken out, it can be cancelled, as one that runs; also one whose
    message lies in the mailbox.
    """

    __slots__ = ("_due", "_running")

    def __init__(self) -> None:
        self._running: dict[Hashable, Elapsed] = {}
        self._due: dict[Hashable, Any] = {}  # in the order in which they were set

    def set(self, timeout: Timeout, pid: PID) -> None:
        """Begin with `timeout` in place of the one of its kind, or only end that."""
        key = _key_of(timeout)
        self._end(key)
        if timeout.seconds is None:
            return
        if not timeout.seconds:
            self._due[key] = kept(timeout)
            return
        elapsed = Elapsed(key, timeout)
        elapsed.timer = send_after(timeout.seconds, pid, elapsed)
        self._running[key] = elapsed

    def state_has_changed(self) -> None:
        """End the one that is for one state only."""
        self._end(StateTimeout)

    def event_has_come(self) -> None:
        """End the one that is for the time without events."""
        self._end(EventTimeout)

    def next_due(self) -> Any:
        """Take out the one of no time that was set first, with what it carries; None is none."""
        for key in self._due:
            return self._due.pop(key)
        return None

    @property
    def is_any_due(self) -> bool:
        return bool(self._due)

    def has_come(self, elapsed: Elapsed) -> Timeout | None:
        """Take out the one whose message has come; return None if that was cancelled."""
        if self._running.get(elapsed.key) is not elapsed:
            return None
        del self._running[elapsed.key]
        return elapsed.timeout

    def _end(self, key: Hashable) -> None:
        self._due.pop(key, None)
        elapsed = self._running.pop(key, None)
        if elapsed is not None and elapsed.timer is not None:
            cancel_timer(elapsed.timer)


def _key_of(timeout: Timeout) -> Any:
    if type(timeout) is NamedTimeout:
        return NamedTimeout, timeout.name
    return type(timeout)
