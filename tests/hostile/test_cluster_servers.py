"""A cluster on three servers, of which one is killed, or two: `make torture ONLY=cluster`."""

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

pytest.importorskip("nats")

from fauxtp import GenServer, ProcessExited, call, is_alive
from fauxtp.cluster import Cluster, NoConnection
from hostile import effort

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(nats.binary() is None, reason=nats.ABSENT),
    pytest.mark.skipif(not effort.MINUTES, reason="in torture only"),
]


@pytest.fixture
def anyio_backend() -> Any:
    return "asyncio"


class Till(GenServer[Any, Any]):
    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return request, state


@asynccontextmanager
async def two_nodes(
    servers: list[nats.NatsServer], ttl: int
) -> AsyncIterator[tuple[Cluster, Cluster]]:
    urls = [server.url for server in servers]
    options: dict[str, Any] = {"cluster": "shop", "ttl": ttl, "timeout": 20.0}
    async with (
        Cluster.join(urls, node="a", **options) as a,
        Cluster.join(urls, node="b", **options) as b,
    ):
        await until(lambda: a.nodes() == b.nodes() == ["a", "b"])
        yield a, b


async def leader_of(cluster: Cluster) -> int:
    engine: Any = cluster._node.engine
    info = await engine._keys.info()
    return int(info["cluster"]["leader"].removeprefix("s"))


async def registered(cluster: Cluster, name: str, pid: Any) -> bool:
    """Register, however long it takes until that can be."""
    while True:
        try:
            return await cluster.register(name, pid)
        except (NoConnection, TimeoutError):
            await anyio.sleep(0.2)


@pytest.mark.parametrize("who", ["the leader", "a follower"])
async def test_one_of_three_servers_is_killed(who: str) -> None:
    with nats.three() as servers, anyio.fail_after(4 * PATIENCE):
        async with two_nodes(servers, ttl=30) as (a, b), task_group() as group:
            till = await Till.start(task_group=group, register_as=b.name("till"))
            there = await a.wait_registered("till", timeout=PATIENCE)
            assert await call(there, 1, timeout=PATIENCE) == 1
            leader = await leader_of(a)
            killed = leader if who == "the leader" else (leader + 1) % 3
            own = a._node.peers.own, b._node.peers.own
            servers[killed].kill()
            begun = anyio.current_time()
            while True:  # until both have found another server, should it have been theirs
                try:
                    assert await call(there, 1, timeout=5.0) == 1
                    break
                except (NoConnection, TimeoutError):
                    await anyio.sleep(0.05)
                except ProcessExited as error:
                    if not error.taken_up or str(error.reason) != "noconnection":
                        raise  # than for an answer that was lost with the server
            calls_after = anyio.current_time() - begun
            assert await registered(a, "more", await Till.start(task_group=group))
            names_after = anyio.current_time() - begun
            await until(lambda: b.whereis("more"))
            assert (a._node.peers.own, b._node.peers.own) == own, "nobody was fenced"
            assert is_alive(till)
            assert names_after < 25
            effort.report(
                f"cluster, {who} of three servers killed: calls after {calls_after:.1f} s,"
                f" a new name after {names_after:.1f} s"
            )
            group.cancel_scope.cancel()


async def test_the_majority_is_lost_and_comes_back() -> None:
    with nats.three() as servers, anyio.fail_after(6 * PATIENCE):
        async with two_nodes(servers, ttl=10) as (a, b), task_group() as group:
            till = await Till.start(task_group=group, register_as=b.name("till"))
            there = await a.wait_registered("till", timeout=PATIENCE)
            for server in servers[1:]:
                server.kill()
            more = await Till.start(task_group=group)
            with pytest.raises((NoConnection, TimeoutError)):
                await a.register("more", more)
            await until(lambda: not is_alive(till))  # its node is fenced
            assert a.whereis("till") is None
            with pytest.raises((NoConnection, ProcessExited)):
                await call(there, 1)
            for server in servers[1:]:
                await anyio.to_thread.run_sync(server.start)
            await until_long(lambda: a.nodes() == b.nodes() == ["a", "b"] and a._node.may_act())
            again = await Till.start(task_group=group)
            assert await registered(b, "till", again)
            assert await call(await a.wait_registered("till", timeout=PATIENCE), 1) == 1
            group.cancel_scope.cancel()


async def until_long(holds: Any) -> None:
    with anyio.fail_after(3 * PATIENCE):
        while not holds():
            await anyio.sleep(0.1)
