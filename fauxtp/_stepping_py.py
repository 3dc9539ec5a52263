"""One step of a coroutine in another context: the twin in Python of `fauxtp._stepping`."""

from __future__ import annotations

from collections.abc import Coroutine
from contextvars import Context
from typing import Any, final

__all__ = ["Suspended", "advance"]


@final
class Suspended:
    """In place of a result: the coroutine waits for `on`, what it has yielded."""

    __slots__ = ("_on",)

    def __init__(self, on: object) -> None:
        self._on = on

    @property
    def on(self) -> Any:
        return self._on


def advance(context: Context, coroutine: Coroutine[Any, Any, Any], /) -> Any:
    """Run `coroutine` in `context` until it ends or suspends; return its result or `Suspended`.

    Raises what it raises, and `RuntimeError` if somebody runs in `context` now.
    """
    try:
        return Suspended(context.run(coroutine.send, None))
    except StopIteration as end:
        return end.value
