"""Other people's task factories: they may cost a server the hand-off, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup
from conftest import task_group
from crew import Boom, Idle, Puppet, boom, crash, pid_of, supervisor, three
from wrappers import FACTORIES

from fauxtp import (
    PID,
    DynamicSupervisor,
    ProcessExited,
    Task,
    call,
    cast,
    exit,
    is_alive,
    map_tasks,
    run_task,
    running,
    wait_exit,
    which_children,
)
from fauxtp._base import switches

pytestmark = pytest.mark.anyio

setting: ContextVar[str] = ContextVar("setting", default="unset")

LOOPS = {
    "asyncio": ({}, True),
    "not handed off": ({}, False),
    "debug": ({"debug": True}, True),
    "uvloop": ({"use_uvloop": True}, True),
}


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Only asyncio has task factories."""
    options, hands_off = LOOPS[request.param]
    monkeypatch.setattr(switches, "hand_off", hands_off)
    return "asyncio", options


@asynccontextmanager
async def under(factory: Any) -> AsyncIterator[TaskGroup]:
    """A task group in which the tasks of all are made by `factory`; no error is logged."""
    loop = asyncio.get_running_loop()
    problems: list[Any] = []
    handler = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, problem: problems.append(problem))
    loop.set_task_factory(factory)
    anybodys = asyncio.sleep(0)
    try:
        await loop.create_task(anybodys, name="anybody's")
    except TypeError as error:
        anybodys.close()
        loop.set_task_factory(None)
        pytest.skip(f"with this factory this loop can make no task at all: {error}")
    try:
        async with task_group() as group:
            yield group
    finally:
        loop.set_task_factory(None)
        loop.set_exception_handler(handler)
    assert not problems


class Server(Puppet):
    """Notes how its tasks end."""

    async def handle_task_end(self, pid: PID, status: str, result: Any, state: Any) -> Any:
        self.diary.append(f"{status}: {result!r}")


async def waits() -> str:
    await asyncio.sleep(0)
    event = anyio.Event()
    asyncio.get_running_loop().call_soon(event.set)
    await event.wait()
    return "waited"


async def some_turns() -> None:
    for _ in range(10):  # `wait_all_tasks_blocked` takes 0.1 s each time that one is not
        await asyncio.sleep(0)


Operation = Callable[[TaskGroup], Awaitable[object]]


async def starts_and_ends(group: TaskGroup) -> None:
    diary: list[str] = []
    for name in ("a", "b"):
        pid = await Server.start(name, diary, task_group=group)
        exit(pid)
        await wait_exit(pid)
        assert not is_alive(pid)
    assert diary == ["+a", "-a", "+b", "-b"]


async def a_start_that_fails(group: TaskGroup) -> None:
    class Broken(Server):
        async def init(self) -> None:
            await asyncio.sleep(0)
            boom()

    for _ in range(2):
        with pytest.raises(Boom):
            await Broken.start(task_group=group)


async def calls_and_casts(group: TaskGroup) -> None:
    numbers: list[int] = []
    pid = await Server.start(task_group=group)
    for number in range(3):
        assert await call(pid, lambda number=number: number) == number
        await cast(pid, lambda number=number: numbers.append(number))
    assert await call(pid, lambda: list(numbers)) == [0, 1, 2]


async def handlers_that_wait(group: TaskGroup) -> None:
    one = await Server.start(task_group=group)
    two = await Server.start(task_group=group)
    assert await call(one, waits) == "waited"
    assert await call(one, lambda: call(two, waits)) == "waited"
    await cast(one, waits)
    async with anyio.create_task_group() as callers:
        for _ in range(3):
            callers.start_soon(call, one, waits)
    assert await call(two, lambda: "still there") == "still there"


async def a_caller_that_gives_up(group: TaskGroup) -> None:
    event = anyio.Event()
    pid = await Server.start(task_group=group)
    async with anyio.create_task_group() as callers:
        callers.start_soon(call, pid, event.wait)
        await some_turns()
        callers.cancel_scope.cancel()
    event.set()
    assert await call(pid, waits) == "waited"


async def a_handler_that_is_cancelled(group: TaskGroup) -> None:
    pid = await Server.start(task_group=group)
    async with anyio.create_task_group() as callers:
        callers.start_soon(gives_up, pid)
        await some_turns()
        exit(pid)
        await wait_exit(pid)


async def gives_up(pid: PID) -> None:
    with pytest.raises(ProcessExited, match="shutdown"):
        await call(pid, anyio.Event().wait)


async def a_handler_that_fails(group: TaskGroup) -> None:
    for way in (boom, fail_later):
        pid = await Server.start(task_group=group)
        with pytest.raises(ProcessExited) as caught:
            await call(pid, way)
        assert isinstance(caught.value.__cause__, Boom)


async def fail_later() -> None:
    await asyncio.sleep(0)
    boom()


async def children_by_start_soon(group: TaskGroup) -> None:
    ended: list[str] = []

    async def child(name: str) -> None:
        try:
            await anyio.Event().wait()
        finally:
            ended.append(name)

    server = Server()
    pid = await start_of(server, group)
    await call(pid, lambda: server.start_soon_child(child, "a"))
    await cast(pid, lambda: server.start_soon_child(child, "b"))
    await some_turns()
    assert is_alive(pid)
    exit(pid)
    await wait_exit(pid)
    assert sorted(ended) == ["a", "b"]


