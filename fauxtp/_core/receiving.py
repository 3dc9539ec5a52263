"""Receiving by pattern: the first message that matches is taken out, and the others stay."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

from fauxtp._base.arguments import expect_callable, unexpected
from fauxtp._base.carried import Carried, Values
from fauxtp._core.calls import Call
from fauxtp._core.carried_messages import values_of
from fauxtp._core.control import Control
from fauxtp._core.patterns import match_pattern
from fauxtp._core.queue import Queue
from fauxtp._loops.current import give_way, new_waiter, seconds
from fauxtp.errors import MailboxClosed, ReceiveTimeout

__all__ = ["CONTROLS", "Pattern", "receive"]

Pattern = tuple[Any, Callable[..., Any]]
"""A matcher, and the handler of what it matches."""

BUDGET: Final = 128  # messages taken out, before the event loop has a turn
received = 0  # since it had one; several loops may share the count


def _is_control(message: Any) -> bool:
    return type(message) is Call and type(message.request) is Control


def _itself(message: Any) -> Any:
    return message


CONTROLS: Final[tuple[Pattern, ...]] = ((_is_control, _itself),)
"""What is asked of the runtime: no other patterns take that out, whatever else they match."""

Found = tuple[Callable[..., Any], tuple[Any, ...], Any]


async def receive(
    queue: Queue,
    patterns: tuple[Pattern, ...],
    timeout: float | None,
    handle: Callable[[Values, Callable[..., Any], tuple[Any, ...]], Any] | None = None,
) -> Any:
    """Do as `Mailbox.receive` does; let `handle` call the handler, with what is carried."""
    global received
    received += 1
    if received >= BUDGET:  # whose handler sends to itself must not keep others from running
        received = 0
        await give_way()  # before: whoever is cancelled here has taken nothing out
    queue.receivers += 1
    try:
        _expect_pairs(patterns)  # before a message is taken out
        handler, extracted, message = await _first_match(queue, patterns, timeout)
    except Exception:
        await give_way()
        raise
    finally:
        queue.receivers -= 1
        if queue.closed_because is not None:
            queue.clear_away(queue.closed_because)
    if handle is None:
        result = handler(*extracted)
    else:
        result = handle(values_of(message), handler, extracted)
    return await result if inspect.isawaitable(result) else result


def _expect_pairs(patterns: tuple[Pattern, ...]) -> None:
    if not patterns:
        raise ValueError("expected at least one pattern")
    for pattern in patterns:
        if not (isinstance(pattern, (tuple, list)) and len(pattern) == 2):
            raise unexpected("each pattern", "(matcher, handler)", pattern)
        expect_callable("the handler of each pattern", pattern[1])


async def _first_match(
    queue: Queue, patterns: tuple[Pattern, ...], timeout: float | None
) -> Found:
    limit, deadline = seconds(timeout), None
    late, seen, removals = False, 0, queue.removals
    while True:
        if queue.closed_because is not None:
            raise MailboxClosed(queue.pid)
        if queue.given_up.due:
            queue.sweep()
        if removals != queue.removals:
            seen = 0  # another receiver has taken one out
        found, seen = _scan(queue, patterns, seen)
        if found is not None:
            return found
        if late:
            raise ReceiveTimeout(f"no matching message within {timeout:g} s")
        removals = queue.removals
        waiter = new_waiter()
        if limit is not None and deadline is None:
            deadline = waiter.time() + limit
        queue.start_waiting(waiter)
        try:
            if queue.inbox or queue.closed_because is not None:
                continue
            if deadline is None:
                await waiter.wait(None)
            else:
                woken = await waiter.wait(max(0.0, deadline - waiter.time()))
                late = not woken or waiter.time() >= deadline
        finally:
            queue.stop_waiting(waiter)


def _scan(queue: Queue, patterns: tuple[Pattern, ...], seen: int) -> tuple[Found | None, int]:
    """Look for a match from the message number `seen` on; take it out."""
    while seen < len(queue.kept) or queue.keep_next():
        message = whole = queue.kept[seen]
        if type(message) is Carried:
            message = message.message
        removals = queue.removals
        for matcher, handler in patterns:
            extracted = match_pattern(message, matcher)
            if removals != queue.removals:
                seen = 0  # the matcher itself has taken one out
                break
            if extracted is None:
                continue
            queue.put_back(seen + 1)
            taken = type(message) is not Call or queue.take_up(message)
            if not taken and type(message.request) is Control and not message.settled:
                if patterns is not CONTROLS:
                    seen += 1
                    break  # the runtime finds it when the handler is over
                taken = True
            queue.kept.pop()
            if queue.max_size and queue.in_line:
                queue.made_room()
            if not taken:
                break  # its caller has given up: it counts as never sent
            return (handler, extracted, whole), seen
        else:
            seen += 1
    return None, seen
