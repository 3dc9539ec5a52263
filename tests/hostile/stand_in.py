"""Mailboxes with a fault: what lies in them stands in for the calls that were sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fauxtp import Call, reply
from fauxtp._core.queue import Queue

__all__ = ["hears_all", "hears_answers", "putting_in_others"]

Hear = Callable[[Call, Call], object]


def putting_in_others(hear: Hear) -> Callable[[Queue, Any], bool]:
    """Return a `Queue.deliver` that puts in another call in place of the one that came.

    The other is taken up whether or not the caller has given up; `hear` is called with the
    one that came and the other when that one has an outcome.
    """
    deliver = Queue.deliver

    def broken(self: Queue, message: Any) -> bool:
        if type(message) is not Call:
            return deliver(self, message)
        other = Call(message.request, message.target, message.caller)
        other.wake = lambda: hear(message, other)
        return deliver(self, other)

    return broken


def hears_answers(call: Call, other: Call) -> None:
    """Let `call` have the answer that the other got, and no error."""
    try:
        value = other.result()
    except BaseException:
        return
    reply(call, value)


def hears_all(call: Call, other: Call) -> None:
    """Let `call` have the outcome of the other."""
    try:
        value = other.result()
    except BaseException as error:
        call.fail(error)
    else:
        reply(call, value)
