"""Arguments: how a call says that it was given the wrong thing."""

from __future__ import annotations

import math
from types import CoroutineType
from typing import Any

from fauxtp._base.texts import type_name

__all__ = [
    "expect_callable",
    "expect_seconds",
    "expect_some_text",
    "expect_text",
    "kind_of",
    "no_function",
    "unexpected",
]


def kind_of(came: object) -> str:
    """Return what kind of thing came where another was expected.

    A coroutine that has not begun is closed, as it is of no use: else it warns, too, that nobody
    has awaited it, wherever it is collected.

    >>> kind_of(5), kind_of(int), kind_of((1, 2, 3))
    ('int', 'the class int', 'a tuple of 3')
    """
    if isinstance(came, type):
        return f"the class {type_name(came)}"
    if type(came) is tuple:
        return f"a tuple of {len(came)}"
    if type(came) is CoroutineType:
        _close(came)
        return "coroutine: is an await missing?"
    return type(came).__name__


def _close(coroutine: CoroutineType[Any, Any, Any]) -> None:
    if not (coroutine.cr_running or coroutine.cr_suspended):
        coroutine.close()  # which runs nothing of it


def no_function(parameter: str, expected: str, came: object) -> TypeError:
    """Return the error that says that a function was expected, and what came.

    >>> no_function("callback", "a function", 5)
    TypeError('expected callback to be a function, got int')
    """
    if type(came) is not CoroutineType:
        return unexpected(parameter, expected, came)
    _close(came)
    hint = "got coroutine: give the function and its arguments, and do not call it"
    return TypeError(f"expected {parameter} to be {expected}, {hint}")


def unexpected(parameter: str, expected: str, came: object) -> TypeError:
    """Return the error that says what was expected and what came.

    >>> unexpected("spec", "a ChildSpec", 5)
    TypeError('expected spec to be a ChildSpec, got int')
    """
    return TypeError(f"expected {parameter} to be {expected}, got {kind_of(came)}")


def expect_callable(parameter: str, came: object) -> None:
    """Raise `TypeError` unless `came` can be called."""
    if callable(came):
        return
    raise no_function(parameter, "callable", came)


def expect_text(parameter: str, came: object) -> str:
    """Return the plain str that `came` stands for, or raise `TypeError`."""
    if not isinstance(came, str):
        raise unexpected(parameter, "a str", came)
    return str.__str__(came)


def expect_some_text(parameter: str, came: object) -> str:
    """Return the plain str that `came` stands for; raise `ValueError`, too, if it is empty."""
    text = expect_text(parameter, came)
    if not text:
        raise ValueError(f"expected {parameter} to have at least one character, got ''")
    return text


def expect_seconds(parameter: str, came: object) -> float:
    """Return the plain float that `came` stands for, as a time from now.

    Raises `TypeError` if it is no number, and `ValueError` if it is negative or not finite.

    >>> expect_seconds("seconds", 2)
    2.0
    """
    if type(came) is float:
        value = came
    elif isinstance(came, float):
        value = float.__float__(came)
    elif isinstance(came, int) and not isinstance(came, bool):
        try:
            value = int.__float__(came)
        except OverflowError:
            value = math.inf if int.__gt__(came, 0) else -math.inf
    else:
        raise unexpected(parameter, "a number", came)
    if 0 <= value < math.inf:
        return value
    raise ValueError(f"expected {parameter} to be finite and at least 0, got {value:g}")
