"""Task factories as tools install them: each wraps the coroutines of all tasks in its own way."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from types import coroutine
from typing import Any

Work = Coroutine[Any, Any, Any]
Factory = Callable[..., asyncio.Future[Any]]


async def awaiting(work: Work) -> Any:
    return await work


async def awaiting_later(work: Work) -> Any:
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        pass  # later: what has not begun could not clean up
    return await work


@coroutine
def relaying(work: Work) -> Generator[Any, Any, Any]:
    return (yield from work)  # as coroutines that are generators may


@coroutine
def stepping(work: Work) -> Generator[Any, Any, Any]:
    """Take each step itself, and hand on what comes of it."""
    value, error = None, None
    while True:
        try:
            yielded = work.send(value) if error is None else work.throw(error)
        except StopIteration as end:
            return end.value
        value, error = None, None
        try:
            value = yield yielded
        except BaseException as came:
            error = came


class Bare(Coroutine[Any, Any, Any]):
    """A coroutine that is none of the interpreter's, and has nothing but what it must."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def send(self, value: Any) -> Any:
        return self._work.send(value)

    def throw(self, *error: Any) -> Any:
        return self._work.throw(*error)

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._work.__await__()


class Proxy(Bare):
    """One that shows all that the coroutine in it has."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)


class TracedTask(asyncio.Task[Any]):
    """A task of somebody else's kind, with attributes of its own."""

    def __init__(self, work: Work, **options: Any) -> None:
        super().__init__(work, **options)
        self.work = work


def by(wrap: Callable[[Work], Any], kind: type[asyncio.Task[Any]] = asyncio.Task) -> Factory:
    def factory(loop: Any, work: Work, **options: Any) -> asyncio.Future[Any]:
        return kind(wrap(work), loop=loop, **options)

    return factory


def through_await(work: Work) -> Work:
    """Wrap what has only `__await__`, as `await` takes it."""

    class Awaitable:
        def __await__(self) -> Generator[Any, Any, Any]:
            return work.__await__()

    return awaiting(Awaitable())  # type: ignore[arg-type]


def of_another_context(loop: Any, work: Work, **options: Any) -> asyncio.Future[Any]:
    return asyncio.Task(work, loop=loop, **{**options, "context": copy_context()})


def without_context(loop: Any, work: Work) -> asyncio.Future[Any]:
    return asyncio.Task(work, loop=loop)


def in_another_task(loop: Any, work: Work, **options: Any) -> asyncio.Future[Any]:
    inner = asyncio.Task(work, loop=loop)
    return asyncio.Task(passing_on(inner), loop=loop, **options)


async def passing_on(inner: asyncio.Task[Any]) -> Any:
    while True:
        try:
            return await asyncio.shield(inner)
        except asyncio.CancelledError:
            if inner.done():
                raise
            inner.cancel()


def with_tasks_of_its_own(loop: Any, work: Work, **options: Any) -> asyncio.Future[Any]:
    """Make another task each time, before and after the one that is asked for."""
    asyncio.Task(asyncio.sleep(0), loop=loop)
    task = asyncio.Task(awaiting(work), loop=loop, **options)
    asyncio.Task(asyncio.sleep(0), loop=loop)
    return task


FACTORIES: dict[str, Factory | None] = {
    "none": None,
    "async def": by(awaiting),
    "async def that waits first": by(awaiting_later),
    "generator": by(lambda work: awaiting(relaying(work))),
    "generator that takes the steps": by(lambda work: awaiting(stepping(work))),
    "class with __await__": by(through_await),
    "class of coroutines": by(Proxy),
    "bare class of coroutines": by(Bare),
    "class of coroutines, twice": by(lambda work: Proxy(awaiting(Proxy(work)))),
    "class of tasks": by(lambda work: work, TracedTask),
    "class of tasks and async def": by(awaiting, TracedTask),
    "another context": of_another_context,
    "no context": without_context,
    "another task": in_another_task,
    "more tasks": with_tasks_of_its_own,
}
if sys.version_info >= (3, 12):
    FACTORIES["eager"] = asyncio.eager_task_factory
    # Not one that wraps: anyio cannot tell that it is eager, and its own task groups fail.
    FACTORIES["eager class of tasks"] = asyncio.create_eager_task_factory(TracedTask)
