"""Deep down in the stack: what fails there fails for the sender, and for nobody else."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from anyio import create_task_group
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from conftest import calls, task_group, unmeasured
from twins_of import form_of

from fauxtp import (
    NO_REPLY,
    PID,
    GenServer,
    call,
    cancel_timer,
    cast,
    exit,
    processes,
    reply,
    send_after,
    send_every,
    wait_exit,
)
from fauxtp._messaging import timers

How = Callable[[PID], Awaitable[object]]


@pytest.fixture
def stack(form: str) -> Any:
    """Each implementation: a module with has_room, is_free, insist_on_room."""
    return form_of("_base.stack", form)


def test_there_is_less_room_the_deeper_one_is(stack: Any) -> None:
    def rooms(depth: int) -> list[bool]:
        return rooms(depth - 1) if depth else [stack.has_room(calls) for calls in (50, 500, 5000)]

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    try:
        assert rooms(0) == [True, True, False]
        assert rooms(600) == [True, False, False]
        assert not stack.has_room(limit)
    finally:
        sys.setrecursionlimit(limit)


def test_who_insists_on_more_room_than_there_is_gets_an_error(stack: Any) -> None:
    stack.insist_on_room(50)
    with pytest.raises(RecursionError, match="expected room on the stack for 1000000 calls"):
        stack.insist_on_room(1_000_000)


def test_it_is_free_until_a_quarter_is_taken(stack: Any) -> None:
    def free(depth: int) -> bool:
        return free(depth - 1) if depth else stack.is_free()

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    try:
        assert (free(0), free(300)) == (True, False)
    finally:
        sys.setrecursionlimit(limit)


def test_how_much_room_is_a_number(stack: Any) -> None:
    for function in (stack.has_room, stack.insist_on_room):
        for attempt in calls(function, partial(function, "much")):
            with pytest.raises(TypeError):
                attempt()


class Server(GenServer[Any, int]):
    """Counts what it is asked; may take much of the stack itself."""

    async def init(self) -> int:
        return 0

    async def handle_call(self, request: int, from_: Any, state: int) -> tuple[int, int]:
        return await self.deep(request), state

    async def handle_cast(self, request: Any, state: int) -> int:
        return state + 1

    async def deep(self, depth: int) -> int:
        return await self.deep(depth - 1) + 1 if depth else 0


async def at(depth: int, how: How, server: PID) -> bool:
    """Do that so deep in the stack; return False if there was no room."""

    async def down(left: int) -> object:
        return await (down(left - 1) if left else how(server))

    try:
        await down(depth)
    except RecursionError:
        return False
    return True


async def do_cast(server: PID) -> None:
    await cast(server, "count")


async def do_exit(server: PID) -> None:
    exit(server)


async def do_timers(server: PID) -> None:
    before = timers_of(server)
    try:
        made = [send_after(3600, server, "never"), send_every(3600, server, "never")]
    except RecursionError:
        assert timers_of(server) - before <= 1  # the first of the two
        raise
    for timer in made:
        cancel_timer(timer)
    assert timers_of(server) == before


def timers_of(server: PID) -> int:
    return len(timers._bound.get(server, ({},))[0])


@unmeasured
@pytest.mark.anyio
async def test_a_handler_has_most_of_the_stack_however_deep_its_caller_is() -> None:
    async with task_group() as group:
        server = await Server.start(task_group=group)
        for depth in (0, 200, 300, 400, 500, 600):
            assert await at(depth, lambda server: call(server, 600), server)
        assert await call(server, 0) == 0


@unmeasured
@pytest.mark.anyio
@pytest.mark.parametrize("how", [lambda server: call(server, 20), do_cast, do_exit, do_timers])
async def test_at_the_end_of_the_stack_the_sender_fails_and_nothing_else(how: How) -> None:
    async with task_group() as group:
        came = {await survives(group, depth, how) for depth in range(700, sys.getrecursionlimit())}
    assert came == {True, False}


async def survives(group: TaskGroup, depth: int, how: How) -> bool:
    """Do that so deep, and see that a server is none the worse; return whether it was done."""
    server = await Server.start(task_group=group)
    done = await at(depth, how, server)
    if how is not do_exit or not done:
        assert await call(server, 30, timeout=5.0) == 30
    exit(server)
    await wait_exit(server, timeout=5.0)
    return done


@unmeasured
@pytest.mark.anyio
async def test_a_start_at_the_end_of_the_stack_leaves_nobody_behind() -> None:
    async with task_group() as group:
        await Server.start(task_group=group)

        async def do_start(_: PID) -> None:
            started.append(await Server.start(task_group=group))

        before, came = processes(), set()
        for depth in range(700, sys.getrecursionlimit()):
            started: list[PID] = []
            came.add(await at(depth, do_start, PID()))
            for pid in started:
                exit(pid)
                await wait_exit(pid)
            assert processes() == before
    assert came == {True, False}


class Debtor(GenServer[Any, Any]):
    """Owes an answer."""

    owed: Any = None

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        Debtor.owed = from_
        return NO_REPLY, state


@unmeasured
@pytest.mark.anyio
async def test_who_fails_to_reply_at_the_end_of_the_stack_can_do_so_elsewhere() -> None:
    async def do_reply(server: PID) -> None:
        reply(Debtor.owed, "deep")

    answers = []

    async def ask() -> None:
        answers.append(await call(server, "anything", timeout=5.0))

    async with task_group() as group:
        server = await Debtor.start(task_group=group)
        for depth in range(700, sys.getrecursionlimit()):
            async with create_task_group() as asking:
                asking.start_soon(ask)
                while Debtor.owed is None or Debtor.owed.settled or Debtor.owed.wake is None:
                    await checkpoint()
                assert await at(depth, do_reply, server) or reply(Debtor.owed, "late")
    assert set(answers) == {"deep", "late"}