async def a_child_that_has_not_begun(group: TaskGroup) -> None:
    server = Server()
    pid = await start_of(server, group)

    def start() -> None:
        server.start_soon_child(anyio.Event().wait)
        exit(pid)

    with pytest.raises(ProcessExited):
        await call(pid, lambda: start() or call(pid, None))  # type: ignore[func-returns-value]
    await wait_exit(pid)
    assert server.diary == ["+", "-"]


async def start_of(server: Server, group: TaskGroup) -> PID:
    """Start a server that the test knows."""

    class Known(Server):
        def __new__(cls) -> Any:
            return server

    server.__class__ = Known
    return await Known.start(task_group=group)


async def a_child_that_fails(group: TaskGroup) -> None:
    server = Server()
    pid = await start_of(server, group)
    await call(pid, lambda: server.start_soon_child(fail_later))
    await wait_exit(pid)
    assert server.diary == ["+", "-"]


async def children_that_are_tasks_and_actors(group: TaskGroup) -> None:
    server = Server()
    pid = await start_of(server, group)
    task = await call(pid, lambda: server.spawn_task(waits))
    await wait_exit(task)
    failing = await call(pid, lambda: server.spawn_task(fail_later))
    await wait_exit(failing)
    child = (await call(pid, lambda: server.spawn_child_actor(Idle))).pid
    later = (await call(pid, lambda: after_a_while(server))).pid
    await call(pid, lambda: None)
    assert server.diary == ["+", "success: 'waited'", "failure: 'Boom()'"]
    exit(pid)
    for each in (pid, child, later):
        await wait_exit(each)


async def after_a_while(server: Server) -> Any:
    await asyncio.sleep(0)
    return await server.spawn_child_actor(Server)


async def a_task_with_a_result(group: TaskGroup) -> None:
    assert await (await Task.spawn(waits, group)).join() == "waited"
    with pytest.raises(Boom):
        await (await Task.spawn(fail_later, group)).join()


async def a_supervisor_that_restarts(group: TaskGroup) -> None:
    diary: list[str] = []
    top = await supervisor(*three(diary)).start(task_group=group)
    before = pid_of("b")
    assert await crash("b") is not before
    assert await call("b", waits) == "waited"
    assert [child.pid for child in await which_children(top)] == [pid_of(it) for it in "abc"]
    exit(top)
    await wait_exit(top)
    assert diary == ["+a", "+b", "+c", "-b", "+b", "-c", "-b", "-a"]


async def an_end_with_its_task_group(group: TaskGroup) -> None:
    diary: list[str] = []
    reasons: list[str] = []

    async def on_exit(pid: PID, reason: str) -> None:
        reasons.append(reason)

    async with anyio.create_task_group() as inner:
        for name in ("a", "b"):
            await Server.start_link(name, diary, task_group=inner, on_exit=on_exit)
        inner.cancel_scope.cancel()
    assert sorted(diary) == ["+a", "+b", "-a", "-b"]
    assert reasons == ["cancelled"] * 2


async def a_clean_context(group: TaskGroup) -> None:
    setting.set("of the starter")
    pid = await Server.start(task_group=group)
    assert await call(pid, setting.get) == "unset"
    await call(pid, lambda: setting.set("of the server"))
    await cast(pid, waits)
    assert await call(pid, setting.get) == "of the server"
    assert setting.get() == "of the starter"


async def an_application_in_a_block(group: TaskGroup) -> None:
    setting.set("of who runs it")
    async with running(Server) as pid:
        assert await call(pid, waits) == "waited"
        assert await call(pid, setting.get) == "unset"
    assert not is_alive(pid)


async def tasks_under_a_supervisor(group: TaskGroup) -> None:
    tasks = await DynamicSupervisor.start(task_group=group)
    assert await run_task(tasks, waits) == "waited"
    with pytest.raises(Boom):
        await run_task(tasks, fail_later)
    calls = map_tasks(tasks, lambda _: waits(), range(3), max_concurrency=2)
    assert [answer async for answer in calls] == ["waited"] * 3
    exit(tasks)
    await wait_exit(tasks)


OPERATIONS: list[Operation] = [
    starts_and_ends,
    a_start_that_fails,
    calls_and_casts,
    handlers_that_wait,
    a_caller_that_gives_up,
    a_handler_that_is_cancelled,
    a_handler_that_fails,
    children_by_start_soon,
    a_child_that_has_not_begun,
    a_child_that_fails,
    children_that_are_tasks_and_actors,
    a_task_with_a_result,
    a_supervisor_that_restarts,
    an_end_with_its_task_group,
    a_clean_context,
    an_application_in_a_block,
    tasks_under_a_supervisor,
]


@pytest.mark.parametrize("factory", FACTORIES)
async def test_under_any_task_factory_all_goes_as_without(factory: str) -> None:
    for operation in OPERATIONS:
        if factory.startswith("bare") and operation is a_child_that_has_not_begun:
            continue  # anyio itself hangs: it cannot see whether such a coroutine has begun
        async with under(FACTORIES[factory]) as group:
            await operation(group)
            await operation(group)  # the keeper of the group is there now


async def test_what_a_factory_raises_is_the_starters_to_hear() -> None:
    def refuses(loop: Any, work: Any, **options: Any) -> Any:
        work.close()
        raise TypeError("no more tasks")

    async with under(None) as group:
        for _ in range(2):  # the keeper of the group cannot be made, or the process
            asyncio.get_running_loop().set_task_factory(refuses)
            with pytest.raises(TypeError, match="no more tasks"):
                await Server.start(task_group=group)
            asyncio.get_running_loop().set_task_factory(None)
            await Server.start(task_group=group)
            await asyncio.sleep(0)
        assert await call(await Server.start(task_group=group), waits) == "waited"
