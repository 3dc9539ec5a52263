"""The registry in Python: the readable definition, and what serves where nothing compiles.

A registry is one dict, name -> PID. So that all names of a PID can be found, it keeps them
too: a dict of names for each PID that has any. Beside the names there are groups, each with
any number of members, and a dict of its groups for each PID that is in any.

Readers take no lock: a look-up is a single operation on a dict whose keys are exact `str`.

Writers take a lock against other threads. Against their own thread it cannot help: between
two steps of a writer a signal handler, a finaliser or a trace function may call the same
registry, and must neither wait for ever nor see something that is not so. So each writer
prepares first, and then changes both dicts in one critical line: a check and the stores
that rest on it, with no call between them and no line to trace. CPython runs somebody
else's code only at calls, at jumps back, and on new lines.

Whoever follows the names has their news, a row of links to which such a line adds one that was
made before. So there are two such lines: one for where nobody follows, and one that tells. The
second serves for both, as the last who followed may have gone meanwhile.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, compress, repeat
from types import BuiltinMethodType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, final

from fauxtp._base.errors import NoProcess
from fauxtp._base.tell_all import tell_all

if TYPE_CHECKING:
    from fauxtp._base.ordered_names import OrderedNames

__all__ = [
    "PID",
    "Lookup",
    "News",
    "Ref",
    "Registry",
    "count",
    "default",
    "groups",
    "members",
    "quick",
    "register",
    "registered",
    "retire",
    "unregister",
    "whereis",
    "withdraw",
]

PATIENCE = 100  # tries to do in one step what others keep changing
FEW = 1000  # names: it is quicker to look at all than to keep them in order
TOUCHED = 1000  # names that may be touched, beside half of them
EACH = 1000  # names that come and go, and who follows them is told whichever they are

_serials = itertools.count(1)
_registries: weakref.WeakValueDictionary[int, Registry] = weakref.WeakValueDictionary()
_lock = threading.RLock()  # one for all writers; re-entered by whatever interrupts them
_watch_lock = threading.RLock()


def _after_fork_in_child() -> None:
    # The thread that held the lock is not here. What it left is valid at every moment.
    global _lock, _watch_lock
    _lock, _watch_lock = threading.RLock(), threading.RLock()
    for registry in _living():
        registry._named = None  # who follows the names lives in an event loop, which is not here


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _left_by_nobody(lock: threading.RLock) -> threading.RLock:
    """Return `lock`, or another one at the end of the interpreter.

    By then no other thread runs; and one that was frozen with the lock never gives it back.
    """
    return threading.RLock() if sys.is_finalizing() else lock


# Identities


class _Identity:
    """What PID and Ref share: a serial number, and nothing else that could be looked at."""

    __slots__ = ("__weakref__", "_serial")
    _serial: int

    def __new__(cls) -> Self:
        self = object.__new__(cls)
        object.__setattr__(self, "_serial", next(_serials))
        return self

    def __init_subclass__(cls) -> None:
        if cls.__module__ != __name__:
            raise TypeError(f"type {cls.__mro__[1].__name__!r} is not an acceptable base type")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} cannot be changed")

    def __lt__(self, other: Self) -> bool:
        return self._serial < other._serial if type(self) is type(other) else NotImplemented

    def __le__(self, other: Self) -> bool:
        return self._serial <= other._serial if type(self) is type(other) else NotImplemented

    def __gt__(self, other: Self) -> bool:
        return self._serial > other._serial if type(self) is type(other) else NotImplemented

    def __ge__(self, other: Self) -> bool:
        return self._serial >= other._serial if type(self) is type(other) else NotImplemented

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._serial}>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object, /) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"cannot pickle a {type(self).__name__}: it means something in this process only"
        )


@final
class PID(_Identity):
    """The identity of a process: opaque, immutable, equal to itself only.

    `PID()` makes a fresh one. PIDs can be dict keys, are ordered by age, and can be weakly
    referenced. A copy is the same object. Pickling raises `TypeError`: elsewhere, a PID
    would mean nothing.

    >>> from copy import deepcopy
    >>> older, younger = PID(), PID()
    >>> older == younger, older < younger, deepcopy(older) is older
    (False, True, True)
    """

    __slots__ = ("_exited",)
    _exited: bool

    def __new__(cls) -> Self:
        self = super().__new__(cls)
        object.__setattr__(self, "_exited", False)
        return self


@final
class Ref(_Identity):
    """A unique reference, as to one monitor or one request.

    Like a `PID`, it is opaque, immutable, a possible dict key, ordered by age, and equal
    to itself only.

    >>> Ref() == Ref()
    False
    """

    __slots__ = ()


# What comes in


def _unexpected(parameter: str, expected: str, came: object) -> TypeError:
    from fauxtp._base.arguments import unexpected  # noqa: PLC0415  (seldom needed)

    return unexpected(parameter, f"a {expected}", came)


def _plain(name: Any, parameter: str) -> str:
    """Return the exact str that `name` stands for."""
    if not issubclass(type(name), str):  # whatever it says of its class, as mocks do
        raise _unexpected(parameter, "str", name)
    return str.__str__(name)


def _name(name: object, parameter: str = "name") -> str:
    if type(name) is not str:
        name = _plain(name, parameter)
    if not name:
        raise ValueError(f"expected {parameter} to have at least one character, got ''")
    return name


def _pid(pid: object, parameter: str = "pid") -> PID:
    if type(pid) is not PID:
        raise _unexpected(parameter, "PID", pid)
    return pid


def _number(callback: Callable[[PID], object]) -> int:
    """Return by what `callback` is found again: methods that are equal have the same."""
    kind = type(callback)
    if kind is BuiltinMethodType or (
        kind is MethodType and type(callback.__func__) is FunctionType  # type: ignore[attr-defined]
    ):
        return hash(callback)
    return id(callback)


def _beginning_with(prefix: str, names: list[str]) -> list[str]:
    # No closure: where there is no memory for one, CPython 3.11 keeps the arguments for ever.
    return list(compress(names, map(str.startswith, names, repeat(prefix))))


def _callable(callback: object, parameter: str) -> None:
    if not callable(callback):
        from fauxtp._base.arguments import no_function  # noqa: PLC0415

        raise no_function(parameter, "a function", callback)


# Names and groups, and who follows them


@final
class News:
    """A change of names or of a group, and what came after it.

    See `Registry.follow_names` and `Registry.follow`. `came` says whether `pid` has got the
    `names`, or lost them; of a group, whether it has joined or left it, and `names` is how that is
    called. `reason` is what `withdraw` was told, or None. `number` is how many names have come and
    gone with it. `next` is the next change, or None so far.

    >>> registry, pid = Registry(), PID()
    >>> _, news = registry.follow("workers", list)
    >>> registry.join("workers", pid)
    True
    >>> news.next.names, news.next.came, news.next.next
    (['workers'], True, None)
    """

    __slots__ = ("came", "names", "next", "number", "pid", "reason")
    came: bool
    names: list[str]
    pid: PID
    reason: Any
    number: int
    next: News | None

    def __init__(self) -> None:
        raise TypeError("cannot create 'fauxtp.News' instances")


def _news(came: bool, names: list[str], pid: PID | None, reason: object) -> News:
    news = object.__new__(News)
    news.came, news.names, news.pid, news.reason = came, names, pid, reason  # type: ignore[assignment]
    news.number, news.next = 0, None
    return news


class _Channel:
    """The latest news of a group, and who listens for more, by what they are."""

    __slots__ = ("last", "listeners")

    def __init__(self, name: str) -> None:
        self.last: News = _news(False, [name], None, None)
        self.listeners: dict[int, Callable[[], object]] = {}


class _Follower:
    """Who is told of names that begin with a text: see `Registry.follow_names`."""

    __slots__ = ("due", "listener", "prefix", "waits")

    def __init__(self, prefix: str, listener: Callable[[int], object]) -> None:
        self.prefix, self.listener = prefix, listener
        self.waits = True  # it has not been told since it asked
        self.due = 0  # the number of the news of which it is told in any case

    def is_to_hear(self, news: News) -> bool:
        """Whether it is to be told of news; if it is, it does not wait any more."""
        if news.number >= self.due:
            self.due = news.number + EACH
        elif not (self.waits and any(map(str.startswith, news.names, repeat(self.prefix)))):
            return False
        self.waits = False
        return True


class _Names:
    """The latest news of the names, and who follows them, by what they are."""

    __slots__ = ("followers", "last")

    def __init__(self) -> None:
        self.last: News = _news(False, [], None, None)
        self.followers: dict[int, _Follower] = {}


class _Group:
    """Who is in a group, in order of joining. `view` is that as a tuple, once it was asked for."""

    __slots__ = ("members", "view")

    def __init__(self) -> None:
        self.members: dict[PID, None] = {}
        self.view: tuple[PID, ...] | None = None


class Registry:
    """A table of names, each meaning one PID, and of groups of PIDs. Any thread may use it.

    A registry knows nothing of processes and cleans up nothing by itself: a name stays
    until it is unregistered or released, or its PID is retired. Registries are independent
    of each other. The functions of this module work on the one called `default`.

    >>> registry, pid = Registry(), PID()
    >>> registry.register("pipeline:producer", pid)
    True
    >>> "pipeline:producer" in registry, len(registry), list(registry)
    (True, 1, ['pipeline:producer'])
    """

    __slots__ = (
        "__weakref__",
        "_channels",
        "_groups",
        "_memberships",
        "_moves",
        "_named",
        "_names",
        "_order",
        "_table",
        "_touched",
        "_watchers",
    )
    _table: dict[str, PID]
    _names: dict[PID, dict[str, None]]  # in order
    _order: OrderedNames | None  # the names, but for those touched since
    _touched: list[str] | None  # the names that have come or gone since, if there is an order
    _named: _Names | None  # the news of the names, if somebody follows them
    _groups: dict[str, _Group]
    _memberships: dict[PID, dict[str, None]]
    _channels: dict[str, _Channel]  # of the groups that somebody follows
    _moves: int  # changes of groups, and of who follows them
    _watchers: dict[str, dict[int, Callable[[PID], object]]]  # in order, by what they are

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = object.__new__(cls)
        self._table = {}
        self._names = {}
        self._order, self._touched, self._named = None, None, None
        self._groups = {}
        self._memberships = {}
        self._channels = {}
        self._moves = 0
        self._watchers = {}
        _registries[next(_serials)] = self
        return self

    def __init__(self) -> None:
        pass  # refuses arguments

    def register(self, name: str, /, pid: PID) -> bool:
        """Give `name` to `pid`, and return True; return False if the name is taken.

        A taken name stays as it is, also if it is `pid` that has it. One PID may have any
        number of names.

        Raises `TypeError` if `name` is no str or `pid` no PID, `ValueError` if `name` is
        empty, and `NoProcess` if `pid` is known to have exited.

        >>> registry, pid = Registry(), PID()
        >>> registry.register("kvstore", pid), registry.register("kvstore", PID())
        (True, False)
        """
        name, pid = _name(name), _pid(pid)
        table, names = self._table, self._names
        with _left_by_nobody(_lock):
            done = False
            note, none = [name], list[str]()  # for the names that were touched
            news: News | None = None
            try:
                while name not in table and not pid._exited:
                    mine = names.setdefault(pid, {})
                    if self._named is None and name not in table and not pid._exited and pid in names and names[pid] is mine: log = self._touched; to = none if log is None else log; to += note; mine[name] = None; table[name] = pid; done = True; break  # fmt: skip # noqa: E501, E701, E702
                    news, nobody = _news(True, note, pid, None), _Names()
                    if name not in table and not pid._exited and pid in names and names[pid] is mine: log = self._touched; to = none if log is None else log; line = nobody if self._named is None else self._named; last = line.last; number = last.number + 1; to += note; mine[name] = None; table[name] = pid; news.number = number; last.next = news; line.last = news; done = True; break  # fmt: skip # noqa: E501, E701, E702
            except MemoryError:
                if name in names.get(pid, ()) and self._table.get(name) is not pid:
                    del names[pid][name]  # it was to be there first
                raise
            self._forget_order(self._touched)
        if not done and pid._exited:
            raise NoProcess(pid)
        if done and news is not None:
            self._tell_of(news)
        if done and name in self._watchers:
            tell_all(list(self._watchers.get(name, {}).values()), pid)
        return done

    def unregister(self, name: str, /, pid: PID | None = None) -> bool:
        """Free `name`, and return True; return False if nobody has it.

        With `pid`, free it only if it still means that PID. Whoever cleans up should say
        whose name it was: by now, it may be another's.

        Raises `TypeError` if `name` is no str or `pid` no PID, `ValueError` if `name` is
        empty.

        >>> registry, pid = Registry(), PID()
        >>> registry.register("kvstore", pid)
        True
        >>> registry.unregister("kvstore", PID()), registry.unregister("kvstore", pid)
        (False, True)
        """
        name = _name(name)
        expected = None if pid is None else _pid(pid)
        table, names = self._table, self._names
        holder = None
        with _left_by_nobody(_lock):
            note, none = [name], list[str]()
            news: News | None = None
            if self._named is None and name in table and (expected is None or table[name] is expected): log = self._touched; to = none if log is None else log; to += note; holder = table[name]; del table[name], names[holder][name]  # fmt: skip # noqa: E501, E701, E702
            if holder is None and name in table:
                news, nobody = _news(False, note, None, None), _Names()
                if name in table and (expected is None or table[name] is expected): log = self._touched; to = none if log is None else log; line = nobody if self._named is None else self._named; last = line.last; number = last.number + 1; to += note; holder = table[name]; del table[name], names[holder][name]; news.pid = holder; news.number = number; last.next = news; line.last = news  # fmt: skip # noqa: E501, E701, E702
            if holder is not None:
                self._tidy(holder)
                self._forget_order(self._touched)
        if holder is not None and news is not None:
            self._tell_of(news)
        return holder is not None

    def whereis(self, name: str, /) -> PID | None:
        """Return the PID that `name` means, or None.

        The process may have exited by the time the answer is used.

        Raises `TypeError` if `name` is no str, `ValueError` if it is empty.

        >>> Registry().whereis("nobody") is None
        True
        """
        if type(name) is not str or not name:
            name = _name(name)
        return self._table.get(name)

    def registered(self, prefix: str = "") -> list[str]:
        """Return the names, in order of registration, that begin with `prefix`.

        The list is a snapshot.

        Raises `TypeError` if `prefix` is no str.

        >>> registry = Registry()
        >>> for name in ("kvstore", "pipeline:processor:1", "pipeline:processor:2"):
        ...     assert registry.register(name, PID())
        >>> registry.registered("pipeline:")
        ['pipeline:processor:1', 'pipeline:processor:2']
        """
        start = _plain(prefix, "prefix")
        order = self._in_order() if start else None
        if order is not None and order.are_few(start):
            return order.beginning_with(start)
        names = list(self._table)
        return _beginning_with(start, names) if start else names

    def count(self, prefix: str = "") -> int:
        """Return how many names begin with `prefix`.

        Raises `TypeError` if `prefix` is no str.

        >>> registry = Registry()
        >>> for name in ("kvstore", "pipeline:processor:1", "pipeline:processor:2"):
        ...     assert registry.register(name, PID())
        >>> registry.count(), registry.count("pipeline:")
        (3, 2)
        """
        start = _plain(prefix, "prefix")
        if not start:
            return len(self._table)
        order = self._in_order()
        if order is not None:
            return order.count(start)
        return len(_beginning_with(start, list(self._table)))

    def _in_order(self) -> OrderedNames | None:
        """Return the names in order, as they are at this moment; None if that is not worth it."""
        if len(self._table) <= FEW:
            return None
        from fauxtp._base import ordered_names  # noqa: PLC0415  (seldom needed)

        for _ in range(ordered_names.PATIENCE):
            with _left_by_nobody(_lock):
                order, touched = self._order, self._touched
            if touched is None:
                self._begin_order()
                continue
            known = touched[:]
            if order is None or not known:
                return order  # none, while another thread makes it
            order = order.changed(known, self._table)
            if self._have_order(order, touched, known):
                return order
        return None

    def _begin_order(self) -> None:
        """Keep the names in order from now on."""
        touched: list[str] = []
        with _left_by_nobody(_lock):
            if self._touched is None: self._order = None; self._touched = touched  # fmt: skip # noqa: E701, E702
        if self._touched is not touched:
            return
        from fauxtp._base.ordered_names import OrderedNames  # noqa: PLC0415

        order = None
        try:
            order = OrderedNames.of(list(self._table))  # what is touched meanwhile is noted
        finally:
            with _left_by_nobody(_lock):
                if self._touched is touched: self._order = order; self._touched = touched if order else None  # fmt: skip # noqa: E501, E701, E702

    def _have_order(self, order: OrderedNames, touched: list[str], known: list[str]) -> bool:
        """Keep `order`, which knows of those `touched` so many; return whether that is all."""
        with _left_by_nobody(_lock):
            there = touched[:]
            rest, done = there[len(known) :], False
            if self._touched is touched and touched == there: self._order = order; self._touched = rest; done = True  # fmt: skip # noqa: E501, E701, E702
        return done and not rest

    def _forget_order(self, touched: list[str] | None) -> None:
        """Keep no order any more, if too many names were touched since somebody asked for it."""
        if touched is None or len(touched) <= TOUCHED + len(self._table) // 2:
            return
        if self._touched is touched: self._order = None; self._touched = None  # fmt: skip # noqa: E701, E702

    def names(self, pid: PID, /) -> list[str]:
        """Return the names of `pid` in this registry, in the order in which it got them.

        Raises `TypeError` if `pid` is no PID.

        >>> Registry().names(PID())
        []
        """
        owner = _pid(pid)
        with _left_by_nobody(_lock):
            return list(self._names.get(owner, ()))

    def release(self, pid: PID, /) -> list[str]:
        """Free all names of `pid` in one step, and return them as `names` would have.

        Raises `TypeError` if `pid` is no PID.

        >>> registry, pid = Registry(), PID()
        >>> registry.register("pipeline:processor:1", pid)
        True
        >>> registry.release(pid), registry.release(pid)
        (['pipeline:processor:1'], [])
        """
        names, news = self._release(_pid(pid), None)
        if names:
            self._tell_of(news)
        return names

    def _release(self, owner: PID, reason: object) -> tuple[list[str], News]:
        """Free all names of `owner`; return them, and what is to be told of it."""
        names: list[str] = []
        nothing: list[object] = []
        none: list[str] = []
        news, nobody = _news(False, names, owner, reason), _Names()
        sizes, size = list[int](), map(len, [names])
        with _left_by_nobody(_lock):
            mine = self._names.get(owner, {})
            # The iterators will see what `names` holds by then; what they drop is not kept.
            drops = chain(map(self._table.pop, names), map(mine.pop, names))
            unseen = compress(drops, repeat(False))
            # Its first step may let others in, as it makes an iterator, and the others do not.
            if mine: names += mine; log = self._touched; to = none if log is None else log; line = nobody if self._named is None else self._named; last = line.last; sizes += size; number = last.number + sizes[0]; to += names; nothing += unseen; news.number = number; last.next = news; line.last = news  # fmt: skip # noqa: E501, E701, E702
            self._tidy(owner)
            self._forget_order(self._touched)
        return names[:], news

    def transfer(self, name: str, /, holder: PID, successor: PID) -> bool:
        """Let `name`, if it means `holder`, mean `successor`; return whether it did.

        At no moment is the name free, or anything but one of the two.

        Raises `TypeError` if `name` is no str or one of the others no PID, `ValueError` if
        `name` is empty, and `NoProcess` if `successor` is known to have exited.

        >>> registry, old, new = Registry(), PID(), PID()
        >>> registry.register("kvstore", old)
        True
        >>> registry.transfer("kvstore", old, new), registry.transfer("kvstore", old, new)
        (True, False)
        """
        name, old, new = _name(name), _pid(holder, "holder"), _pid(successor, "successor")
        table, names = self._table, self._names
        passed = old is new and table.get(name) is old and not new._exited
        with _left_by_nobody(_lock):
            gone = come = _news(False, [], None, None)
            while old is not new and not passed and table.get(name) is old and not new._exited:
                mine = names.setdefault(new, {})
                if self._named is None and name in table and table[name] is old and not new._exited and new in names and names[new] is mine: mine[name] = None; table[name] = new; del names[old][name]; passed = True; break  # fmt: skip # noqa: E501, E701, E702
                gone, nobody = _news(False, [name], old, None), _Names()
                come = _news(True, [name], new, None)
                if name in table and table[name] is old and not new._exited and new in names and names[new] is mine: line = nobody if self._named is None else self._named; last = line.last; number = last.number + 1; then = number + 1; mine[name] = None; table[name] = new; del names[old][name]; gone.number = number; come.number = then; last.next = gone; gone.next = come; line.last = come; passed = True  # fmt: skip # noqa: E501, E701, E702
            self._tidy(old)
        if new._exited and not passed:
            raise NoProcess(new)
        if passed and come.names:
            self._tell_of(gone)
            self._tell_of(come)
        return passed

    def _tell_of(self, news: News) -> None:
        """Tell who follows the names. For lack of memory, they hear of it when more change."""
        named = self._named
        told: list[Callable[[int], object]] = []
        try:
            for follower in [] if named is None else list(named.followers.values()):
                if follower.is_to_hear(news):  # no closure, as above
                    told.append(follower.listener)  # noqa: PERF401
            tell_all(told, news.number)
        except MemoryError:
            pass

    def watch(self, name: str, callback: Callable[[PID], object], /) -> None:
        """Call `callback(pid)` each time that `name` is registered, until `unwatch`.

        The call comes after the fact, in the thread that registered; by then, the name may
        mean another or nobody. An error of the callback is logged; what is more than an error,
        as a `KeyboardInterrupt`, goes to whoever registered, when all have been called.

        Raises `TypeError` if `name` is no str or `callback` cannot be called, `ValueError` if
        `name` is empty.

        >>> registry, seen = Registry(), []
        >>> registry.watch("kvstore", seen.append)
        >>> pid = PID()
        >>> registry.register("kvstore", pid), seen == [pid]
        (True, True)
        """
        name = _name(name)
        _callable(callback, "callback")
        watchers, me, again, done = self._watchers, _number(callback), next(_serials) << 64, False
        with _left_by_nobody(_watch_lock):
            while not done:
                mine = watchers.setdefault(name, {})
                if name in watchers and watchers[name] is mine: mine[again if me in mine else me] = callback; done = True  # fmt: skip # noqa: E501, E701, E702

    def unwatch(self, name: str, callback: Callable[[PID], object], /) -> bool:
        """End a `watch` of `name` by `callback`; return False if there is none.

        Raises `TypeError` if `name` is no str, `ValueError` if it is empty.

        >>> Registry().unwatch("kvstore", print)
        False
        """
        name = _name(name)
        watchers, done = self._watchers, False
        with _left_by_nobody(_watch_lock):
            mine, me = watchers.get(name, {}), _number(callback)
            known = mine.get(me)
            if (known is callback or known == callback) and me in mine and mine[me] is known: del mine[me]; done = True  # fmt: skip # noqa: E501, E701, E702
            for number in () if done else list(mine):
                known = mine.get(number)  # None, if that watch has ended meanwhile
                if (known is callback or known == callback) and number in mine and mine[number] is known: del mine[number]; done = True; break  # fmt: skip # noqa: E501, E701, E702
            if name in watchers and not watchers[name]: del watchers[name]  # fmt: skip # noqa: E701
        return done

    def follow_names(self, prefix: str, listener: Callable[[int], object], /) -> News:
        """Call `listener(number)` once, after the next change of names that begin with `prefix`.

        Return the latest news of names: each change that comes stands in the `next` of the one
        before, whatever its names begin with, in the order in which they came to be, and none is
        missing, until `unfollow_names`. Who is called may ask again, by the same. The call comes
        after the fact, in the thread that made the change; `number` is that of the news. After
        each 1,000 other names it comes, too: so whoever does not take what comes can see how much
        that is. What a listener raises is treated as with `watch`. In a child after `fork`,
        nobody follows.

        Raises `TypeError` if `prefix` is no str or `listener` cannot be called.

        >>> registry, pid = Registry(), PID()
        >>> news = registry.follow_names("shard:", print)
        >>> registry.register("kvstore", pid), registry.register("shard:1", pid)
        2
        (True, True)
        >>> [one.names for one in (news.next, news.next.next)]
        [['kvstore'], ['shard:1']]
        >>> registry.unfollow_names(print)
        True
        """
        start = _plain(prefix, "prefix")
        _callable(listener, "listener")
        number, fresh, spare = id(listener), _Follower(start, listener), _Names()
        with _left_by_nobody(_lock):
            line = spare if self._named is None else self._named; last = line.last; due = last.number + EACH; line.followers[number] = fresh; fresh.due = due; self._named = line  # fmt: skip # noqa: E501, E702
        return last

    def unfollow_names(self, listener: Callable[[int], object], /) -> bool:
        """End what `follow_names` has begun for `listener`; return False if nothing was.

        Raises nothing, whatever `listener` is.

        >>> Registry().unfollow_names(print)
        False
        """
        number, done = id(listener), False
        with _left_by_nobody(_lock):
            if self._named is not None and number in self._named.followers: del self._named.followers[number]; done = True  # fmt: skip # noqa: E501, E701, E702
            if self._named is not None and not self._named.followers: self._named = None  # fmt: skip # noqa: E501, E701
        return done

    def _tidy(self, pid: PID) -> None:
        """Drop the dict of the names of `pid`, if it is empty."""
        names = self._names
        if pid in names and not names[pid]: del names[pid]  # fmt: skip # noqa: E701

    def join(self, group: str, /, pid: PID) -> bool:
        """Let `pid` be in `group`, and return True; return False if it is already.

        One PID may be in any number of groups, once in each. It leaves them when it is told
        to, or its PID is retired. Groups have nothing to do with names: both may be called the
        same.

        Raises `TypeError` if `group` is no str or `pid` no PID, `ValueError` if `group` is
        empty, and `NoProcess` if `pid` is known to have exited.

        >>> registry, pid = Registry(), PID()
        >>> registry.join("workers", pid), registry.join("workers", pid)
        (True, False)
        """
        group, pid = _name(group, "group"), _pid(pid)
        groups, mine, channels = self._groups, self._memberships, self._channels
        done, channel = False, None
        with _left_by_nobody(_lock):
            try:
                while not pid._exited and not done:
                    known, others, channel = groups.get(group), mine.get(pid), channels.get(group)
                    one = _Group() if known is None else known
                    my = {} if others is None else others
                    if pid in one.members:
                        break
                    to, news = channel or _Channel(group), _news(True, [group], pid, None)
                    if not pid._exited and pid not in one.members and (groups[group] if group in groups else None) is known and (mine[pid] if pid in mine else None) is others and (channels[group] if group in channels else None) is channel: self._moves += 1; mine[pid] = my; my[group] = None; groups[group] = one; one.members[pid] = None; one.view = None; to.last.next = news; to.last = news; done = True  # fmt: skip # noqa: E501, E701, E702
            except MemoryError:
                self._forget_half(group, pid)
                raise
            finally:
                self._tidy_group(group, pid)
        if pid._exited and not done:
            raise NoProcess(pid)
        if done and channel is not None:
            tell_all(list(channel.listeners.values()))
        return done

    def leave(self, group: str, /, pid: PID) -> bool:
        """Take `pid` out of `group`, and return True; return False if it is not in it.

        Raises `TypeError` if `group` is no str or `pid` no PID, `ValueError` if `group` is
        empty.

        >>> registry, pid = Registry(), PID()
        >>> registry.join("workers", pid)
        True
        >>> registry.leave("workers", pid), registry.leave("workers", pid)
        (True, False)
        """
        group, pid = _name(group, "group"), _pid(pid)
        done, listeners = self._part(group, pid, None)
        tell_all(listeners)
        return done

    def members(self, group: str, /) -> tuple[PID, ...]:
        """Return who is in `group`, in order of joining.

        The tuple is a snapshot, and made once after each change. If there is one, this is a
        look-up, as `whereis` is.

        Raises `TypeError` if `group` is no str, `ValueError` if it is empty.

        >>> registry, one, other = Registry(), PID(), PID()
        >>> registry.join("workers", one), registry.join("workers", other)
        (True, True)
        >>> registry.members("workers") == (one, other), registry.members("nobody")
        (True, ())
        """
        if type(group) is not str or not group:
            group = _name(group, "group")
        one = self._groups.get(group)
        if one is None:
            return ()
        view = one.view
        return self._view(one) if view is None else view

    def groups(self, prefix: str = "") -> list[str]:
        """Return the groups that have members and begin with `prefix`.

        The oldest is the first: the list is in the order in which they got their first member.

        Raises `TypeError` if `prefix` is no str.

        >>> registry = Registry()
        >>> for group in ("room:1", "room:2", "workers"):
        ...     assert registry.join(group, PID())
        >>> registry.groups("room:")
        ['room:1', 'room:2']
        """
        start = _plain(prefix, "prefix")
        groups = list(self._groups)
        return _beginning_with(start, groups) if start else groups

    def follow(
        self, group: str, listener: Callable[[], object], /
    ) -> tuple[tuple[PID, ...], News]:
        """Call `listener()` after each change of `group`, until `unfollow`.

        Return who is in it, and the latest of its news: each change that comes stands in the
        `next` of the one before, in the order in which they came to be, and none is missing.
        The call comes after the fact, in the thread that made the change. What a listener
        raises is treated as with `watch`. To follow a group twice by the same object is to
        follow it once.

        Raises `TypeError` if `group` is no str or `listener` cannot be called, `ValueError` if
        `group` is empty.

        >>> registry, pid = Registry(), PID()
        >>> members, news = registry.follow("workers", print)
        >>> members, registry.join("workers", pid)
        <BLANKLINE>
        ((), True)
        >>> (news.next.came, news.next.pid == pid), registry.unfollow("workers", print)
        ((True, True), True)
        """
        group = _name(group, "group")
        _callable(listener, "listener")
        groups, channels, number, last = self._groups, self._channels, id(listener), None
        members: tuple[PID, ...] = ()
        with _left_by_nobody(_lock):
            try:
                while last is None:
                    members, one = self.members(group), groups.get(group)
                    channel = channels.setdefault(group, _Channel(group))
                    if (groups[group] if group in groups else None) is one and (not members if one is None else one.view is members) and group in channels and channels[group] is channel: self._moves += 1; channel.listeners[number] = listener; last = channel.last  # fmt: skip # noqa: E501, E701, E702
            finally:
                self._tidy_channel(group)
        return members, last

    def unfollow(self, group: str, listener: Callable[[], object], /) -> bool:
        """End what `follow` has begun with that `listener`; return False if nothing was.

        Raises `TypeError` if `group` is no str, `ValueError` if it is empty.

        >>> Registry().unfollow("workers", print)
        False
        """
        group = _name(group, "group")
        channels, number, done = self._channels, id(listener), False
        with _left_by_nobody(_lock):
            if group in channels and number in channels[group].listeners: self._moves += 1; del channels[group].listeners[number]; done = True  # fmt: skip # noqa: E501, E701, E702
            self._tidy_channel(group)
        return done

    def _view(self, one: _Group) -> tuple[PID, ...]:
        """Return the members of a group as a tuple, and keep it for who asks next."""
        seen = self._moves
        view = tuple(list(one.members))  # noqa: C414  (a list is made in one step)
        lock = _left_by_nobody(_lock)
        if lock.acquire(blocking=False):  # nobody waits to read
            try:
                if self._moves == seen: one.view = view  # fmt: skip # noqa: E701
            finally:
                lock.release()
        return view

    def _part(
        self, group: str, pid: PID, reason: object
    ) -> tuple[bool, list[Callable[[], object]]]:
        """Take `pid` out of `group`; return whether it was there, and who is to be told."""
        groups, mine, channels = self._groups, self._memberships, self._channels
        done, channel = False, None
        with _left_by_nobody(_lock):
            while not done:
                one = groups.get(group)
                if one is None or pid not in one.members:
                    break
                channel, alone = channels.get(group), {pid: None}
                to, news = channel or _Channel(group), _news(False, [group], pid, reason)
                if group in groups and groups[group] is one and (channels[group] if group in channels else None) is channel and one.members == alone: self._moves += 1; del groups[group], mine[pid][group]; to.last.next = news; to.last = news; done = True; break  # fmt: skip # noqa: E501, E701, E702
                if group in groups and groups[group] is one and pid in one.members and (channels[group] if group in channels else None) is channel and one.members != alone: self._moves += 1; del one.members[pid], mine[pid][group]; one.view = None; to.last.next = news; to.last = news; done = True  # fmt: skip # noqa: E501, E701, E702
            self._tidy_group(group, pid)
        return done, list(channel.listeners.values()) if channel is not None and done else []

    def _leave_all(self, pid: PID, reason: object) -> list[Callable[[], object]]:
        """Take `pid` out of all groups; return who is to be told."""
        told: list[Callable[[], object]] = []
        with _left_by_nobody(_lock):
            for _ in range(PATIENCE):
                if pid not in self._memberships or self._leave_at_once(pid, reason, told):
                    return told
            for group in list(self._memberships.get(pid, ())):  # somebody comes in at each line
                told += self._part(group, pid, reason)[1]
        return told

    def _leave_at_once(self, pid: PID, reason: object, told: list[Callable[[], object]]) -> bool:
        """Take `pid` out of all groups in one step; return False if somebody has come in."""
        seen, done, missing = self._moves, False, _Group()
        ones, members, alone, channels, news, listeners = [], [], [], [], [], []
        nothing: list[object] = []
        for group in list(self._memberships.get(pid, ())):
            one, channel = self._groups.get(group, missing), self._channels.get(group)
            ones.append(one)
            members.append(one.members)
            if len(one.members) == 1:
                alone.append(group)
            if channel is not None:
                channels.append(channel)
                news.append(_news(False, [group], pid, reason))
                listeners += list(channel.listeners.values())
        steps: Iterator[object] = chain(
            map(dict.pop, members, repeat(pid)),
            map(setattr, ones, repeat("view"), repeat(None)),
            map(self._groups.pop, alone),
            map(setattr, [channel.last for channel in channels], repeat("next"), news),
            map(setattr, channels, repeat("last"), news),
            map(self._memberships.pop, [pid]),
        )
        unseen = compress(steps, repeat(False))  # what they drop is not kept
        if self._moves == seen and pid in self._memberships: self._moves = seen + 1; nothing += unseen; done = True  # fmt: skip # noqa: E501, E701, E702
        if done:
            told += listeners
        return done

    def _forget_half(self, group: str, pid: PID) -> None:
        """Take back what a `join` has begun for which there was no memory."""
        one, my = self._groups.get(group), self._memberships.get(pid)
        if my is not None and group in my and (one is None or pid not in one.members): del my[group]  # fmt: skip # noqa: E501, E701

    def _tidy_group(self, group: str, pid: PID) -> None:
        """Drop a group that nobody is in, and the dict of the groups of who is in none."""
        groups, mine = self._groups, self._memberships
        if group in groups and not groups[group].members: del groups[group]  # fmt: skip # noqa: E701
        if pid in mine and not mine[pid]: del mine[pid]  # fmt: skip # noqa: E701

    def _tidy_channel(self, group: str) -> None:
        channels = self._channels
        if group in channels and not channels[group].listeners: del channels[group]  # fmt: skip # noqa: E701

    def __len__(self) -> int:
        return len(self._table)

    def __contains__(self, name: str) -> bool:
        return self.whereis(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._table))

    def __repr__(self) -> str:
        count = len(self._table)
        return f"<{type(self).__name__} of {count} name{'' if count == 1 else 's'}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"cannot copy or pickle a {type(self).__name__}: its processes are here")


L = TypeVar("L", bound="Lookup")


class Lookup:
    """Names of more than one node, as a cluster has them.

    `known` is a dict of some, which others may change at any time. Of what is not in it, or means
    a process of here that has exited, `ask` is asked.

    >>> there = PID()
    >>> lookup = Lookup({"billing": there}, print)
    >>> lookup.whereis("billing") is there, lookup.whereis("nobody")
    nobody
    (True, None)
    """

    def __init__(self, known: dict[str, PID], ask: Callable[[str], PID | None], /) -> None:
        self._fauxtp_known = known
        self._fauxtp_ask = ask

    def whereis(self, name: str, /) -> PID | None:
        """Return the PID that `name` means, here or on another node, or None.

        It is looked up in what is known here; nobody elsewhere is asked. The process may have
        exited by the time the answer is used.

        Raises `TypeError` if `name` is no str, `ValueError` if it is empty.
        """
        if type(name) is not str or not name:
            name = _name(name)
        found = self._fauxtp_known.get(name)
        return self._fauxtp_ask(name) if found is None or found._exited else found


def quick(cls: type[L], /) -> type[L]:
    """Let `cls`, a subclass of `Lookup`, have `whereis` as a method of its own, and return it.

    The interpreter calls what is inherited from a compiled class in a slower way.

    Raises `TypeError` if `cls` is no such class.

    >>> @quick
    ... class Names(Lookup):
    ...     pass
    """
    if not isinstance(cls, type) or not issubclass(cls, Lookup):
        raise _unexpected("cls", "subclass of Lookup", cls)
    return cls


default = Registry()
register = default.register
unregister = default.unregister
whereis = default.whereis
registered = default.registered
count = default.count
members = default.members
groups = default.groups


def retire(pid: PID, /) -> None:
    """Note that the process behind `pid` has exited: it loses its names, in every registry.

    It leaves its groups, too. From now on no registry gives it a name: `register`, `transfer`
    and `join` raise `NoProcess`. This is for those who run processes; nothing here calls it.

    Raises `TypeError` if `pid` is no PID.

    >>> registry, pid = Registry(), PID()
    >>> registry.register("kvstore", pid)
    True
    >>> retire(pid)
    >>> registry.whereis("kvstore") is None
    True
    """
    tell_all(withdraw(pid))


def withdraw(pid: PID, /, reason: object = None) -> tuple[Callable[[], object], ...]:
    """Do as `retire`, but leave it to the caller to tell those who follow its names and groups.

    Return them: each is to be called. `reason` is what the news say why it left.

    Raises `TypeError` if `pid` is no PID.

    >>> withdraw(PID(), "shutdown")
    ()
    """
    owner = _pid(pid)
    told: list[Callable[[], object]] = []
    _registries.valuerefs()  # if there is no memory for it, then before anything changes
    with _left_by_nobody(_lock):
        object.__setattr__(owner, "_exited", True)
    for registry in _living():
        names, news = registry._release(owner, reason)
        if names and registry._named is not None:
            told.append(partial(registry._tell_of, news))
        told += registry._leave_all(owner, reason)
    return tuple(told)


def _living() -> Iterator[Registry]:
    for reference in _registries.valuerefs():
        registry = reference()
        if registry is not None:
            yield registry
