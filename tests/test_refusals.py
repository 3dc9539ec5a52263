"""Requests that are refused: the caller gets an error, and nobody is harmed."""

from __future__ import annotations

import pickle
import traceback
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest
from crew import begun_and_left, running

from fauxtp import (
    NO_REPLY,
    Call,
    GenServer,
    Raise,
    Stop,
    call,
    call_blocking,
    dead_letters,
    exit,
    is_alive,
    reply,
    wait_exit,
)

pytestmark = pytest.mark.anyio


class UnknownUser(LookupError):
    """What is wrong with a request."""


class Users(GenServer[Any, list[str]]):
    """Refuses whom it does not know, in each way."""

    async def init(self) -> list[str]:
        self.held: Call | None = None
        return []

    async def handle_call(self, request: str, from_: Call, state: list[str]) -> Any:
        state = [*state, request]
        match request:
            case "later":
                self.held = from_
                return NO_REPLY, state
            case "held":
                assert self.held is not None
                return reply(self.held, Raise(UnknownUser("later"))), state
            case "slowly":
                await anyio.sleep(0)
                return Raise(UnknownUser(request)), state
            case "very slowly":
                await anyio.sleep(0.001)
                return Raise(UnknownUser(request)), state
            case "at last":
                raise Stop("enough", Raise(UnknownUser(request)))
            case "all":
                return state, state
        return Raise(UnknownUser(request)), state


async def in_thread(*arguments: Any) -> Any:
    return await anyio.to_thread.run_sync(partial(call_blocking, *arguments))


@pytest.mark.parametrize("ask", [call, in_thread])
@pytest.mark.parametrize("request_", ["at once", "slowly", "very slowly"])
async def test_a_request_that_is_refused_harms_nobody(ask: Any, request_: str) -> None:
    async with running() as group:
        users = await Users.start(task_group=group)
        for _ in range(2):
            with pytest.raises(UnknownUser, match=request_):
                await ask(users, request_)
        assert await ask(users, "all") == [request_, request_, "all"]  # with their states
        exit(users)


@pytest.mark.parametrize("ask", [call, in_thread])
async def test_a_refusal_that_is_given_again_carries_nothing_of_who_had_it_before(
    ask: Any,
) -> None:
    refusal = Raise(UnknownUser("anybody"))

    class Closed(GenServer[Any, None]):
        async def handle_call(self, request: Any, from_: Call, state: None) -> Any:
            return refusal, state

    async def history() -> int:
        with pytest.raises(UnknownUser) as caught:
            await ask(closed, "anna")
        assert caught.value is refusal.error
        assert caught.value.__context__ is None
        return sum(1 for _ in traceback.walk_tb(caught.value.__traceback__))

    async with running() as group:
        closed = await Closed.start(task_group=group)
        first = await history()
        assert [await history() for _ in range(3)] == [first] * 3
        exit(closed)


async def test_it_may_be_refused_later() -> None:
    outcomes: list[Exception] = []

    async def ask() -> None:
        try:
            await call(users, "later")
        except UnknownUser as error:
            outcomes.append(error)

    async with running() as group:
        users = await Users.start(task_group=group)
        async with anyio.create_task_group() as askers:
            askers.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            assert await call(users, "held") is True
        assert len(outcomes) == 1
        exit(users)


async def test_the_last_request_may_be_refused() -> None:
    async with running() as group:
        users = await Users.start(task_group=group)
        with pytest.raises(UnknownUser, match="at last"):
            await call(users, "at last")
        await wait_exit(users)
        assert not is_alive(users)


async def test_a_refusal_that_comes_too_late_is_a_dead_letter() -> None:
    async with running() as group:
        users = await Users.start(task_group=group)
        with dead_letters.observed_by(lambda letter: letters.append(letter.message)):
            letters: list[Any] = []
            await begun_and_left(call, users, "later")
            assert await call(users, "held") is False
        [letter] = letters
        assert isinstance(letter, Raise)
        exit(users)


async def test_who_refuses_in_a_chain_is_told_of_through_it() -> None:
    class Relay(GenServer[Any, None]):
        async def handle_call(self, request: Any, from_: Call, state: None) -> Any:
            try:
                return await call(users, request), state
            except UnknownUser as error:
                return Raise(error), state

    async with running() as group:
        users = await Users.start(task_group=group)
        relay = await Relay.start(task_group=group)
        with pytest.raises(UnknownUser, match="anna"):
            await call(relay, "anna")
        assert is_alive(relay)
        exit(users)
        exit(relay)


@pytest.mark.parametrize("came", ["an error", KeyboardInterrupt(), ValueError])
def test_what_is_no_error_is_refused_itself(came: Any) -> None:
    with pytest.raises(TypeError, match="expected error to be an instance of Exception, got"):
        Raise(came)


def test_it_shows_and_travels() -> None:
    refusal = Raise(UnknownUser("anna"))
    assert repr(refusal) == "Raise(UnknownUser('anna'))"
    assert pickle.loads(pickle.dumps(refusal)).error.args == ("anna",)
    with pytest.raises(UnknownUser) as caught:
        raise UnknownUser("bert")
    assert pickle.loads(pickle.dumps(Raise(caught.value))).error.args == ("bert",)
    match refusal:
        case Raise(UnknownUser() as error):
            assert error is refusal.error
