"""Events: what happens in the program is counted, and told to functions that listen.

    from fauxtp.observe import events

    with events.listen(page_me, events.RESTARTED | events.RESTARTS_EXCEEDED):
        ...
    events.counts()  # {("ended", "Store", "error"): 3, …}

What is seldom is counted always. What is done again and again is told only to who listens: while
nobody does, it costs nothing. Which labels and details each kind has, docs/howto/events.md tells.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Self, final

from fauxtp._base.arguments import expect_callable, unexpected
from fauxtp._base.ears import Ear, Hook
from fauxtp._base.events import CALLS as _CALLS
from fauxtp._base.events import HANDLED as _HANDLED
from fauxtp._base.events import SENT as _SENT
from fauxtp._base.events import counted, label_of, set_hook
from fauxtp._base.logs import report
from fauxtp._base.tell_all import tell_all
from fauxtp._core.process import everybody
from fauxtp.observe.event import Event
from fauxtp.observe.event_kinds import Kind
from fauxtp.observe.name_events import follow, follow_in_child, go_on
from fauxtp.registry import PID

__all__ = ["Event", "Kind", "Listener", "counts", "listen"]


STARTED: Final = Kind.STARTED
ENDED: Final = Kind.ENDED
CRASHED: Final = Kind.CRASHED
INIT_FAILED: Final = Kind.INIT_FAILED
TERMINATE_FAILED: Final = Kind.TERMINATE_FAILED
RESTARTED: Final = Kind.RESTARTED
RESTARTS_EXCEEDED: Final = Kind.RESTARTS_EXCEEDED
CALL_TIMED_OUT: Final = Kind.CALL_TIMED_OUT
CALL_CYCLE: Final = Kind.CALL_CYCLE
MAILBOX_FULL: Final = Kind.MAILBOX_FULL
DEAD_LETTER: Final = Kind.DEAD_LETTER
CALL_BEGUN: Final = Kind.CALL_BEGUN
CALL_ENDED: Final = Kind.CALL_ENDED
SENT: Final = Kind.SENT
HANDLED: Final = Kind.HANDLED
SLOW_HANDLER: Final = Kind.SLOW_HANDLER
MAILBOX_HIGH: Final = Kind.MAILBOX_HIGH
LOOP_BLOCKED: Final = Kind.LOOP_BLOCKED
REGISTERED: Final = Kind.REGISTERED
UNREGISTERED: Final = Kind.UNREGISTERED

_ON_DEMAND: Final = {CALL_BEGUN: _CALLS, CALL_ENDED: _CALLS, SENT: _SENT, HANDLED: _HANDLED}
_OF_NAMES: Final = {"registered", "unregistered"}
_NAMES: Final = REGISTERED | UNREGISTERED


@final
class Listener:
    """What `listen` returns. As a context manager, it is detached at the end of the block.

    >>> listener = listen(print, RESTARTED)
    >>> listener.kinds, listener.detach(), listener.detach()
    (<Kind.RESTARTED: 32>, True, False)
    """

    __slots__ = ("_ear",)

    def __init__(self, ear: Any) -> None:
        self._ear = ear

    @property
    def kinds(self) -> Kind:
        """What it is told of."""
        kinds: Kind = self._ear.kinds
        return kinds

    def detach(self) -> bool:
        """Tell it of nothing more; return False if that was done before, or it has failed.

        It raises nothing.
        """
        return _take_out(self._ear)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.detach()


_listeners: tuple[Ear, ...] = ()
_changing = threading.RLock()
_shown: dict[str, int] = {}  # how many messages were told of as handled, by class


def _free_lock() -> threading.RLock:
    # At the interpreter's end no other thread runs: one that has the lock is frozen.
    return threading.RLock() if sys.is_finalizing() else _changing


def listen(function: Callable[[Event], object], kinds: Kind) -> Listener:
    """Call `function` with each `Event` of these `kinds`; return what detaches it.

    It is called in the thread in which that happens, as it happens: so it should be quick, and
    wait for nothing. Names are told by one thread at a time, in order: of those that others take
    or release meanwhile it tells, too, and of those that a listener does when that has returned.
    What it causes there itself it is not told of. If it raises an error, that is logged, and it is
    detached: nobody else is harmed.

    Raises `TypeError` if `function` cannot be called, or `kinds` is no `Kind`, and `ValueError` if
    that is empty.

    >>> from fauxtp import send_nowait
    >>> with listen(lambda event: print(event.labels, event.details), DEAD_LETTER):
    ...     send_nowait("nobody", "hello")
    ('noproc',) {'to': 'nobody', 'message': 'hello'}
    """
    global _listeners
    expect_callable("function", function)
    if not isinstance(kinds, Kind):
        raise unexpected("kinds", "a Kind", kinds)
    if not kinds:
        raise ValueError("expected kinds to have at least one, got none")
    ear = Ear(function, kinds, _failed)
    with _free_lock():
        _listeners += (ear,)  # in one line, as the lock lets a finaliser in
        _settle()
    return Listener(ear)


def _failed(ear: Ear) -> None:
    if _take_out(ear):
        report("a listener to events failed, and is detached: %r", ear.function)


def _take_out(ear: Ear) -> bool:
    global _listeners
    with _free_lock():
        while ear in _listeners:
            before = _listeners
            after = tuple([one for one in before if one is not ear])
            # In one line: who comes in between two may have changed them, too.
            _listeners = after if _listeners is before else _listeners
            if _listeners is after:
                _settle()
                return True
    return False


def _settle() -> None:
    """Have told what the listeners want to hear, and nothing else."""
    listeners: tuple[Ear, ...] | None = None
    while listeners is not _listeners:
        listeners = _listeners
        listening = {
            str(kind.name).lower(): (kind, wanted)
            for kind in Kind
            if (wanted := tuple([one for one in listeners if kind in one.kinds]))
        }
        bits = [_ON_DEMAND.get(kind, 0) for kind, _ in listening.values()]
        hook = Hook(Event, listening, tell_all)
        have_more = any(one.kinds & _NAMES and one.kinds & ~_NAMES for one in listeners)
        tells = partial(_tell_and_go_on, hook) if have_more else hook
        set_hook(tells if listeners else None, sum({*bits}))
        follow(None if _OF_NAMES.isdisjoint(listening) else _Listening())


def _tell_and_go_on(hook: Hook, key: tuple[str, ...], pid: Any, details: dict[str, Any]) -> None:
    try:
        hook(key, pid, details)
    finally:
        go_on()  # with names that were left, as a listener to these was hearing something else


@final
class _Listening:
    """Those who listen to names."""

    __slots__ = ()

    def hearing(self) -> tuple[Ear, ...]:
        return tuple([one for one in _listeners if one.is_hearing() and one.kinds & _NAMES])

    def tell_others(
        self, ears: tuple[Ear, ...], key: tuple[str, ...], pid: PID, details: dict[str, Any]
    ) -> None:
        kind = Kind[key[0].upper()]
        others = tuple([one for one in _listeners if kind in one.kinds and one not in ears])
        if others:
            Hook(Event, {key[0]: (kind, others)}, tell_all)(key, pid, details)


def counts() -> dict[tuple[str, ...], int]:
    """Return how often each has happened so far, by the kind and its labels. It raises nothing.

    Messages are counted as their handlers begin; those of living servers are summed up here. In a
    forked process, all begins again.

    >>> from fauxtp import send_nowait
    >>> before = counts().get(("dead_letter", "noproc"), 0)
    >>> send_nowait("nobody", "hello")
    >>> counts()["dead_letter", "noproc"] - before
    1
    """
    found = counted()  # first: who ends meanwhile is not counted twice
    handled: dict[str, int] = {}
    for process in everybody():
        if process.handled is not None:
            name = label_of(process.kind)  # as it will be counted at its end
            handled[name] = handled.get(name, 0) + process.handled.value
    for kind, *labels in found:
        if kind == "handled":
            handled[labels[0]] = handled.get(labels[0], 0) + found[kind, labels[0]]
    with _free_lock():
        for name, number in handled.items():
            # Who ends meanwhile may be missing: what was shown once is not taken back.
            _shown[name] = max(number, _shown.get(name, 0))
        found.update((("handled", name), number) for name, number in _shown.items())
    return found


def _after_fork_in_child() -> None:
    global _changing
    _changing = threading.RLock()  # who held it is not here
    _shown.clear()
    for ear in _listeners:
        ear.after_fork_in_child()
    follow_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
