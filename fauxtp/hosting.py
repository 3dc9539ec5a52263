"""Hosting: how the tasks of processes run, and end, with the task group of their starter.

On trio, a process is a task of that group. On asyncio, a task that anyio starts costs three
times the memory and four times the time of a plain one. So there the group gets one task
more, its host, which looks after the plain tasks of all processes in the group: when the
group is cancelled, it ends them; as long as they live, the group does not end; and what one
of them raises, the host raises in the group.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from anyio import CancelScope
from anyio.abc import TaskGroup

from fauxtp.process import CANCELLED, Process
from fauxtp.waiting import running_asyncio_loop

if TYPE_CHECKING:
    import asyncio

__all__ = ["run_in"]

_hosts: WeakKeyDictionary[TaskGroup, _Host] = WeakKeyDictionary()


def run_in(
    task_group: TaskGroup, process: Process, live: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Run `live()`, the life of `process`, as a task that ends with `task_group`."""
    loop = running_asyncio_loop()
    if loop is None:
        task_group.start_soon(live, name=type(process.actor).__name__)
        return
    host = _hosts.get(task_group)
    if host is None:
        host = _Host(task_group, loop)
        task_group.start_soon(host.look_after_them, name="the host of processes")
        _hosts[task_group] = host
    host.take_in(process, live)


class _Host:
    __slots__ = ("_changed", "_ending", "_failures", "_group", "_guests", "_loop")

    def __init__(self, group: TaskGroup, loop: asyncio.AbstractEventLoop) -> None:
        self._group = group
        self._loop = loop
        self._guests: dict[asyncio.Task[None], Process] = {}
        self._failures: list[BaseException] = []
        self._changed: asyncio.Future[None] | None = None
        self._ending = False

    def take_in(self, process: Process, live: Callable[[], Coroutine[Any, Any, None]]) -> None:
        process.context = context = copy_context()
        name = type(process.actor).__name__
        task = self._loop.create_task(live(), name=name, context=context)
        self._guests[task] = process
        task.add_done_callback(self._gone)
        if self._ending:
            process.request_exit(CANCELLED)

    def _gone(self, task: asyncio.Task[None]) -> None:
        del self._guests[task]
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
        except sys.modules["asyncio"].CancelledError:
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
