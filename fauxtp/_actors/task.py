"""Task: an async function as a process, with a result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from inspect import isawaitable
from types import TracebackType
from typing import Any, ClassVar, Final, Generic, TypeVar, final

from fauxtp import _loops
from fauxtp._actors.actor import Actor, started
from fauxtp._actors.classes import ITS_BASE, OF_SERVERS
from fauxtp._actors.lifecycle import launch
from fauxtp._actors.of_class import of_class
from fauxtp._actors.verdicts import ActorExit
from fauxtp._base.arguments import expect_callable, unexpected
from fauxtp._base.exit_reason import CANCELLED, ExitReason
from fauxtp._base.record import fill, record
from fauxtp._base.texts import shown
from fauxtp._core.death import ended
from fauxtp._core.phase import Notice
from fauxtp._loops.current import give_way
from fauxtp._messaging.addresses import find_pid
from fauxtp._messaging.exits import wait_exit
from fauxtp._messaging.sending import send_nowait
from fauxtp.registry import PID, Ref

__all__ = ["Task", "TaskEnd", "TaskHandle", "start_task"]

V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)

_NO_MESSAGES: Final = "a task calls its function, and handles no messages"
_NOTHING: Final = object()  # in place of what a function returns that has not returned


@final
@record
class TaskEnd(Notice):
    """The message that a task has ended, to the server that spawned it."""

    pid: PID
    status: str
    result: Any

    def __init__(self, pid: PID, status: str, result: Any) -> None:
        fill(self, pid, status, result)


class Task(Actor):
    """A process that runs one async function, `func`, and ends.

    Raises `TypeError` if `func` cannot be called.

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

    _fauxtp_keeps: ClassVar = {"run": ITS_BASE} | dict.fromkeys(OF_SERVERS, _NO_MESSAGES)

    def __init__(self, func: Callable[[], Awaitable[Any]]) -> None:
        expect_callable("func", func)
        self._fauxtp_func = func
        self._fauxtp_value: Any = _NOTHING

    async def run(self, state: Any, /) -> Any:
        begun = self._fauxtp_func()
        if not isawaitable(begun):
            raise unexpected("what the function of a task returns", "awaitable", begun)
        self._fauxtp_value = await begun
        raise ActorExit(ExitReason("normal"))

    async def launch(self, task_group: _loops.AnyTaskGroup) -> TaskHandle[Any]:
        """Start the task in `task_group`; return the handle to its result.

        Raises what `Actor.start` raises.
        """
        return await start_task(self, task_group)

    @of_class
    async def spawn(
        cls, func: Callable[[], Awaitable[V]], task_group: _loops.AnyTaskGroup
    ) -> TaskHandle[V]:
        """Run `func()` as a process in `task_group`; return the handle to its result.

        Raises `TypeError` if `func` cannot be called. Its own errors are raised by the handle.
        """
        try:
            task = cls(func)
        except Exception:
            await give_way()
            raise
        return await start_task(task, task_group)

    @of_class
    async def spawn_and_notify(
        cls,
        func: Callable[[], Awaitable[V]],
        task_group: _loops.AnyTaskGroup,
        parent_pid: PID | str,
        success_message_name: str = "$$success",
        failure_message_name: str = "$$failure",
    ) -> TaskHandle[V]:
        """Do as `spawn` does with `func` and `task_group`; at the end, tell `parent_pid`.

        The message is `(success_message_name, pid, value)` or `(failure_message_name, pid,
        reason)`. Return the handle. Raises `TypeError` also if `parent_pid` is neither a PID nor
        a name.
        """
        names = {"success": success_message_name, "failure": failure_message_name}

        def notify(end: TaskEnd) -> None:
            send_nowait(parent_pid, (names[end.status], end.pid, end.result))

        try:
            find_pid(parent_pid)  # or it would be known to be none only at the end
            task = cls(func)
        except Exception:
            await give_way()
            raise
        return await start_task(task, task_group, notify)


async def start_task(
    task: Task, task_group: _loops.AnyTaskGroup, notify: Callable[[TaskEnd], object] | None = None
) -> TaskHandle[Any]:
    """Start `task`; at its end, tell `notify`: a failure by a text with the error in it."""
    process = await launch(task, task_group)

    def tell(pid: PID, reason: ExitReason) -> None:
        assert notify is not None
        error, value = reason.exception, task._fauxtp_value
        if value is not _NOTHING and not reason.abnormal:
            notify(TaskEnd(pid, "success", value))
        elif error is None:
            notify(TaskEnd(pid, "failure", reason))
        else:
            notify(TaskEnd(pid, "failure", ExitReason(shown(error), exception=error)))

    if notify is not None and not process.watch(Ref(), tell):
        tell(process.pid, process.reason or CANCELLED)
    return TaskHandle(task)


class TaskHandle(Generic[V_co]):
    """The handle to a task: who it is, and what came of it. It can be awaited, as `join` is.

    >>> import anyio
    >>> async def add():
    ...     return 1 + 2
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         print(await (await Task.spawn(add, task_group)))
    >>> anyio.run(main)
    3
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        # The history of the error, as it was before anybody was told
        self._first: tuple[TracebackType | None, BaseException | None] | None = None

    @property
    def pid(self) -> PID:
        """The PID of the task."""
        return started(self._task).pid

    def when_over(self, tell: Callable[[PID], object]) -> None:
        """Call `tell` with the PID when the task has ended, or now if it has.

        The call comes where the task ends, and what it raises is logged; or, if it has ended,
        here.
        """
        process = started(self._task)
        if not process.watch(Ref(), lambda pid, _: tell(pid)):
            tell(process.pid)

    def __await__(self) -> Generator[Any, Any, V_co]:
        """Do as `join`: whoever needs no more than the value awaits the handle itself."""
        return self.join().__await__()

    async def join(self) -> V_co:
        """Wait for the end; return the value, or raise the error, as often as asked.

        Raises `ProcessExited` if the task was ended from outside, by its supervisor, too, or has
        ended itself by a `Stop`.
        """
        process = started(self._task)
        await wait_exit(process.pid)
        reason = process.reason
        assert reason is not None
        value = self._task._fauxtp_value
        if value is not _NOTHING and not reason.abnormal:
            returned: V_co = value
            return returned
        error = ended(process.pid, reason)
        if error is not reason.exception:
            raise error
        if self._first is None:
            self._first = error.__traceback__, error.__context__
        traceback, context = self._first
        try:
            raise error.with_traceback(traceback)
        finally:  # it carries nothing of those who were told, however many they are
            error.__context__ = context
