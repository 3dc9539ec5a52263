"""Servers that end at once for whoever waits for it: nobody can tell, but by the time."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

import anyio
import pytest
from conftest import ASYNCIO, task_group, turns

from fauxtp import PID, GenServer, call, cast, exit, is_alive, monitor, wait_exit, whereis
from fauxtp._base import switches
from fauxtp._core.process import find_process
from fauxtp._core.running_process import current_process
from fauxtp.errors import ProcessExited

pytestmark = pytest.mark.anyio

setting: ContextVar[str] = ContextVar("setting", default="unset")


@pytest.fixture(params=ASYNCIO)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Only asyncio can do it."""
    return request.param


class Server(GenServer[Any, Any]):
    """Does at its end what it is told to."""

    def __init__(self, last: Callable[[Server], Awaitable[object]] | None = None) -> None:
        self.last = last

    async def handle_cast(self, request: Any, state: Any) -> Any:
        request()
        return state

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return await request(), state

    async def terminate(self, reason: str, state: Any) -> None:
        if self.last is not None:
            await self.last(self)


async def test_who_waits_for_the_end_of_a_server_that_sleeps_does_not_wait() -> None:
    async with task_group() as group:
        await Server.start(task_group=group)  # the keeper of the group stays
        pid = await Server.start(task_group=group, register_as="server")
        await anyio.wait_all_tasks_blocked()
        passed = turns()
        exit(pid)
        assert is_alive(pid), "exit asks, and does not wait"
        assert await wait_exit(pid) == "shutdown"
        assert (whereis("server"), is_alive(pid)) == (None, False)
        assert passed == [0] or not switches.hand_off


async def test_terminate_runs_in_the_task_and_the_context_of_the_process() -> None:
    seen: list[object] = []

    async def look(server: Server) -> None:
        process = find_process(server.pid)
        assert process is not None
        seen.extend((current_process(own_task=True) is process, setting.get()))
        seen.append(asyncio.current_task() is process.task)
        setting.set("at the end")
        with anyio.move_on_after(60) as scope:
            await anyio.sleep(0)
        seen.append(scope.cancelled_caught)

    async with task_group() as group:
        setting.set("by the starter")
        await Server.start(task_group=group)
        pid = await Server.start(look, task_group=group)
        setting.set("by who waits")
        mine = asyncio.current_task()
        exit(pid)
        await wait_exit(pid)
        assert (asyncio.current_task(), setting.get()) == (mine, "by who waits")
    assert seen == [True, "unset", True, False]


@pytest.mark.parametrize("whose", ["the class", "the actor"])
async def test_a_terminate_is_called_that_was_put_in_place_of_one_that_does_nothing(
    whose: str,
) -> None:
    class Quiet(GenServer[Any, Any]):
        """Has none of its own."""

    diary: list[str] = []

    async def terminate(*arguments: Any) -> None:
        diary.append(arguments[-2])

    async with task_group() as group:
        pid = await Quiet.start(task_group=group)
        process = find_process(pid)
        assert process is not None
        place: Any = Quiet if whose == "the class" else process.actor
        place.terminate = terminate
        exit(pid)
        await wait_exit(pid)
    assert diary == ["shutdown"]


async def test_a_terminate_that_waits_is_waited_for() -> None:
    last_word = anyio.Event()

    async def wait(server: Server) -> None:
        await last_word.wait()

    async with task_group() as group:
        await Server.start(task_group=group)
        pid = await Server.start(wait, task_group=group)
        exit(pid)
        with anyio.move_on_after(0):
            await wait_exit(pid)
        assert is_alive(pid)
        last_word.set()
        assert await wait_exit(pid) == "shutdown"


async def test_all_who_wait_hear_of_it() -> None:
    heard: list[str] = []

    class Widow(Server):
        async def init(self) -> Any:
            monitor("server")

        async def handle_info(self, message: Any, state: Any) -> Any:
            heard.append(f"down: {message.reason}")
            return state

    async def wait() -> None:
        heard.append(await wait_exit("server"))

    async with task_group() as group:
        pid = await Server.start(task_group=group, register_as="server")
        await Widow.start(task_group=group)
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        exit(pid)
        assert await wait_exit(pid) == "shutdown"
        await anyio.wait_all_tasks_blocked()
    assert sorted(heard) == ["down: shutdown", "shutdown"]


async def test_the_task_is_cancelled_by_whoever_cancels_it_in_the_same_turn() -> None:
    async with task_group() as group:
        await Server.start(task_group=group)
        for first, second in (("exit", "cancel"), ("cancel", "exit")):
            process = find_process(await Server.start(task_group=group))
            assert process is not None
            for what in (first, second):
                if what == "exit":
                    exit(process.pid)
                else:
                    process.task.cancel()
            await wait_exit(process.pid)
            await anyio.wait_all_tasks_blocked()
            assert process.task.done()


async def test_who_is_cancelled_by_the_end_that_it_waits_for_is_cancelled_where_it_waits() -> None:
    scope = anyio.CancelScope()

    async def cancel(server: Server) -> None:
        scope.cancel()

    async with task_group() as group:
        await Server.start(task_group=group)
        pid = await Server.start(cancel, task_group=group)
        with scope:
            exit(pid)
            await wait_exit(pid)
            pytest.fail("it goes on")
        await asyncio.sleep(0)  # nothing is left of the cancellation
        assert scope.cancelled_caught


