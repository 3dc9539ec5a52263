"""Hosting on asyncio, where a task that anyio starts costs four times as much as a plain one.

So a task group gets one task more, its host, which looks after the plain tasks of all
processes in the group: when the group is cancelled, it ends them; as long as they live, the
group does not end; and what one of them raises, the host raises in the group.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from functools import partial

from anyio import CancelScope
from anyio.abc import TaskGroup

from fauxtp._base.exit_reason import CANCELLED
from fauxtp._core.phase import DEAD
from fauxtp._core.ports import Life
from fauxtp._core.process import Process
from fauxtp._hosting.asyncio_plain import PlainFamily
from fauxtp._hosting.asyncio_scope import AsyncioFamily
from fauxtp._hosting.direct import step
from fauxtp._hosting.turns import begun_task, can_give_turns, is_to_be_cancelled
from fauxtp._loops.asyncio_examination import gives_turns
from fauxtp._loops.asyncio_loop import AsyncioHome
from fauxtp._loops.asyncio_tasks import new_task
from fauxtp._loops.task_groups import refuse_foreign

__all__ = ["host_of"]


def _clean_context() -> Context:
    """Return the context in which processes begin: which library runs is all that it tells."""
    context = Context()
    try:
        from sniffio import current_async_library_cvar  # noqa: PLC0415
    except ImportError:  # then nobody asks for it either
        return context
    context.run(current_async_library_cvar.set, "asyncio")
    return context


_clean = _clean_context()


def host_of(task_group: TaskGroup, home: AsyncioHome) -> _Host:
    """Return the host of the processes in `task_group`."""
    host = home.hosts.get(task_group)
    if host is None:
        refuse_foreign(task_group, home.loop)
        host = _Host(task_group, home)
        start = partial(task_group.start_soon, host.look_after_them, name="the host of processes")
        _clean.copy().run(start)  # or it would keep alive what the first starter has there
        home.hosts[task_group] = host
        home.let_tell()
    return host


class _Host:
    __slots__ = (
        "_changed",
        "_ending",
        "_failures",
        "_family",
        "_forget",
        "_gives_turns",
        "_group",
        "_guests",
        "_home",
        "_left",
    )

    def __init__(self, group: TaskGroup, home: AsyncioHome) -> None:
        self._group = group
        self._home = home
        self._guests: dict[asyncio.Future[None], Process] = {}
        self._failures: list[BaseException] = []
        self._changed: asyncio.Future[None] | None = None
        self._ending = False
        self._gives_turns = gives_turns()  # or else can do nothing but what is promised
        self._family: Callable[[Process, Callable[[Process], object]], AsyncioFamily | PlainFamily]
        self._family = AsyncioFamily if self._gives_turns else PlainFamily
        self._forget, self._left = self._gone, self._leave  # one bound method for all the tasks

    def take_in(self, process: Process, live: Life, can_step: bool, name: str) -> bool:
        process.context = context = _clean.copy()
        process.family = self._family(process, self._left)
        begins = False
        if self._gives_turns:
            if can_step:
                process.step = step
            # Not before the host waits: it could be cancelled still before it looks after anybody.
            begins = self._changed is not None and not self._ending and can_give_turns(self._home)
        if begins:
            task = begun_task(self._home, live(True), name, context)
        else:
            self._home.making = process
            try:
                task = new_task(self._home.loop, live(False), name, context)
            finally:
                self._home.making = None
        self._guests[task] = process
        if task.done():  # its `init` has failed
            self._gone(task)
        else:
            task.add_done_callback(self._forget, context=context)  # or it had a copy of its own
            if self._ending:
                process.request_exit(CANCELLED)
        return begins and is_to_be_cancelled(self._home)

    def _leave(self, process: Process) -> None:
        """Forget the task that runs, and is about to end well: it need not be told of it."""
        task = process.task
        if self._guests.pop(task, None) is not None:
            task.remove_done_callback(self._forget)
            if not self._guests:
                self._tell()

    def _tell(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    def _gone(self, task: asyncio.Future[None]) -> None:
        process = self._guests.pop(task)
        if process.phase is not DEAD:
            process.bury(CANCELLED)  # the event loop itself has cancelled it before it began
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            self._failures.append(failure)
        if failure is not None or not self._guests:
            self._tell()

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
            del self._home.hosts[self._group]
            if not self._guests:  # as there may be, if the event loop is gone
                del self._forget, self._left  # which know this, and nobody needs any more
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
                try:
                    await self._change()
                except asyncio.CancelledError:
                    pass  # by the event loop itself: the group must not end before its guests

    async def _change(self) -> None:
        self._changed = self._home.loop.create_future()
        await self._changed
