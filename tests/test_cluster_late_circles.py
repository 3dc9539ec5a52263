"""Circles over several nodes that are closed by no call, but by who begins to wait for one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from clusters import members, seen_by, until
from conftest import ASYNCIO, task_group
from crew import process_of
from in_simulated_time import explored

from fauxtp import PID, Call, CallCycle, GenServer, call, cast, send_nowait, start_call
from fauxtp.cluster import Cluster
from fauxtp.cluster.memory_broker import MemoryBroker
from fauxtp.observe import events

pytestmark = pytest.mark.anyio

Script = Callable[[], Awaitable[Any]]


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


class Player(GenServer[Any, list[Any]]):
    """Plays the scripts that it is asked for, by their names; notes what it has been asked."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.goes_on = anyio.Event()
        self.told = 0

    async def init(self) -> list[Any]:
        return []

    async def handle_call(self, name: str, from_: Call, state: list[Any]) -> Any:
        return await self.play(name), [*state, name]

    async def handle_cast(self, name: str, state: list[Any]) -> list[Any]:
        await self.play(name)
        return [*state, name]

    async def handle_info(self, message: Any, state: list[Any]) -> list[Any]:
        return [*state, message]

    async def play(self, name: str) -> Any:
        try:
            return await self.scripts[name]() if name in self.scripts else "played"
        except CallCycle as error:
            self.told += 1
            return error.circle


class Narrow(Player):
    mailbox_size = 1


def player(pid: PID) -> Any:
    return process_of(pid).actor


def lies_in(pid: PID) -> Callable[[], bool]:
    """Return what tells whether a call waits until somebody has done what he does."""
    process = process_of(pid)
    return lambda: process.handling is not None and len(process.mailbox) > 0


def circles_counted() -> int:
    return sum(events.counts().get(("call_cycle", kind), 0) for kind in ("Player", "Narrow"))


def nothing_is_kept(*nodes: Cluster) -> None:
    for node in nodes:
        circles = node._messenger.ways.circles
        circles._forget()
        assert (circles._seen, circles._closing, circles._laps) == ({}, {}, {})


async def test_who_awaits_late_whom_it_has_called_and_who_waits_for_it() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        one, other = [await Player.start(task_group=group) for _ in range(2)]
        to_one, to_other = seen_by(b, a, one), seen_by(a, b, other)

        async def begins() -> Any:
            pending = start_call(to_other, "asks", None)
            await player(one).goes_on.wait()
            return await pending

        player(one).scripts["begins"] = begins
        player(other).scripts["asks"] = lambda: call(to_one, "the end", None)
        before, told = circles_counted(), start_call(one, "begins", None)
        await until(lies_in(one))
        player(one).goes_on.set()
        assert await told == [one, to_other, one]
        await until(lambda: process_of(other).state == ["asks"])
        await until(lambda: process_of(one).state == ["begins", "the end"])  # the others go on
        assert circles_counted() == before + 1
        nothing_is_kept(a, b)


@explored(seeds=40)
async def test_of_a_circle_that_is_found_in_two_ways_one_is_told() -> None:
    broker = MemoryBroker("shop", delay=(0.001, 0.04))
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        one, other = [await Player.start(task_group=group) for _ in range(2)]
        to_one, to_other = seen_by(b, a, one), seen_by(a, b, other)

        async def begins() -> Any:
            pending = start_call(to_other, "asks", None)
            await anyio.sleep(0.02)
            return await pending  # as the call comes that is for this one

        player(one).scripts["begins"] = begins
        player(other).scripts["asks"] = lambda: call(to_one, "the end", None)
        await call(one, "begins", None)
        await until(lambda: process_of(other).state == ["asks"])
        await anyio.sleep(1)
        assert player(one).told + player(other).told == 1


