"""A handler that only lets others have a turn: its caller does so, too, and goes on with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from conftest import ASYNCIO, task_group, turns

from fauxtp import (
    Call,
    GenServer,
    ProcessExited,
    ReceiveTimeout,
    call,
    cast,
    cast_nowait,
    exit,
    process_info,
    reply,
)
from fauxtp._base import switches
from fauxtp._core.process import find_process
from fauxtp._core.receiving import receive
from fauxtp._hosting import handover as handoff

pytestmark = pytest.mark.anyio

Work = Callable[[Call], Awaitable[Any]]

setting: ContextVar[str] = ContextVar("setting", default="unset")


@pytest.fixture(params=ASYNCIO)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Only asyncio can do it."""
    return request.param


@pytest.fixture(autouse=True)
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switches, "hand_off", True)


@pytest.fixture
def drives(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the server's own task has gone on with."""
    driven = []
    drive = handoff.drive

    def noting(handler: Any, *rest: Any) -> Any:
        driven.append(handler)
        return drive(handler, *rest)

    monkeypatch.setattr(handoff, "drive", noting)
    return driven


class Server(GenServer[Any, list[Any]]):
    """Does what it is asked to, and remembers what came of it."""

    async def init(self) -> list[Any]:
        return []

    async def handle_call(self, request: Any, from_: Call, state: list[Any]) -> Any:
        result = await request(from_) if callable(request) else tuple(state)
        return result, [*state, result]

    async def handle_cast(self, request: Any, state: list[Any]) -> list[Any]:
        return [*state, request]


async def let_others(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


@pytest.mark.parametrize("number", [1, 2, handoff.TURNS])
async def test_the_caller_waits_as_many_turns_as_the_handler(
    number: int, drives: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(_: Call) -> int:
        seen.append(asyncio.current_task())
        setting.set("early")
        await let_others(number)
        seen.append(asyncio.current_task())
        return 7 if setting.get() == "early" else 0

    seen: list[Any] = []
    async with task_group() as group:
        server = await Server.start(task_group=group)
        await asyncio.sleep(0)
        count = turns()
        assert await call(server, work) == 7
        assert (count, drives) == ([number], [])
        process = find_process(server)
        assert process is not None
        assert seen == [process.task] * 2
        assert setting.get() == "unset"
        assert await call(server, None) == (7,)


async def test_who_gives_way_again_and_again_does_so_in_the_servers_task(
    drives: list[Any],
) -> None:
    async def work(_: Call) -> int:
        await let_others(handoff.TURNS + 1)
        return 7

    async with task_group() as group:
        server = await Server.start(task_group=group)
        assert await call(server, work) == 7
        assert len(drives) == 1
        assert await call(server, None) == (7,)


async def test_who_gives_way_for_ever_is_waited_for_no_longer_than_that() -> None:
    async def work(_: Call) -> None:
        while not enough:
            await asyncio.sleep(0)

    enough: list[int] = []
    async with task_group() as group:
        server = await Server.start(task_group=group)
        with pytest.raises(ReceiveTimeout):
            await call(server, work, timeout=0.1)
        enough.append(1)
        assert await call(server, None) == (None,)


async def test_who_first_gives_way_may_then_wait(drives: list[Any]) -> None:
    async def work(_: Call) -> int:
        await asyncio.sleep(0)
        await go_on.wait()
        await asyncio.sleep(0)
        return 7

    go_on = anyio.Event()
    async with task_group() as group:
        server = await Server.start(task_group=group)
        asyncio.get_running_loop().call_later(0.01, go_on.set)
        assert await call(server, work) == 7
        assert len(drives) == 1


async def test_a_message_meanwhile_comes_afterwards(drives: list[Any]) -> None:
    async def work(_: Call) -> str:
        await let_others(2)
        return "first"

    async def send_one() -> None:
        await cast(server, "second")

    async with task_group() as group:
        server = await Server.start(task_group=group)
        group.start_soon(send_one)
        assert await call(server, work) == "first"
        assert len(drives) == 1
        assert await call(server, None) == ("first", "second")


@pytest.mark.parametrize("natively", [False, True])
async def test_a_caller_that_is_cancelled_meanwhile_leaves_it_to_the_server(
    natively: bool, drives: list[Any]
) -> None:
    async def work(_: Call) -> str:
        await let_others(2)
        return "done"

    async def ask() -> None:
        with anyio.CancelScope() as scope:
            me = asyncio.current_task()
            assert me is not None
            asyncio.get_running_loop().call_soon(me.cancel if natively else scope.cancel)
            await call(server, work)
        assert scope.cancelled_caught

    async with task_group() as group:
        server = await Server.start(task_group=group)
        asking = asyncio.create_task(ask())
        await asyncio.wait([asking])
        assert asking.cancelled() == natively
        assert await call(server, None) == ("done",)
        assert len(drives) == 1


@pytest.mark.parametrize("how", ["cancelled", "closed"])
async def test_what_a_caller_leaves_goes_on_though_nobody_sends_anything(how: str) -> None:
    async def work(_: Call) -> None:
        await let_others(2)
        done.set()

    done = anyio.Event()
    async with task_group() as group:
        server = await Server.start(task_group=group)
        if how == "cancelled":
            asking = asyncio.create_task(call(server, work))
            await asyncio.sleep(0)
            asking.cancel()
        else:
            by_hand = call(server, work)
            by_hand.send(None)
            by_hand.close()
        with anyio.fail_after(10):
            await done.wait()


async def test_a_caller_that_is_late_finds_that_the_server_has_gone_on(drives: list[Any]) -> None:
    async def work(_: Call) -> str:
        await cast(server, "meanwhile")  # now the server's turn is before the caller's
        await asyncio.sleep(0)
        await go_on.wait()
        return "done"

    go_on = anyio.Event()
    async with task_group() as group:
        server = await Server.start(task_group=group)
        asyncio.get_running_loop().call_later(0.01, go_on.set)
        assert await call(server, work) == "done"
        assert len(drives) == 1
        assert await call(server, None) == ("done", "meanwhile")


async def test_a_caller_that_is_late_leaves_the_next_one_alone(drives: list[Any]) -> None:
    async def work(_: Call) -> str:
        await cast(server, "meanwhile")
        following.append(asyncio.create_task(call(server, next_one)))
        await asyncio.sleep(0)
        return "first"

    async def next_one(_: Call) -> str:
        await asyncio.sleep(0)
        seen.append(len(drives))
        return "next"

    following: list[asyncio.Task[Any]] = []
    seen: list[int] = []
    async with task_group() as group:
        server = await Server.start(task_group=group)
        assert await call(server, work) == "first"
        assert await following[0] == "next"
        assert await call(server, None) == ("first", "meanwhile", "next")
        assert seen == [2]  # as the first caller has woken the server


async def test_what_cannot_be_gone_on_with_is_left_to_the_server(
    monkeypatch: pytest.MonkeyPatch, drives: list[Any]
) -> None:
    async def work(_: Call) -> str:
        await asyncio.sleep(0)
        return "done"

    async with task_group() as group:
        server = await Server.start(task_group=group)
        asyncio.get_running_loop().call_soon(monkeypatch.setattr, switches, "hand_off", False)
        assert await call(server, work) == "done"
        assert len(drives) == 1
        assert await call(server, None) == ("done",)


async def test_who_else_waits_for_messages_hides_no_cancellation() -> None:
    async def work(_: Call) -> bool:
        with anyio.CancelScope() as scope:
            await asyncio.sleep(0)
            scope.cancel()
            await asyncio.sleep(0)
            passed.append(1)
        return scope.cancelled_caught

    passed: list[int] = []
    async with task_group() as group:
        server = await Server.start(task_group=group)
        process = find_process(server)
        assert process is not None
        pattern = ("nothing of the kind", print)
        group.start_soon(receive, process.mailbox, (pattern,), None)
        await asyncio.sleep(0)
        assert await call(server, work) is True
        assert passed == []


async def test_a_chain_has_its_bound_though_each_gives_way_first() -> None:
    async def work(_: Call) -> None:
        await asyncio.sleep(0)
        number = len(depths)
        process = find_process(servers[number])
        assert process is not None
        depths.append(process.depth)
        if number + 1 < len(servers):
            await call(servers[number + 1], work)

    depths: list[int] = []
    async with task_group() as group:
        servers = [await Server.start(task_group=group) for _ in range(handoff.DEPTH + 1)]
        await call(servers[0], work)
        assert depths == [*range(1, handoff.DEPTH + 1), 0]


@pytest.mark.parametrize("shielded", [False, True])
async def test_exit_meanwhile_reaches_the_handler(shielded: bool) -> None:
    async def work(_: Call) -> str:
        with anyio.CancelScope(shield=shielded):
            try:
                await let_others(3)
            except BaseException:
                seen.append("cancelled")
                raise
        return "done"

    seen: list[str] = []
    async with task_group() as group:
        server = await Server.start(task_group=group)
        asyncio.get_running_loop().call_soon(exit, server, "enough")
        if shielded:
            assert await call(server, work) == "done"
        with pytest.raises(ProcessExited, match="enough"):
            await call(server, work)
        assert seen == ([] if shielded else ["cancelled"])


async def test_a_native_cancellation_of_the_server_meanwhile_reaches_the_handler() -> None:
    async def work(_: Call) -> str:
        try:
            await let_others(2)
        except asyncio.CancelledError:
            seen.append(asyncio.current_task())
            raise
        return "done"

    seen: list[Any] = []
    async with task_group() as group:
        server = await Server.start(task_group=group)
        process = find_process(server)
        assert process is not None
        asyncio.get_running_loop().call_soon(process.task.cancel)
        with pytest.raises(ProcessExited):
            await call(server, work)
        assert seen == [process.task]


@pytest.mark.parametrize("handed_off", [True, False])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_native_cancellation_that_the_handler_ignores_is_over(
    times: int, handed_off: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ignore(_: Call) -> str:
        try:
            await let_others(3)
        except asyncio.CancelledError:
            await let_others(1)
            return "ignored"
        return "not cancelled"

    async def cancel_its_own(_: Call) -> bool:
        with anyio.CancelScope() as scope:
            await asyncio.sleep(0)
            scope.cancel()
            await asyncio.sleep(0)
        return scope.cancelled_caught

    monkeypatch.setattr(switches, "hand_off", handed_off)
    async with task_group() as group:
        server = await Server.start(task_group=group)
        await asyncio.sleep(0)
        process = find_process(server)
        assert process is not None
        asking = asyncio.create_task(call(server, ignore))
        await let_others(1 if handed_off else 2)
        assert process.handling is not None
        for _ in range(times):
            process.task.cancel()
        assert await asking == "ignored"
        await let_others(2)
        assert await call(server, cancel_its_own) is True
        await let_others(2)
        assert await call(server, None) == ("ignored", True)


async def test_a_scope_that_is_cancelled_in_the_handler_ends_it_at_the_next_turn() -> None:
    async def work(_: Call) -> tuple[bool, int]:
        with anyio.CancelScope() as scope:
            await asyncio.sleep(0)
            scope.cancel()
            await asyncio.sleep(0)
            passed.append(1)
        return scope.cancelled_caught, len(passed)

    passed: list[int] = []
    async with task_group() as group:
        server = await Server.start(task_group=group)
        assert await call(server, work) == (True, 0)
        assert await call(server, None) == ((True, 0),)


async def test_a_cancelled_scope_is_noticed_though_the_caller_is_quicker() -> None:
    """The caller, whom its own server's task drives, has its turn before anyio has cancelled."""

    async def work(_: Call) -> bool:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await asyncio.sleep(0)
        return scope.cancelled_caught

    async def relay(_: Call) -> Any:
        cast_nowait(relaying, None)
        return await call(server, work)

    async with task_group() as group:
        server = await Server.start(task_group=group)
        relaying = await Server.start(task_group=group)
        assert await call(relaying, relay) is True


async def test_a_timeout_in_the_handler_ends_it() -> None:
    async def work(_: Call) -> bool:
        with anyio.move_on_after(0.01) as scope:
            while True:
                await asyncio.sleep(0)
        return scope.cancelled_caught

    async with task_group() as group:
        server = await Server.start(task_group=group)
        assert await call(server, work) is True


async def test_an_answer_that_somebody_else_gives_meanwhile_is_the_answer() -> None:
    async def work(from_: Call) -> str:
        asyncio.get_running_loop().call_soon(reply, from_, "quick")
        await let_others(2)
        return "late"

    async with task_group() as group:
        server = await Server.start(task_group=group)
        assert await call(server, work) == "quick"
        assert await call(server, None) == ("late",)


async def test_an_error_after_a_turn_ends_the_server() -> None:
    async def work(_: Call) -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    async with task_group() as group:
        server = await Server.start(task_group=group)
        try:
            raise RuntimeError("of the caller")
        except RuntimeError:
            with pytest.raises(ProcessExited) as caught:
                await call(server, work)
        assert isinstance(caught.value.__cause__, ValueError)
        assert caught.value.__cause__.__context__ is None


async def test_in_a_chain_each_goes_on_with_the_next(drives: list[Any]) -> None:
    async def deepest(_: Call) -> str:
        await asyncio.sleep(0)
        seen.append(asyncio.current_task())
        return "deepest"

    async def middle(_: Call) -> str:
        await asyncio.sleep(0)
        answer: str = await call(servers[1], deepest)
        seen.append(asyncio.current_task())
        await asyncio.sleep(0)
        return answer

    seen: list[Any] = []
    async with task_group() as group:
        servers = [await Server.start(task_group=group) for _ in range(2)]
        assert await call(servers[0], middle) == "deepest"
        tasks = [process.task for process in map(find_process, servers) if process is not None]
        assert (seen, drives) == (tasks[::-1], [])


async def test_it_is_seen_at_work_for_as_long_as_it_works() -> None:
    async def work(_: Call) -> None:
        await asyncio.sleep(0)
        seen.append(process_info(server))
        await asyncio.sleep(0)
        seen.append(process_info(server))

    seen: list[Any] = []
    async with task_group() as group:
        server = await Server.start(task_group=group)
        await call(server, work)
        first, second = seen
        assert first.handling is second.handling is not None
        assert 0 < first.handling_for < second.handling_for
