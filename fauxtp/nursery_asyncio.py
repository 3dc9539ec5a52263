"""The children of a process on asyncio: a task group that some other task has entered.

A task group belongs to the task that enters it, and ends where that one leaves it. The
process itself may be anywhere in its code when it first asks for one; so another task, the
nurse, is made for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from anyio import CancelScope, create_task_group

from fauxtp.tasks_asyncio import current_task, set_current_task

__all__ = ["Nursery"]


class Nursery:
    """A task group with a nurse. If it ends by itself, `on_failure` is called."""

    def __init__(self, on_failure: Callable[[], object]) -> None:
        loop = asyncio.get_running_loop()
        self._on_failure: Callable[[], object] | None = on_failure  # until it is to end
        self._over: asyncio.Future[None] = loop.create_future()
        work = _Begun(self._look_after())
        self._nurse = loop.create_task(work, name="children")
        mine = current_task(loop)
        assert mine is not None
        set_current_task(loop, self._nurse)
        try:
            work.begin()
        finally:
            set_current_task(loop, mine)
        self._nurse.add_done_callback(self._gone)

    async def _look_after(self) -> None:
        async with create_task_group() as self.group:
            await self._over

    def _gone(self, nurse: asyncio.Task[None]) -> None:
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
