"""Whether asyncio and anyio do here what fauxtp uses of them without a promise of theirs.

That is tried where a process first starts in an event loop of asyncio. If one does not do what
it is used for, fauxtp does without, as its row says: the same things happen, only slower.
"""

from __future__ import annotations

import asyncio
import platform
from asyncio import Task
from contextvars import Context
from typing import Any

from fauxtp._base.logs import logger
from fauxtp._loops.asyncio_internals import (
    INTERNALS,
    current_task,
    forget_scopes,
    set_current_task,
)
from fauxtp._loops.internals import ASK, NO_STEPS, PLAIN, Internal, Trial

__all__ = ["broken", "examine", "failures", "gives_turns", "insist_on_steps"]

_broken: tuple[Internal, ...] | None = None  # not known before there is a loop
_untold = [True]


def examine(loop: asyncio.AbstractEventLoop) -> None:
    """Try them in `loop`, which runs here, if that has not been done yet."""
    global _broken
    if _broken is not None:
        return
    _broken = found = tuple(failures(loop))
    if any(row.otherwise == ASK for row in found):
        forget_scopes()
    if found:
        try:
            _untold.pop()
        except IndexError:
            return  # another thread tells of it
        _tell(found)


def broken() -> tuple[Internal, ...]:
    """Return those that do not do here what they are used for, as far as is known."""
    return _broken or ()


def gives_turns() -> bool:
    """Return whether calls can be handled on the spot, and tasks given turns by others."""
    return not any(row.otherwise == PLAIN for row in broken())


def failures(loop: asyncio.AbstractEventLoop) -> list[Internal]:
    """Return those that do not work, but for what only loops need that are stepped."""
    trial = _trial(loop)
    rows = [row for row in INTERNALS if row.is_here and row.otherwise != NO_STEPS]
    found = [row for row in rows if row.owner == "asyncio.tasks" and not row.does_work(trial)]
    if found:
        return found  # who cannot run as another task has no use for the rest
    mine = current_task(loop)
    set_current_task(loop, trial.task)
    try:
        return [row for row in rows if row.owner != "asyncio.tasks" and not row.does_work(trial)]
    finally:
        set_current_task(loop, mine)


class _Nowhere:
    """In place of a loop: a task that is made for it never begins, and nobody misses it."""

    def call_soon(self, *_: Any, **__: Any) -> None:
        """Do nothing: who comes here has not seen what shadows it."""

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: object) -> None:
        """Say nothing of a task that is dropped before it has begun."""


async def _nothing() -> None:
    pass


def _trial(loop: asyncio.AbstractEventLoop) -> Trial:
    asked: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    nowhere: Any = _Nowhere()
    nowhere.call_soon = lambda *arguments, **options: asked.append((arguments, options))
    work = _nothing()
    name = "to try what asyncio does"  # without one, it would take a number
    task = Task(work, loop=nowhere, name=name, context=Context())
    work.close()
    return Trial(loop, task, asked)


def _tell(found: tuple[Internal, ...]) -> None:
    from importlib.metadata import version  # noqa: PLC0415  # seldom needed

    logger().warning(
        "fauxtp does without what is not as it knows it from other versions (here: CPython %s,"
        " anyio %s): %s",
        platform.python_version(),
        version("anyio"),
        "; ".join(f"{row}: {row.otherwise}" for row in found),
    )


_steps_work = False


def insist_on_steps() -> None:
    """Raise `RuntimeError` if a `SteppedLoop` does not work here; it is tried the first time."""
    global _steps_work
    if _steps_work:
        return
    for row in INTERNALS:
        if row.otherwise == NO_STEPS and not row.does_work():
            raise RuntimeError(f"{row} is not as fauxtp knows it from {row.known}")
    _steps_work = True
