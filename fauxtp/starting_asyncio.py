"""Starting on asyncio: the first step of a process is taken by whoever starts it.

A trip through the event loop costs more than most `init`s do. So the starter takes the first
step itself, as the new process's task and in its context, like the caller of an idle server
(see `fauxtp.handoff`). If `init` ends in that step, the process has started. What is left,
be it of `init` or of a life, waits for the task's own turn: the task, which knows nothing of
all this, can begin there or be cancelled there like anywhere else.
"""

from __future__ import annotations

from asyncio import isfuture
from collections.abc import Awaitable, Callable, Coroutine
from types import CoroutineType
from typing import Any, Final

from fauxtp import handoff
from fauxtp.handoff import current_task, drive, set_current_task
from fauxtp.hosting import STARTED, turn
from fauxtp.process import Process
from fauxtp.stack import is_free
from fauxtp.stepping import advance
from fauxtp.waiting_asyncio import AsyncioHome

__all__ = ["can_begin", "first_step", "take_first_step"]

DEPTH: Final = 16  # processes of which each starts the next in its first step
ROUNDS: Final = 64  # starts, of which one waits for the event loop: others have a turn, too


def can_begin(home: AsyncioHome) -> bool:
    """Return whether a process that is started here and now may begin at once."""
    home.starts += 1
    return bool(
        handoff.enabled
        and home.depth < DEPTH
        and home.starts % ROUNDS
        and is_free()
        and current_task(home.loop) is not None
    )


def take_first_step(home: AsyncioHome, process: Process, life: Coroutine[Any, Any, None]) -> None:
    """Begin with `life`, which is to wait for its turn and has a task by now."""
    mine = current_task(home.loop)
    home.depth += 1
    set_current_task(home.loop, process.task)
    try:
        advance(process.context, life)  # type: ignore[arg-type]
    finally:
        set_current_task(home.loop, mine)
        home.depth -= 1


def first_step(process: Process, init: Callable[[], Awaitable[Any]]) -> Any:
    """Take the first step of `init`, and return what is left; or `STARTED`, if that was all."""
    try:
        coroutine = init()
        if type(coroutine) is not CoroutineType:
            return _later(coroutine)
        try:
            first = coroutine.send(None)
        except StopIteration as end:
            process.state = end.value
            return STARTED
    except BaseException as error:
        return _failed(error)
    if isfuture(first):  # others may await it before the process does
        first._asyncio_future_blocking = False
    return _go_on(coroutine, first)


async def _later(init: Awaitable[Any]) -> Any:
    await turn()
    return await init


async def _failed(error: BaseException) -> None:
    try:
        await turn()
    except GeneratorExit:
        raise
    except BaseException:
        pass  # it ends anyway, and why is known
    raise error


async def _go_on(init: Coroutine[Any, Any, Any], first: Any) -> Any:
    interruption: BaseException | None = None
    try:
        await turn()
    except BaseException as error:
        interruption = error
    return await drive(init, first, interruption)
