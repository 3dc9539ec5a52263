"""Whether a request was taken up: who called knows what can safely be sent again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from conftest import task_group
from crew import running

from fauxtp import (
    ANY,
    NO_REPLY,
    Actor,
    Call,
    GenServer,
    ProcessExited,
    ReceiveTimeout,
    call,
    call_blocking,
    exit,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("either_way")]


class Worker(GenServer[Any, Any]):
    """Does what it is told to."""

    def __init__(self) -> None:
        self.begun = anyio.Event()

    async def handle_call(self, request: Any, from_: Call, state: Any, /) -> Any:
        self.begun.set()
        match request:
            case "wait":
                await anyio.sleep_forever()
            case "later":
                return NO_REPLY, state
            case "crash":
                raise ValueError("a crash")
        return request, state


async def called(*requests: str) -> dict[str, ProcessExited]:
    """Let all the requests be made, one after the other; return what became of each."""
    errors: dict[str, ProcessExited] = {}

    async def ask(request: str) -> None:
        with pytest.raises(ProcessExited) as caught:
            await call("worker", request, timeout=None)
        errors[request] = caught.value

    async with running() as group:
        pid = await Worker.start(task_group=group, register_as="worker")
        async with anyio.create_task_group() as asking:
            for request in requests:
                asking.start_soon(ask, request)
                await anyio.wait_all_tasks_blocked()
            exit(pid, "enough")
    return errors


async def test_what_was_being_handled_was_taken_up_and_what_lay_there_was_not() -> None:
    errors = await called("wait", "first", "second")
    assert {request: error.taken_up for request, error in errors.items()} == {
        "wait": True,
        "first": False,
        "second": False,
    }


async def test_what_was_to_be_answered_later_was_taken_up() -> None:
    errors = await called("later", "wait")
    assert [error.taken_up for error in errors.values()] == [True, True]


async def test_the_request_that_crashed_the_server_was_taken_up() -> None:
    async with task_group() as group:
        pid = await Worker.start(task_group=group)
        with pytest.raises(ProcessExited) as caught:
            await call(pid, "crash")
        assert caught.value.taken_up
        assert caught.value.name is None


async def test_the_name_that_was_called_stands_in_the_text() -> None:
    for error in (await called("wait", "first")).values():
        assert error.name == "worker"
        assert str(error) == f"'worker' {error.pid!r} exited: enough"


async def test_a_thread_knows_it_as_well() -> None:
    caught: list[ProcessExited] = []

    def ask() -> None:
        try:
            call_blocking("worker", "wait", timeout=None)
        except ProcessExited as error:
            caught.append(error)

    async with running() as group:
        worker: Worker | None = None

        class Known(Worker):
            async def init(self) -> Any:
                nonlocal worker
                worker = self

        pid = await Known.start(task_group=group, register_as="worker")
        assert worker is not None
        async with anyio.create_task_group() as asking:
            asking.start_soon(anyio.to_thread.run_sync, ask)
            await worker.begun.wait()
            exit(pid, "enough")
    [error] = caught
    assert (error.taken_up, error.name) == (True, "worker")


async def test_what_was_received_by_pattern_was_taken_up() -> None:
    class Taker(Actor):
        async def run(self, state: Any, /) -> Any:
            await self.receive((Call, lambda call: None))
            await self.receive(("never", anyio.sleep_forever), (ANY_BUT_CALLS, str))

    async with running() as group:
        pid = await Taker.start(task_group=group, register_as="worker")
        errors: dict[str, bool] = {}

        async def ask(request: str) -> None:
            try:
                await call("worker", request, timeout=None)
            except ProcessExited as error:
                errors[request] = error.taken_up

        async with anyio.create_task_group() as asking:
            for request in ("first", "second"):
                asking.start_soon(ask, request)
                await anyio.wait_all_tasks_blocked()
            exit(pid)
    assert errors == {"first": True, "second": False}


def ANY_BUT_CALLS(message: object) -> bool:  # noqa: N802  (a pattern)
    return not isinstance(message, Call) and message is not ANY


Ask = Callable[[float], Awaitable[object]]


async def test_who_waits_no_longer_knows_whether_it_was_begun() -> None:
    async with running() as group:
        await Worker.start(task_group=group, register_as="worker")
        group.start_soon(_quietly, "wait")
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(ReceiveTimeout) as caught:
            await call("worker", "first", timeout=0)
        assert not caught.value.taken_up
        exit("worker")


async def test_who_is_handled_as_the_time_is_over_was_taken_up() -> None:
    async with running() as group:
        await Worker.start(task_group=group, register_as="worker")
        with pytest.raises(ReceiveTimeout) as caught:
            await call("worker", "wait", timeout=0.1)
        assert caught.value.taken_up
        exit("worker")


async def _quietly(request: str) -> None:
    with pytest.raises(ProcessExited):
        await call("worker", request, timeout=None)
