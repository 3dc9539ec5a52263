"""Hosting: how the tasks of processes run, and end, with the task group of their starter.

On trio, a process is a task of that group, with a task group of its own for its children. On
asyncio, see `fauxtp.hosting_asyncio`, the same is had for a fraction of the time and memory.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol

from anyio import CancelScope, create_task_group, current_effective_deadline
from anyio.abc import TaskGroup

from fauxtp.task_groups import refuse_foreign

if TYPE_CHECKING:
    from fauxtp.process import Process
    from fauxtp.waiting import Waiter

__all__ = ["Family", "Life", "is_cancelled_by_loop", "is_closed", "is_stray", "run_in"]

Life = Callable[[bool], Coroutine[Any, Any, None]]
"""What a process does, told whether it begins in a turn of somebody else's."""


class Family(Protocol):
    """What ends with a process: its own `init` and `run`, and the tasks of its children."""

    @property
    def children(self) -> TaskGroup:
        """The task group of the children."""
        ...

    @property
    def scope(self) -> CancelScope:
        """What ends the process for those who have a handle of it."""
        ...

    @property
    def entered(self) -> bool:
        """Whether `cancel` reaches the process's own code."""
        ...

    def enter(self) -> None:
        """Prepare for the process's own code to run."""
        ...

    def leave(self) -> None:
        """Prepare for what comes after `init`: to be idle, perhaps for all its life."""
        ...

    def cancel(self) -> None:
        """End `init`, `run` and the children."""
        ...

    def put_off(self, error: BaseException) -> bool:
        """Let it come again where the process waits next; return False if that is not needed.

        It is if a cancellation has come while others ran as the process: see handoff.py.
        """
        ...

    def hurry(self) -> bool:
        """Let the process, which was asked to end, do so now, if it can be done.

        Return whether the running task, which might not wait any more, should wait for a turn:
        see `fauxtp.turns_asyncio.is_to_be_cancelled`.
        """
        ...

    def idle(self, waiter: Any, /) -> Awaitable[object]:
        """Wait for `waiter`, which wakes the server when there is something to do."""
        ...

    def over(self) -> None:
        """Note that the life of the process ends here, without an error."""
        ...

    def open(self) -> Awaitable[object] | None:
        """Begin, as the task of the process; return what has to be awaited, if anything has."""
        ...

    def close(self) -> Awaitable[object] | None:
        """Do as `close_after` without an error, which has to be awaited if this is not None."""
        ...

    async def close_after(self, error: BaseException | None) -> bool:
        """Wait for the end of the children, after `error` if that has ended the process.

        Raise what a task group would raise; return True if nothing has to be.
        """
        ...


_host_of: Callable[[TaskGroup, Any], Any] | None = None


def run_in(
    task_group: TaskGroup, process: Process, live: Life, can_step: bool, registers_as: object
) -> bool:
    """Run `live`, the life of `process`, as a task that ends with `task_group`.

    `can_step` tells whether others may handle calls to it on the spot, `registers_as` under
    which name it is about to be registered. Its context is a clean one: what the starter works
    for is not what the process will work for.

    Return whether the running task should wait for a turn, as `Family.hurry` does.
    """
    global _host_of
    if process.home.is_asyncio:
        if _host_of is None:
            from fauxtp.hosting_asyncio import host_of  # noqa: PLC0415

            _host_of = host_of
        host = _host_of(task_group, process.home)  # type: ignore[arg-type]
        return host.take_in(process, live, can_step, _task_name(process, registers_as))
    running: Any = process.home.running_task()
    refuse_foreign(task_group, getattr(running, "_runner", None))
    process.family = _TrioFamily(process)
    name = _task_name(process, registers_as)
    Context().run(lambda: task_group.start_soon(live, False, name=name))
    return False


def is_closed(process: Process, error: BaseException) -> bool:
    """Return whether the event loop of `process` is gone, so that nothing can be awaited.

    Its own code may raise the same exception: that is an error like any other.
    """
    return isinstance(error, GeneratorExit) and not process.home.runs(process.task)


def is_stray(process: Process) -> bool:
    """Return whether a cancellation was asked for by nobody who may end the process.

    Then its own code has raised it, as it waited for something that was cancelled.
    """
    if process.exit_request is not None or is_cancelled_by_loop(process):
        return False
    return process.home.is_asyncio or current_effective_deadline() != -math.inf


def is_cancelled_by_loop(process: Process) -> bool:
    """Return whether somebody has cancelled the task of `process` itself, as asyncio can."""
    return process.home.is_asyncio and bool(process.task.cancelling())


def _task_name(process: Process, registers_as: object) -> str:
    if type(registers_as) is str:
        return f"{process.kind.__name__} {registers_as!r} {process.pid!r}"
    return f"{process.kind.__name__} {process.pid!r}"


class _TrioFamily:
    __slots__ = ("_group", "_process", "_used")

    def __init__(self, process: Process) -> None:
        self._process = process
        self._group = create_task_group()
        self._used = False

    @property
    def children(self) -> TaskGroup:
        self._used = True
        return self._group

    @property
    def scope(self) -> CancelScope:
        return self._group.cancel_scope

    @property
    def entered(self) -> bool:
        return True

    def enter(self) -> None:
        if self._process.exit_request is not None:
            self.cancel()

    def leave(self) -> None:
        pass

    def cancel(self) -> None:
        if self._group.cancel_scope is not None:  # else it is not entered yet
            self._group.cancel_scope.cancel()

    def put_off(self, error: BaseException) -> bool:
        return False

    def hurry(self) -> bool:
        return False

    def idle(self, waiter: Waiter, /) -> Awaitable[object]:
        return waiter.wait(None)

    def over(self) -> None:
        pass

    def open(self) -> Awaitable[object]:
        return self._group.__aenter__()

    def close(self) -> Awaitable[object]:
        return self.close_after(None)

    async def close_after(self, error: BaseException | None) -> bool:
        if self._used:
            self.cancel()
        if error is None:
            return bool(await self._group.__aexit__(None, None, None))
        return bool(await self._group.__aexit__(type(error), error, error.__traceback__))
