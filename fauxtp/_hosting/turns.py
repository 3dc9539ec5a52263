"""Turns on asyncio: whoever waits for what a task does in its next turn gives it one at once.

A trip through the
event loop costs more than most `init`s and `terminate`s do. So who starts a process lets its
task begin there and then; and who waits for the end of a server that sleeps, and was asked to
end, lets its task wake there and then. The task has its turn as the event loop would give it
one, as the current task and in its own context; only sooner.
"""

from __future__ import annotations

import sys
from asyncio import Future, Task, isfuture
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, final

from fauxtp._base import switches
from fauxtp._base.implementation import implementation
from fauxtp._base.stack import is_free
from fauxtp._loops.asyncio_internals import (
    current_task,
    is_in_cancelled_scope,
    must_cancel,
    set_blocking,
    set_current_task,
)
from fauxtp._loops.asyncio_loop import AsyncioHome, AsyncioWaiter
from fauxtp._loops.asyncio_tasks import made_by_factory

__all__ = ["Idle", "create_started_task", "give_turn", "has_pending_cancel", "may_run_others"]

DEPTH: Final = 16  # turns, each given in the one before
TURNS: Final = 64  # of which one is left to the event loop: others have a turn, too

Turn = Callable[[], object]

_eager_task: Callable[..., Task[None]] | None = None
if sys.version_info >= (3, 12):
    _eager_task = partial(Task, eager_start=True)


def may_run_others(home: AsyncioHome, /) -> bool:
    """Return whether the running task may give another its turn, here and now."""
    home.turns = home.turns + 1 if home.turns < TURNS - 1 else 0
    return bool(
        home.turns
        and switches.hand_off
        and home.depth < DEPTH
        and is_free()
        and current_task(home.loop) is not None
    )


def create_started_task(
    home: AsyncioHome,
    work: Coroutine[Any, Any, None],
    name: str,
    context: Context,
    ours: bool = False,
    /,
) -> Future[None]:
    """Return a task that does `work`, and has had its first turn if that can be given.

    It can always, unless the loop has a task factory. That is not asked for a task of `ours`,
    which does nothing of the user's.
    """
    loop: Any = home.loop
    by_factory = not ours and loop.get_task_factory() is not None
    if _eager_task is not None and not by_factory:
        home.depth += 1
        try:
            return _eager_task(work, loop=loop, name=name, context=context)
        finally:
            home.depth -= 1
    first = _FirstTurns(loop)
    # Not by its dict: who asks for that makes each access to its attributes slower for good, as
    # CPython 3.11 and 3.12 keep them without one till then.
    before, inherited = loop.call_soon, type(loop).call_soon.__get__(loop)
    loop.call_soon = first
    home.depth += 1  # as a task factory may let it begin there
    task: Future[None] = None  # type: ignore[assignment]  # until it is made
    try:
        if by_factory:
            task = made_by_factory(loop, work, name, context)
        else:
            task = Task(work, loop=loop, name=name, context=context)
    finally:
        if before == inherited:
            del loop.call_soon
        else:
            loop.call_soon = before
        home.depth -= 1
        turn = first.of(task)
    if turn is not None:  # else it has begun, or begins by itself
        give_turn(home, turn)
    return task


@final
class _FirstTurns:
    """In place of a loop's `call_soon`: keeps the first turns of tasks that are made."""

    __slots__ = ("_call_soon", "_kept", "_loop")

    def __init__(self, loop: Any) -> None:
        self._loop, self._call_soon = loop, loop.call_soon
        self._kept: list[tuple[Turn, Context | None]] = []

    def __call__(self, callback: Turn, *arguments: Any, context: Context | None = None) -> object:
        task = getattr(callback, "__self__", None)
        if not arguments and isfuture(task) and current_task(self._loop) is not task:
            self._kept.append((callback, context))
            return None
        return self._call_soon(callback, *arguments, context=context)

    def of(self, task: Future[None] | None) -> Turn | None:
        """Return the first turn of `task`, if it was kept; leave those of others to the loop.

        Others have made them: a finaliser, a signal handler, a task factory.
        """
        first: Turn | None = None
        for turn, context in self._kept:
            if turn.__self__ is task and context is not None:  # type: ignore[attr-defined]
                first = partial(context.run, turn)
            else:
                self._call_soon(turn, context=context)
        return first


def give_turn(home: AsyncioHome, turn: Turn, /) -> None:
    """Let another task have its turn now: `turn` is what the event loop would call for it."""
    loop = home.loop
    mine = current_task(loop)
    home.depth += 1
    set_current_task(loop, None)
    try:
        turn()
    finally:
        set_current_task(loop, mine)
        home.depth -= 1


@final
class Idle:
    """What a server without messages awaits: `waiter`, and what others wait for in its name.

    They run its handlers as its task, which sleeps. So whoever follows what that task awaits
    comes here, and finds the handler that waits, as if the task awaited it.
    """

    __slots__ = ("_has_yielded", "_waiter")

    def __init__(self, waiter: AsyncioWaiter, /) -> None:
        self._waiter = waiter
        self._has_yielded = False

    def __await__(self) -> Generator[Any, Any, Any]:
        return self  # type: ignore[return-value]  # an iterator is enough

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._has_yielded:
            raise StopIteration
        self._has_yielded = True
        set_blocking(self._waiter, True)
        return self._waiter

    def __getattr__(self, name: str) -> Any:
        return self._waiter.shows(name)


def has_pending_cancel(home: AsyncioHome, /) -> bool:
    """Return whether the running task is to be cancelled where it waits next.

    Who has given a turn, and need not wait any more, should do so then: what had the turn may
    have cancelled a scope of this task's, which would be left before it is noticed.
    """
    task = current_task(home.loop)
    return task is not None and (must_cancel(task) or is_in_cancelled_scope(task))


if not TYPE_CHECKING and implementation == "cython":
    from fauxtp._hosting._direct import (
        Idle,
        create_started_task,
        give_turn,
        has_pending_cancel,
        may_run_others,
    )
