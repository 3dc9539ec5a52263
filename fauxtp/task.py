"""Task: an async function as a process, with a result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, final

from anyio.abc import TaskGroup

from fauxtp.actor import Actor
from fauxtp.addresses import find_pid
from fauxtp.arguments import expect_callable
from fauxtp.errors import ProcessExited
from fauxtp.life import launch
from fauxtp.messaging import send_nowait
from fauxtp.monitors import wait_exit
from fauxtp.process import ExitReason
from fauxtp.registry import PID
from fauxtp.waiting import give_way

__all__ = ["Task", "TaskEnd", "TaskHandle"]


@final
@dataclass(slots=True, eq=False)  # frozen would take thrice as long to import
class TaskEnd:
    """The message that a task has ended, to the server that spawned it."""

    pid: PID
    status: str
    result: Any


class Task(Actor):
    """A process that runs one async function and ends.

    >>> import anyio
    >>> async def add():
    ...     return 1 + 2
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         task = await Task.spawn(add, task_group)
    ...         print(await task.join())
    >>> anyio.run(main)
    3
    """

    def __init__(
        self,
        func: Callable[[], Awaitable[Any]],
        *,
        notify: Callable[[TaskEnd], object] | None = None,
    ) -> None:
        expect_callable("func", func)
        self._func = func
        self._notify = notify
        self._value: Any = None

    async def run(self, state: Any, /) -> Any:
        self._value = await self._func()
        self.stop()

    async def terminate(self, reason: str, state: Any, /) -> None:
        """Tell the outcome; a failure is told by a text with the error as `.exception`."""
        if self._notify is None:
            return
        assert isinstance(reason, ExitReason)
        if reason.abnormal:
            error = reason.exception
            text = str(reason) if error is None else repr(error)
            outcome = ExitReason(text, exception=error, abnormal=True)
            self._notify(TaskEnd(self.pid, "failure", outcome))
        else:
            self._notify(TaskEnd(self.pid, "success", self._value))

    async def launch(self, task_group: TaskGroup) -> TaskHandle:
        await launch(self, task_group)
        return TaskHandle(self)

    @classmethod
    async def spawn(cls, func: Callable[[], Awaitable[Any]], task_group: TaskGroup) -> TaskHandle:
        """Run `func()` as a process in `task_group`; return the handle to its result."""
        try:
            task = cls(func)
        except Exception:
            await give_way()
            raise
        return await task.launch(task_group)

    @classmethod
    async def spawn_and_notify(
        cls,
        func: Callable[[], Awaitable[Any]],
        task_group: TaskGroup,
        parent_pid: PID | str,
        success_message_name: str = "$$success",
        failure_message_name: str = "$$failure",
    ) -> TaskHandle:
        """Do as `spawn` does; at the end, send a message to `parent_pid`.

        It is `(success_message_name, pid, value)` or `(failure_message_name, pid, reason)`.
        """
        names = {"success": success_message_name, "failure": failure_message_name}

        def notify(end: TaskEnd) -> None:
            send_nowait(parent_pid, (names[end.status], end.pid, end.result))

        try:
            find_pid(parent_pid)  # or it would be known to be none only at the end
            task = cls(func, notify=notify)
        except Exception:
            await give_way()
            raise
        return await task.launch(task_group)


class TaskHandle:
    """The handle to a task: who it is, and what came of it."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._first: tuple[TracebackType | None, BaseException | None] | None = (
            None  # of the error
        )

    @property
    def pid(self) -> PID:
        """The PID of the task."""
        return self._task.pid

    async def join(self) -> Any:
        """Wait for the end; return the value, or raise the error, as often as asked.

        Raises `ProcessExited` if the task was ended from outside.
        """
        process = self._task._started()
        await wait_exit(process.pid)
        reason = process.reason
        assert reason is not None
        error = reason.exception
        if error is not None:
            if self._first is None:
                self._first = error.__traceback__, error.__context__
            traceback, context = self._first
            try:
                raise error.with_traceback(traceback)
            finally:  # it carries nothing of those who were told, however many they are
                error.__context__ = context
        if reason.abnormal:
            raise ProcessExited(process.pid, reason)
        return self._task._value
