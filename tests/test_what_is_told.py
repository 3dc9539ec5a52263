"""What would else go by in silence: messages without a handler, a state that was forgotten."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest
from conftest import task_group
from crew import end_of, process_of

from fauxtp import (
    Call,
    DeadLetter,
    GenServer,
    ProcessExited,
    call,
    cast,
    dead_letters,
    exit,
    send,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("either_way")]

SECRET = "hunter2"
HUGE = 2_000_000


class Forgets(GenServer[Any, Any]):
    """Changes its state, and does not return it."""

    async def init(self) -> Any:
        return {"changes": 0}

    async def handle_call(self, request: Any, from_: Call, state: Any, /) -> Any:
        return state, state

    async def handle_cast(self, request: Any, state: Any, /) -> Any:
        state["changes"] += 1

    async def handle_info(self, message: Any, state: Any, /) -> Any:
        state["changes"] += 1

    async def handle_task_end(self, pid: Any, status: str, result: Any, state: Any, /) -> Any:
        state["changes"] += 1


async def nothing() -> None:
    pass


@pytest.mark.parametrize("name", ["handle_cast", "handle_info", "handle_task_end"])
async def test_a_handler_that_forgets_to_return_the_state_is_named(name: str) -> None:
    async with task_group() as group:
        server = await Forgets.start(task_group=group)
        process = process_of(server)
        match name:
            case "handle_cast":
                await cast(server, ("put", 1))
            case "handle_info":
                await send(server, ("put", 1))
            case _:
                actor: Any = process.actor
                await actor.spawn_task(nothing)
        error = (await end_of(process)).exception
        assert isinstance(error, TypeError)
        assert str(error).startswith(f"expected Forgets.{name} to return the state after ")
        assert str(error).endswith(", got None")


async def test_a_server_without_an_init_need_not_return_a_state() -> None:
    class Stateless(Forgets):
        init = GenServer.init

        async def handle_cast(self, request: Any, state: Any, /) -> Any:
            request.set()

    async with task_group() as group:
        server, done = await Stateless.start(task_group=group), anyio.Event()
        await cast(server, done)
        await done.wait()
        assert await call(server, "state?") == {}
        exit(server)


async def test_a_state_of_none_stays_none() -> None:
    class Empty(Forgets):
        async def init(self) -> Any:
            return None

        async def handle_cast(self, request: Any, state: Any, /) -> Any:
            request.set()

    async with task_group() as group:
        server, done = await Empty.start(task_group=group), anyio.Event()
        await cast(server, done)
        await done.wait()
        assert await call(server, "state?") is None
        exit(server)


async def test_what_nobody_handles_is_a_dead_letter_and_logged_the_first_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Idle(GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Call, state: Any, /) -> Any:
            return "here", state

    letters: list[DeadLetter] = []
    async with task_group() as group:
        server = await Idle.start(task_group=group)
        with dead_letters.observed_by(letters.append):
            for number in range(3):
                await cast(server, ("mistyped", SECRET))
                await send(server, number)
            assert await call(server, "there?") == "here"
        exit(server)
    assert [letter.reason for letter in letters] == ["unhandled"] * 6
    assert [letter.message for letter in letters[:2]] == [("mistyped", SECRET), 0]
    assert {letter.to for letter in letters} == {server}
    told = [record.getMessage() for record in caplog.records]
    assert SECRET not in caplog.text
    assert [text.split(" for ")[0] for text in told] == [
        f"Idle {server!r} has no handle_cast",
        f"Idle {server!r} has no handle_info",
    ]


async def test_a_crash_tells_which_message_it_was_and_nothing_else_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Crashes(GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Call, state: Any, /) -> Any:
            raise ValueError("a crash")

    async with task_group() as group:
        server = await Crashes.start(task_group=group, register_as="crashes")
        with pytest.raises(ProcessExited):
            await call(server, ("log in", SECRET))
    [record] = caplog.records
    assert (record.levelno, record.getMessage()) == (
        logging.ERROR,
        f"Crashes 'crashes' {server!r} crashed",
    )
    facts = record.fauxtp  # type: ignore[attr-defined]
    assert facts["handling"] == "Call ('log in', …)"
    assert (facts["class"], facts["names"], facts["pid"]) == ("Crashes", ["crashes"], repr(server))
    assert facts["reason"] == "error: ValueError('a crash')"
    assert "the message that was handled: Call ('log in', …)" in caplog.text
    assert SECRET not in caplog.text + repr(facts)


async def test_a_note_of_the_message_is_not_added_again_and_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = ValueError("always the same one")

    class Crashes(GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Call, state: Any, /) -> Any:
            raise error

    async with task_group() as group:
        for number in range(3):
            server = await Crashes.start(task_group=group)
            with pytest.raises(ProcessExited):
                await call(server, ("do", number))
    assert error.__notes__ == ["the message that was handled: Call ('do', …)"]


async def test_a_huge_error_is_cut_and_each_caller_has_little_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL)
    errors: list[ProcessExited] = []

    class Crashes(GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Call, state: Any, /) -> Any:
            await go_on.wait()
            raise UnicodeDecodeError("utf-8", b"\xff" * HUGE, 0, 1, "invalid start byte")

    async def ask() -> None:
        with pytest.raises(ProcessExited) as caught:
            await call(server, "x", timeout=None)
        errors.append(caught.value)

    go_on = anyio.Event()
    async with task_group() as group:
        server = await Crashes.start(task_group=group)
        async with anyio.create_task_group() as askers:
            for _ in range(20):
                askers.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            go_on.set()
    assert len(errors) == 20
    assert max(len(str(error)) for error in errors) < 1000
    assert all(len(error.reason) < 1000 for error in errors)
    assert "UnicodeDecodeError('utf-8'" in str(errors[0])


async def test_a_huge_request_is_cut_in_the_errors_that_name_it() -> None:
    class Wrong(GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Call, state: Any, /) -> Any:
            return None

    for kind in (Wrong, GenServer):
        async with task_group() as group:
            server = await kind.start(task_group=group)
            with pytest.raises(ProcessExited) as caught:
                await call(server, "x" * HUGE)
            assert len(str(caught.value)) < 2000
            assert len(str(caught.value.__cause__)) < 1000
