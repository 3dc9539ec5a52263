"""The kinds of events: those that are seldom, and counted, and those of each message."""

from __future__ import annotations

from fauxtp.observe.events import Kind

COUNTED = (
    Kind.STARTED
    | Kind.ENDED
    | Kind.CRASHED
    | Kind.INIT_FAILED
    | Kind.TERMINATE_FAILED
    | Kind.RESTARTED
    | Kind.RESTARTS_EXCEEDED
    | Kind.CALL_TIMED_OUT
    | Kind.CALL_CYCLE
    | Kind.MAILBOX_FULL
    | Kind.DEAD_LETTER
)
OFTEN = Kind.CALL_BEGUN | Kind.CALL_ENDED | Kind.SENT | Kind.HANDLED
OF_NAMES = Kind.REGISTERED | Kind.UNREGISTERED
