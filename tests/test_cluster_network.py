"""Clusters over a network that delays, holds and cuts, and a server that is started again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import nats_server as nats
import pytest
from clusters import until
from conftest import PATIENCE, task_group
from engines import new_cluster

pytest.importorskip("nats")

from fauxtp import GenServer, ProcessExited, ReceiveTimeout, call, is_alive, start_call
from fauxtp.cluster import Cluster, NoConnection

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(nats.binary() is None, reason=nats.ABSENT),
]


@pytest.fixture
def anyio_backend() -> Any:
    return "asyncio"


class Till(GenServer[Any, Any]):
    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return request, state


@asynccontextmanager
async def behind(server: nats.NatsServer) -> AsyncIterator[nats.Proxy]:
    proxy = nats.Proxy(server.port)
    await proxy.start()
    try:
        yield proxy
    finally:
        proxy.heal()
        await proxy.stop()


@asynccontextmanager
async def near_and_far(
    server: nats.NatsServer, ttl: int
) -> AsyncIterator[tuple[Cluster, Cluster, nats.Proxy]]:
    """Node a at the server, and node b behind a proxy."""
    name = new_cluster()
    async with (
        behind(server) as proxy,
        Cluster.join(server.url, cluster=name, node="a", ttl=ttl) as a,
        Cluster.join(proxy.url, cluster=name, node="b", ttl=ttl, timeout=5.0) as b,
    ):
        await until(lambda: a.nodes() == b.nodes() == ["a", "b"])
        yield a, b, proxy
        proxy.heal()


async def test_a_slow_network_makes_calls_slow_and_nobody_gone(
    nats_server: nats.NatsServer,
) -> None:
    async with near_and_far(nats_server, ttl=8) as (a, b, proxy), task_group() as group:
        await Till.start(task_group=group, register_as=b.name("till"))
        there = await a.wait_registered("till", timeout=PATIENCE)
        before = b._node.peers.own
        proxy.delay(0.1)
        begun = anyio.current_time()
        assert await call(there, 1, timeout=PATIENCE) == 1
        assert anyio.current_time() - begun >= 0.2, "there and back"
        with pytest.raises(ReceiveTimeout):
            await call(there, 1, timeout=0.1)
        beats = b._node.lease._revision
        await until(lambda: b._node.lease._revision != beats)
        assert b._node.peers.own is before
        group.cancel_scope.cancel()


async def test_a_network_that_holds_all_makes_its_node_gone_and_fenced(
    nats_server: nats.NatsServer,
) -> None:
    async with near_and_far(nats_server, ttl=4) as (a, b, proxy), task_group() as group:
        till = await Till.start(task_group=group, register_as=b.name("till"))
        there = await a.wait_registered("till", timeout=PATIENCE)
        assert await call(there, 1) == 1
        proxy.hold()
        pending = start_call(there, 2, timeout=None)
        with pytest.raises(ProcessExited, match="noconnection"):
            await pending
        assert a.whereis("till") is None
        await until(lambda: not is_alive(till))
        mine = await Till.start(task_group=group, register_as=a.name("till"))
        proxy.heal()
        await until(lambda: b.nodes() == a.nodes() == ["a", "b"] and b.whereis("till"))
        assert a.whereis("till") is mine
        assert await call(b.name("till"), 3) == 3
        group.cancel_scope.cancel()


async def test_a_cut_that_is_shorter_than_the_lease_costs_what_was_under_way(
    nats_server: nats.NatsServer,
) -> None:
    async with near_and_far(nats_server, ttl=15) as (a, b, proxy), task_group() as group:
        till = await Till.start(task_group=group, register_as=b.name("till"))
        mine = await Till.start(task_group=group, register_as=a.name("mine"))
        there = await b.wait_registered("mine", timeout=PATIENCE)
        before = b._node.peers.own
        proxy.cut()
        await until(lambda: not b._node.engine.connected)
        begun = anyio.current_time()
        with pytest.raises(NoConnection):
            await call(there, 1, timeout=PATIENCE)
        assert anyio.current_time() - begun < 5, "it does not wait for what cannot come"
        assert b.whereis("mine") is there
        assert b.whereis("till") is till
        with pytest.raises(NoConnection):
            await b.register("more", till)
        proxy.heal()
        await until(lambda: b._node.engine.connected)
        assert await call(there, 1, timeout=PATIENCE) == 1
        assert b._node.peers.own is before, "its lease has outlasted the cut"
        assert is_alive(till)
        assert is_alive(mine)
        group.cancel_scope.cancel()


async def test_a_server_that_is_killed_and_started_again_has_lost_nothing() -> None:
    with nats.running() as server:
        async with (
            Cluster.join(server.url, cluster="shop", node="a") as a,
            Cluster.join(server.url, cluster="shop", node="b") as b,
            task_group() as group,
        ):
            till = await Till.start(task_group=group, register_as=b.name("till"))
            there = await a.wait_registered("till", timeout=PATIENCE)
            server.kill()
            await until(lambda: not a._node.engine.connected)
            with pytest.raises(NoConnection):
                await call(there, 1)
            assert a.whereis("till") is there
            await anyio.to_thread.run_sync(server.start)
            await until(lambda: a._node.engine.connected and b._node.engine.connected)
            assert await call(a.name("till"), 1, timeout=PATIENCE) == 1
            assert is_alive(till)
            group.cancel_scope.cancel()
