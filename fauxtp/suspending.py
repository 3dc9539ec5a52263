"""Whether a coroutine function can suspend at all, as its code tells."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from inspect import CO_COROUTINE
from opcode import opmap
from types import FunctionType, MethodType
from typing import Any

__all__ = ["may_suspend"]

_SEND = opmap.get("SEND")  # to what is awaited, of whichever kind


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
        return _may_method(function.__func__)
    return _may(function)


def _may(function: Callable[..., Any]) -> bool:
    if type(function) is not FunctionType or _SEND is None:
        return True
    code = function.__code__
    return not code.co_flags & CO_COROUTINE or _SEND in code.co_code[::2]


_may_method = lru_cache(maxsize=512)(_may)  # those of classes are few, and live long
