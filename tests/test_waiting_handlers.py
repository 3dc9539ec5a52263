"""Handlers that wait: whoever takes their next step, the callers and the servers cannot tell."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Generator
from contextvars import ContextVar
from types import coroutine
from typing import Any

import anyio
import pytest
from conftest import ASYNCIO, task_group, turns

from fauxtp import (
    PID,
    GenServer,
    ProcessExited,
    call,
    dead_letters,
    exit,
    send,
    wait_exit,
)
from fauxtp._base import switches
from fauxtp._core.process import find_process

pytestmark = pytest.mark.anyio

setting: ContextVar[str] = ContextVar("setting", default="unset")


@pytest.fixture(params=ASYNCIO)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Only asyncio can do it."""
    return request.param


@pytest.fixture(autouse=True, params=[True, False], ids=["handed off", "by the loop"])
def enabled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both ways, with the same results."""
    monkeypatch.setattr(switches, "hand_off", request.param)
    return bool(request.param)


class Server(GenServer[Any, list[Any]]):
    """Awaits what the request returns, and remembers what came of it."""

    async def init(self) -> list[Any]:
        return []

    async def handle_call(self, request: Any, from_: Any, state: list[Any]) -> Any:
        if request is None:
            return state, state
        result = await request()
        return result, [*state, result]

    async def handle_info(self, message: Any, state: list[Any]) -> list[Any]:
        return [*state, message]


class Slot:
    """A future that is there when it is needed, and whether somebody waits for it."""

    def __init__(self) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.wanted = anyio.Event()

    async def __call__(self) -> Any:
        self.wanted.set()
        return await self.future


def soon(result: Any) -> Callable[[], Awaitable[Any]]:
    """What there is in the next turn of the event loop."""

    async def wait() -> Any:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, result)
        return await future

    return wait


async def started(group: Any) -> PID:
    """Return a server that is idle."""
    pid = await Server.start(task_group=group)
    await anyio.wait_all_tasks_blocked()
    return pid


async def test_it_takes_no_turn_that_the_wait_does_not_take(enabled: bool) -> None:
    async with task_group() as group:
        server = await started(group)
        passed = turns()
        assert await call(server, soon(1)) == 1
        assert passed[0] <= 2 or not enabled


async def test_it_may_wait_again_and_again() -> None:
    async def three_times() -> list[int]:
        return [await soon(number)() for number in range(3)]

    async with task_group() as group:
        server = await started(group)
        for _ in range(3):
            assert await call(server, three_times) == [0, 1, 2]


async def test_messages_meanwhile_come_afterwards() -> None:
    async with task_group() as group:
        server, slot = await started(group), Slot()
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await call(server, slot))

        group.start_soon(ask)
        await slot.wanted.wait()
        await send(server, "meanwhile")
        await anyio.wait_all_tasks_blocked()
        slot.future.set_result("first")
        assert await call(server, None) == ["first", "meanwhile"]
        assert answers == ["first"]


async def test_a_message_in_the_same_turn_comes_afterwards() -> None:
    async with task_group() as group:
        server, slot = await started(group), Slot()
        group.start_soon(call, server, slot)
        await slot.wanted.wait()
        slot.future.set_result("first")
        await send(server, "second")
        assert await call(server, None) == ["first", "second"]


async def test_in_a_chain_each_waits_for_the_next() -> None:
    async with task_group() as group:
        servers = [await started(group) for _ in range(20)]

        async def pass_on(rest: list[PID]) -> Any:
            if not rest:
                return await soon("from the last")()
            return await call(rest[0], lambda: pass_on(rest[1:]))

        for _ in range(2):
            assert await pass_on(servers) == "from the last"
        for server in servers:
            assert await call(server, None) == ["from the last"] * 2


async def test_many_who_call_at_once_are_answered_in_turn() -> None:
    async with task_group() as group:
        server = await started(group)
        answers: list[int] = []

        async def ask(number: int) -> None:
            answers.append(await call(server, soon(number)))

        async with anyio.create_task_group() as all_of_them:
            for number in range(10):
                all_of_them.start_soon(ask, number)
        assert await call(server, None) == answers
        assert sorted(answers) == list(range(10))


async def test_the_handler_goes_on_in_the_task_and_context_of_the_server() -> None:
    seen: list[object] = []

    async def look() -> None:
        setting.set("in the handler")
        await soon(None)()
        seen.extend((asyncio.current_task(), setting.get()))

    async with task_group() as group:
        server = await started(group)
        setting.set("of the caller")
        await call(server, look)
        process = find_process(server)
        assert process is not None
        assert seen == [process.task, "in the handler"]
        assert setting.get() == "of the caller"


async def test_the_error_that_came_ends_the_server_and_is_the_cause() -> None:
    async with task_group() as group:
        server, slot = await started(group), Slot()
        asyncio.get_running_loop().call_soon(slot.future.set_exception, LookupError("lost"))
        with pytest.raises(ProcessExited) as caught:
            await call(server, slot)
        assert repr(caught.value.__cause__) == "LookupError('lost')"
        assert find_process(server) is None


async def test_who_cancels_what_it_waits_for_ends_the_server() -> None:
    async with task_group() as group:
        server, slot = await started(group), Slot()
        asyncio.get_running_loop().call_soon(slot.future.cancel)
        with pytest.raises(ProcessExited, match="CancelledError"):
            await call(server, slot)


async def test_a_future_of_another_event_loop_is_an_error_of_the_handler() -> None:
    elsewhere = asyncio.new_event_loop()
    future = elsewhere.create_future()

    async def wait() -> Any:
        return await future

    async with task_group() as group:
        server = await started(group)
        with pytest.raises(ProcessExited) as caught:
            await call(server, wait)
        assert "attached to a different loop" in str(caught.value.__cause__)
    elsewhere.close()


async def test_what_another_thread_brings_is_heard_of() -> None:
    async with task_group() as group:
        server, slot = await started(group), Slot()
        loop = asyncio.get_running_loop()

        def bring() -> None:
            loop.call_soon_threadsafe(slot.future.set_result, "from a thread")

        thread = threading.Thread(target=bring)
        loop.call_soon(thread.start)
        assert await call(server, slot) == "from a thread"
        thread.join()


async def test_the_answer_to_a_caller_that_gave_up_is_a_dead_letter() -> None:
    async with task_group() as group:
        server, slot = await started(group), Slot()
        scope = anyio.CancelScope()

        async def ask() -> None:
            with scope:
                await call(server, slot)

        group.start_soon(ask)
        await slot.wanted.wait()
        late = dead_letters.counts().get("late reply", 0)
        scope.cancel()
        await anyio.wait_all_tasks_blocked()
        slot.future.set_result("done")
        assert await call(server, None) == ["done"]
        assert dead_letters.counts()["late reply"] == late + 1


@pytest.mark.parametrize("reason", ["shutdown", "kill"])
async def test_exit_reaches_it_where_it_waits(reason: str) -> None:
    left: list[str] = []

    async with task_group() as group:
        server, slot = await started(group), Slot()

        async def wait() -> None:
            try:
                await slot()
            finally:
                left.append("left")

        async def ask() -> None:
            with pytest.raises(ProcessExited, match=reason):
                await call(server, wait)
            left.append("told")

        group.start_soon(ask)
        await slot.wanted.wait()
        exit(server, reason)
        assert await wait_exit(server) == reason
        await anyio.wait_all_tasks_blocked()
        assert left == ["left", "told"]
        assert slot.future.cancelled()


async def test_a_timeout_of_its_own_ends_the_wait_and_not_the_server() -> None:
    async def wait() -> str:
        with anyio.move_on_after(0):
            await anyio.sleep_forever()
        with anyio.move_on_after(0.001):
            await asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(0.001):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            return "went on"
        return "was not interrupted"

    async with task_group() as group:
        server = await started(group)
        for _ in range(2):
            assert await call(server, wait) == "went on"
        assert await call(server, None) == ["went on"] * 2


async def test_a_cancellation_that_the_handler_swallows_is_over() -> None:
    async with task_group() as group:
        server, slot = await started(group), Slot()

        async def wait() -> str:
            try:
                await slot()
            except asyncio.CancelledError:
                return "swallowed"
            return "not cancelled"

        asyncio.get_running_loop().call_soon(slot.future.cancel)
        assert await call(server, wait) == "swallowed"
        assert await call(server, None) == ["swallowed"]


async def test_a_handler_may_wait_for_what_is_there() -> None:
    @coroutine
    def wait_for_what_is_there() -> Generator[Any, None, str]:
        future = asyncio.get_running_loop().create_future()
        future.set_result("there")
        future._asyncio_future_blocking = True
        yield future
        return str(future.result())

    async with task_group() as group:
        server = await started(group)
        for _ in range(3):
            assert await call(server, wait_for_what_is_there) == "there"


async def test_the_waiter_of_a_call_that_was_answered_before_wakes_whoever_comes() -> None:
    async with task_group() as group:
        first, last = await started(group), await started(group)
        slot = Slot()

        async def pass_on() -> Any:
            return await call(last, slot)

        group.start_soon(call, first, pass_on)
        await slot.wanted.wait()
        slot.future.set_result("from the last")
        await send(first, "meanwhile")
        assert await call(first, None) == ["from the last", "meanwhile"]


async def test_what_has_come_is_not_lost_to_a_scope_that_is_cancelled_in_the_same_turn() -> None:
    async with task_group() as group:
        server, scope = await started(group), anyio.CancelScope()
        sending, receiving = anyio.create_memory_object_stream[str]()

        async def receive() -> str:
            with scope:
                return await receiving.receive()
            return "nothing"

        async def ask() -> None:
            await call(server, receive)

        for item in "first", "second":
            scope = anyio.CancelScope()
            group.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            sending.send_nowait(item)
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
        assert await call(server, None) == ["first", "second"]
        exit(server)
        await wait_exit(server)
        sending.close()
        receiving.close()


async def test_a_handler_that_waits_for_its_own_task_is_told_so() -> None:
    async def wait() -> None:
        task: Any = asyncio.current_task()
        await task

    async with task_group() as group:
        with pytest.raises(ProcessExited) as caught:
            await call(await started(group), wait)
        assert "Task cannot await on itself" in str(caught.value.__cause__)


@pytest.mark.parametrize("at_once", [True, False])
async def test_calls_that_wait_within_a_call_leave_nothing_to_collect(at_once: bool) -> None:
    async with task_group() as group:
        first, last = await started(group), await started(group)

        async def work() -> Any:
            await soon(None)()
            if not at_once:  # the server's own task goes on
                await asyncio.sleep(0)
            return "there"

        async def pass_on() -> Any:
            return await call(last, work)

        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                assert await call(first, pass_on) == "there"
            assert gc.collect() < 10
        finally:
            gc.enable()
