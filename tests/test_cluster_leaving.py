"""Nodes of a cluster that leave, or do not come in: nothing of them is left, and nobody waits."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import anyio
import pytest
from clusters import TTL, member, members, until
from conftest import ASYNCIO

from fauxtp import Mailbox
from fauxtp.cluster import Cluster, NoConnection
from fauxtp.cluster.memory_broker import MemoryBroker
from fauxtp.testing import explore

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_who_waits_to_see_its_name_is_told_that_the_node_has_left() -> None:
    broker, mailbox, told = MemoryBroker("shop"), Mailbox(), []

    async def register(a: Cluster) -> None:
        with pytest.raises(NoConnection, match="the cluster was left"):
            await a.register("till", mailbox.pid)
        told.append("left")

    async with anyio.create_task_group() as group:
        async with members("a", broker=broker) as (a,):
            broker.lose_messages("a")
            group.start_soon(register, a)
            await until(lambda: a._node.replica._awaited)
        await until(lambda: told)
    assert not a._node.replica._awaited
    with pytest.raises(NoConnection, match="the cluster was left"):
        await a._node.replica.seen(10**6)


@pytest.mark.parametrize("anyio_backend", ASYNCIO, indirect=True)
async def test_a_task_that_is_cancelled_as_it_leaves_has_closed_its_engine() -> None:
    broker = MemoryBroker("shop")
    leaves, never = anyio.Event(), anyio.Event()

    async def stay() -> None:
        leaves.set()
        await never.wait()

    async def join() -> None:
        async with member(broker, "a") as a:
            a._node.farewells.insert(0, stay)

    task = asyncio.get_running_loop().create_task(join())
    await leaves.wait()
    assert broker._engines
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not broker._engines


def test_who_is_cancelled_as_it_joins_leaves_no_key_behind() -> None:
    async def scenario(after: float) -> None:
        broker = MemoryBroker("shop", delay=(0.05, 0.05))
        async with members("b", broker=broker) as (b,):
            with anyio.move_on_after(after):
                async with member(broker, "a"):
                    await anyio.sleep_forever()
            await anyio.sleep(0.5)
            assert b.nodes() == ["b"]
            began = anyio.current_time()
            async with member(broker, "a"):
                assert anyio.current_time() - began < TTL / 2

    for ticks in range(5, 45):
        explore(partial(scenario, ticks / 100), seeds=1)


async def test_an_engine_of_another_node_is_left_open() -> None:
    broker, mailbox = MemoryBroker("shop"), Mailbox()
    engine = broker.engine("a")
    async with Cluster.join(engine, cluster="shop", node="a") as a:
        with pytest.raises(RuntimeError, match="an engine is opened once"):
            async with Cluster.join(engine, cluster="shop", node="a"):
                raise AssertionError
        assert await a.register("till", mailbox.pid)
