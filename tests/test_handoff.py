"""Calls that are handled on the spot: nobody can tell, but by the time they take."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from conftest import ASYNCIO, task_group, turns

from fauxtp import (
    NO_REPLY,
    PID,
    Call,
    CallCycle,
    GenServer,
    Mailbox,
    NoProcess,
    ProcessExited,
    ReceiveTimeout,
    Stop,
    call,
    cast,
    exit,
    reply,
    send,
    wait_exit,
)
from fauxtp._base import switches
from fauxtp._core.process import find_process
from fauxtp._hosting import handover as handoff

pytestmark = pytest.mark.anyio

Work = Callable[["Server", Call], Coroutine[Any, Any, Any]]

setting: ContextVar[str] = ContextVar("setting", default="unset")


@pytest.fixture(params=ASYNCIO)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Only asyncio can do it."""
    return request.param


@pytest.fixture(autouse=True)
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switches, "hand_off", True)


class Server(GenServer[Any, list[Any]]):
    """Does what it is asked to, and remembers what came of it."""

    reason: str | None = None
    ended_in: Any = None

    async def init(self) -> list[Any]:
        return []

    async def handle_call(self, request: Any, from_: Call, state: list[Any]) -> Any:
        result = await request(self, from_) if callable(request) else request
        if isinstance(result, (Stop, tuple)):
            return result
        return result, [*state, result]

    async def handle_cast(self, request: Any, state: list[Any]) -> list[Any]:
        return [*state, request]

    async def terminate(self, reason: str, state: list[Any]) -> None:
        Server.reason, Server.ended_in = reason, asyncio.current_task()


async def history(server: PID) -> Any:
    async def tell(actor: Server, _: Call) -> Any:
        process = find_process(actor.pid)
        assert process is not None
        return tuple(process.state), process.state

    return await call(server, tell)


async def test_an_idle_server_answers_without_the_event_loop() -> None:
    async with task_group() as group:
        server = await Server.start(task_group=group)
        count = turns()
        assert [await call(server, number) for number in range(50)] == list(range(50))
        assert count[0] <= 1  # where the budget ended
        assert await history(server) == tuple(range(50))


async def test_switched_off_it_answers_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switches, "hand_off", False)
    async with task_group() as group:
        server = await Server.start(task_group=group)
        count = turns()
        assert [await call(server, number) for number in range(50)] == list(range(50))
        assert count[0] >= 50
        assert await history(server) == tuple(range(50))


async def test_a_handler_that_gives_way_goes_on_when_the_others_had_their_turn() -> None:
    events: list[str] = []
    loop = asyncio.get_running_loop()

    def others() -> None:
        events.append("others")
        loop.call_soon(events.append, "others again")

    async def give_way(actor: Server, _: Call) -> Any:
        loop.call_soon(others)
        await asyncio.sleep(0)
        events.append("on")
        return "done", []

    async with task_group() as group:
        server = await Server.start(task_group=group)
        assert await call(server, give_way) == "done"
    assert events == ["others", "on", "others again"]


async def test_the_handler_runs_as_the_servers_task_in_its_context() -> None:
    async def look(actor: Server, _: Call) -> Any:
        before = setting.get()
        setting.set("by the server")
        return "seen", [asyncio.current_task(), before]

    async with task_group() as group:
        server = await Server.start(task_group=group)
        mine = asyncio.current_task()
        setting.set("by the caller")
        for before in ("unset", "by the server"):
            assert await call(server, look) == "seen"
            process = find_process(server)
            assert process is not None
            assert process.state == [process.task, before]
        assert asyncio.current_task() is mine
        assert setting.get() == "by the caller"


async def test_a_handler_that_suspends_goes_on_in_the_servers_task() -> None:
    async def work(actor: Server, _: Call) -> Any:
        first = asyncio.current_task()
        with anyio.move_on_after(5) as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep, 0)
                await anyio.sleep(0)
        with anyio.move_on_after(0):
            await anyio.sleep_forever()
        await asyncio.sleep(0)
        assert not scope.cancel_called
        setting.set("late")
        return asyncio.current_task() is first, [setting.get()]

    async with task_group() as group:
        server = await Server.start(task_group=group)
        assert await call(server, work) is True
        assert await call(server, 7) == 7
        assert await history(server) == ("late", 7)


