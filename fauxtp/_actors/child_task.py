"""Tasks of an actor's own, on asyncio: a cancellation that nobody asked for is an error.

A task group of anyio keeps no cancellation, and ends by it as if somebody had ended it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from functools import wraps
from inspect import iscoroutine
from typing import Any

from anyio import current_effective_deadline

__all__ = ["child_task"]

Work = Callable[..., Coroutine[Any, Any, object]]


def child_task(fn: Work, begun: list[Coroutine[Any, Any, object]]) -> Work:
    """Return what does as `fn`, and raises `RuntimeError` if that was cancelled by itself.

    The coroutine that `fn` returns is put into `begun`.
    """

    @wraps(fn)
    def made(*args: Any) -> Any:
        coroutine = fn(*args)
        if not iscoroutine(coroutine):
            return coroutine
        begun.append(coroutine)
        return _done(_Begun(coroutine))

    return made


class _Begun:
    """A coroutine, which is closed if nobody ever awaits it: its task may not come to that."""

    __slots__ = ("coroutine",)

    def __init__(self, coroutine: Coroutine[Any, Any, object]) -> None:
        self.coroutine = coroutine

    def __del__(self) -> None:
        self.coroutine.close()


async def _done(begun: _Begun) -> object:
    try:
        return await begun.coroutine
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if current_effective_deadline() == -math.inf or (task is not None and task.cancelling()):
            raise
        raise RuntimeError("a task of the actor's own was cancelled by itself") from error
