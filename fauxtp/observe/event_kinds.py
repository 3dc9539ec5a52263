"""Of what an event may tell."""

from __future__ import annotations

from enum import Flag, auto

__all__ = ["Kind"]


class Kind(Flag):
    """What an event tells of. Each is a name of this module, too; several are one by `|`.

    >>> Kind.RESTARTED in Kind.RESTARTED | Kind.RESTARTS_EXCEEDED
    True
    """

    STARTED = auto()
    ENDED = auto()
    CRASHED = auto()
    INIT_FAILED = auto()
    TERMINATE_FAILED = auto()
    RESTARTED = auto()
    RESTARTS_EXCEEDED = auto()
    CALL_TIMED_OUT = auto()
    CALL_CYCLE = auto()
    MAILBOX_FULL = auto()
    DEAD_LETTER = auto()
    CALL_BEGUN = auto()
    CALL_ENDED = auto()
    SENT = auto()
    HANDLED = auto()
    SLOW_HANDLER = auto()
    MAILBOX_HIGH = auto()
    LOOP_BLOCKED = auto()
    REGISTERED = auto()
    UNREGISTERED = auto()
