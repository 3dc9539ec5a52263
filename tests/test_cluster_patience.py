"""Calls with `wait` to names of a cluster: whom nobody can reach now is asked again, once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest
from clusters import TTL, member, members, until
from conftest import ASYNCIO, task_group
from in_simulated_time import explored

from fauxtp import (
    GenServer,
    NoProcess,
    Raise,
    call,
    call_blocking,
    register,
    unregister,
)
from fauxtp._messaging import safe_retry
from fauxtp.cluster import Cluster, NoConnection
from fauxtp.cluster.memory_broker import MemoryBroker

pytestmark = pytest.mark.anyio

Asks = Callable[..., Any]


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_retry, "SHORTEST", 0.001)


class Server(GenServer[Any, Any]):
    """Counts what it is asked."""

    async def init(self) -> int:
        return 0

    async def handle_call(self, request: Any, from_: Any, asked: int) -> Any:
        if isinstance(request, Exception):
            return Raise(request), asked + 1
        return (asked, asked) if request == "count" else (request, asked + 1)


async def in_thread(*arguments: Any, **more: Any) -> Any:
    return await anyio.to_thread.run_sync(partial(call_blocking, *arguments, **more))


each_way = pytest.mark.parametrize("ask", [call, in_thread])


def own_name(cluster: Cluster) -> str:
    """Give whoever has the name in the cluster one of this program, too."""
    pid = whereis_in(cluster)
    assert pid is not None
    register("mine", pid)
    return "mine"


def whereis_in(cluster: Cluster) -> Any:
    return cluster.whereis("server")


@each_way
@pytest.mark.parametrize("name", [lambda a: a.name("server"), own_name])
@pytest.mark.usefixtures("short_pauses")
async def test_a_connection_that_is_away_is_waited_for(ask: Asks, name: Any) -> None:
    broker, answers = MemoryBroker("shop"), list[Any]()

    async def question() -> None:
        answers.append(await ask(name_at_a, "hello", wait=60))

    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        server = await Server.start(task_group=group, register_as=b.name("server"))
        await a.wait_registered("server")
        name_at_a = name(a)
        broker.cut("a")
        with pytest.raises(NoConnection):
            await ask(name_at_a, "hello")
        group.start_soon(question)
        await anyio.wait_all_tasks_blocked()
        assert answers == []
        broker.heal("a")
        await until(lambda: answers)
        assert (answers, await call(server, "count")) == (["hello"], 1)
        if name_at_a == "mine":
            unregister("mine")


@each_way
async def test_it_is_waited_for_no_longer_than_was_said(ask: Asks) -> None:
    broker = MemoryBroker("shop")
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        server = await Server.start(task_group=group, register_as=b.name("server"))
        await a.wait_registered("server")
        broker.cut("a")
        for wait in (0, 0.001):
            with pytest.raises(NoConnection):
                await ask(a.name("server"), "hello", wait=wait)
        broker.heal("a")
        assert await call(server, "count") == 0


@each_way
@pytest.mark.usefixtures("short_pauses")
async def test_a_cluster_that_was_left_is_not_waited_for(ask: Asks) -> None:
    async with members("b") as (b,), task_group() as group:
        await Server.start(task_group=group, register_as=b.name("server"))
        async with member(b._node.engine._broker, "a") as a:  # type: ignore[attr-defined]
            name = a.name("server")
            await a.wait_registered("server")
        with pytest.raises(NoConnection, match="the cluster was left"):
            await ask(name, "hello", wait=60)


@each_way
async def test_what_was_refused_there_is_not_sent_again(ask: Asks) -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await Server.start(task_group=group, register_as=b.name("server"))
        await a.wait_registered("server")
        refusals = (NoProcess("database"), NoConnection("database"))
        for refusal in refusals:
            with pytest.raises(Exception, match="database"):
                await ask(a.name("server"), refusal, wait=60)
        assert await call(server, "count") == len(refusals)


@explored(seeds=20)
async def test_a_name_of_a_node_that_is_killed_is_waited_for_until_another_has_it() -> None:
    broker, answers = MemoryBroker("shop", delay=(0.001, 0.01)), list[Any]()

    async def question(number: int) -> None:
        answers.append(await call(a.name("server"), number, wait=20 * TTL))

    async with (
        members("a", "b", "c", broker=broker) as (a, b, c),
        task_group() as group,
        anyio.create_task_group() as asking,
    ):
        await Server.start(task_group=group, register_as=b.name("server"))
        await a.wait_registered("server")
        broker.cut("b")
        killed = broker._engines.pop("b")  # the server knows that nobody listens there
        with pytest.raises(NoConnection, match="node 'b' does not listen"):
            await call(a.name("server"), "lost")
        for number in range(3):
            asking.start_soon(question, number)
        await until(lambda: whereis_in(a) is None)
        assert answers == []
        second = await Server.start(task_group=group, register_as=c.name("server"))
        await until(lambda: len(answers) == 3)
        assert (sorted(answers), await call(second, "count")) == ([0, 1, 2], 3)
        broker._engines["b"] = killed
        broker.heal("b")
