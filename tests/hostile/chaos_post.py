"""Sending letters, in each of the ways that there are, and noting how that ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from anyio import sleep

from fauxtp import (
    CallCycle,
    FauxtpError,
    MailboxFull,
    NoProcess,
    ProcessExited,
    ReceiveTimeout,
    call,
    call_blocking,
    cancel_timer,
    cast,
    cast_after,
    cast_nowait,
    send,
    send_after,
    send_nowait,
    start_call,
)
from hostile.chaos_letter import Answer, Event, How, Letter, Order

__all__ = ["Boom", "post", "post_blocking", "post_later"]

_EVENT_OF: dict[type[FauxtpError], Event] = {
    NoProcess: Event.NO_PROCESS,
    ProcessExited: Event.EXITED,
    CallCycle: Event.CYCLE,
    MailboxFull: Event.FULL,
}


class Boom(Exception):
    """The crash of a server; what it has is the letter that made it crash."""


@contextmanager
def outcome_noted(letter: Letter) -> Iterator[None]:
    """Note how the sending of the letter ends, if it is by an error; keep those to itself."""
    try:
        yield
    except ReceiveTimeout as error:
        early = str(error).startswith("no room")
        letter.note(Event.NO_ROOM if early else Event.TIMED_OUT)
    except tuple(_EVENT_OF) as error:
        letter.note(_EVENT_OF[type(error)])
        look_for_the_cause(letter, error)
    except Exception:
        raise  # which no sending should do: the letter has no outcome then
    except BaseException:
        letter.note(Event.CANCELLED)
        raise


def look_for_the_cause(letter: Letter, error: FauxtpError) -> None:
    """Look whether a crash is told to the one who made it, and not to others."""
    if letter.order is Order.CRASH and isinstance(error, ProcessExited):
        begun = any(event is Event.BEGUN for _, event, _ in letter.notes)
        cause = error.__cause__
        caused = isinstance(cause, Boom) and cause.args[0] is letter
        assert begun is caused, f"{letter!r} has ended by {cause!r}"


async def post(letter: Letter, timeout: float | None) -> None:
    """Send the letter; raise nothing but a cancellation."""
    with outcome_noted(letter):
        match letter.how:
            case How.CALL:
                _answered(letter, await call(letter.to, letter, timeout))
            case How.START_CALL:
                _answered(letter, await start_call(letter.to, letter, timeout))
            case How.CAST:
                await cast(letter.to, letter)
                letter.note(Event.ACCEPTED)
            case How.SEND:
                await send(letter.to, letter)
                letter.note(Event.ACCEPTED)
            case _:
                post_blocking(letter, timeout)


async def post_later(letter: Letter, seconds: float, patience: float) -> None:
    """Send the letter in so many `seconds`; cancel that if it was not sent before."""
    after = send_after if letter.how is How.SEND_AFTER else cast_after
    timer = after(seconds, letter.to, letter)
    try:
        await sleep(patience)
    finally:
        sent = cancel_timer(timer) is None
        letter.note(Event.ACCEPTED if sent else Event.CANCELLED)


def post_blocking(letter: Letter, timeout: float | None) -> None:
    """Send the letter from a thread, or without waiting."""
    with outcome_noted(letter):
        match letter.how:
            case How.CALL_BLOCKING:
                _answered(letter, call_blocking(letter.to, letter, timeout))
            case How.CAST_NOWAIT:
                cast_nowait(letter.to, letter)
                letter.note(Event.ACCEPTED)
            case How.SEND_NOWAIT:
                send_nowait(letter.to, letter)
                letter.note(Event.ACCEPTED)
            case _:
                raise AssertionError(letter.how)


def _answered(letter: Letter, answer: object) -> None:
    mine = isinstance(answer, Answer) and answer.letter is letter
    assert mine, f"the answer to another letter: {answer!r}"
    letter.note(Event.ANSWERED)
