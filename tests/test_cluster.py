"""Nodes of a cluster: they join, are seen, are fenced, join again, and leave."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
import pytest
from clusters import ACTS, TTL, diary, member, members, until
from conftest import ASYNCIO, task_group
from crew import process_of
from in_simulated_time import explored

from fauxtp import call, demonitor, exit, wait_exit
from fauxtp.cluster import Cluster, NoConnection, NodeDown, NodeTaken, NodeUp
from fauxtp.cluster._nodes.peers import Membership
from fauxtp.cluster.memory_broker import MemoryBroker
from fauxtp.testing import explore

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_nodes_that_join_see_each_other_until_they_leave() -> None:
    broker = MemoryBroker("shop")
    async with members("a", "b", broker=broker) as (a, b):
        assert (a.nodes(), b.nodes()) == (["a", "b"], ["a", "b"])
        async with member(broker, "c"):
            await until(lambda: a.nodes() == b.nodes() == ["a", "b", "c"])
        await until(lambda: a.nodes() == b.nodes() == ["a", "b"])


async def test_who_joins_tells_its_names() -> None:
    async with members("a") as (a,):
        assert (a.cluster, a.node, repr(a)) == ("shop", "a", "<Cluster 'shop', node 'a'>")


async def test_who_monitors_no_node_any_more_is_watched_no_more() -> None:
    async with members("a") as (a,), task_group() as group:
        watcher = await diary(group)
        refs = [await call(watcher, partial(a.monitor_node, "a")) for _ in range(2)]
        assert len(process_of(watcher).watchers) == 1
        for ref in refs:
            await call(watcher, partial(demonitor, ref))
        assert not process_of(watcher).watchers
        assert not a._node.monitors._told


async def test_a_process_is_told_who_comes_and_goes() -> None:
    broker = MemoryBroker("shop")
    async with members("a", broker=broker) as (a,), task_group() as group:
        watcher = await diary(group)
        ref = await call(watcher, partial(a.monitor_node, "b"))

        def told() -> Any:
            return process_of(watcher).state

        await until(told)
        assert told() == [NodeDown(ref, "b", told()[0].reason)]
        assert told()[0].reason == "noconnection"
        async with member(broker, "b"):
            await until(lambda: told()[1:] == [NodeUp(ref, "b")])
        await until(lambda: len(told()) == 3)
        assert (told()[2].node, told()[2].reason, told()[2].reason.abnormal) == (
            "b",
            "left",
            False,
        )


async def test_who_no_longer_wants_to_know_is_not_told() -> None:
    broker = MemoryBroker("shop")
    async with members("a", broker=broker) as (a,), task_group() as group:
        watcher, other = await diary(group), await diary(group)
        ref = await call(watcher, partial(a.monitor_node, "a"))
        await call(other, partial(a.monitor_node, "b"))
        assert await call(watcher, partial(demonitor, ref))
        assert not await call(watcher, partial(demonitor, ref))
        exit(other)
        await wait_exit(other)
        async with member(broker, "b"):
            await until(lambda: a.nodes() == ["a", "b"])
        await until(lambda: not a._node.monitors._told)
        assert process_of(watcher).state == []


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"cluster": "a.b"}, ValueError, "expected cluster to be"),
        ({"node": ""}, ValueError, "expected node to"),
        ({"node": 3}, TypeError, "expected node to be a str, got int"),
        ({"ttl": 1}, ValueError, "expected ttl to be at least 2 seconds, got 1"),
        ({"ttl": None}, TypeError, "expected ttl to be a whole number of seconds, got NoneType"),
        ({"ttl": 2.5}, TypeError, "expected ttl to be a whole number of seconds"),
    ],
)
async def test_what_is_no_member_is_refused(
    wrong: dict[str, Any], error: type[Exception], says: str
) -> None:
    engine = MemoryBroker("shop").engine("a")
    with pytest.raises(error, match=says):
        async with Cluster.join(engine, **{"cluster": "shop", "node": "a", **wrong}):
            raise AssertionError


async def test_only_an_actor_is_told_of_nodes() -> None:
    async with members("a") as (a,):
        with pytest.raises(RuntimeError, match="monitor_node works for actors"):
            a.monitor_node("b")
        with pytest.raises(ValueError, match="expected node to be"):
            a.monitor_node("b.c")


async def test_the_error_of_who_joined_comes_as_it_is() -> None:
    with pytest.raises(KeyError):
        async with members("a"):
            raise KeyError("x")


async def test_who_cannot_connect_does_not_join() -> None:
    broker = MemoryBroker("shop")
    broker.cut("a")
    with pytest.raises(NoConnection):
        async with Cluster.join(broker.engine("a", timeout=0.2), cluster="shop", node="a"):
            raise AssertionError


@explored(seeds=20)
async def test_a_node_that_is_there_is_there_once() -> None:
    broker = MemoryBroker("shop")
    async with members("a", broker=broker):
        began = anyio.current_time()
        with pytest.raises(NodeTaken, match="a node 'a' in the cluster already"):
            async with member(broker, "a"):
                raise AssertionError
        assert anyio.current_time() - began < TTL + 5
    async with member(broker, "a") as again:
        assert again.nodes() == ["a"]


@explored(seeds=20)
async def test_a_node_outlasts_seven_tenths_of_its_time_to_live() -> None:
    broker = MemoryBroker("shop", delay=(0.001, 0.01))
    async with members("a", "b", broker=broker) as (a, b):
        before = b._node.peers.own.incarnation
        await anyio.sleep(broker.random.uniform(0, TTL))
        broker.freeze("b")
        await anyio.sleep(0.7 * TTL - 0.1)
        assert b._node.may_act()
        broker.heal("b")
        await anyio.sleep(TTL)
        assert b._node.may_act()
        assert b._node.peers.own.incarnation == before
        assert a.nodes() == b.nodes() == ["a", "b"]


@explored(seeds=50)
async def test_a_frozen_node_is_gone_to_the_others_and_joins_again_as_another() -> None:
    broker = MemoryBroker("shop", delay=(0.001, 0.05))
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        watcher = await diary(group)
        own = await call(watcher, partial(b.monitor_node, "b"))
        before = b._node.peers.own.incarnation
        broker.freeze("b")
        await anyio.sleep(ACTS + 1)
        assert not b._node.may_act()
        await anyio.sleep(TTL)
        assert a.nodes() == ["a"]
        broker.heal("b")
        await until(lambda: a.nodes() == b.nodes() == ["a", "b"])
        assert b._node.peers.own.incarnation != before
        await until(lambda: len(process_of(watcher).state) == 2)
        down, up = process_of(watcher).state
        assert (down.node, down.reason, up) == ("b", "fenced", NodeUp(own, "b"))


@explored(seeds=50)
async def test_a_short_cut_is_no_end() -> None:
    broker = MemoryBroker("shop", delay=(0.001, 0.05))
    async with members("a", "b", broker=broker) as (a, b):
        before = b._node.peers.own.incarnation
        broker.cut("b")
        await anyio.sleep(TTL / 3)
        broker.heal("b")
        await anyio.sleep(3 * TTL)
        assert b._node.peers.own.incarnation == before
        assert a.nodes() == b.nodes() == ["a", "b"]


@explored(seeds=50)
async def test_a_heartbeat_whose_answer_is_lost_is_read_back() -> None:
    broker = MemoryBroker("shop", delay=(0.001, 0.05))
    engine = broker.engine("b", timeout=0.5)
    async with (
        members("a", broker=broker) as (a,),
        Cluster.join(engine, cluster="shop", node="b", ttl=TTL) as b,
    ):
        before = b._node.peers.own.incarnation
        for _ in range(6):
            broker.lose_answers("b")
            await anyio.sleep(TTL / 2)
        assert b._node.peers.own.incarnation == before
        assert a.nodes() == ["a", "b"]


@explored(seeds=30)
async def test_an_incarnation_that_came_and_went_unknown_to_itself_is_not_had_again() -> None:
    broker = MemoryBroker("shop", delay=(0.001, 0.05))
    async with members("a", "b", broker=broker) as (a, b):
        broker.cut("b")
        await until(lambda: a.nodes() == ["a"])
        broker.lose_answers("b")
        broker.heal("b")
        await until(lambda: a.nodes() == ["a", "b"])
        assert not b._node.may_act()
        broker.cut("b")
        await until(lambda: a.nodes() == ["a"])
        broker.heal("b")
        await until(lambda: a.nodes() == b.nodes() == ["a", "b"])
        await until(b._node.may_act)


@explored(seeds=50)
async def test_who_leaves_is_gone_at_once_and_without_a_connection_in_one_ttl() -> None:
    broker = MemoryBroker("shop", delay=(0.001, 0.01))
    async with members("a", broker=broker) as (a,):
        async with member(broker, "b"):
            await until(lambda: a.nodes() == ["a", "b"])
        await anyio.sleep(0.1)
        assert a.nodes() == ["a"]
        async with member(broker, "b"):
            await until(lambda: a.nodes() == ["a", "b"])
            broker.cut("b")
        broker.heal("b")
        assert a.nodes() == ["a", "b"]
        await anyio.sleep(TTL + 2)
        assert a.nodes() == ["a"]


async def test_a_key_that_makes_no_sense_is_counted_and_dropped() -> None:
    broker = MemoryBroker("shop")
    async with members("a", broker=broker) as (a,):
        vandal = broker.engine("vandal")
        await vandal.open()
        for junk in (b" ", b"\xff", b"2 3 lives", b"1 x lives", b"1 3", b"1 3 dances"):
            await vandal.create(f"node.j{len(junk)}{junk[:1].hex()}", junk)
        await vandal.create("node.late", Membership(2**63, False).packed())
        await vandal.create("node.no/node", Membership(1, False).packed())
        await vandal.close()
        await until(lambda: a.malformed == 8)
        assert a.nodes() == ["a"]


def test_a_missing_fence_is_found() -> None:
    """What the tests above rest on: without it, they fail."""

    async def scenario() -> None:
        broker = MemoryBroker("shop")
        async with members("a", "b", broker=broker) as (a, b):
            b._node.lease.until = float("inf")
            broker.freeze("b")
            await anyio.sleep(TTL + 2)
            assert not (a.nodes() == ["a"] and b._node.may_act())

    with pytest.raises(AssertionError):
        explore(scenario, seeds=3)
