"""Events: what happens is counted here by labels, and told to whoever listens.

What is seldom is counted always. `fauxtp.observe.events` tells what can be listened to, and sets
the hook while somebody listens: nobody else imports it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, final

from fauxtp._base.carried import MISSING, Values
from fauxtp._base.exit_reason import AT_REST, ExitReason
from fauxtp._base.implementation import implementation
from fauxtp._base.strays import STRAYS

if TYPE_CHECKING:
    from fauxtp._base.carried import Variable

__all__ = [
    "CALLS",
    "CARRYING",
    "GONE",
    "HANDLED",
    "MOST",
    "OTHER",
    "ROOTS",
    "SENT",
    "TIMED",
    "Counter",
    "carried_now",
    "counted",
    "counter_of",
    "forget",
    "heard",
    "label_of",
    "note",
    "note_end",
    "note_start",
    "set_carrying",
    "set_hook",
    "set_timed",
    "tell",
    "wanted",
]

Key = tuple[str, ...]
Hook = Callable[[Key, Any, dict[str, Any]], object]

# Keys of a kind, and classes: who makes classes again and again is not to fill the memory.
MOST: Final = 4096
OTHER: Final = "_OTHER"  # in place of the labels of what comes when there are so many
GONE: Final = "_GONE"  # in place of the class of who has ended

# What is done again and again is told only if somebody wants it.
CALLS: Final = 1
SENT: Final = 2
HANDLED: Final = 4
CARRYING: Final = 16  # what context variables of senders have, whoever listens
ROOTS: Final = 64  # spans of what is no part of a trace, which others begin by themselves
TIMED: Final = 32  # nobody is told how long handlers take: it is noted for histograms

_HAS_GIL: Final[bool] = getattr(sys, "_is_gil_enabled", lambda: True)()
_lock = threading.RLock()  # of counters, where there is none; a finaliser may come in between


def _free_lock() -> threading.RLock:
    # At the interpreter's end no other thread runs: one that has the lock is frozen.
    return threading.RLock() if sys.is_finalizing() else _lock


@final
class Counter:
    """A number that any thread may add to, whatever comes in between.

    >>> counter = Counter()
    >>> counter.add(2)
    >>> counter.value
    2
    """

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: int = 0

    def add(self, number: int) -> None:
        if _HAS_GIL:
            self.value += number  # in one line, between two parts of which nobody comes in
            return
        with _free_lock():
            self.value += number


@final
class _Lives:
    """What there was of the processes of one class."""

    __slots__ = ("ended", "failed", "handled", "started")

    def __init__(self) -> None:
        self.started, self.failed, self.handled = Counter(), Counter(), Counter()
        self.ended = {how: Counter() for how in ("error", "killed", "shutdown", "normal")}

    def by_key(self, name: str) -> dict[Key, Counter]:
        found: dict[Key, Counter] = {
            ("started", name): self.started,
            ("init_failed", name): self.failed,
            ("handled", name): self.handled,
        }
        return found | {("ended", name, how): counter for how, counter in self.ended.items()}


_counters: dict[str, dict[Key, Counter]] = {}  # by the kind, and by the whole key
_lives: dict[str, _Lives] = {}  # by the name of the class
_hook: Hook | None = None
_wanted = 0
_told, _beside, _timed = 0, 0, 0  # which of these are wanted by the hook, and beside it
_variables: tuple[Variable, ...] = ()  # those that messages carry


def counter_of(key: Key, /) -> Counter:
    """Return the counter of what has that kind and these labels."""
    those = _counters.get(key[0])
    if those is None:
        those = _counters.setdefault(key[0], {})
    found = those.get(key)
    if found is None:
        if len(those) >= MOST:
            key = (key[0], *[OTHER] * (len(key) - 1))
        found = those.setdefault(key, Counter())
    return found


def _lives_of(name: str) -> _Lives:
    found = _lives.get(name)
    if found is None:
        if len(_lives) >= MOST:
            name = OTHER
        found = _lives.setdefault(name, _Lives())
    return found


def label_of(kind: type, /) -> str:
    """Return by which name the processes of the class `kind` are counted, from now on."""
    name = kind.__name__
    _lives_of(name)
    return name if name in _lives else OTHER


def note(key: Key, pid: Any = None, details: dict[str, Any] | None = None, /) -> None:
    """Count something that has happened: its kind and its labels. Tell it, if somebody listens."""
    counter_of(key).add(1)
    if _hook is not None:
        tell(key, pid, details)


def note_start(kind: type, pid: Any, /) -> None:
    """Note that the `init` of a process is over, whose class is `kind`."""
    name = kind.__name__
    _lives_of(name).started.add(1)
    tell(("started", name), pid)


def note_end(
    kind: type,
    pid: Any,
    reason: ExitReason,
    handled: Counter | None,
    killed: object,
    asked: object,
    has_lived: bool,
    /,
) -> None:
    """Note that a process has ended, whose `init` was over before if it `has_lived`.

    It has `handled` so many messages. `killed` is not None if it was killed, and `asked` is the
    reason by which it was asked to end, if it was.
    """
    name = kind.__name__
    lives = _lives_of(name)
    if handled is not None:
        lives.handled.add(handled.value)
    details = {"reason": reason} if _hook is not None else None
    if not has_lived:
        lives.failed.add(1)
        tell(("init_failed", name), pid, details)
        return
    if reason.exception is not None:
        how = "error"
    elif killed is not None:
        how = "killed"
    elif reason.abnormal or (reason is asked and reason is not AT_REST):
        how = "shutdown"
    else:
        how = "normal"  # who ends for it is idle, too
    lives.ended[how].add(1)
    tell(("ended", name, how), pid, details)


def tell(key: Key, pid: Any = None, details: dict[str, Any] | None = None, /) -> None:
    """Tell of what is not counted here, if somebody listens."""
    hook = _hook
    if hook is not None:
        hook(key, pid, {} if details is None else details)


def counted() -> dict[Key, int]:
    """Return how often each has happened."""
    counters: dict[Key, Counter] = {}
    for those in _counters.copy().values():
        counters |= those.copy()
    for name, lives in _lives.copy().items():
        counters |= lives.by_key(name)
    found = {key: counter.value for key, counter in counters.items()}
    return {key: number for key, number in found.items() if number}


def forget() -> None:
    """Count from nothing."""
    _counters.clear()
    _lives.clear()


def set_hook(hook: Hook | None, kinds: int, /) -> None:
    """Let `hook` be called with whatever happens, and with these kinds; None is nobody."""
    global _hook, _told, _wanted
    with _free_lock():
        _hook, _told = hook, kinds
        _wanted = _told | _beside


def set_carrying(variables: tuple[Variable, ...], kinds: int, /) -> None:
    """Let messages carry the values of `variables`; want these kinds, too, whoever listens."""
    global _beside, _variables, _wanted
    with _free_lock():
        _variables, _beside = variables, kinds
        _wanted = _told | _beside


def carried_now() -> Values:
    """Return the values that a message carries which is sent here and now."""
    found: Values = ()
    for variable in _variables:
        value = variable.get(MISSING)
        if value is not MISSING:
            found += ((variable, value),)
    if found and (strays := STRAYS.get()):
        found = tuple([it for it in found if not any(_are_same(it, each) for each in strays)])
    return found


def _are_same(one: tuple[Variable, Any], other: tuple[Variable, Any]) -> bool:
    return one[0] is other[0] and one[1] is other[1]


def set_timed(timed: bool, /) -> None:
    """Let it be noted, or no longer, how long handlers take."""
    global _timed
    _timed = TIMED if timed else 0


def wanted(kinds: int, /) -> int:
    """Return which of these kinds are to be told, or noted."""
    return (_wanted | _timed) & kinds


def heard(kinds: int, /) -> int:
    """Return which of these kinds somebody listens to."""
    return _told & kinds


def _after_fork_in_child() -> None:
    # What has happened before is what the parent tells of. Who held the lock is not here.
    global _lock
    _lock = threading.RLock()
    forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


if not TYPE_CHECKING and implementation == "cython":
    from fauxtp._base._native import (
        Counter,
        carried_now,
        counted,
        counter_of,
        forget,
        heard,
        label_of,
        note,
        note_end,
        note_start,
        set_carrying,
        set_hook,
        set_timed,
        tell,
        wanted,
    )
