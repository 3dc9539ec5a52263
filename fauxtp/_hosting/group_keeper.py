"""Hosting on asyncio, where a task that anyio starts costs three times as much as a plain one.

So a task group gets one task more, its keeper, which looks after the plain tasks of all
processes in the group: when the group is cancelled, it ends them; as long as they live, the
group does not end; and what one of them raises, the keeper raises in the group.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING

from anyio import CancelScope

from fauxtp._base.exit_reason import CANCELLED
from fauxtp._core.death import bury
from fauxtp._core.phase import DEAD
from fauxtp._core.process import Process
from fauxtp._hosting.asyncio_plain import PlainScope
from fauxtp._hosting.asyncio_scope import AsyncioScope
from fauxtp._hosting.direct import step
from fauxtp._hosting.turns import create_started_task, has_pending_cancel, may_run_others
from fauxtp._loops.asyncio_examination import gives_turns
from fauxtp._loops.asyncio_loop import AsyncioHome
from fauxtp._loops.asyncio_tasks import new_task
from fauxtp._loops.current import turn
from fauxtp._loops.task_groups import AnyTaskGroup, refuse_foreign

if TYPE_CHECKING:
    from fauxtp._core.protocols import Life

__all__ = ["keeper_of"]


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


def keeper_of(task_group: AnyTaskGroup, home: AsyncioHome) -> GroupKeeper:
    """Return the keeper of the processes in `task_group`."""
    keeper = home.keepers.get(task_group)
    if keeper is None:
        refuse_foreign(task_group, home.loop)
        keeper = GroupKeeper(task_group, home)
        keeper.start()
        home.keepers[task_group] = keeper
        home.let_tell()
    return keeper


class GroupKeeper:
    __slots__ = (
        "_changed",
        "_ending",
        "_failures",
        "_forget",
        "_gives_turns",
        "_group",
        "_home",
        "_left",
        "_new_scope",
        "_tasks",
    )

    def __init__(self, group: AnyTaskGroup, home: AsyncioHome) -> None:
        self._group = group
        self._home = home
        self._tasks: dict[asyncio.Future[None], Process] = {}
        self._failures: list[BaseException] = []
        self._changed: asyncio.Future[None] | None = None
        self._ending = False
        self._gives_turns = gives_turns()  # or else can do nothing but what is promised
        self._new_scope: Callable[
            [Process, Callable[[Process], object]], AsyncioScope | PlainScope
        ]
        self._new_scope = AsyncioScope if self._gives_turns else PlainScope
        self._forget, self._left = self._gone, self._leave  # one bound method for all the tasks

    def start(self) -> None:
        name, group = "the keeper of processes", self._group
        context = _clean.copy()  # or it would keep alive what the first starter has there
        if not isinstance(group, asyncio.TaskGroup):
            context.run(partial(group.start_soon, self.look_after_them, name=name))
            return
        work = self.look_after_them()
        try:
            group.create_task(work, name=name, context=context)
        except BaseException:
            work.close()
            raise

    def take_in(self, process: Process, live: Life, can_step: bool, name: str) -> bool:
        process.context = context = _clean.copy()
        process.scope = self._new_scope(process, self._left)
        begins = False
        if self._gives_turns:
            if can_step:
                process.step = step
            # Not before the keeper waits: it could be cancelled before it looks after anybody.
            begins = self._changed is not None and not self._ending and may_run_others(self._home)
        if begins:
            task = create_started_task(self._home, live(True), name, context)
        else:
            self._home.making = process
            try:
                task = new_task(self._home.loop, live(False), name, context)
            finally:
                self._home.making = None
        self._tasks[task] = process
        if task.done():  # its `init` has failed
            self._gone(task)
        else:
            task.add_done_callback(self._forget, context=context)  # or it had a copy of its own
            if self._ending:
                process.request_exit(CANCELLED)
        return begins and has_pending_cancel(self._home)

    def _leave(self, process: Process) -> None:
        """Forget the task that runs, and is about to end well: it need not be told of it."""
        task = process.task
        if self._tasks.pop(task, None) is not None:
            task.remove_done_callback(self._forget)
            if not self._tasks:
                self._tell()

    def _tell(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    def _gone(self, task: asyncio.Future[None]) -> None:
        process = self._tasks.pop(task)
        if process.phase is not DEAD:
            bury(process, CANCELLED)  # the event loop itself has cancelled it before it began
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            self._failures.append(failure)
        if failure is not None or not self._tasks:
            self._tell()

    async def look_after_them(self) -> None:
        try:
            if not self._tasks:
                await turn()  # a task factory has let it begin where it was made
            while self._tasks and not self._failures:
                await self._change()
        except asyncio.CancelledError:
            await self._end_them()
            if not self._failures:
                raise
        else:
            if self._failures:
                scope = getattr(self._group, "cancel_scope", None)
                if scope is not None:  # else it is asyncio's own, and cancelled by what is raised
                    scope.cancel()
                await self._end_them()
        finally:
            self._home.keepers.pop(self._group, None)
            if not self._tasks:  # as there may be, if the event loop is gone
                del self._forget, self._left  # which know this, and nobody needs any more
        if len(self._failures) == 1:
            raise self._failures[0]
        if self._failures:
            raise BaseExceptionGroup("processes failed", self._failures)

    async def _end_them(self) -> None:
        self._ending = True
        for process in list(self._tasks.values()):
            process.request_exit(CANCELLED)
        with CancelScope(shield=True):
            while self._tasks:
                try:
                    await self._change()
                except asyncio.CancelledError:
                    pass  # by the event loop itself: the group must not end before its tasks

    async def _change(self) -> None:
        self._changed = self._home.loop.create_future()
        await self._changed
