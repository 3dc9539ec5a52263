"""What comes of a call for its caller: an answer, an error, or that it gave up."""

from __future__ import annotations

from typing import Any

from fauxtp._base.events import note
from fauxtp._core.calls import Call
from fauxtp._core.mailbox import find_elsewhere, find_queue
from fauxtp._core.process import find_process
from fauxtp._messaging.addresses import class_of
from fauxtp.errors import ProcessExited, ReceiveTimeout
from fauxtp.registry import PID

__all__ = ["outcome_of", "timed_out", "too_late", "withdraw"]


def too_late(to: PID | str, timeout: float | None, taken_up: bool) -> ReceiveTimeout:
    how = "was taken up" if taken_up else "was not taken up, and never will be"
    text = f"no answer from {to!r} within {timeout:g} s: the request {how}"
    return ReceiveTimeout(text, taken_up=taken_up)


def timed_out(
    pending: Call, to: PID | str, timeout: float | None, taken_up: bool
) -> ReceiveTimeout:
    """Return the error of a call whose time is over, and count that."""
    note(
        ("call_timed_out", class_of(pending.target)),
        pending.target,
        {"request": pending.request, "timeout": timeout, "taken_up": taken_up},
    )
    return too_late(to, timeout, taken_up)


def outcome_of(pending: Call, to: PID | str) -> Any:
    """Return the answer; an end in place of it is told with the name that was called."""
    try:
        return pending.result()
    except ProcessExited as error:
        if isinstance(to, str) and error.pid is pending.target and error.name is None:
            error.called(to)
        raise


def withdraw(pending: Call) -> None:
    """Let nothing of a call that was given up stay in the mailbox that it lies in."""
    process = find_process(pending.target)
    if pending.take():
        there = find_elsewhere(pending.target) if process is None else None
        if there is not None:
            there.give_up(pending)  # nobody here knows whether it was taken up there
        return  # no, it has been taken up
    mailbox = find_queue(pending.target) if process is None else process.mailbox
    if mailbox is not None and mailbox.give_up(pending):
        if process is None:
            mailbox.sweep_soon()
        else:
            process.home.run(mailbox.sweep)
