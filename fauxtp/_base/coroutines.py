"""Whether a coroutine function can suspend at all, as its code tells."""

from __future__ import annotations

from collections.abc import Callable
from inspect import CO_COROUTINE
from opcode import opmap
from types import FunctionType, MethodType
from typing import Any
from weakref import ref

__all__ = ["may_suspend"]

_SEND = opmap.get("SEND")  # to what is awaited, of whichever kind

# A WeakKeyDictionary takes twice as long. The reference in the value is the one that is asked
# for next time, and would else be made anew.
_known: dict[ref[FunctionType], tuple[bool, ref[FunctionType]]] = {}


def may_suspend(function: Callable[..., Any]) -> bool:
    """Return False if what `function` returns, being awaited, ends without ever suspending.

    That is so if it is a coroutine function, or a method, without an `await`, an `async for`
    and an `async with`. Nothing is said of any other kind of function.

    >>> async def init():
    ...     return {}
    >>> may_suspend(init)
    False
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
