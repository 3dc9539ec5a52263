"""Processes that begin in the turn of their starter: nobody can tell, but by the time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup
from conftest import ASYNCIO, EAGER, eager_loop, task_group

from fauxtp import ANY, PID, Actor, GenServer, Mailbox, call, exit, send, wait_exit
from fauxtp._base import switches
from fauxtp._core.process import find_process
from fauxtp._core.running_process import current_process

pytestmark = pytest.mark.anyio

Init = Callable[["Server"], Awaitable[Any]]

setting: ContextVar[str] = ContextVar("setting", default="unset")


@pytest.fixture(params=ASYNCIO + EAGER)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Only asyncio can do it."""
    return request.param


class Server(GenServer[Any, Any]):
    """Does in `init` what it is told to, and notes its life."""

    def __init__(self, init: Init | None = None, diary: list[str] | None = None) -> None:
        self._init = init
        self.diary = [] if diary is None else diary

    async def init(self) -> Any:
        self.diary.append("init")
        return None if self._init is None else await self._init(self)

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return state, state

    async def handle_info(self, message: Any, state: Any) -> Any:
        self.diary.append(message)
        return state

    async def terminate(self, reason: str, state: Any) -> None:
        self.diary.append(reason)


class Worker(Actor):
    """Notes that it runs, and how it ends."""

    def __init__(self, diary: list[str]) -> None:
        self.diary = diary

    async def run(self, state: Any) -> Any:
        self.diary.append("run")
        await self.receive((ANY, self.diary.append))

    async def terminate(self, reason: str, state: Any) -> None:
        await anyio.lowlevel.checkpoint()
        self.diary.append(reason)


async def prepared(group: TaskGroup) -> None:
    """Start the first process of the group, which takes a turn of the event loop."""
    exit(await Server.start(task_group=group))
    await asyncio.sleep(0)


async def test_a_start_whose_init_does_not_wait_does_not_wait_either() -> None:
    turns: list[int] = []
    async with task_group() as group:
        await prepared(group)
        asyncio.get_running_loop().call_soon(turns.append, 1)
        await Server.start(task_group=group)
        waited = list(turns)
    assert waited == ([] if switches.hand_off else [1])


async def test_init_runs_as_the_process_in_its_task_and_context() -> None:
    seen: list[object] = []

    async def look(server: Server) -> None:
        process, before = current_process(own_task=True), setting.get()
        setting.set("by the process")
        with anyio.move_on_after(60) as scope:
            seen.append(process is find_process(server.pid))
            await asyncio.sleep(0)
        seen.extend((asyncio.current_task() is process.task, before, scope.cancelled_caught))  # type: ignore[union-attr]

    async with task_group() as group:
        await prepared(group)
        setting.set("by the starter")
        mine = asyncio.current_task()
        pid = await Server.start(look, task_group=group)
        assert (asyncio.current_task(), setting.get()) == (mine, "by the starter")
        assert find_process(pid).task is not mine  # type: ignore[union-attr]
    assert seen == [True, True, "unset", False]


@pytest.mark.parametrize("kind", [Server, Worker])
async def test_a_task_that_is_cancelled_before_its_turn_ends_as_at_any_time(
    kind: Callable[..., Any],
) -> None:
    diary: list[str] = []
    async with task_group() as group:
        await prepared(group)
        pid = await type(kind(diary=diary)).start(diary=diary, task_group=group)
        find_process(pid).task.cancel()  # type: ignore[union-attr]
        reason = await wait_exit(pid)
    assert (reason, diary[-1], diary.count("cancelled")) == ("cancelled", "cancelled", 1)


@pytest.mark.parametrize("kind", [Server, Worker])
async def test_a_process_that_is_to_end_before_its_turn_terminates(
    kind: Callable[..., Any],
) -> None:
    diary: list[str] = []
    async with task_group() as group:
        await prepared(group)
        pid = await type(kind(diary=diary)).start(diary=diary, task_group=group)
        exit(pid, "enough")
        reason = await wait_exit(pid)
    assert (reason, diary[-1]) == ("enough", "enough")


async def test_an_init_that_waits_is_cancelled_where_it_waits() -> None:
    diary: list[str] = []

    async def wait(server: Server) -> None:
        asyncio.current_task().cancel("before its turn")  # type: ignore[union-attr]
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError as cancelled:
            diary.extend(cancelled.args)
            raise

    async with task_group() as group:
        await prepared(group)
        with pytest.raises(Exception, match="cancelled"):
            await Server.start(wait, task_group=group)
    assert diary == ["before its turn"]


async def test_an_init_whose_starter_is_cancelled_is_cancelled() -> None:
    diary: list[str] = []

    async def wait(server: Server) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            diary.append("left")

    async with task_group() as group:
        await prepared(group)
        with anyio.move_on_after(0):
            await Server.start(wait, diary, task_group=group)
    assert diary == ["init", "left"]


async def test_a_starter_that_is_cancelled_by_init_is_cancelled_where_it_starts() -> None:
    scope = anyio.CancelScope()
    diary: list[str] = []

    async def cancel(server: Server) -> None:
        scope.cancel()

    async with task_group() as group:
        await prepared(group)
        with scope:
            await Server.start(cancel, diary, task_group=group)
            diary.append("started")
        await asyncio.sleep(0)  # nothing is left of the cancellation
        await anyio.wait_all_tasks_blocked()
    assert (diary, scope.cancelled_caught) == (["init", "cancelled"], True)