async def test_many_callers_of_a_handler_that_suspends_are_served_in_turn() -> None:
    running = 0
    answers = []

    async def one_at_a_time(actor: Server, _: Call) -> int:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0)
        running -= 1
        return running

    async def ask(server: PID) -> None:
        for _ in range(20):
            answer = await call(server, one_at_a_time)
            answers.append(answer)

    async with task_group() as group:
        server = await Server.start(task_group=group)
        async with anyio.create_task_group() as callers:
            for _ in range(10):
                callers.start_soon(ask, server)
        assert answers == [0] * 200


async def test_a_call_does_not_overtake_messages() -> None:
    async with task_group() as group:
        server = await Server.start(task_group=group)
        await call(server, 0)
        await cast(server, 1)
        await call(server, 2)
        await call(server, 3)
        assert await history(server) == (0, 1, 2, 3)


async def test_an_error_ends_the_server_in_its_own_task() -> None:
    async def fail(actor: Server, _: Call) -> Any:
        raise ValueError("no")

    async with task_group() as group:
        server = await Server.start(task_group=group)
        process = find_process(server)
        assert process is not None
        with pytest.raises(ProcessExited) as caught:
            await call(server, fail)
        assert isinstance(caught.value.__cause__, ValueError)
        assert (Server.reason, Server.ended_in) == ("error: ValueError('no')", process.task)
        with pytest.raises(NoProcess):
            await call(server, 1)


async def test_an_error_has_no_history_of_the_caller() -> None:
    async def fail(actor: Server, _: Call) -> Any:
        try:
            raise KeyError
        except KeyError:
            raise ValueError("no")  # noqa: B904

    async with task_group() as group:
        server = await Server.start(task_group=group)
        try:
            raise RuntimeError("of the caller")
        except RuntimeError:
            with pytest.raises(ProcessExited) as caught:
                await call(server, fail)
        error = caught.value.__cause__
        assert isinstance(error, ValueError)
        assert isinstance(error.__context__, KeyError)
        assert error.__context__.__context__ is None


@pytest.mark.parametrize("suspends", [False, True])
async def test_stop_answers_and_ends(suspends: bool) -> None:
    async def stop(actor: Server, _: Call) -> Any:
        if suspends:
            await asyncio.sleep(0)
        return Stop("done", reply="bye")

    async with task_group() as group:
        server = await Server.start(task_group=group)
        assert await call(server, stop) == "bye"
        assert await wait_exit(server) in ("done", "noproc")
        assert Server.reason == "done"


async def test_an_answer_may_come_later() -> None:
    owed: list[Call] = []

    async def later(actor: Server, from_: Call) -> Any:
        owed.append(from_)
        return NO_REPLY, ["later"]

    async with task_group() as group:
        server = await Server.start(task_group=group)
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await call(server, later))

        async with anyio.create_task_group() as callers:
            callers.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            assert await call(server, "meanwhile") == "meanwhile"
            assert reply(owed[0], "at last")
        assert answers == ["at last"]


async def test_a_timeout_does_not_touch_the_handler() -> None:
    done = anyio.Event()
    go_on = anyio.Event()

    async def slow(actor: Server, _: Call) -> Any:
        await go_on.wait()
        done.set()
        return "too late"

    async with task_group() as group:
        server = await Server.start(task_group=group)
        with pytest.raises(ReceiveTimeout):
            await call(server, slow, timeout=0)
        with anyio.move_on_after(0) as scope:
            await call(server, "behind it")
        assert scope.cancelled_caught
        go_on.set()
        await done.wait()
        assert await history(server) == ("too late",)


async def test_exit_reaches_a_handler_that_was_handed_over() -> None:
    seen = []

    async def wait(actor: Server, _: Call) -> Any:
        try:
            await anyio.sleep_forever()
        finally:
            seen.append(asyncio.current_task())

    async with task_group() as group:
        for later in (False, True):
            server = await Server.start(task_group=group)
            process = find_process(server)
            assert process is not None

            async def ask(server: PID = server) -> None:
                with pytest.raises(ProcessExited):
                    await call(server, wait)

            async with anyio.create_task_group() as callers:
                callers.start_soon(ask)
                # Once before the server's task has taken over, and once after.
                await (anyio.wait_all_tasks_blocked() if later else asyncio.sleep(0))
                exit(server)
            assert seen.pop() is process.task


