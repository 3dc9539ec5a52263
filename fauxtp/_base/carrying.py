"""Carrying: which context variables go with messages, and their values here and now.

While there are none, nobody asks: `fauxtp._base.events` tells that with what is listened to.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, Token, copy_context
from types import coroutine
from typing import TYPE_CHECKING, Any, final

from fauxtp._base.carried import MISSING, Carried, Values
from fauxtp._base.events import CARRYING, set_carrying
from fauxtp._base.strays import STRAYS

if TYPE_CHECKING:
    from fauxtp._base.carried import Variable

__all__ = [
    "Applied",
    "Kept",
    "apart",
    "applied",
    "beside_strays",
    "carried_variables",
    "carry_also",
    "carry_no_more",
    "has_strays",
    "instead",
    "leave_all",
    "put_back",
    "within",
]

_variables: tuple[Variable, ...] = ()
_beside = 0  # kinds that who traces wants to hear of
_changing = threading.RLock()


def carry_also(variable: Variable, beside: int = 0) -> None:
    """Let messages carry the value of `variable` from now on; once is enough.

    Want these kinds of events `beside` that, for who makes spans of them.
    """
    global _beside, _variables
    with _changing:
        if not any(known is variable for known in _variables):
            _variables += (variable,)
        _beside |= beside
        set_carrying(_variables, CARRYING | _beside)


def carry_no_more(variable: Variable, beside: int = 0) -> None:
    """Let messages that are sent from now on carry nothing of `variable`."""
    global _beside, _variables
    with _changing:
        _variables = tuple([known for known in _variables if known is not variable])
        _beside &= ~beside
        set_carrying(_variables, (CARRYING if _variables else 0) | _beside)


def carried_variables() -> tuple[Variable, ...]:
    """Return those whose values messages carry."""
    return _variables


def has_strays(values: Values) -> bool:
    """Return whether somebody's value is here still, and `values` put nothing in its place."""
    strays = STRAYS.get()
    return any(not any(variable is each for each, _ in values) for variable, _ in strays)


@final
class Kept:
    """What variables have now, to have it again at the end of a handler that may set them.

    >>> colour = ContextVar("colour", default="none")
    >>> _, kept = colour.set("green"), Kept((colour,))
    >>> _ = colour.set("red"), kept.put_back()
    >>> colour.get()
    'green'
    """

    __slots__ = ("_before",)

    def __init__(self, variables: Iterable[Variable]) -> None:
        self._before = [(variable, variable.get(MISSING)) for variable in variables]

    def put_back(self) -> None:
        """Let each have that again; in the same context."""
        put_back([pair for pair in self._before if pair[0].get(MISSING) is not pair[1]])


def put_back(changed: Iterable[tuple[Variable, Any]]) -> None:
    """Let each of these variables have the value again that it had; it has another one now."""
    for variable, before in changed:
        if before is not MISSING or not isinstance(variable, ContextVar):
            variable.set(before)
            continue
        others = [each for each in STRAYS.get() if each[0] is not variable]
        STRAYS.set((*others, (variable, variable.get(MISSING))))


_applied: ContextVar[Applied | None] = ContextVar("fauxtp_applied", default=None)

applied = _applied.get
"""Return what was applied last in this context, or in that of which it is a copy; or None."""


