"""What nobody should pass to anything: wrong types, hostile objects, numbers out of place."""

from __future__ import annotations

import asyncio
import functools
import math
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from hypothesis import strategies as st

from fauxtp import PID, Actor, GenServer, Mailbox, Ref, Registry


class Nasty(Exception):
    """What a hostile object raises. It may come back to whoever passed that object."""


class Hostile:
    """Raises at whatever is done to it: comparing, hashing, asking for truth, printing."""

    def _refuse(self, *_: object) -> NoReturn:
        raise Nasty

    __eq__ = __ne__ = __bool__ = __repr__ = __str__ = __len__ = __iter__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __float__ = __int__ = __index__ = _refuse
    __call__ = __await__ = __contains__ = __add__ = __radd__ = __sub__ = _refuse

    def __hash__(self) -> int:
        raise Nasty


class Text(str):
    """A str that looks like another one, and cannot be hashed, compared or printed."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        raise Nasty

    def __hash__(self) -> int:
        raise Nasty

    def __repr__(self) -> str:
        raise Nasty

    def __str__(self) -> str:
        raise Nasty

    def __bool__(self) -> bool:
        raise Nasty


class Number(float):
    """A float of its own."""


class Curious:
    """Has every attribute, and is nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self


def deep(levels: int = 20_000) -> Any:
    """Return a tuple in a tuple in a tuple…"""
    value: Any = ("deep",)
    for _ in range(levels):
        value = (value,)
    return value


def wrong_arity() -> None:
    """Take nothing, where something is passed."""


async def coroutine_function(*_: object) -> None:
    """Be async."""


class NoActor:
    """A class, and none of actors."""


COROUTINE = object()  # stands for a fresh one
HOSTILE = (Hostile(), Text("nobody"), Text(""))
DEEP = deep()

JUNK: tuple[Any, ...] = (
    COROUTINE,
    None,
    True,
    False,
    0,
    -1,
    10**30,
    10**400,
    0.5,
    -0.0,
    math.nan,
    math.inf,
    -math.inf,
    Number(0.25),
    1j,
    "",
    "nobody",
    "x" * 1_000_000,
    "\ud800",
    "nul\0nul",
    *HOSTILE,
    b"bytes",
    [],
    {},
    set(),
    (),
    (1, 2, 3),
    DEEP,
    [[], []],
    object(),
    object,
    NoActor,
    Actor,
    GenServer,
    int,
    PID,
    PID(),
    Ref(),
    Registry(),
    Mailbox().pid,
    wrong_arity,
    coroutine_function,
    functools.partial(divmod, 1, 2),
    len,
    Curious(),
    ValueError("an error"),
    BaseException,
    sys,
    asyncio,
    ...,
    NotImplemented,
)


class Piece:
    """A piece of junk in a box, as some of it does not even let itself be drawn."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return describe(self.value)


def pieces(values: Sequence[Any]) -> st.SearchStrategy[Piece]:
    """Draw one of these values, in a box."""
    return st.sampled_from([Piece(value) for value in values])


junk: st.SearchStrategy[Any] = st.one_of(
    pieces(JUNK),
    st.text(),
    st.integers(),
    st.floats(),
    st.binary(),
    st.recursive(st.none() | st.booleans() | st.text(), st.lists, max_leaves=5),
    st.recursive(st.none() | st.just(PID), lambda inner: st.tuples(inner, inner), max_leaves=5),
)


def describe(value: object) -> str:
    """Return what `value` is, also if it does not want to be printed."""
    try:
        return repr(value)[:80]
    except Exception:
        return f"<hostile {type(value).__name__}>"
