"""Which errors are a plain function's own."""

from __future__ import annotations

import sys

__all__ = ["is_own", "own_errors"]


def own_errors() -> tuple[type[BaseException], ...]:
    """Return the classes of what a plain function raises as errors of its own.

    A cancellation is one: it awaits nothing, so it has asked something that was cancelled. A
    `KeyboardInterrupt` is none.

    >>> try:
    ...     {}["anna"]
    ... except own_errors():
    ...     print("it failed")
    it failed
    """
    asyncio = sys.modules.get("asyncio")  # which is not imported for this
    cancelled = getattr(asyncio, "CancelledError", None)
    return (Exception,) if cancelled is None else (Exception, cancelled)


def is_own(error: BaseException) -> bool:
    """Return whether what a plain function has raised is an error of its own.

    >>> is_own(ValueError()), is_own(KeyboardInterrupt())
    (True, False)
    """
    return isinstance(error, own_errors())
