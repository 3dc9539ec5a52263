"""The children of a process on asyncio: a task group that some other task has entered.

A task group belongs to the task that enters it, and ends where that one leaves it. The
process itself may be anywhere in its code when it first asks for one; so another task, the
nurse, is made for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context

from anyio import CancelScope, create_task_group

from fauxtp._hosting.turns import begun_task
from fauxtp._loops.asyncio_loop import AsyncioHome

__all__ = ["Nursery"]


class Nursery:
    """A task group with a nurse. If it ends by itself, `on_failure` is called."""

    def __init__(self, home: AsyncioHome, name: str, on_failure: Callable[[], object]) -> None:
        self._on_failure: Callable[[], object] | None = on_failure  # until it is to end
        self._over: asyncio.Future[None] = home.loop.create_future()
        # It begins before anybody can cancel it: else it would never do anything, nor clean up.
        # And no task factory may come in between, as what that makes might begin later.
        self._nurse = begun_task(home, self._look_after(), name, Context(), True)
        self._nurse.add_done_callback(self._gone)

    async def _look_after(self) -> None:
        async with create_task_group() as self.group:
            await self._over

    def _gone(self, nurse: asyncio.Future[None]) -> None:
        if self._on_failure is not None:  # a child has failed, or somebody has cancelled the group
            self._on_failure()

    async def end(self, error: BaseException | None) -> BaseException | None:
        """Return when all children have ended, with what to raise after `error`."""
        self._on_failure = None  # nor does a group that ends, and knows itself, know the process
        self.group.cancel_scope.cancel()
        if not self._over.done():
            self._over.set_result(None)
        with CancelScope(shield=True):
            while not self._nurse.done():
                try:
                    await asyncio.wait((self._nurse,))
                except asyncio.CancelledError as interruption:
                    error = error or interruption
        failure = None if self._nurse.cancelled() else self._nurse.exception()
        return error if failure is None else _together(failure, error)


def _together(failure: BaseException, error: BaseException | None) -> BaseException:
    """Return the failure of the children, with `error` of the process if it is one."""
    if error is None or isinstance(error, asyncio.CancelledError):
        return failure
    errors = failure.exceptions if isinstance(failure, BaseExceptionGroup) else (failure,)
    return BaseExceptionGroup("unhandled errors in a process", (*errors, error))
