"""Hosting on asyncio, where a task that anyio starts costs four times as much as a plain one.

So a task group gets one task more, its host, which looks after the plain tasks of all
processes in the group: when the group is cancelled, it ends them; as long as they live, the
group does not end; and what one of them raises, the host raises in the group. And a process
has a task group of its own only from when it first asks for it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from types import TracebackType
from typing import Any, Self

from anyio import CancelScope, create_task_group
from anyio.abc import TaskGroup

from fauxtp.handoff import current_task, set_current_task, step
from fauxtp.process import CANCELLED, Phase, Process

__all__ = ["host_of"]

_hosts: dict[TaskGroup, _Host] = {}


def host_of(task_group: TaskGroup, loop: asyncio.AbstractEventLoop) -> _Host:
    """Return the host of the processes in `task_group`."""
    host = _hosts.get(task_group)
    if host is None:
        host = _Host(task_group, loop)
        task_group.start_soon(host.look_after_them, name="the host of processes")
        _hosts[task_group] = host
    return host


class _Host:
    __slots__ = ("_changed", "_ending", "_failures", "_forget", "_group", "_guests", "_loop")

    def __init__(self, group: TaskGroup, loop: asyncio.AbstractEventLoop) -> None:
        self._group = group
        self._loop = loop
        self._guests: dict[asyncio.Task[None], Process] = {}
        self._failures: list[BaseException] = []
        self._changed: asyncio.Future[None] | None = None
        self._ending = False
        self._forget = self._gone  # one bound method for all the tasks

    def take_in(
        self, process: Process, live: Callable[[], Coroutine[Any, Any, None]], can_step: bool
    ) -> None:
        process.context = context = copy_context()
        process.family = _AsyncioFamily(process)
        if can_step:
            process.step = step
        name = type(process.actor).__name__
        task = self._loop.create_task(live(), name=name, context=context)
        self._guests[task] = process
        task.add_done_callback(self._forget)
        if self._ending:
            process.request_exit(CANCELLED)

    def _gone(self, task: asyncio.Task[None]) -> None:
        process = self._guests.pop(task)
        if process.phase is not Phase.DEAD:
            process.bury(CANCELLED)  # the event loop itself has cancelled it before it began
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            self._failures.append(failure)
        changed = self._changed
        if changed is not None and not changed.done() and (failure or not self._guests):
            changed.set_result(None)

    async def look_after_them(self) -> None:
        try:
            while self._guests and not self._failures:
                await self._change()
        except asyncio.CancelledError:
            await self._end_them()
            if not self._failures:
                raise
        else:
            if self._failures:
                self._group.cancel_scope.cancel()
                await self._end_them()
        finally:
            del _hosts[self._group]
        if len(self._failures) == 1:
            raise self._failures[0]
        if self._failures:
            raise BaseExceptionGroup("processes failed", self._failures)

    async def _end_them(self) -> None:
        self._ending = True
        for process in list(self._guests.values()):
            process.request_exit(CANCELLED)
        with CancelScope(shield=True):
            while self._guests:
                await self._change()

    async def _change(self) -> None:
        self._changed = self._loop.create_future()
        await self._changed


class _AsyncioFamily:
    """The cancel scope of a process, and the task group of its children once it has some.

    The scope is entered when the process's own code is about to run for the first time, and
    left again after `init` if there is nothing to do yet: it takes more memory than the rest
    of an idle server. The group is entered by a task of its own, as the process may be
    anywhere in its code when it asks for it. An error of a child ends the process, as in any
    task group.
    """

    __slots__ = ("_children", "_ending", "_nurse", "_over", "_process", "_scope")

    def __init__(self, process: Process) -> None:
        self._process = process
        self._scope: CancelScope | None = None
        self._children: TaskGroup | None = None
        self._ending = False

    @property
    def scope(self) -> CancelScope:
        return _Handle(self._process)

    def enter(self) -> None:
        """Enter the scope, as the task of the process."""
        if self._scope is None:
            self._scope = scope = CancelScope()
            scope.__enter__()
            if self._process.exit_request is not None:
                scope.cancel()

    def leave(self) -> None:
        """Leave the scope, as the task of the process, if nothing else is within it."""
        if self._scope is None or self._children is not None:
            return
        try:
            self._scope.__exit__(None, None, None)
        except RuntimeError:
            return  # `init` has entered another, which it has not left
        self._scope = None

    @property
    def children(self) -> TaskGroup:
        return self._found() if self._children is None else self._children

    def _found(self) -> TaskGroup:
        loop = asyncio.get_running_loop()
        mine = current_task(loop)
        if mine is None:
            raise RuntimeError("children are started by tasks only")
        if self._scope is None:
            set_current_task(loop, self._process.task)
            self.enter()
            set_current_task(loop, mine)
        self._over: asyncio.Future[None] = loop.create_future()
        work = _Begun(self._look_after())
        self._nurse = nurse = loop.create_task(work, name="children")
        set_current_task(loop, nurse)
        try:
            work.begin()
        finally:
            set_current_task(loop, mine)
        nurse.add_done_callback(self._nurse_gone)
        assert self._children is not None
        return self._children

    async def _look_after(self) -> None:
        async with create_task_group() as self._children:
            await self._over

    def _nurse_gone(self, nurse: asyncio.Task[None]) -> None:
        if not self._ending:  # a child has failed, or somebody has cancelled the group
            self.cancel()

    def cancel(self) -> None:
        if self._scope is not None:
            self._scope.cancel()
        if self._children is not None:
            self._children.cancel_scope.cancel()

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if kind is GeneratorExit:  # the event loop is gone: nothing can be awaited any more
            return False
        after = error
        if self._children is not None:
            interruption = await self._end_children(self._children)
            failure = None if self._nurse.cancelled() else self._nurse.exception()
            if failure is not None:
                after = _together(failure, error)
            elif error is None:
                after = interruption
        kind = None if after is None else type(after)
        if self._scope is not None and self._scope.__exit__(kind, after, traceback):
            return True
        if after is not None and after is not error:
            raise after
        return False

    async def _end_children(self, group: TaskGroup) -> asyncio.CancelledError | None:
        """Return when all children have ended, and how the event loop has disturbed that."""
        interruption = None
        self._ending = True
        group.cancel_scope.cancel()
        if not self._over.done():
            self._over.set_result(None)
        with CancelScope(shield=True):
            while not self._nurse.done():
                try:
                    await asyncio.wait((self._nurse,))
                except asyncio.CancelledError as error:
                    interruption = error
        return interruption


def _together(failure: BaseException, error: BaseException | None) -> BaseException:
    """Return the failure of the children, with `error` of the process if it is one."""
    if error is None or isinstance(error, asyncio.CancelledError):
        return failure
    errors = failure.exceptions if isinstance(failure, BaseExceptionGroup) else (failure,)
    return BaseExceptionGroup("unhandled errors in a process", (*errors, error))


class _Begun(Coroutine[Any, None, None]):
    """A coroutine that begins before its task does.

    One that is cancelled before it has begun would never do anything, not even clean up.
    """

    def __init__(self, coroutine: Coroutine[Any, None, None]) -> None:
        self._coroutine = coroutine
        self._has_begun = False
        self._first: list[Any] = []  # what it waits for, until the task knows

    def begin(self) -> None:
        """Take the first step, as the task; unless that is an eager one, and has done so."""
        if not self._has_begun:
            self._first.append(self.send(None))

    def send(self, value: None) -> Any:
        self._has_begun = True
        return self._first.pop() if self._first else self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        self._first.clear()
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Any:
        return self._coroutine.__await__()


class _Handle(CancelScope):
    """What a process is ended with by whoever has its handle."""

    def __new__(cls, process: Process) -> Self:
        return object.__new__(cls)

    def __init__(self, process: Process) -> None:
        self._process = process
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = math.inf

    def cancel(self, reason: str | None = None) -> None:
        self._process.request_exit(CANCELLED)

    @property
    def cancel_called(self) -> bool:
        return self._process.exit_request is CANCELLED

    @property
    def cancelled_caught(self) -> bool:
        return self._process.phase is Phase.DEAD and self.cancel_called

    @property
    def shield(self) -> bool:
        return False

    @shield.setter
    def shield(self, value: bool) -> None:
        raise NotImplementedError("a process cannot be shielded from outside")

    @property
    def deadline(self) -> float:
        return self._deadline

    @deadline.setter
    def deadline(self, value: float) -> None:
        self._deadline = value
        if self._timer is not None:
            self._timer.cancel()
        self._timer = (
            None if value == math.inf else asyncio.get_running_loop().call_at(value, self.cancel)
        )
