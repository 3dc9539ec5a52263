"""Servers: handlers, answers now and later, stopping, and tasks beside the server."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint
from conftest import task_group

from fauxtp import (
    NO_REPLY,
    Call,
    GenServer,
    ProcessExited,
    Stop,
    call,
    call_blocking,
    cast,
    dead_letters,
    is_alive,
    process_info,
    reply,
    send,
    wait_exit,
)
from fauxtp._base.arguments import kind_of
from fauxtp.registry import PID
from fauxtp.testing import wait_for

pytestmark = pytest.mark.anyio

Handler = Callable[..., Awaitable[Any]]


class Scripted(GenServer[Any, Any]):
    """A server whose every handler does what the test says, and that tells how it ended."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.end: list[Any] = []

    async def init(self) -> Any:
        return "first state"

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        return await self.handler(self, request, from_, state)

    async def handle_cast(self, request: Any, state: Any) -> Any:
        return await self.handler(self, request, None, state)

    async def handle_info(self, message: Any, state: Any) -> Any:
        return await self.handler(self, message, None, state)

    async def handle_task_end(self, pid: PID, status: str, result: Any, state: Any) -> Any:
        return await self.handler(self, (pid, status, result), None, state)

    async def terminate(self, reason: str, state: Any) -> None:
        ends.append((reason, state))


ends: list[tuple[str, Any]] = []


@pytest.fixture(autouse=True)
def no_ends() -> None:
    ends.clear()


async def nothing() -> None:
    """Return without an answer."""


# Handlers


async def test_every_kind_of_message_has_its_handler_and_each_returns_the_next_state() -> None:
    class Log(GenServer[Any, list[Any]]):
        async def init(self) -> list[Any]:
            return ["init"]

        async def handle_call(self, request: Any, from_: Call, state: list[Any]) -> Any:
            return state, [*state, ("call", request)]

        async def handle_cast(self, request: Any, state: list[Any]) -> list[Any]:
            await self.spawn_task(nothing)
            return [*state, ("cast", request)]

        async def handle_info(self, message: Any, state: list[Any]) -> list[Any]:
            return [*state, ("info", message)]

        async def handle_task_end(
            self, pid: PID, status: str, result: Any, state: list[Any]
        ) -> list[Any]:
            ended.set()
            return [*state, ("task", status, result)]

    ended = anyio.Event()
    async with task_group() as group:
        pid = await Log.start(task_group=group)
        await send(pid, 1)
        await cast(pid, 2)
        await ended.wait()
        await call(pid, 3, timeout=None)
        assert await call(pid, 4, timeout=None) == [
            "init",
            ("info", 1),
            ("cast", 2),
            ("task", "success", None),
            ("call", 3),
        ]


async def test_a_server_without_handlers_keeps_its_state_and_crashes_on_a_call() -> None:
    class Plain(GenServer[Any, Any]):
        pass

    async with task_group() as group:
        pid = await Plain.start(task_group=group)
        await send(pid, 1)
        await cast(pid, 2)
        with pytest.raises(ProcessExited) as caught:
            await call(pid, "stats", timeout=None)
        assert isinstance(caught.value.__cause__, NotImplementedError)
        assert str(caught.value.__cause__) == "Plain has no handle_call for 'stats'"


async def test_a_server_handles_one_message_at_a_time() -> None:
    running = 0

    async def handler(server: Any, request: Any, from_: Any, state: Any) -> Any:
        nonlocal running
        running += 1
        await checkpoint()
        assert running == 1
        running -= 1
        return request, state

    async with task_group() as group:
        pid = await Scripted.start(handler, task_group=group)
        answers: list[int] = []

        async def ask(number: int) -> None:
            answers.append(await call(pid, number, timeout=None))

        async with anyio.create_task_group() as askers:
            for number in range(20):
                askers.start_soon(ask, number)
        assert sorted(answers) == list(range(20))


@pytest.mark.parametrize("answer", [None, (), (1, 2), Exception("as a value"), Call])
async def test_an_answer_may_be_anything(answer: Any) -> None:
    async def handler(server: Any, request: Any, from_: Any, state: Any) -> Any:
        return answer, state

    async with task_group() as group:
        pid = await Scripted.start(handler, task_group=group)
        assert await call(pid, "x", timeout=None) is answer


