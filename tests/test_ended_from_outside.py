"""What is waited for is ended by its supervisor: whoever waits is told so, in each way to wait."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from conftest import task_group

from fauxtp import (
    Call,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    Mailbox,
    NoChild,
    ProcessExited,
    Stop,
    Task,
    call,
    call_many,
    exit,
    map_tasks,
    run_task,
    running,
    start_call,
    start_child,
    terminate_child,
    wait_exit,
    which_children,
)
from fauxtp.registry import PID

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("either_way")]


class Tasks(DynamicSupervisor):
    pass


class Slow(GenServer[str, Any]):
    """Answers nobody: while it handles the request, or by a task."""

    async def handle_call(self, request: str, from_: Call, state: Any) -> Any:
        if request == "now":
            await anyio.sleep_forever()
        return self.reply_later(from_, anyio.sleep_forever), state


async def a_task() -> Any:
    return await run_task("tasks", anyio.sleep_forever)


async def joined() -> Any:
    return await run_task("tasks", anyio.sleep_forever).join()


async def each(ordered: bool) -> Any:
    async def work(_: int) -> None:
        await anyio.sleep_forever()

    results = map_tasks("tasks", work, range(3), max_concurrency=2, ordered=ordered)
    return [result async for result in results]


async def a_call(request: str = "now") -> Any:
    return await call(await start_child("tasks", ChildSpec("slow", Slow)), request, timeout=None)


async def a_pending_call() -> Any:
    return await start_call(await start_child("tasks", ChildSpec("slow", Slow)), "now", None)


async def one_of_many() -> Any:
    server = await start_child("tasks", ChildSpec("slow", Slow))
    answers, failures = await call_many([server], "now", timeout=None)
    assert answers == {}
    raise failures[server]


WAYS: list[Callable[[], Awaitable[Any]]] = [
    a_task,
    joined,
    lambda: each(True),
    lambda: each(False),
    a_call,
    lambda: a_call("later"),
    a_pending_call,
    one_of_many,
]
NAMES = ["awaited", "join", "in order", "as they end", "call", "reply_later", "start_call", "many"]


async def by_its_supervisor() -> None:
    for child in await which_children("tasks"):
        assert child.pid is not None
        with contextlib.suppress(NoChild):  # what is left of `map_tasks` has ended at once
            await terminate_child("tasks", child.pid)


async def with_its_supervisor() -> None:
    exit("tasks")


async def by_the_end_of_the_block() -> None:
    pass


@pytest.mark.parametrize("way", WAYS, ids=NAMES)
@pytest.mark.parametrize("end", [by_its_supervisor, with_its_supervisor, by_the_end_of_the_block])
async def test_who_waits_hears_of_the_end(
    way: Callable[[], Awaitable[Any]], end: Callable[[], Awaitable[None]]
) -> None:
    came: list[Any] = []

    async def wait() -> None:
        try:
            came.append(await way())
        except ProcessExited as error:
            came.append(str(error.reason))

    async with task_group() as group, running(Tasks, register_as="tasks"):
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await end()
        await anyio.wait_all_tasks_blocked()
    assert came == ["shutdown"]


async def test_a_function_that_ends_its_task_has_returned_nothing() -> None:
    async def stop() -> None:
        raise Stop("enough")

    async with task_group() as group:
        handle = await Task.spawn(stop, group)
        with pytest.raises(ProcessExited, match="enough"):
            await handle
        assert not (await wait_exit(handle.pid)).abnormal


async def test_who_is_to_be_notified_hears_of_the_end() -> None:
    told = Mailbox()
    async with task_group() as group:
        handle = await Task.spawn_and_notify(anyio.sleep_forever, group, told.pid)
        handle._task.stop("asked to")
        name, pid, reason = await told.receive((tuple, lambda message: message))
        assert (name, pid, reason) == ("$$failure", handle.pid, "asked to")


async def test_a_server_hears_that_its_task_was_ended() -> None:
    told: list[tuple[PID, str, Any]] = []

    class Server(GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            async def stop() -> None:
                raise Stop("enough")

            return await self.spawn_task(stop), state

        async def handle_task_end(self, pid: PID, status: str, result: Any, state: Any) -> Any:
            told.append((pid, status, result))
            self.stop()

    async with task_group() as group:
        server = await Server.start(task_group=group)
        pid = await call(server, "go")
        await wait_exit(server)
        assert told == [(pid, "failure", "enough")]