@pytest.mark.parametrize("factory", [None, *([eager_loop] if EAGER else [])])
@pytest.mark.parametrize("last", [SystemExit, KeyboardInterrupt])
def test_what_ends_the_program_goes_to_the_event_loop_and_not_to_the_starter(
    last: type[BaseException], factory: Any
) -> None:
    harmed: list[BaseException] = []

    async def give_up(server: Server) -> None:
        raise last

    async def main() -> None:
        async with anyio.create_task_group() as group:
            await prepared(group)
            try:
                await Server.start(give_up, task_group=group)
            except last as error:
                harmed.append(error)

    with pytest.raises(last), asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
    assert not harmed


async def test_a_future_that_others_wait_for_is_no_trouble() -> None:
    shared: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def wait(server: Server) -> str:
        asyncio.get_running_loop().call_soon(shared.set_result, "done")
        return await asyncio.shield(shared)

    async def wait_too(server: Server) -> str:
        return await shared

    async with task_group() as group:
        await prepared(group)
        first = await Server.start(wait, task_group=group)
        second = await Server.start(wait_too, task_group=group)
        assert [await call(first, None), await call(second, None)] == ["done", "done"]


async def test_an_init_that_is_no_coroutine_function_fails_as_what_it_does_fails() -> None:
    class Forgetful(Server):
        def init(self) -> Any:
            return None

    class Exhausted(Server):
        def init(self) -> Any:
            return next(iter(()))

    async with task_group() as group:
        for _ in range(2):  # the first one begins in its own turn
            with pytest.raises(TypeError, match="await"):
                await Forgetful.start(task_group=group)
            with pytest.raises(RuntimeError, match="StopIteration"):
                await Exhausted.start(task_group=group)
            await prepared(group)


async def test_what_comes_after_init_need_not_be_over_before_start_is() -> None:
    diary: list[str] = []

    async def write(server: Server) -> None:
        await send(server.pid, "handled")

    async with task_group() as group:
        await prepared(group)
        await Worker.start(diary, task_group=group)
        pid = await Server.start(write, diary, task_group=group)
        assert diary == ["init"] or not switches.hand_off
        await call(pid, None)
        assert sorted(diary) == ["handled", "init", "run"]


async def test_messages_come_in_the_order_in_which_they_were_sent() -> None:
    diary: list[str] = []

    async def write(server: Server) -> None:
        await send(server.pid, "first")
        await send(mailbox.pid, "hello")

    async with task_group() as group:
        await prepared(group)
        mailbox = Mailbox()
        pid = await Server.start(write, diary, task_group=group)
        assert len(mailbox) == 1
        await send(pid, "second")
        await call(pid, None)
    assert diary[:3] == ["init", "first", "second"]


async def test_an_init_that_gives_way_lets_others_run_before_it_goes_on() -> None:
    async def give_way(server: Server) -> list[int]:
        turns: list[int] = []
        for number in range(3):
            asyncio.get_running_loop().call_soon(turns.append, number)
            await asyncio.sleep(0)
            turns.append(-number)
        return turns

    async with task_group() as group:
        for _ in range(2):
            pid = await Server.start(give_way, task_group=group)
            assert await call(pid, None) == [0, 0, 1, -1, 2, -2]
            await asyncio.sleep(0)


async def test_who_only_starts_others_lets_them_run() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with task_group() as group:
        group.start_soon(count)
        await prepared(group)
        before = turns
        for _ in range(1000):
            await Server.start(task_group=group)
        assert turns - before >= 1000 // 64


async def test_processes_that_start_one_another_in_init_are_as_deep_as_one_likes() -> None:
    pids: list[PID] = []

    async with task_group() as group:
        await prepared(group)

        async def start_another(server: Server) -> int:
            pids.append(server.pid)
            if len(pids) < 300:
                await Server.start(start_another, task_group=group)
            return len(pids)

        first = await Server.start(start_another, task_group=group)
        assert await call(first, None) == len(pids) == 300


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # uvloop cannot have such tasks
@pytest.mark.skipif(sys.version_info < (3, 12), reason="all tasks of this Python are lazy")
async def test_tasks_that_begin_by_themselves_begin_once() -> None:
    diary: list[str] = []

    async def wait(server: Server) -> str:
        await asyncio.sleep(0)
        return "waited"

    async with task_group() as group:
        await prepared(group)
        loop = asyncio.get_running_loop()
        loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009
        try:
            first = await Server.start(None, diary, task_group=group)
            second = await Server.start(wait, diary, task_group=group)
            answers = [await call(first, None), await call(second, None)]
        finally:
            loop.set_task_factory(None)
        exit(first)
        assert await wait_exit(first) == "shutdown"
    assert (answers, diary) == ([None, "waited"], ["init", "init", "shutdown", "cancelled"])


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # uvloop cannot have such tasks
@pytest.mark.skipif(sys.version_info < (3, 12), reason="all tasks of this Python are lazy")
async def test_an_init_of_a_task_that_begins_by_itself_may_wake_others() -> None:
    alarm = asyncio.Event()

    async def wake(server: Server) -> None:
        alarm.set()

    async with task_group() as group:
        loop = asyncio.get_running_loop()
        sleeper = loop.create_task(alarm.wait())
        await prepared(group)
        loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009
        try:
            await Server.start(wake, task_group=group)
        finally:
            loop.set_task_factory(None)
        assert await sleeper


async def test_what_happens_while_the_task_is_made_is_not_taken_for_its_first_turn() -> None:
    alarm = asyncio.Event()

    def wake_and_make(loop: Any, work: Any, **options: Any) -> asyncio.Task[Any]:
        alarm.set()  # as a signal handler or a finaliser may at this point
        return asyncio.Task(work, loop=loop, **options)

    async with task_group() as group:
        loop = asyncio.get_running_loop()
        sleeper = loop.create_task(alarm.wait())
        await prepared(group)
        loop.set_task_factory(wake_and_make)
        try:
            await Server.start(task_group=group)
        finally:
            loop.set_task_factory(None)
        assert await sleeper
