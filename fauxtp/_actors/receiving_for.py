"""Receiving for whom: an actor works with the values that the message has brought."""

from __future__ import annotations

from typing import Any

from fauxtp._base.carried import Values
from fauxtp._base.carrying import Applied, leave_all
from fauxtp._core.process import Process
from fauxtp._core.receiving import Pattern, receive
from fauxtp._core.running_process import current_process

__all__ = ["receive_for"]


async def receive_for(
    process: Process, patterns: tuple[Pattern, ...], timeout: float | None
) -> Any:
    """Do as `Actor.receive` does: until the next time, the actor has the message's values.

    A server that receives within a handler works for whom it handles, and not for whoever has
    helped it; nor does a task beside the actor.
    """
    if process.kind._fauxtp_serves or current_process(own_task=True) is not process:
        return await receive(process.mailbox, patterns, timeout)
    leave_all()
    return await receive(process.mailbox, patterns, timeout, _apply)


def _apply(values: Values) -> None:
    if values:
        Applied(values).enter()
