"""Tasks under a supervisor: one by one, or for each of many items."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, final

from anyio import move_on_after

from fauxtp._actors.task import Task, TaskHandle
from fauxtp._base.arguments import expect_callable, expect_seconds, unexpected
from fauxtp._base.redaction import described
from fauxtp._loops.current import give_way, new_waiter
from fauxtp._messaging.exits import exit as end
from fauxtp._supervision.child import Expected
from fauxtp._supervision.child_spec import ChildSpec, RestartType
from fauxtp._supervision.expecting import begin, expected_under
from fauxtp.registry import PID

if TYPE_CHECKING:
    from fauxtp._loops.protocols import Waiter

__all__ = ["TaskMap", "map_tasks", "run_task"]

ITEM: Final = 100  # characters of an item, in an error
_SPEC: Final = ChildSpec("task", Task, restart=RestartType.TEMPORARY)


def run_task(
    supervisor: PID | str, fn: Callable[..., Awaitable[Any]], *args: Any
) -> TaskHandle[Any]:
    """Run `fn(*args)` as a task under `supervisor`, a `DynamicSupervisor`; return its handle.

    Any thread may do so, and nobody needs to wait for it. `await handle` waits for the end: it
    returns the value, or raises the error. A crash is logged, and ends nobody else; nor does the
    task end if who waits for it is cancelled. It ends with its supervisor; whoever waits for one
    that was ended gets `ProcessExited`.

    Raises `NoProcess` if there is no such supervisor, or it ends, `ValueError` if it is of another
    node of a cluster, and `TypeError` if it is of another kind, or `fn` cannot be called. What
    else keeps it from being started (`TooManyChildren`), whoever waits is told.

    >>> import anyio
    >>> from fauxtp import DynamicSupervisor, exit
    >>> class Tasks(DynamicSupervisor):
    ...     pass
    >>> async def add(one, other):
    ...     return one + other
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         await Tasks.start(task_group=task_group, register_as="tasks")
    ...         print(await run_task("tasks", add, 1, 2))
    ...         exit("tasks")
    >>> anyio.run(main)
    3
    """
    expect_callable("fn", fn)
    task = Task(partial(fn, *args))
    process = expected_under(supervisor, Task)
    task._fauxtp_process = process
    begin(Expected(_SPEC, process, None, _itself, task), False)
    return TaskHandle(task)


def _itself(task: Task) -> Task:
    return task


def map_tasks(
    supervisor: PID | str,
    fn: Callable[[Any], Awaitable[Any]],
    items: Iterable[Any],
    *,
    max_concurrency: int,
    ordered: bool = True,
    timeout: float | None = None,
) -> TaskMap:
    """Run `fn(item)` for each of `items` as a task under `supervisor`; yield what they return.

    There are never more than `max_concurrency` that were begun and not yielded: an item is taken
    when there is room for it. They come in the order of the items, or, not `ordered`, in that of
    their ends. A task that takes longer than `timeout` seconds ends by `TimeoutError`.

    The error of a task is raised in its place; of one that was ended, `ProcessExited`. Then, and
    when the iteration is left early, by `break` or as it is cancelled, the other tasks are ended.

    Raises what `run_task` raises, as it comes to that, and `TypeError` or `ValueError` if another
    argument is not what it should be.

    >>> import anyio
    >>> from fauxtp import DynamicSupervisor, exit
    >>> class Tasks(DynamicSupervisor):
    ...     pass
    >>> async def square(number):
    ...     return number * number
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         await Tasks.start(task_group=task_group, register_as="tasks")
    ...         async for result in map_tasks("tasks", square, range(4), max_concurrency=2):
    ...             print(result)
    ...         exit("tasks")
    >>> anyio.run(main)
    0
    1
    4
    9
    """
    _check(fn, items, max_concurrency, ordered)
    work = fn
    if timeout is not None:
        work = partial(_in_time, expect_seconds("timeout", timeout), fn)
    begin_one = partial(run_task, supervisor, work)
    return TaskMap(begin_one, iter(items), max_concurrency, ordered)


def _check(fn: object, items: object, most: object, ordered: object) -> None:
    expect_callable("fn", fn)
    if not isinstance(items, Iterable):
        raise unexpected("items", "iterable", items)
    if not isinstance(most, int) or isinstance(most, bool):
        raise unexpected("max_concurrency", "an int", most)
    if most < 1:
        raise ValueError(f"expected max_concurrency to be at least 1, got {most}")
    if not isinstance(ordered, bool):
        raise unexpected("ordered", "a bool", ordered)


async def _in_time(seconds: float, fn: Callable[[Any], Awaitable[Any]], item: Any) -> Any:
    with move_on_after(seconds):
        return await fn(item)
    raise TimeoutError(f"the task for {described(item, ITEM)} took longer than {seconds:g} s")


@final
class _Ends:
    """Those that have ended, in order: what the tasks know, so that nobody keeps the iteration."""

    __slots__ = ("_pids", "_waiter")

    def __init__(self) -> None:
        self._pids: deque[PID] = deque()
        self._waiter: Waiter | None = None

    def note(self, pid: PID) -> None:
        self._pids.append(pid)
        waiter = self._waiter
        if waiter is not None:
            waiter.wake()

    async def next(self) -> PID:
        """Wait for the next one."""
        while not self._pids:
            self._waiter = waiter = new_waiter()
            if not self._pids:
                await waiter.wait(None)
        self._waiter = None
        return self._pids.popleft()


@final
class TaskMap:
    """The results of `map_tasks`, one by one; `close` ends the tasks that are left."""

    __slots__ = ("_begin", "_ends", "_items", "_most", "_running")

    def __init__(
        self,
        begin_one: Callable[[Any], TaskHandle[Any]],
        items: Iterator[Any],
        most: int,
        ordered: bool,
    ) -> None:
        self._begin, self._items, self._most = begin_one, items, most
        self._running: dict[PID, TaskHandle[Any]] = {}  # begun and not yielded, in order
        self._ends = None if ordered else _Ends()

    def __aiter__(self) -> TaskMap:
        return self

    async def __anext__(self) -> Any:
        try:
            self._begin_some()
            if not self._running:
                raise StopAsyncIteration
            pid = next(iter(self._running)) if self._ends is None else await self._ends.next()
            value = await self._value_of(pid)
            del self._running[pid]
        except BaseException as error:
            self.close()
            if isinstance(error, Exception):
                await give_way()
            raise
        return value

    async def _value_of(self, pid: PID) -> Any:
        try:
            return await self._running[pid]
        except StopAsyncIteration as error:  # which would be taken for the end of them all
            raise RuntimeError("a task raised StopAsyncIteration") from error

    def _begin_some(self) -> None:
        while len(self._running) < self._most:
            try:
                item = next(self._items)
            except StopIteration:
                self._most = 0
                return
            handle = self._begin(item)
            self._running[handle.pid] = handle
            if self._ends is not None:
                handle.when_over(self._ends.note)

    def close(self) -> None:
        """End the tasks that are left, and yield nothing more."""
        self._most = 0
        running, self._running = self._running, {}
        for pid in running:
            end(pid)

    async def aclose(self) -> None:
        """Do as `close`, for `contextlib.aclosing`."""
        self.close()
        await give_way()

    def __del__(self) -> None:
        with suppress(Exception):  # at the end of the interpreter there may be nobody to end
            self.close()