async def test_so_is_who_awaits_what_was_not_taken_up_and_never_will_be() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        one, other = [await Player.start(task_group=group) for _ in range(2)]
        to_one, to_other = seen_by(b, a, one), seen_by(a, b, other)

        async def begins() -> Any:
            pending = start_call(to_other, "never", None)
            await player(one).goes_on.wait()
            return await pending

        async def asks() -> Any:
            await player(other).goes_on.wait()
            return await call(to_one, "the end", None)

        player(one).scripts["begins"], player(other).scripts["asks"] = begins, asks
        asked = start_call(other, "asks", None)
        await until(lambda: process_of(other).handling is not None)
        told = start_call(one, "begins", None)
        await until(lies_in(other))
        player(other).goes_on.set()
        await until(lies_in(one))
        player(one).goes_on.set()
        assert await told == [one, to_other, one]
        assert await asked == "played"
        assert await call(to_other, "next") == "played"
        assert process_of(other).state == ["asks", "next"]


async def test_so_is_who_awaits_one_of_its_own_node_who_waits_elsewhere() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        one, between, other = [await Player.start(task_group=group) for _ in range(3)]
        to_one, to_other = seen_by(b, a, one), seen_by(a, b, other)

        async def begins() -> Any:
            pending = start_call(between, "asks", None)
            await player(one).goes_on.wait()
            return await pending

        player(one).scripts["begins"] = begins
        player(between).scripts["asks"] = lambda: call(to_other, "asks", None)
        player(other).scripts["asks"] = lambda: call(to_one, "the end", None)
        told = start_call(one, "begins", None)
        await until(lies_in(one))
        player(one).goes_on.set()
        assert await told == [one, between, to_other, one]
        await until(lambda: process_of(between).state == ["asks"])
        nothing_is_kept(a, b)


async def test_who_awaits_late_who_works_is_in_no_circle() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        one, other = [await Player.start(task_group=group) for _ in range(2)]
        to_one, to_other = seen_by(b, a, one), seen_by(a, b, other)
        asked = await Player.start(task_group=group)

        async def begins() -> Any:
            return await start_call(to_other, "works", None)

        async def works() -> Any:
            await player(other).goes_on.wait()
            return "the end"

        player(one).scripts["begins"], player(other).scripts["works"] = begins, works
        player(asked).scripts["asks"] = lambda: call(to_one, "next", None)
        before, told = circles_counted(), start_call(one, "begins", None)
        waits = start_call(asked, "asks", None)
        circles = a._messenger.ways.circles
        await until(lambda: circles._closing and not circles._suspects)
        await until(lies_in(one))
        player(other).goes_on.set()
        assert (await told, await waits) == ("the end", "played")
        assert circles_counted() == before


@pytest.mark.parametrize("how", ["cast", "call"])
async def test_who_waits_for_room_that_nobody_will_make_is_told(how: str) -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        one, other = [await Player.start(task_group=group) for _ in range(2)]
        full = await Narrow.start(task_group=group)
        to_one, to_other = seen_by(b, a, one), seen_by(a, b, other)

        async def begins() -> Any:
            await player(one).goes_on.wait()
            if how == "call":
                return await call(full, "never", None)
            return await cast(full, "never")

        player(one).scripts["begins"] = begins
        player(full).scripts["asks"] = lambda: call(to_other, "asks", None)
        player(other).scripts["asks"] = lambda: call(to_one, "the end", None)
        told = start_call(one, "begins", None)
        await until(lambda: process_of(one).handling is not None)
        asked = start_call(full, "asks", None)
        await until(lies_in(one))
        send_nowait(full, "fills it")
        before = circles_counted()
        player(one).goes_on.set()
        assert await told == [one, full, to_other, one]
        assert await asked == "played"
        mailbox: Any = process_of(full).mailbox
        await until(lambda: process_of(full).state == ["asks", "fills it"])
        assert (mailbox.in_line, mailbox.senders.kept, len(mailbox)) == (0, 0, 0)
        assert circles_counted() == before + 1
        nothing_is_kept(a, b)