async def give_up(actor: Server, _: Call) -> Any:
    try:
        async with asyncio.timeout(0):  # comes before the server's task can take over
            await asyncio.Event().wait()
    except TimeoutError:
        return "timed out"


async def test_a_timeout_that_is_over_at_once_ends_what_the_handler_awaits() -> None:
    async with task_group() as group:
        server = await Server.start(task_group=group)
        assert await call(server, give_up) == "timed out"


async def test_a_server_that_its_event_loop_cancels_ends_whatever_it_was_asked() -> None:
    async def later(actor: Server, _: Call) -> Any:
        return NO_REPLY, []

    async with task_group() as group:
        server = await Server.start(task_group=group)
        process = find_process(server)
        assert process is not None
        process.task.cancel()
        with pytest.raises(ProcessExited, match="cancelled"):
            await call(server, later)


async def test_a_timeout_of_the_handler_hides_no_cancellation_from_before() -> None:
    async with task_group() as group:
        server = await Server.start(task_group=group)
        process = find_process(server)
        assert process is not None
        process.task.cancel()
        try:
            answer = await call(server, give_up)
        except ProcessExited as exited:  # timeouts of asyncio before 3.11.3 let it through
            answer = exited.reason
        assert answer in ("timed out", "cancelled")
        assert await wait_exit(server) in ("cancelled", "noproc")


async def test_a_handler_that_awaits_what_asyncio_does_not_know_crashes_itself() -> None:
    class Odd:
        def __await__(self) -> Generator[int, None, None]:
            yield 42

    async def await_it(actor: Server, _: Call) -> Any:
        await Odd()

    async with task_group() as group:
        server = await Server.start(task_group=group)
        with pytest.raises(ProcessExited, match="bad yield: 42"):
            await call(server, await_it)


async def test_a_handler_that_is_no_coroutine_function_is_awaited_or_crashes() -> None:
    class Odd(GenServer[Any, Any]):
        def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
            if request == "raise":
                raise ValueError("at once")
            return asyncio.ensure_future(asyncio.sleep(0, ("later", state)))

    async with task_group() as group:
        server = await Odd.start(task_group=group)
        for _ in range(3):
            assert await call(server, "later") == "later"
        with pytest.raises(ProcessExited) as caught:
            await call(server, "raise")
        assert isinstance(caught.value.__cause__, ValueError)


async def test_what_a_handler_waits_for_others_may_wait_for_too() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    answers: list[Any] = []

    async def handler(actor: Server, _: Call) -> Any:
        return await future, []

    async def ask(server: PID) -> None:
        answers.append(await call(server, handler))

    async def bystander() -> None:
        answers.append(await future)

    async with task_group() as group:
        servers = [await Server.start(task_group=group) for _ in range(2)]
        async with anyio.create_task_group() as all_of_them:
            for server in servers:
                all_of_them.start_soon(ask, server)
            all_of_them.start_soon(bystander)
            await asyncio.sleep(0)
            future.set_result(7)
        assert answers == [7, 7, 7]


async def test_waits_that_are_over_leave_no_timers() -> None:
    loop: Any = asyncio.get_running_loop()
    if not hasattr(loop, "_scheduled"):
        pytest.skip("this event loop does not show its timers")

    async def suspend(actor: Server, _: Call) -> Any:
        await asyncio.sleep(0)
        return 1, []

    mailbox = Mailbox()
    async with task_group() as group:
        server = await Server.start(task_group=group)
        before = sum(not timer.cancelled() for timer in loop._scheduled)
        for number in range(200):
            group.start_soon(send, mailbox.pid, number)
            await mailbox.receive((int, lambda found: found), timeout=3600)
            await call(server, suspend, timeout=3600)
        after = sum(not timer.cancelled() for timer in loop._scheduled)
        assert after - before <= 2


async def test_stop_in_init_tells_the_starter_and_nobody_else() -> None:
    class Reluctant(GenServer[Any, Any]):
        async def init(self) -> Any:
            raise Stop("not today")

    async with task_group() as group:
        with pytest.raises(ProcessExited, match="not today"):
            await Reluctant.start(task_group=group)