@final
class Applied:
    """The values of a message in the context of who handles it, and what was there before.

    >>> colour = ContextVar("colour", default="none")
    >>> values = Applied(((colour, "green"),))
    >>> values.enter(), colour.get(), values.leave(), colour.get()
    (None, 'green', None, 'none')
    """

    __slots__ = ("_before", "_guarded", "_kept", "_outer", "_tokens", "_values", "above")

    def __init__(self, values: Values, guarded: tuple[Variable, ...] = ()) -> None:
        self._values = values
        self._guarded = guarded  # what is to have its value again, whoever sets it meanwhile
        self._kept: Kept | None = None
        self._tokens: list[tuple[Variable, Any]] = []
        self._outer: Token[Applied | None] | None = None
        self._before: list[Any] = []  # of each value, or MISSING
        self.above: Applied | None = None  # what was applied before

    def enter(self) -> None:
        """Let the context have the values."""
        self.above, self._before = applied(), []
        self._outer = _applied.set(self)
        for variable, value in self._values:
            self._before.append(variable.get(MISSING))
            self._tokens.append((variable, variable.set(value)))
        if self._guarded:
            self._guard()

    def _guard(self) -> None:
        mine = [variable for variable, _ in self._values]
        strays = STRAYS.get()
        left = tuple([each for each in strays if not any(each[0] is one for one in mine)])
        if len(left) != len(strays):
            self._tokens.append((STRAYS, STRAYS.set(left)))
        others = [one for one in self._guarded if not any(one is each for each in mine)]
        self._kept = Kept(others)

    def leave(self) -> None:
        """Let the context have what it had before; in another one, and twice, do nothing.

        It is another one if the interpreter closes a handler that is never to end.
        """
        outer, self._outer = self._outer, None
        if outer is None:
            return
        try:
            _applied.reset(outer)
        except ValueError:
            self._outer = outer
            return
        while self._tokens:
            variable, token = self._tokens.pop()
            variable.reset(token)
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.put_back()

    def replaced(self) -> list[tuple[Variable, Any]]:
        """Return each variable that still has the value applied, and what it had before."""
        return [
            (variable, before)
            for (variable, value), before in zip(self._values, self._before, strict=True)
            if variable.get(MISSING) is value
        ]


def leave_all() -> list[Applied]:
    """Let the context have what it had before anything was applied; return that, in order."""
    left: list[Applied] = []
    while (last := applied()) is not None:
        last.leave()
        if applied() is last:
            break  # it was applied in another context, of which this one is a copy
        left.insert(0, last)
    return left


def apart(values: Values) -> Context:
    """Return a context as it is here, with `values` in place of what was applied.

    That may have been applied in another context, of which this one is a copy: there is no way
    back to it from here.
    """
    replaced: list[tuple[Variable, Any]] = []
    last = applied()
    while last is not None:
        inner = [variable for variable, _ in replaced]
        replaced += [pair for pair in last.replaced() if pair[0] not in inner]
        last = last.above
    strays = [pair[0] for pair in STRAYS.get() if pair[0].get(MISSING) is pair[1]]
    left_out = [_applied, STRAYS, *strays, *[variable for variable, _ in replaced]]
    made = Context()
    for mine, value in copy_context().items():
        if mine not in left_out:
            made.run(mine.set, value)
    for variable, before in replaced:
        if before is not MISSING or not isinstance(variable, ContextVar):
            made.run(variable.set, before)
    made.run(Applied(values).enter)
    return made


@coroutine
def within(context: Context, awaitable: Awaitable[Any]) -> Generator[Any, Any, Any]:
    """Await `awaitable` in `context`, whichever this task has."""
    steps = _awaited(awaitable)
    try:
        came = context.run(steps.send, None)
        while True:
            try:
                sent = yield came
            except GeneratorExit:
                context.run(steps.close)
                raise
            except BaseException as error:
                came = context.run(steps.throw, error)
            else:
                came = context.run(steps.send, sent)
    except StopIteration as end:
        return end.value


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


async def beside_strays(handling: Awaitable[Any]) -> Any:
    """Await `handling` as if nobody had left a value here, where there was none."""
    return await within(apart(()), handling)


@contextmanager
def instead(message: Any) -> Iterator[None]:
    """Let the context have what was kept with `message`, in place of what was applied."""
    if type(message) is not Carried:
        yield
        return
    inner, left = Applied(message.values, _variables), leave_all()
    try:
        inner.enter()
        yield
    finally:
        inner.leave()
        for outer in left:
            outer.enter()


def _after_fork_in_child() -> None:
    global _changing
    _changing = threading.RLock()  # who held it is not here


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
