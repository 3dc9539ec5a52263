"""The children of a process on asyncio: a task group that some other task has entered.

A task group belongs to the task that enters it, and ends where that one leaves it. The
process itself may be anywhere in its code when it first asks for one; so another task, the
keeper, is made for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context

from anyio import CancelScope, create_task_group

from fauxtp._hosting.turns import create_started_task
from fauxtp._loops.asyncio_loop import AsyncioHome

__all__ = ["ChildTasks"]


class ChildTasks:
    """A task group with a keeper. If it ends by itself, `on_failure` is called."""

    def __init__(self, home: AsyncioHome, name: str, on_failure: Callable[[], object]) -> None:
        self._on_failure: Callable[[], object] | None = on_failure  # until it is to end
        self._over: asyncio.Future[None] = home.loop.create_future()
        # It begins before anybody can cancel it: else it would never do anything, nor clean up.
        # And no task factory may come in between, as what that makes might begin later.
        self._keeper = create_started_task(home, self._look_after(), name, Context(), True)
        self._keeper.add_done_callback(self._gone)

    async def _look_after(self) -> None:
        async with create_task_group() as self.group:
            try:
                await self._over
            except asyncio.CancelledError:
                self._failed()  # now: what is shielded, as a supervisor's children are, lives on
                raise

    def _gone(self, keeper: asyncio.Future[None]) -> None:
        self._failed()

    def _failed(self) -> None:
        """Tell that a child has failed, or that somebody has cancelled the group."""
        on_failure, self._on_failure = self._on_failure, None
        if on_failure is not None:
            on_failure()

    async def end(self, error: BaseException | None) -> BaseException | None:
        """Return when all children have ended, with what to raise after `error`."""
        self._on_failure = None  # nor does a group that ends, and knows itself, know the process
        self.group.cancel_scope.cancel()
        if not self._over.done():
            self._over.set_result(None)
        with CancelScope(shield=True):
            while not self._keeper.done():
                try:
                    await asyncio.wait((self._keeper,))
                except asyncio.CancelledError as interruption:
                    error = error or interruption
        failure = None if self._keeper.cancelled() else self._keeper.exception()
        return error if failure is None else _together(failure, error)


def _together(failure: BaseException, error: BaseException | None) -> BaseException:
    """Return the failure of the children, with `error` of the process if it is one."""
    if error is None or isinstance(error, asyncio.CancelledError):
        return failure
    errors = failure.exceptions if isinstance(failure, BaseExceptionGroup) else (failure,)
    return BaseExceptionGroup("unhandled errors in a process", (*errors, error))
