"""Carried messages: how values get onto a message, and which there are."""

from __future__ import annotations

from time import monotonic
from typing import Any

from fauxtp._base.carried import Carried, Values, bare
from fauxtp._base.events import CARRYING, HANDLED, carried_now, wanted
from fauxtp._base.tracing import tracer
from fauxtp._core.calls import Call, Cast

__all__ = ["kept", "values_of", "with_none", "with_time", "with_values", "with_values_later"]


def with_values(message: Any) -> Any:
    """Return `message` with the values that are to go with it; as it is if there are none.

    A call has its values already.
    """
    if not wanted(CARRYING) or type(message) is Carried or type(message) is Call:
        return message
    values = carried_now()
    return Carried(message, values) if values else message


def with_time(message: Any) -> Any:
    """Return `message` with when it is sent, if somebody is to be told how long it lies there.

    A call and a cast know that themselves.
    """
    if not wanted(HANDLED) or type(bare(message)) in {Call, Cast}:
        return message
    if type(message) is not Carried:
        return Carried(message, (), monotonic())
    return message if message.sent_at else Carried(message.message, message.values, monotonic())


def with_values_later(message: Any) -> Any:
    """Return `message` as `with_values` does, for a timer: what is done then is no part of now."""
    message, traces = with_values(message), tracer()
    if type(message) is Carried and traces is not None:
        message.values = traces.later(message.values)
    return message


def kept(message: Any) -> Any:
    """Return `message` with the values of here and now, if only none, whatever is to become of it.

    Where it is sent or handled at last, others work for somebody else.
    """
    return Carried(bare(message), carried_now()) if wanted(CARRYING) else message


def with_none(message: Any) -> Any:
    """Return `message` as one that gets no values where it is sent."""
    has_its_own = type(message) is Carried or type(message) is Call
    return message if has_its_own or not wanted(CARRYING) else Carried(message, ())


def values_of(message: Any) -> Values:
    """Return the values that go with `message`, as it lay in a mailbox."""
    if type(message) is Carried:
        return message.values
    if type(message) is Call:
        return message.carried
    return ()
