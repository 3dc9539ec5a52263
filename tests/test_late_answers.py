"""Answers that a task of the server's finds out: errors are the caller's, and harm nobody."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest
from conftest import ASYNCIO
from crew import Boom, begun_and_left, end_of, process_of, running

from fauxtp import (
    NO_REPLY,
    PID,
    Actor,
    Call,
    GenServer,
    ProcessExited,
    Raise,
    call,
    call_blocking,
    cast,
    dead_letters,
    exit,
    is_alive,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


class Kitchen(GenServer[Any, list[str]]):
    """Lets a task cook what is ordered, and takes the next order meanwhile."""

    async def init(self) -> list[str]:
        self.oven = anyio.Event()
        return []

    async def handle_call(self, dish: Any, from_: Call, orders: list[str]) -> Any:
        if dish == "orders":
            return orders, orders
        return self.reply_later(from_, self.cook, dish), [*orders, dish]

    async def handle_cast(self, request: str, orders: list[str]) -> list[str]:
        self.oven.set()
        return orders

    async def cook(self, dish: str) -> Any:
        match dish:
            case "burnt":
                raise Boom(dish)
            case "refused":
                return Raise(Boom(dish))
            case "slow":
                await self.oven.wait()
            case "cancelled":
                raise asyncio.CancelledError
            case "fatal":
                raise KeyboardInterrupt
        return f"{dish}, cooked"


async def in_thread(*arguments: Any) -> Any:
    return await anyio.to_thread.run_sync(partial(call_blocking, *arguments))


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("ask", [call, in_thread])
async def test_the_server_takes_other_orders_meanwhile(ask: Any) -> None:
    eaten: list[str] = []

    async def eat(dish: str) -> None:
        eaten.append(await ask(kitchen, dish))

    async with running() as group:
        kitchen = await Kitchen.start(task_group=group)
        async with anyio.create_task_group() as guests:
            guests.start_soon(eat, "slow")
            while await ask(kitchen, "orders") != ["slow"]:
                pass
            await eat("soup")
            await cast(kitchen, "heat")
        assert eaten == ["soup, cooked", "slow, cooked"]
        exit(kitchen)


@pytest.mark.parametrize("dish", ["burnt", "refused"])
async def test_an_error_is_the_callers_alone(dish: str) -> None:
    async with running() as group:
        kitchen = await Kitchen.start(task_group=group)
        for _ in range(2):
            with pytest.raises(Boom, match=dish):
                await call(kitchen, dish)
        assert await call(kitchen, "soup") == "soup, cooked"
        exit(kitchen)


async def test_what_is_found_may_be_found_without_waiting() -> None:
    class Quick(Kitchen):
        def cook(self, dish: str) -> Any:
            return dish.upper()

    async with running() as group:
        quick = await Quick.start(task_group=group)
        assert await call(quick, "soup") == "SOUP"
        exit(quick)


@pytest.mark.parametrize("anyio_backend", ASYNCIO)
async def test_a_cancellation_that_nobody_asked_for_is_told_as_an_error() -> None:
    async with running() as group:
        kitchen = await Kitchen.start(task_group=group)
        with pytest.raises(RuntimeError, match="was cancelled") as raised:
            await call(kitchen, "cancelled")
        assert isinstance(raised.value.__cause__, asyncio.CancelledError)
        assert is_alive(kitchen)
        exit(kitchen)


async def test_who_waits_as_the_server_ends_is_told() -> None:
    async with running() as group:
        kitchen = await Kitchen.start(task_group=group)
        process = process_of(kitchen)

        async def close() -> None:
            while await call(kitchen, "orders") == []:
                pass
            exit(kitchen)

        group.start_soon(close)
        with pytest.raises(ProcessExited) as raised:
            await call(kitchen, "slow")
        assert raised.value.taken_up
        assert await end_of(process) == "shutdown"


async def test_an_answer_that_comes_too_late_is_a_dead_letter() -> None:
    letters: list[Any] = []
    async with running() as group:
        kitchen = await Kitchen.start(task_group=group)
        with dead_letters.observed_by(lambda letter: letters.append(letter.message)):
            await begun_and_left(call, kitchen, "slow")
            await cast(kitchen, "heat")
            with anyio.fail_after(10):
                while not letters:
                    await anyio.sleep(0)
        assert letters == ["slow, cooked"]
        exit(kitchen)


async def test_an_actor_that_takes_calls_out_of_its_mailbox_may_answer_so() -> None:
    class Cook(Actor):
        async def run(self, state: Any) -> Any:
            call = await self.receive((Call, lambda call: call))
            assert self.reply_later(call, str.upper, call.request) is NO_REPLY

    async with running() as group:
        cook = await Cook.start(task_group=group)
        assert await call(cook, "soup") == "SOUP"
        exit(cook)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("no call", str), "expected from_ to be a Call, got str"),
        ((None, "no function"), "expected fn to be callable, got str"),
    ],
)
async def test_what_cannot_be_answered_is_refused_at_once(arguments: Any, text: str) -> None:
    class Wrong(GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            first, second = arguments
            try:
                self.reply_later(first or from_, second)
            except TypeError as error:
                return str(error), state

    async with running() as group:
        wrong = await Wrong.start(task_group=group)
        assert await call(wrong, 1) == text
        exit(wrong)


async def test_outside_of_the_actor_there_is_nobody_to_answer() -> None:
    with pytest.raises(RuntimeError, match="is not running"):
        Kitchen().reply_later(Call("soup", PID(), None), str)
