"""Happenings: events as they are told to who looks in, while they look; without contents."""

from __future__ import annotations

import time
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from typing import Any, Final, final

from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.texts import label
from fauxtp._core.process import find_process
from fauxtp._core.running_process import current_process
from fauxtp.errors import with_name
from fauxtp.observe import events
from fauxtp.observe.actions import number_of
from fauxtp.observe.events import Event, Kind
from fauxtp.observe.overload import is_watched
from fauxtp.registry import PID, default

__all__ = ["FAULTS", "KINDS", "happenings"]

KINDS: Final = {str(kind.name).lower(): kind for kind in Kind}
OFTEN: Final = (
    events.CALL_BEGUN | events.CALL_ENDED | events.SENT | events.HANDLED
    | events.STARTED | events.ENDED | events.REGISTERED | events.UNREGISTERED
)  # fmt: skip
FAULTS: Final = tuple(name for name, kind in KINDS.items() if kind not in OFTEN)
"""What is told to who says no kinds."""

WATCHED: Final = events.SLOW_HANDLER | events.MAILBOX_HIGH | events.LOOP_BLOCKED
"""What is found only by a program that looks for it."""

BEAT: Final = 1.0  # seconds, after which something is told although nothing happens
MOST: Final = 1000  # that are yet to be told; of more than that, only the number
NAMES: Final = frozenset({"child", "name", "to"})  # details that tell who is meant
LONGEST: Final = 200  # characters of a text
MOST_NAMES: Final = 10  # of one process

Answer = dict[str, Any]


def happenings(kinds: object = FAULTS) -> Iterator[Answer]:
    """Yield what happens in this program, by the names of its kinds, for as long as it is wanted.

    Raises `TypeError` if `kinds` is no list of names, and `ValueError` if one of them is none.
    """
    told, wanted = _Told(), _kinds(kinds)
    with events.listen(told.hear, wanted):
        while True:
            unwatched = [] if is_watched() else [*_names(wanted & WATCHED)]
            more = {"left_out": told.left_out, "unwatched": unwatched, "more": True}
            yield {"events": told.next(), **more}


def _names(kinds: Kind) -> Iterator[str]:
    return (name for name, kind in KINDS.items() if kind in kinds)


def _kinds(names: object) -> Kind:
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise TypeError("expected kinds to be a list of names")
    found = Kind(0)
    for name in names:
        if name not in KINDS:
            raise ValueError(f"expected each of kinds to be one of {', '.join(KINDS)}")
        found |= KINDS[name]
    return found


@final
class _Told:
    """What was heard, and is yet to be told."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Answer] = SimpleQueue()
        self.left_out: int = 0

    def hear(self, event: Event) -> None:
        if self._queue.qsize() >= MOST:
            self.left_out += 1  # as whoever looks does not come after
        else:
            self._queue.put(_plain(event))

    def next(self) -> list[Answer]:
        """Wait for something to happen, or for a beat; return all there is."""
        found: list[Answer] = []
        try:
            found.append(self._queue.get(timeout=BEAT))
            while len(found) < MOST:
                found.append(self._queue.get_nowait())
        except Empty:
            pass
        return found


def _plain(event: Event) -> Answer:
    """Return an event without what its messages contain, and without what belongs to others.

    Of what is seldom, it is told who they are: `"process"`, if it lives, and `"others"`: those of
    a circle of calls, or who made the call that timed out.
    """
    told = {
        "at": time.time(),
        "kind": str(event.kind.name).lower(),
        "pid": None if event.pid is None else number_of(event.pid),
        "labels": list(event.labels),
        "details": {name: _detail(name, value) for name, value in event.details.items()},
    }
    if event.kind not in OFTEN:
        told["process"] = None if event.pid is None else _who(event.pid)
        told["others"] = [_who(pid) for pid in _others(event)[:LONGEST]]
    return told


def _others(event: Event) -> list[PID]:
    if event.kind is events.CALL_CYCLE:
        return list(event.details["circle"])
    caller = current_process() if event.kind is events.CALL_TIMED_OUT else None
    return [] if caller is None else [caller.pid]


def _who(pid: PID) -> Answer | None:
    """Return who that is, and what it handles; None if it lives no longer, or not here."""
    process = find_process(pid)
    if process is None:
        return None
    handling, chief = process.handling, process.supervisor
    return {
        "pid": number_of(pid),
        "class": process.kind.__qualname__,
        "names": default.names(pid)[:MOST_NAMES],
        "handling": None if handling is None else label(handling),
        "supervisor": None if chief is None else number_of(chief),
    }


def _detail(name: str, value: Any) -> Any:
    return label(value) if name in {"message", "request"} else _fact(name, value)


def _fact(name: str, value: Any) -> Any:
    if name in NAMES and isinstance(value, str):
        return str.__str__(value)[:LONGEST]
    if value is None or issubclass(type(value), (int, float)):
        return _number(value)
    if type(value) is ExitReason:
        error = value.exception  # whose text may be about a message
        return str(value)[:LONGEST] if error is None else f"error: {type(error).__name__}"
    if type(value) is PID:
        return repr(value)
    if type(value) in {list, tuple} and value and all(type(each) is PID for each in value):
        return [with_name(each) for each in value[:LONGEST]]
    return label(value)


def _number(value: Any) -> Any:
    """Return a number as JSON has it, whatever it is one of: numpy has some of its own."""
    if value is None or type(value) is bool:
        return value
    return (float.__float__ if issubclass(type(value), float) else int.__int__)(value)
