"""Receiving for whom: an actor works with the values that the message has brought."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from fauxtp._base.carried import Values
from fauxtp._base.carrying import Applied, apart, leave_all, within
from fauxtp._core.process import Process
from fauxtp._core.receiving import Pattern, receive
from fauxtp._core.running_process import current_process

__all__ = ["receive_for"]


async def receive_for(
    process: Process, patterns: tuple[Pattern, ...], timeout: float | None
) -> Any:
    """Do as `Actor.receive` does: until the next time, the actor has the message's values.

    A task beside the actor has them while it handles the message, and then what it had before. A
    server that receives within a handler works for whom it handles, and not for whoever has helped
    it.
    """
    if process.kind._fauxtp_serves:
        return await receive(process.mailbox, patterns, timeout)
    if current_process(own_task=True) is not process:
        return await receive(process.mailbox, patterns, timeout, _beside)
    leave_all()
    return await receive(process.mailbox, patterns, timeout, _apply)


def _apply(values: Values, handler: Callable[..., Any], extracted: tuple[Any, ...]) -> Any:
    if values:
        Applied(values).enter()
    return handler(*extracted)


def _beside(values: Values, handler: Callable[..., Any], extracted: tuple[Any, ...]) -> Any:
    """Handle a message in a task that is not the actor's own, and whose context stays as it is."""
    context = apart(values)
    result = context.run(handler, *extracted)
    return within(context, result) if inspect.isawaitable(result) else result
