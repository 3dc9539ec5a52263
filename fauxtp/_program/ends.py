"""Ends of an application: what they are, beside what the task group around it makes of them."""

from __future__ import annotations

from typing import Final

from fauxtp._base.exit_reason import ExitReason

__all__ = ["SHUTDOWN", "bare"]

SHUTDOWN: Final = ExitReason("shutdown")


def bare(error: BaseException) -> BaseException:
    """Return what a task group has wrapped, if it is one error.

    >>> bare(ExceptionGroup("of a task group", [ValueError("wrong")]))
    ValueError('wrong')
    """
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
