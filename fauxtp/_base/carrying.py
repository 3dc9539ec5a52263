"""Carrying: which context variables go with messages, and their values here and now.

While there are none, nobody asks: `fauxtp._base.events` tells that with what is listened to.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, final

from fauxtp._base.carried import MISSING, Carried, Values, Variable
from fauxtp._base.events import CARRYING, set_carrying

__all__ = ["Applied", "applied", "captured", "carry_also", "carry_no_more", "instead", "leave_all"]

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
        set_carrying(captured, CARRYING | _beside)


def carry_no_more(variable: Variable, beside: int = 0) -> None:
    """Let messages that are sent from now on carry nothing of `variable`."""
    global _beside, _variables
    with _changing:
        _variables = tuple([known for known in _variables if known is not variable])
        _beside &= ~beside
        set_carrying(captured, (CARRYING if _variables else 0) | _beside)


def captured() -> Values:
    """Return the values that a message carries which is sent here and now."""
    found = [(variable, variable.get(MISSING)) for variable in _variables]
    return tuple([pair for pair in found if pair[1] is not MISSING])


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

    __slots__ = ("_outer", "_tokens", "_values")

    def __init__(self, values: Values) -> None:
        self._values = values
        self._tokens: list[tuple[Variable, Any]] = []
        self._outer: Token[Applied | None] | None = None

    def enter(self) -> None:
        """Let the context have the values."""
        self._outer = _applied.set(self)
        for variable, value in self._values:
            self._tokens.append((variable, variable.set(value)))

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


def leave_all() -> list[Applied]:
    """Let the context have what it had before anything was applied; return that, in order."""
    left: list[Applied] = []
    while (last := applied()) is not None:
        last.leave()
        if applied() is last:
            break  # it was applied in another context, of which this one is a copy
        left.insert(0, last)
    return left


@contextmanager
def instead(message: Any) -> Iterator[None]:
    """Let the context have what was kept with `message`, in place of what was applied."""
    if type(message) is not Carried:
        yield
        return
    inner, left = Applied(message.values), leave_all()
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
