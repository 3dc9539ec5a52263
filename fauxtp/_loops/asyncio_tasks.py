"""How a task is made, whether or not a factory has its say."""

from __future__ import annotations

import asyncio
from asyncio import Task
from collections.abc import Coroutine
from contextvars import Context
from inspect import CORO_CREATED, getcoroutinestate
from typing import Any

__all__ = ["made_by_factory", "new_task"]


def new_task(
    loop: Any, work: Coroutine[Any, Any, None], name: str, context: Context
) -> asyncio.Future[None]:
    """Return what the loop's task factory makes of `work`, or a task if it has none."""
    if loop.get_task_factory() is None:
        return Task(work, loop=loop, name=name, context=context)
    return made_by_factory(loop, work, name, context)


def made_by_factory(
    loop: Any, work: Coroutine[Any, Any, None], name: str, context: Context
) -> asyncio.Future[None]:
    """Return what the loop's task factory makes of `work`.

    It may be one that takes no context, or no name either: what it makes runs in a copy of
    `context`. And what it finds in the context of a starter is nothing to who is started.
    """
    return Context().run(_made, loop, work, name, context)


def _made(
    loop: Any, work: Coroutine[Any, Any, None], name: str, context: Context
) -> asyncio.Future[None]:
    task: asyncio.Future[None]
    try:
        task = loop.create_task(work, name=name, context=context)
    except TypeError:
        if getcoroutinestate(work) != CORO_CREATED:
            raise
        try:
            task = context.run(loop.create_task, work, name=name)
        except TypeError:
            if getcoroutinestate(work) != CORO_CREATED:
                raise
            task = context.run(loop.create_task, work)
    return task
