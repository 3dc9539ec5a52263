"""Whether a coroutine function can suspend at all, as its code tells, or does anything."""

from __future__ import annotations

from collections.abc import Callable
from inspect import CO_COROUTINE
from opcode import opmap
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import ref

from fauxtp._base.implementation import implementation

__all__ = ["has_effect", "may_suspend", "without_effect"]

F = TypeVar("F", bound=Callable[..., Any])

_SEND = opmap.get("SEND")  # to what is awaited, of whichever kind

# A WeakKeyDictionary takes twice as long. The reference in the value is the one that is asked
# for next time, and would else be made anew.
_known: dict[ref[FunctionType], tuple[bool, ref[FunctionType]]] = {}

_without_effect: set[Callable[..., Any]] = set()


def may_suspend(function: Callable[..., Any]) -> bool:
    """Return False if what `function` returns, being awaited, ends without ever suspending.

    That is so if it is a coroutine function, or a method, without an `await`, an `async for`
    and an `async with`. Nothing is said of any other kind of function.
    """
    if isinstance(function, MethodType):
        function = function.__func__
    if type(function) is not FunctionType or _SEND is None:
        return True
    found = _known.get(ref(function))
    if found is None:
        code = function.__code__
        may = not code.co_flags & CO_COROUTINE or _SEND in code.co_code[::2]
        found = _known[ref(function, _known.pop)] = may, ref(function)
    return found[0]


def without_effect(function: F) -> F:
    """Note that `function` does nothing, so that it need not be called."""
    _without_effect.add(function)
    return function


def has_effect(method: Callable[..., Any]) -> bool:
    """Return False if `method` is one of a function that was said to be `without_effect`.

    >>> class Actor:
    ...     @without_effect
    ...     async def terminate(self): ...
    >>> has_effect(Actor().terminate)
    False
    """
    function = method.__func__ if isinstance(method, MethodType) else method
    return type(function) is not FunctionType or function not in _without_effect


if not TYPE_CHECKING and implementation == "cython":
    from fauxtp._base._native import may_suspend