@pytest.mark.parametrize("result", [None, 1, "ab", [1, 2], (1,), (1, 2, 3)])
async def test_a_handle_call_that_returns_no_pair_crashes_the_server(
    result: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(server: Any, request: Any, from_: Any, state: Any) -> Any:
        return result

    async with task_group() as group:
        pid = await Scripted.start(handler, task_group=group)
        with pytest.raises(ProcessExited) as caught:
            await call(pid, "x", timeout=None)
        cause = caught.value.__cause__
        assert isinstance(cause, TypeError)
        assert str(cause) == (
            "expected Scripted.handle_call to return (reply, state) or Stop,"
            f" got {kind_of(result)} for the request 'x'"
        )
        (record,) = caplog.records
        assert (record.name, record.levelno) == ("fauxtp", logging.ERROR)
        assert repr(pid) in record.getMessage()
        assert record.exc_info is not None
        assert record.exc_info[1] is cause


# Answers that come later


async def test_an_answer_may_come_from_a_child_task() -> None:
    async def handler(server: Any, request: Any, from_: Any, state: Any) -> Any:
        async def answer() -> None:
            await checkpoint()
            reply(from_, request + 1)

        server.start_soon_child(answer)
        return NO_REPLY, state

    async with task_group() as group:
        pid = await Scripted.start(handler, task_group=group)
        assert await call(pid, 1, timeout=None) == 2


async def test_an_answer_may_come_while_another_message_is_handled() -> None:
    waiting: list[Call] = []

    async def handler(server: Any, request: Any, from_: Any, state: Any) -> Any:
        if from_ is None:
            while waiting:
                assert reply(waiting.pop(0), request)
            return state
        waiting.append(from_)
        return NO_REPLY, state

    async with task_group() as group:
        pid = await Scripted.start(handler, task_group=group)
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await call(pid, "x", timeout=None))

        async with anyio.create_task_group() as askers:
            askers.start_soon(ask)
            askers.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            await cast(pid, "now")
        assert answers == ["now", "now"]


async def test_an_answer_may_come_before_the_handler_returns() -> None:
    async def handler(server: Any, request: Any, from_: Any, state: Any) -> Any:
        assert reply(from_, "early")
        return NO_REPLY, state

    async with task_group() as group:
        pid = await Scripted.start(handler, task_group=group)
        assert await call(pid, "x", timeout=None) == "early"
        assert await call(pid, "x", timeout=None) == "early"


@pytest.mark.parametrize("blocking", [False, True])
async def test_an_answer_may_come_from_another_thread(blocking: bool) -> None:
    async def handler(server: Any, request: Any, from_: Any, state: Any) -> Any:
        threading.Thread(target=reply, args=(from_, request + 1)).start()
        return NO_REPLY, state

    async with task_group() as group:
        pid = await Scripted.start(handler, task_group=group)
        for number in range(20):
            if blocking:
                answer = await anyio.to_thread.run_sync(call_blocking, pid, number, None)
            else:
                answer = await call(pid, number, timeout=None)
            assert answer == number + 1