async def test_a_server_whose_handler_runs_on_the_spot_is_not_given_a_turn_meanwhile() -> None:
    ended: list[str] = []

    async def end_the_caller() -> None:
        exit(first, "by whom it calls")
        ended.append(await wait_exit(first))

    async def ask_the_second() -> None:
        await call(second, end_the_caller)

    async with task_group() as group:
        first = await Server.start(task_group=group)
        second = await Server.start(task_group=group)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(ProcessExited, match="by whom it calls"):
            await call(first, ask_the_second)
        await anyio.wait_all_tasks_blocked()
        assert is_alive(second)
    assert ended == ["by whom it calls"]


async def test_a_server_that_is_woken_leaves_nothing_to_the_collector() -> None:
    async with task_group() as group:
        await Server.start(task_group=group)
        pid = await Server.start(task_group=group)
        await anyio.wait_all_tasks_blocked()
        gc.collect()
        gc.disable()
        try:
            for _ in range(100):
                await cast(pid, int)
                await asyncio.sleep(0)
            assert gc.collect() < 100
        finally:
            gc.enable()


async def test_messages_that_came_before_are_dead_letters_as_ever() -> None:
    handled: list[str] = []
    async with task_group() as group:
        await Server.start(task_group=group)
        pid = await Server.start(task_group=group)
        await cast(pid, lambda: handled.append("before"))
        exit(pid)
        await cast(pid, lambda: handled.append("after"))
        assert await wait_exit(pid) in {"shutdown", "noproc"}  # a cast may have let it end
    assert "after" not in handled


async def test_who_ends_one_server_after_the_other_lets_others_run() -> None:
    async with task_group() as group:
        await Server.start(task_group=group)
        pids = [await Server.start(task_group=group) for _ in range(1000)]
        await anyio.wait_all_tasks_blocked()
        passed = turns()
        for pid in pids:
            exit(pid)
            await wait_exit(pid)
        assert passed[0] >= 1000 // 64


async def test_servers_of_which_each_ends_the_next_are_as_many_as_one_likes() -> None:
    pids: list[PID] = []
    ended: list[PID] = []

    async def end_the_next(server: Server) -> None:
        number = pids.index(server.pid) + 1
        if number < len(pids):
            exit(pids[number])
            await wait_exit(pids[number])
        ended.append(server.pid)

    async with task_group() as group:
        pids.extend([await Server.start(end_the_next, task_group=group) for _ in range(300)])
        exit(pids[0])
        assert await wait_exit(pids[0]) == "shutdown"
        assert ended == pids[::-1]


@pytest.mark.parametrize("hurried", [True, False])
async def test_who_has_ended_is_freed_at_once_and_by_no_collection(hurried: bool) -> None:
    async with task_group() as group:
        await Server.start(task_group=group)
        pid = await Server.start(task_group=group, register_as="server")
        await call(pid, partial(anyio.sleep, 0))
        process = find_process(pid)
        assert process is not None
        rests: list[Any] = [
            weakref.ref(process),
            weakref.ref(process.actor),
            weakref.ref(process.task),
        ]
        gc.collect()
        gc.disable()
        try:
            del process
            exit(pid)
            if not hurried:
                await anyio.wait_all_tasks_blocked()
            await wait_exit(pid)
            await anyio.wait_all_tasks_blocked()
            assert [rest() for rest in rests] == [None] * 3
        finally:
            gc.enable()


@pytest.mark.parametrize("at_work", [True, False])
async def test_who_ended_with_children_or_where_a_handler_waits_is_freed_at_once(
    at_work: bool,
) -> None:
    async with task_group() as group:
        await Server.start(task_group=group)
        pid = await Server.start(task_group=group)
        process = find_process(pid)
        assert process is not None

        async def ask() -> None:
            with anyio.CancelScope() as scope:
                group.start_soon(give_up, scope)
                await call(pid, anyio.sleep_forever)

        async def give_up(scope: anyio.CancelScope) -> None:
            await anyio.wait_all_tasks_blocked()
            scope.cancel()

        if at_work:
            await ask()
        else:
            actor: Any = process.actor
            actor.start_soon_child(anyio.sleep_forever)
            del actor
            await anyio.wait_all_tasks_blocked()
        rests: list[Any] = [weakref.ref(process), weakref.ref(process.actor)]
        gc.collect()
        gc.disable()
        try:
            del process
            exit(pid)
            await wait_exit(pid)
            await anyio.wait_all_tasks_blocked()
            assert [rest() for rest in rests] == [None] * 2
        finally:
            gc.enable()


async def test_what_has_looked_after_the_processes_of_a_group_is_freed_with_the_last() -> None:
    async with task_group() as group:
        pid = await Server.start(task_group=group)
        process = find_process(pid)
        assert process is not None
        home = weakref.ref(process.home)
        del process
        await anyio.wait_all_tasks_blocked()
        gc.collect()
        gc.disable()
        try:
            exit(pid)
            await wait_exit(pid)
            await anyio.wait_all_tasks_blocked()
            assert home() is None
        finally:
            gc.enable()


@pytest.mark.parametrize("last", [SystemExit, KeyboardInterrupt])
def test_what_ends_the_program_goes_to_the_event_loop_and_not_to_who_waits(
    last: type[BaseException],
) -> None:
    harmed: list[BaseException] = []

    async def give_up(server: Server) -> None:
        raise last

    async def main() -> None:
        async with anyio.create_task_group() as group:
            await Server.start(task_group=group)
            pid = await Server.start(give_up, task_group=group)
            exit(pid)
            try:
                await wait_exit(pid)
            except last as error:
                harmed.append(error)

    with pytest.raises(last):
        asyncio.run(main())
    assert not harmed
