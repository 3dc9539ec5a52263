"""Calls that are started, and whose answers are awaited later; several of them side by side."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest
from conftest import ASYNCIO
from crew import Boom, begun_and_left, process_of, running

from fauxtp import (
    NO_REPLY,
    PID,
    Call,
    CallCycle,
    GenServer,
    Mailbox,
    NoProcess,
    PendingCall,
    ProcessExited,
    Raise,
    ReceiveTimeout,
    call,
    call_many,
    exit,
    process_info,
    register,
    reply,
    start_call,
    wait_exit,
)
from fauxtp.testing import explore

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


class Server(GenServer[Any, list[Any]]):
    """Answers when it is let; notes what it has begun."""

    async def init(self) -> list[Any]:
        self.gate = anyio.Event()
        return []

    async def handle_call(self, request: Any, from_: Call, begun: list[Any]) -> Any:
        match request:
            case "begun":
                return begun, begun
            case "never":
                return NO_REPLY, begun
            case "crash":
                raise Boom
            case "refuse":
                return Raise(Boom("refused")), begun
            case ("hold", event):
                await event.wait()
            case ("do", work):
                return await work(self), begun
        return ("answer", request), [*begun, request]


async def test_answers_are_there_when_they_are_awaited() -> None:
    async with running() as group:
        server = await Server.start(task_group=group)
        pending = [start_call(server, number) for number in range(3)]
        assert not any(one.done for one in pending)
        assert [await one for one in reversed(pending)] == [
            ("answer", number) for number in (2, 1, 0)
        ]
        assert await call(server, "begun") == [0, 1, 2]
        assert await pending[0] == ("answer", 0)  # again
        assert all(one.done for one in pending)
        assert not pending[0].cancel()
        assert repr(pending[0]) == f"<PendingCall to {server!r}: answered>"
        exit(server)


@pytest.mark.parametrize("request_", ["refuse", "crash"])
async def test_an_error_carries_nothing_of_those_who_awaited_it_before(request_: str) -> None:
    async def history() -> tuple[int, object]:
        try:
            raise LookupError("of whoever awaits it")
        except LookupError:
            with pytest.raises((Boom, ProcessExited)) as caught:
                await pending
        frames = traceback.walk_tb(caught.value.__traceback__)
        return sum(1 for _ in frames), caught.value.__context__

    async with running() as group:
        server = await Server.start(task_group=group)
        pending = start_call(server, request_)
        first, context = await history()
        for _ in range(3):
            assert await history() == (first, context)
        assert context is None
        exit(server)


async def test_errors_come_when_they_are_awaited() -> None:
    async with running() as group:
        server = await Server.start(task_group=group)
        refused = start_call(server, "refuse")
        for _ in range(2):
            with pytest.raises(Boom, match="refused"):
                await refused
        crashed, after = start_call(server, "crash"), start_call(server, "after")
        with pytest.raises(ProcessExited) as raised:
            await crashed
        assert raised.value.taken_up
        with pytest.raises(ProcessExited) as raised:
            await after
        assert not raised.value.taken_up


async def test_nobody_there_is_told_at_once() -> None:
    with pytest.raises(NoProcess):
        start_call("nobody", 1)
    with pytest.raises(NoProcess):
        start_call(PID(), 1)
    with pytest.raises(TypeError, match="expected a PID or a name, got int"):
        start_call(5, 1)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="timeout"):
        start_call("nobody", 1, "soon")  # type: ignore[call-overload]


async def test_its_time_begins_as_it_is_started() -> None:
    async with running() as group:
        server = await Server.start(task_group=group)
        pending = start_call(server, "never", timeout=0)
        for _ in range(2):
            with pytest.raises(ReceiveTimeout, match="within 0 s"):
                await pending
        exit(server)


async def test_what_is_cancelled_before_it_is_taken_up_is_never_executed() -> None:
    async with running() as group:
        server, free = await Server.start(task_group=group), anyio.Event()
        held = start_call(server, ("hold", free))
        while process_info(server).handling is None:
            await anyio.sleep(0)
        pending = start_call(server, "not this")
        assert process_info(server).mailbox_length == 1
        assert pending.cancel()
        assert not pending.cancel()
        assert process_info(server).mailbox_length == 0
        assert "cancelled" in repr(pending)
        with pytest.raises(RuntimeError, match="was cancelled"):
            await pending
        free.set()
        await held
        assert [request[0] for request in await call(server, "begun")] == ["hold"]
        exit(server)


async def test_who_lets_go_of_it_has_given_it_up() -> None:
    async with running() as group:
        server, free = await Server.start(task_group=group), anyio.Event()
        held = start_call(server, ("hold", free))
        while process_info(server).handling is None:
            await anyio.sleep(0)
        pending = start_call(server, "not this")
        del pending
        gc.collect()
        free.set()
        await held
        assert len(await call(server, "begun")) == 1
        assert process_info(server).calls_given_up == 1
        exit(server)


async def test_who_is_cancelled_as_it_waits_has_given_it_up() -> None:
    async with running() as group:
        server = await Server.start(task_group=group)
        pending = start_call(server, "never")
        with anyio.move_on_after(0.001):
            await pending
        with pytest.raises(RuntimeError, match="was cancelled"):
            await pending
        exit(server)


async def test_one_waits_for_it_and_nobody_else() -> None:
    async with running() as group:
        server = await Server.start(task_group=group)
        pending = start_call(server, "never")

        async def wait() -> None:
            with pytest.raises(ProcessExited):
                await pending

        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(RuntimeError, match="nobody else waits"):
            await pending
        exit(server)
        await wait_exit(server)


@pytest.mark.parametrize("anyio_backend", ASYNCIO)
async def test_it_is_awaited_where_it_was_started() -> None:
    async with running() as group:
        server = await Server.start(task_group=group)
        pending = start_call(server, "never")

        async def wait() -> None:
            with pytest.raises(RuntimeError, match="the event loop in which"):
                await pending

        await anyio.to_thread.run_sync(anyio.run, wait)
        with pytest.raises(RuntimeError, match="no event loop runs in this thread"):
            await anyio.to_thread.run_sync(lambda: start_call(server, 1))
        exit(server)


class Narrow(Server):
    mailbox_size = 1


async def test_the_request_waits_for_room_and_nobody_with_it() -> None:
    async with running() as group:
        narrow, free = await Narrow.start(task_group=group), anyio.Event()
        held = start_call(narrow, ("hold", free))
        while process_info(narrow).handling is None:
            await anyio.sleep(0)
        pending = [start_call(narrow, number) for number in range(4)]
        assert pending[2].cancel()
        assert process_info(narrow).mailbox_length == 1
        free.set()
        await held
        assert await pending[3] == ("answer", 3)
        assert await pending[0] == ("answer", 0)
        assert (await call(narrow, "begun"))[1:] == [0, 1, 3]
        assert process_of(narrow).mailbox.in_line == 0
        exit(narrow)


async def test_a_circle_is_told_when_it_would_wait() -> None:
    async with running() as group:
        server = await Server.start(task_group=group)

        async def itself(actor: Server) -> str:
            pending = start_call(actor.pid, "me")
            with pytest.raises(CallCycle):
                await pending
            return "told"

        with anyio.fail_after(10):
            assert await call(server, ("do", itself)) == "told"
        assert await call(server, "begun") == []
        exit(server)


async def test_who_waits_for_it_is_seen_to_wait() -> None:
    async with running() as group:
        one, other = [await Server.start(task_group=group) for _ in range(2)]
        callers: list[Any] = []

        async def back(server: Server) -> str:
            while process_info(one).waiting_for is not other:
                await anyio.sleep(0)
            callers.append(process_of(server.pid).handling.caller)
            with pytest.raises(CallCycle):
                await call(one, "me")
            return "told"

        async def waits(server: Server) -> Any:
            return await start_call(other, ("do", back))

        with anyio.fail_after(10):
            assert await call(one, ("do", waits)) == "told"
        assert callers == [one]
        assert process_info(one).waiting_for is None
        exit(one)
        exit(other)


async def test_a_task_of_a_server_waits_and_not_the_server() -> None:
    async with running() as group:
        one, other = [await Server.start(task_group=group) for _ in range(2)]
        answers: list[Any] = []

        async def waits() -> None:
            answers.append(await start_call(other, ("do", back)))

        async def back(server: Server) -> Any:
            return await call(one, "me")

        async def begins(server: Server) -> None:
            server.start_soon_child(waits)

        await call(one, ("do", begins))
        with anyio.fail_after(10):
            while not answers:
                await anyio.sleep(0)
        assert answers == [("answer", "me")]
        exit(one)
        exit(other)


async def test_who_awaits_what_is_there_lets_others_run_and_notices_a_cancellation() -> None:
    async with running() as group:
        server = await Server.start(task_group=group)
        pending = start_call(server, 1)
        await pending
        ran: list[int] = []

        async def other() -> None:
            ran.append(1)

        group.start_soon(other)
        for _ in range(10):
            await pending
        assert ran
        with anyio.CancelScope() as scope:
            scope.cancel()
            await pending
        assert scope.cancelled_caught
        assert await pending == ("answer", 1)
        exit(server)


async def test_who_awaits_in_vain_lets_others_run() -> None:
    async with running() as group:
        server = await Server.start(task_group=group)
        pending = start_call(server, "never")
        assert pending.cancel()
        ran: list[int] = []

        async def other() -> None:
            ran.append(1)

        group.start_soon(other)
        for _ in range(10):
            with pytest.raises(RuntimeError, match="was cancelled"):
                await pending
        assert ran
        exit(server)


async def test_a_mailbox_may_answer_it() -> None:
    mailbox = Mailbox()
    pending = start_call(mailbox.pid, "hello")
    reply(mailbox.take_nowait(), "world")
    assert await pending == "world"


async def test_many_are_called_side_by_side() -> None:
    async with running() as group:
        free = anyio.Event()
        servers = [await Server.start(task_group=group) for _ in range(3)]
        register("one of them", servers[0])

        async def open_when_all_have_begun() -> None:
            while not all(process_info(server).handling for server in servers):
                await anyio.sleep(0)
            free.set()

        group.start_soon(open_when_all_have_begun)
        request = ("hold", free)
        with anyio.fail_after(10):
            answers, failures = await call_many([*servers, "nobody"], request)
        assert answers == dict.fromkeys(servers, ("answer", request))
        assert [*failures] == ["nobody"]
        assert isinstance(failures["nobody"], NoProcess)
        some: list[PID | str] = [servers[0], servers[0], "one of them"]
        answers, failures = await call_many(iter(some), 1)
        assert answers == dict.fromkeys(some, ("answer", 1))
        assert len(await call(servers[0], "begun")) == 3  # a PID once, and a name
        for server in servers:
            exit(server)


async def test_each_of_many_fails_for_itself() -> None:
    async with running() as group:
        servers = [await Server.start(task_group=group) for _ in range(2)]
        answers, failures = await call_many(servers, "never", timeout=0)
        assert answers == {}
        assert {type(error) for error in failures.values()} == {ReceiveTimeout}
        answers, failures = await call_many(servers, "crash")
        assert {type(error) for error in failures.values()} == {ProcessExited}
        assert await call_many(servers, 1) != ({}, {})
        assert await call_many([], 1) == ({}, {})


async def test_who_is_cancelled_gives_all_of_them_up() -> None:
    async with running() as group:
        servers = [await Server.start(task_group=group) for _ in range(3)]
        await begun_and_left(call_many, servers, "never", None)
        for server in servers:
            owed = process_of(server).calls
            assert owed is not None
            assert [call.settled for call in owed] == [True]
            exit(server)


@pytest.mark.parametrize("to", ["server", 5, None, ["server", 5], ["server", ["server"]]])
async def test_what_is_no_list_of_addresses_is_refused_and_nobody_called(to: Any) -> None:
    async with running() as group:
        server = await Server.start(task_group=group, register_as="server")
        with pytest.raises(TypeError, match=r"PIDs and names|a PID or a name"):
            await call_many(to, 1)
        assert await call(server, "begun") == []
        exit(server)


def _scenario(cancels: Callable[[PendingCall[Any]], Any]) -> Callable[[], Awaitable[None]]:
    async def scenario() -> None:
        """Some are awaited, some cancelled: what was cancelled in time is never executed."""
        async with anyio.create_task_group() as group:
            server = await Server.start(task_group=group)
            cancelled: list[int] = []
            kept: list[PendingCall[Any]] = []

            async def ask(number: int) -> None:
                pending = start_call(server, number)
                kept.append(pending)
                await anyio.sleep(0)
                if number % 2 and cancels(pending):
                    cancelled.append(number)
                elif not number % 2:
                    assert await pending == ("answer", number)

            async with anyio.create_task_group() as askers:
                for number in range(6):
                    askers.start_soon(ask, number)
            begun = await call(server, "begun")
            assert {0, 2, 4} <= {*begun}
            assert len(begun) == len({*begun})
            assert not any(number in begun for number in cancelled)
            exit(server)

    return scenario


def test_under_any_schedule_what_was_cancelled_is_not_executed() -> None:
    explore(_scenario(lambda pending: not pending._call.taken and pending.cancel()), range(150))


def test_one_that_is_cancelled_in_word_only_is_found() -> None:
    with pytest.raises(AssertionError):
        explore(_scenario(lambda pending: not pending._call.taken), range(150))