async def test_of_many_answers_to_one_call_the_first_wins_also_between_threads() -> None:
    async def handler(server: Any, request: Any, from_: Any, state: Any) -> Any:
        def answer(number: int) -> None:
            start.wait()
            if reply(from_, number):
                won.append(number)

        start, won = threading.Barrier(4), request
        threads = [threading.Thread(target=answer, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return NO_REPLY, state

    async with task_group() as group:
        pid = await Scripted.start(handler, task_group=group)
        before = dead_letters.counts().get("late reply", 0)
        for _ in range(20):
            won: list[int] = []
            assert [await call(pid, won, timeout=None)] == won
        assert dead_letters.counts()["late reply"] == before + 20 * 3


# Stopping


async def ask(pid: PID, kind: str) -> Any:
    """Make the server handle a message of `kind`; return the answer or the error."""
    if kind == "call":
        try:
            return await call(pid, "stop", timeout=None)
        except ProcessExited as error:
            return error
    await (cast if kind == "cast" else send)(pid, "stop")
    return None


@pytest.mark.parametrize("how", ["raise", "return"])
@pytest.mark.parametrize("kind", ["call", "cast", "info", "task end"])
async def test_stop_ends_the_server_from_each_handler(kind: str, how: str) -> None:
    async def handler(server: Any, request: Any, from_: Any, state: Any) -> Any:
        if kind == "task end" and request == "stop":
            await server.spawn_task(nothing)
            return state
        if how == "raise":
            raise Stop("enough")
        return Stop("enough")

    async with task_group() as group:
        handle = await Scripted.start_link(handler, task_group=group)
        answer = await ask(handle.pid, kind)
        while is_alive(handle.pid):
            await checkpoint()
        if kind == "call":
            assert isinstance(answer, ProcessExited)
            assert answer.reason == "enough"
            assert answer.__cause__ is None
        assert ends == [("enough", "first state")]


@pytest.mark.parametrize("how", ["raise", "return"])
@pytest.mark.parametrize("answer", [None, "bye", (1, 2)])
async def test_stop_with_a_reply_answers_before_the_end(answer: Any, how: str) -> None:
    async def handler(server: Any, request: Any, from_: Any, state: Any) -> Any:
        stop = Stop("enough", reply=answer)
        if how == "raise":
            raise stop
        return stop

    async with task_group() as group:
        pid = await Scripted.start(handler, task_group=group)
        assert await call(pid, "stop", timeout=None) == answer
        await wait_exit(pid)
        assert ends == [("enough", "first state")]


async def test_stop_is_a_normal_end_whatever_its_words(caplog: pytest.LogCaptureFixture) -> None:
    reasons: list[Any] = []

    async def handler(server: Any, request: Any, from_: Any, state: Any) -> Any:
        raise Stop("error: or so it says")

    async def on_exit(pid: PID, reason: str) -> None:
        reasons.append(reason)

    async with task_group() as group:
        handle = await Scripted.start_link(handler, task_group=group, on_exit=on_exit)
        await cast(handle.pid, "stop")
        await wait_exit(handle.pid)
    assert not reasons[0].abnormal
    assert reasons[0].exception is None
    assert caplog.records == []


async def test_stop_is_not_caught_by_who_catches_exceptions() -> None:
    async def handler(server: Any, request: Any, from_: Any, state: Any) -> Any:
        try:
            raise Stop(reply="bye")
        except Exception:
            return "caught", state

    async with task_group() as group:
        pid = await Scripted.start(handler, task_group=group)
        assert await call(pid, "stop", timeout=None) == "bye"


@pytest.mark.parametrize("kind", ["call", "cast", "info"])
async def test_an_error_in_a_handler_ends_the_server_with_the_state_before_it(kind: str) -> None:
    async def handler(server: Any, request: Any, from_: Any, state: Any) -> Any:
        raise ZeroDivisionError

    async with task_group() as group:
        pid = await Scripted.start(handler, task_group=group)
        answer = await ask(pid, kind)
        await wait_exit(pid)
        if kind == "call":
            assert isinstance(answer.__cause__, ZeroDivisionError)
        assert ends == [("error: ZeroDivisionError()", "first state")]


async def test_what_was_handled_is_let_go() -> None:
    class Thing:
        pass

    async def handler(_: Scripted, request: Any, from_: Call | None, state: Any) -> Any:
        await checkpoint()  # so that it is the server's own task that goes on
        handled.append(weakref.ref(request))
        return ("done", state) if from_ else state

    handled: list[weakref.ref[Thing]] = []
    async with task_group() as group:
        server = await Scripted.start(handler, task_group=group)
        for _ in range(2):
            await cast(server, Thing())
            await call(server, Thing())
        await send(server, Thing())
        await wait_for(lambda: len(handled) == 5)
        await wait_for(lambda: process_info(server).handling is None)
        gc.collect()
        assert [thing() for thing in handled] == [None] * 5


async def test_a_server_may_do_more_between_messages() -> None:
    class Counting(GenServer[Any, int]):
        rounds = 0

        async def run(self, state: int, /) -> int:
            self.rounds += 1
            return await super().run(state) + 10

        async def init(self) -> int:
            return 0

        async def handle_call(self, request: Any, from_: Call, state: int) -> tuple[int, int]:
            return state, state + 1

    async with task_group() as group:
        pid = await Counting.start(task_group=group)
        assert [await call(pid, "next") for _ in range(3)] == [0, 11, 22]
