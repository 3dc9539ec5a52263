"""Is there an order, one after the other, that explains what happened at the same time?

The search of Wing and Gong, with the memory of Lowe: which operations have had their turn and
what the name means by then is looked at once. Each name is judged on its own, which is sound
for operations on one name, as linearisability is a property of each object. What an operation
does to several names at once (`release`, `registered`, `names`) is judged for each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

Holder = int | None
State = tuple[Holder, frozenset[int]]  # who has the name, and who is known to have exited
FREE: State = (None, frozenset())


class Event(NamedTuple):
    """An operation on one name, as seen by whoever called it. PIDs are numbers here."""

    begin: float
    end: float
    operation: str
    pid: Holder
    successor: Holder
    answer: Any


class NotLinear(Exception):
    """No order explains what happened."""


def after(state: State, event: Event) -> State | None:
    """Return what the name means after an operation, or None if that cannot be its answer."""
    holder, exited = state
    if not _possible(state, event):
        return None
    match event.operation:
        case "register" if event.answer:
            holder = event.pid
        case "transfer" if event.answer:
            holder = event.successor
        case "unregister" | "unregister of" | "release" if event.answer:
            holder = None
        case "drop" if holder == event.pid:
            holder = None
        case "mark" if event.pid is not None:
            exited |= {event.pid}
    return holder, exited


def _possible(state: State, event: Event) -> bool:
    holder, exited = state
    possible: bool
    match event.operation:
        case "whereis":
            possible = event.answer == holder
        case "register":
            possible = event.answer is (holder is None) and event.pid not in exited
        case "unregister" | "registered":
            possible = event.answer is (holder is not None)
        case "transfer":
            possible = event.answer is (holder == event.pid) and event.successor not in exited
        case "unregister of" | "release" | "names":
            possible = event.answer is (holder == event.pid)
        case "refused" | "drop":  # a PID is marked as exited before its names are dropped
            possible = event.pid in exited
        case operation:
            possible = operation == "mark"
    return possible


def explain(events: Sequence[Event], state: State = FREE) -> None:
    """Raise `NotLinear` if no order of the events explains all answers.

    An order must keep what ended before another began.
    """
    events = sorted(events, key=lambda event: event.begin)
    start = (0, 0, state)  # how many of the first are done; which of the others; what it means
    seen, ways, furthest = {start}, [start], 0
    while ways:
        first, others, state = ways.pop()
        furthest = max(furthest, first)
        if first == len(events):
            return
        for at in _next(events, first, others):
            then = after(state, events[at])
            if then is not None:
                way = (*_done(first, others | 1 << (at - first)), then)
                if way not in seen:
                    seen.add(way)
                    ways.append(way)
    around = "\n".join(map(str, events[max(0, furthest - 5) : furthest + 5]))
    raise NotLinear(f"no order of {len(events)} events; it fails near these:\n{around}")


def _next(events: Sequence[Event], first: int, others: int) -> Iterator[int]:
    """Yield the events that may be next: none that is left ended before they began."""
    ended = events[first].end
    for at in range(first, len(events)):
        if events[at].begin > ended:
            return
        if not others >> (at - first) & 1:
            ended = min(ended, events[at].end)
            yield at


def _done(first: int, others: int) -> tuple[int, int]:
    while others & 1:
        first, others = first + 1, others >> 1
    return first, others