async def test_circles_and_chains_are_what_they_were() -> None:
    async with task_group() as group:
        servers = [await Server.start(task_group=group) for _ in range(handoff.DEPTH * 2)]

        def through(chain: list[PID]) -> Work:
            async def pass_on(actor: Server, _: Call) -> Any:
                return 1 + await call(chain[0], through(chain[1:]) if chain[1:] else 0)

            return pass_on

        assert await call(servers[0], through(servers[1:])) == len(servers) - 1

        async def round_trip(actor: Server, _: Call) -> Any:
            async def back(_: Server, __: Call) -> Any:
                with pytest.raises(CallCycle) as caught:
                    await call(servers[0], "never")
                return len(caught.value.circle)

            return await call(servers[1], back)

        assert await call(servers[0], round_trip) == 3


async def test_who_only_calls_starves_nobody() -> None:
    async with task_group() as group:
        server = await Server.start(task_group=group)
        count, last_turns = turns(), []
        for number in range(5 * handoff.BUDGET):
            before = count[0]
            await call(server, number)
            if count[0] != before:
                last_turns.append(number)
        gaps = [later - earlier for earlier, later in itertools.pairwise(last_turns)]
        assert gaps in [[handoff.BUDGET] * 3, [handoff.BUDGET] * 4]


async def test_a_handler_that_gives_way_in_a_cancelled_scope_is_cancelled_there() -> None:
    async def give_way(server: Server, _: Call) -> Any:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await asyncio.sleep(0)
        return scope.cancelled_caught

    async def give_way_at_the_end(server: Server, _: Call) -> Any:
        exit(server.pid, "enough")
        await asyncio.sleep(0)

    async with task_group() as group:
        server = await Server.start(task_group=group)
        await asyncio.sleep(0)
        assert await call(server, give_way)
        with pytest.raises(ProcessExited, match="enough"):
            await call(server, give_way_at_the_end)


async def test_a_server_that_has_ignored_its_exit_answers_nobody_more() -> None:
    async def ignore(server: Server, _: Call) -> Any:
        exit(server.pid, "enough")
        with suppress(BaseException):
            await asyncio.sleep(10)
        return "ignored", []

    async with task_group() as group:
        server = await Server.start(task_group=group)
        process = find_process(server)
        assert process is not None
        await asyncio.sleep(0)
        assert await call(server, ignore) == "ignored"
        with pytest.raises((ProcessExited, NoProcess)):  # it may have ended by now
            await call(server, "more")
    assert process.reason == "enough"


async def test_who_is_cancelled_by_a_handler_is_so_in_the_call_and_not_later() -> None:
    diary: list[str] = []
    async with task_group() as group:
        server = await Server.start(task_group=group)
        await anyio.wait_all_tasks_blocked()
        with anyio.CancelScope() as scope:

            async def cancel_the_caller(_: Server, __: Call) -> str:
                scope.cancel()
                return "too late"

            diary.append(await call(server, cancel_the_caller))
        diary.append(f"cancelled: {scope.cancelled_caught}")
        await asyncio.sleep(0)
        diary.append("nothing is left of it")
    assert diary == ["cancelled: True", "nothing is left of it"]


@pytest.mark.parametrize("waits", [False, True])
async def test_who_is_asked_to_end_just_before_it_is_stepped_ends(waits: bool) -> None:
    async def wait(*_: Any) -> str:
        event = anyio.Event()
        if waits:
            asyncio.get_running_loop().call_soon(event.set)
            await event.wait()
        return "answer"

    async with task_group() as group:
        server = await Server.start(task_group=group)
        assert await call(server, wait) == "answer"  # by now it is in its scope
        await anyio.wait_all_tasks_blocked()
        process = find_process(server)
        assert process is not None
        step = process.step
        assert step is not None

        def interrupted(*arguments: Any) -> Any:
            process.step = step
            exit(server, "enough")  # as a signal handler may
            return step(*arguments)

        process.step = interrupted
        with suppress(ProcessExited):
            await call(server, wait)
        await wait_exit(server, timeout=60)
        assert process.reason == "enough"
