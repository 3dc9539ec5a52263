"""What ends with a process on asyncio: its own code, in a cancel scope, and its children.

The scope is entered when the process's own code is about to run and may wait, and left
again after `init` if there is nothing to do yet: it takes a quarter of the memory of an idle
server. One whose handlers cannot wait is never in it. The children get a task group when the
process first asks for it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Self

from anyio import CancelScope, create_task_group
from anyio.abc import TaskGroup

from fauxtp._base.exit_reason import CANCELLED
from fauxtp._core.phase import RUNNING, STARTING, STOPPING
from fauxtp._core.process import Process
from fauxtp._hosting.asyncio_children import ChildTasks
from fauxtp._hosting.end_causes import is_closed
from fauxtp._hosting.turns import Idle, give_turn, has_pending_cancel, may_run_others
from fauxtp._loops.asyncio_internals import current_task, running_loop, set_current_task
from fauxtp._loops.asyncio_loop import AsyncioHome, AsyncioWaiter
from fauxtp._loops.current import turn

__all__ = ["AsyncioScope", "Handle"]


class AsyncioScope:
    """The `fauxtp._core.protocols.ProcessScope` of a process on asyncio."""

    __slots__ = ("_cancel_scope", "_children", "_leave_keeper", "_process", "is_ready")

    idle = Idle  # as a class it is no method, and called at once

    def __init__(self, process: Process, leave_keeper: Callable[[Process], object]) -> None:
        self._process = process
        self._leave_keeper = leave_keeper
        self._cancel_scope: CancelScope | None = None
        self._children: ChildTasks | None = None
        self.is_ready = False

    @property
    def children(self) -> TaskGroup:
        if self._children is None:
            if self._process.phase is STOPPING:
                return create_task_group()  # one in which nothing can be started, as ended ones
            self._enter_from_outside()
            process = self._process
            home: AsyncioHome = process.home  # type: ignore[assignment]
            self._children = ChildTasks(home, f"children of {process.pid!r}", self.cancel)
        elif self._children.group.cancel_scope.cancel_called:
            return self._ended_group()
        return self._children.group

    @property
    def has_children(self) -> bool:
        return self._children is not None

    def _ended_group(self) -> TaskGroup:
        """Return a group in which nothing can be started, as the children have been cancelled.

        The process, which is to end with them, but does not know yet, is cancelled here. What
        is started in a group that just ends might be cancelled by nobody.
        """
        process = self._process
        own = current_task(asyncio.get_running_loop()) is process.task
        if own and process.phase is not STOPPING:
            raise asyncio.CancelledError("the children of this process have been cancelled")
        return create_task_group()

    @property
    def own_scope(self) -> CancelScope:
        return Handle(self._process)

    @property
    def entered(self) -> bool:
        return self._cancel_scope is not None

    def enter(self) -> None:
        """Enter the scope, as the task of the process."""
        if self._cancel_scope is None:
            self._cancel_scope = scope = _new_scope()
            try:
                scope.__enter__()
            except BaseException:
                self._cancel_scope = None
                raise
            self.is_ready = True
            if self._process.exit_request is not None:
                scope.cancel()

    def prepare(self) -> None:
        if self._process.actor._fauxtp_may_wait:
            self.enter()
        self.is_ready = True

    def _enter_from_outside(self) -> None:
        mine = current_task(asyncio.get_running_loop())
        if mine is None:
            raise RuntimeError("only a task can have children started")
        # `init`, or a handler that cannot wait, may be in a scope of its own, which ends before
        # this one; so it is entered when that is over, if it is needed: see `leave`, `cancel`.
        if self._process.phase is not STARTING and self._process.handling is None:
            self._enter_as(mine)

    def _enter_as(self, mine: asyncio.Task[object] | None) -> None:
        """Enter the scope as the task of the process, where `mine` runs."""
        loop = asyncio.get_running_loop()
        set_current_task(loop, self._process.task)
        try:
            self.enter()
        finally:
            set_current_task(loop, mine)

    def leave(self) -> None:
        """Leave the scope, as the task of the process, if that can be done."""
        if self._children is not None:
            self.enter()  # as the end of its children may be its own
            return
        if (
            self._process.step is None
            or self._cancel_scope is None
            or self._cancel_scope.cancel_called
        ):
            return
        try:
            self._cancel_scope.__exit__(None, None, None)
        except RuntimeError:
            return  # `init` has entered another, which it has not left
        self._cancel_scope, self.is_ready = None, False

    def cancel(self) -> None:
        process = self._process
        loop = asyncio.get_running_loop()
        mine = current_task(loop)
        if self._cancel_scope is None and process.phase is RUNNING:
            if process.handling is not None:
                loop.call_soon(self._interrupt)
            elif self._children is not None:
                self._enter_as(mine)
            else:  # who steps it may be between two lines, just before a handler or after it
                process.mailbox.wake_receivers()
        if self._cancel_scope is not None and not self._cancel_scope.cancel_called:
            if mine is None or mine is process.task:
                self._cancel_scope.cancel()
            else:  # as nobody: it takes long to write down who it was
                set_current_task(loop, None)
                try:
                    self._cancel_scope.cancel()
                finally:
                    set_current_task(loop, mine)
        if self._children is not None:
            self._children.group.cancel_scope.cancel()
        home: AsyncioHome = process.home  # type: ignore[assignment]
        home.poke()

    def _interrupt(self) -> None:
        """End a process that was to end while it ran a handler which cannot wait."""
        process = self._process
        if process.phase is not RUNNING:
            return
        if self._cancel_scope is not None or process.handling is None:
            self.cancel()
        else:  # it can, as it is another than when the process was prepared
            process.task.cancel()

    def put_off(self, error: BaseException) -> bool:
        process = self._process
        if not process.interrupted or not isinstance(error, asyncio.CancelledError):
            return False
        if process.handed_over is not None and not process.handed_over.is_over:
            return False  # the handler still waits
        process.task.cancel(*error.args[:1])
        process.task.uncancel()  # it was counted before
        return True

    def run_last_turn(self) -> bool:
        home: AsyncioHome = self._process.home  # type: ignore[assignment]
        if self._process.handling is not None:
            return False  # its task sleeps, but somebody runs in its context: it is stepped
        if running_loop() is not home.loop or not may_run_others(home):
            return False
        for waiter in self._process.mailbox.waiting:
            turn = waiter.take_turn() if isinstance(waiter, AsyncioWaiter) else None
            if turn is None:
                continue
            try:
                give_turn(home, turn)
            except BaseException:
                waiter.plan_again()
                raise
        return has_pending_cancel(home)

    def detach(self) -> None:
        self._leave_keeper(self._process)

    def open(self) -> Awaitable[object] | None:
        home: AsyncioHome = self._process.home  # type: ignore[assignment]
        # A task factory may let tasks begin where they are made, and this one is to begin later.
        return self._begin_later() if home.making is self._process else None

    async def _begin_later(self) -> None:
        await turn()
        if self._process.exit_request is not None:
            raise asyncio.CancelledError("this process was to end before it began")

    def close(self) -> Awaitable[object] | None:
        if self._children is None and self._cancel_scope is None:
            return None
        return self.close_after(None)

    async def close_after(self, error: BaseException | None) -> bool:
        if error is not None and is_closed(self._process, error):
            return False
        after = error
        if self._children is not None:
            self.enter()  # before it waits for them, if nobody has before
            after = await self._children.end(error)
        if self._cancel_scope is not None:
            kind = None if after is None else type(after)
            traceback = None if error is None else error.__traceback__
            if self._cancel_scope.__exit__(kind, after, traceback):
                return True
        if after is not None and after is not error:
            raise after
        return False


_scopes: type[CancelScope] | None = None


def _new_scope() -> CancelScope:
    """Return what `CancelScope()` would, which each time finds out first on which loop it runs."""
    global _scopes
    if _scopes is None:
        _scopes = type(CancelScope())
    return _scopes()


class Handle(CancelScope):
    """What a process is ended with by whoever has its handle."""

    def __new__(cls, process: Process) -> Self:
        return object.__new__(cls)

    def __init__(self, process: Process) -> None:
        self._process = process
        self._called = False
        self._deadline = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        raise RuntimeError("this scope is that of a process, which is in it already")

    def cancel(self, reason: str | None = None) -> None:
        self._called = True
        self._process.request_exit(CANCELLED)

    @property
    def cancel_called(self) -> bool:
        return self._called

    @property
    def cancelled_caught(self) -> bool:
        return self._called and self._process.reason is CANCELLED

    @property
    def shield(self) -> bool:
        return False

    @shield.setter
    def shield(self, value: bool) -> None:
        if value:
            raise RuntimeError("a process cannot be shielded from outside")

    @property
    def deadline(self) -> float:
        return self._deadline

    @deadline.setter
    def deadline(self, value: float) -> None:
        value = float(value)
        if math.isnan(value):
            raise ValueError("expected deadline to be a time, got nan")
        self._deadline = value
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if value != math.inf:
            self._timer = asyncio.get_running_loop().call_at(value, self.cancel)
