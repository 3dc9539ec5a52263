"""Clusters for the tests of others: nodes in one event loop, faults, and what is refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from clusters import until
from conftest import ASYNCIO, Run, task_group
from crew import process_of
from in_simulated_time import explored

from fauxtp import (
    DynamicSupervisor,
    GenServer,
    Mailbox,
    OnDemand,
    ProcessExited,
    ReceiveTimeout,
    call,
    cast,
    is_alive,
)
from fauxtp.cluster import Cluster, NoConnection, NodeTaken
from fauxtp.testing import TestCluster, cluster, explore

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


class Echo(GenServer[Any, Any]):
    """Answers what it is asked, and notes what it is told."""

    async def init(self) -> list[Any]:
        return []

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return request, state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        return [*state, request]


class EchoOf(Echo):
    """One for each key."""

    def __init__(self, key: str) -> None:
        self.key = key


async def test_each_node_knows_all_and_can_do_all() -> None:
    shop = cluster("a", "b", "c", name="shop")
    assert repr(shop) == "<TestCluster 'shop' of a, b, c>"
    async with shop as nodes, task_group() as group:
        assert [one.node for one in nodes] == ["a", "b", "c"]
        assert all(one.nodes() == ["a", "b", "c"] for one in nodes)
        a, _, c = nodes
        assert a.cluster == "shop"
        await Echo.start(task_group=group, register_as=a.name("echo"))
        assert await call(await c.wait_registered("echo", timeout=30), {1}) == {1}


async def test_one_more_joins_and_leaves() -> None:
    shop = cluster("a")
    async with shop as (a,):
        async with shop.join("b") as b:
            await until(lambda: a.nodes() == b.nodes() == ["a", "b"])
        await until(lambda: a.nodes() == ["a"])


@explored(seeds=3)
async def test_there_is_one_node_of_a_name() -> None:
    shop = cluster("a")
    async with shop:
        with pytest.raises(NodeTaken):
            async with shop.join("a"):
                raise AssertionError


async def test_what_cannot_travel_fails_as_over_nats() -> None:
    async with cluster("a", "b") as (a, b), task_group() as group:
        await Echo.start(task_group=group, register_as=a.name("echo"))
        there = await b.wait_registered("echo", timeout=30)
        with pytest.raises(TypeError, match="expected"):
            await call(there, object())


async def test_faults_end_with_the_cluster() -> None:
    """Whatever was done to the nodes, they leave without waiting for what will not come."""
    faults: tuple[Callable[[TestCluster], None], ...] = (
        lambda shop: shop.cut("a"),
        lambda shop: shop.hold("a"),
        lambda shop: shop.freeze("a"),
        lambda shop: shop.lose_answers("a", 100),
        lambda shop: shop.lose_messages("a", 100),
        lambda shop: shop.stop(),
        lambda shop: shop.lose_writes(3),
        lambda shop: shop.lose_leader(),
    )
    for do in faults:
        shop = cluster("a", "b", ttl=2)
        before = anyio.current_time()
        async with shop:
            do(shop)
        assert anyio.current_time() - before < 5, "it has not waited until something times out"


async def test_an_error_of_the_test_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with cluster("a", "b"):
            1 / 0


@explored(seeds=20)
async def test_a_lease_takes_no_time_where_time_is_simulated() -> None:
    shop = cluster("a", "b", delay=(0.001, 0.01))
    async with shop as (a, b), anyio.create_task_group() as group:
        billing = await Echo.start(task_group=group, register_as=b.name("billing"))
        there = await a.wait_registered("billing")
        shop.freeze("b")
        with pytest.raises(ReceiveTimeout):
            await call(there, 1, timeout=0.5)
        with pytest.raises((ProcessExited, NoConnection)):
            await call(there, 1, timeout=None)
        assert a.nodes() == ["a"]
        shop.heal("b")
        while a.nodes() != ["a", "b"] or is_alive(billing):
            await anyio.sleep(0.1)


@explored(seeds=3)
async def test_keys_are_spread_over_nodes_before_any_lease_is_over() -> None:
    async with cluster("a", "b", ttl=2) as (a, b), task_group() as group:
        incarnations = [one._node.peers.own.incarnation for one in (a, b)]
        sessions = [
            OnDemand(EchoOf, supervisor=f"of {one.node}", prefix="session:", cluster=one)
            for one in (a, b)
        ]
        for one in (a, b):
            await DynamicSupervisor.start(task_group=group, register_as=f"of {one.node}")
        for number in range(20):
            key = f"user {number}"
            assert [await call(each[key], number) for each in sessions] == [number] * 2
            assert a.nodes() == b.nodes() == ["a", "b"]
        assert incarnations == [one._node.peers.own.incarnation for one in (a, b)]


@explored(seeds=20)
async def test_each_fault_does_what_it_says() -> None:
    shop, mailbox = cluster("a", "b", timeout=1), Mailbox()
    async with shop as (a, b), anyio.create_task_group() as group:
        echo = await Echo.start(task_group=group, register_as=b.name("echo"))
        there = await a.wait_registered("echo")
        shop.lose_answers("a")
        assert await a.register("one", mailbox.pid), "it is read back"
        shop.lose_messages("b", 1000)
        await cast(there, "lost")
        await anyio.sleep(0.5)
        shop.broker.lose_no_more("b")
        await call(there, 1)
        assert process_of(echo).state == []
        shop.lose_leader()
        with pytest.raises((NoConnection, TimeoutError)):
            await a.register("two", mailbox.pid)
        shop.elect_leader()
        shop.stop()
        with pytest.raises(NoConnection):
            await call(there, 1)
        shop.start()
        while not await answers(there):
            await anyio.sleep(0.1)
        shop.cut("b")
        with pytest.raises((NoConnection, ReceiveTimeout)):
            await call(there, 1, timeout=0.5)
        shop.heal("b")
        shop.lose_writes(1)
        shop.hold("a")
        await anyio.sleep(4)
        with pytest.raises(NoConnection):
            await call(there, 1, timeout=0.5)
        group.cancel_scope.cancel()


async def answers(there: Any) -> bool:
    try:
        await call(there, 1, timeout=1)
    except (NoConnection, ReceiveTimeout):
        return False
    return True


def test_what_is_left_to_chance_is_the_seeds() -> None:
    seeds = {cluster("a").broker.random.random() for _ in range(3)}
    assert seeds == {random.Random(0).random()}
    assert cluster("a", seed=7).broker.random.random() == random.Random(7).random()
    explored: list[float] = []

    async def scenario() -> None:
        explored.append(cluster("a").broker.random.random())

    explore(scenario, seeds=[1, 2, 1])
    assert explored[0] == explored[2] != explored[1]


async def test_it_is_entered_once() -> None:
    shop = cluster("a")
    async with shop:
        pass
    with pytest.raises(RuntimeError, match="entered once"):
        async with shop:
            raise AssertionError


@pytest.mark.parametrize(
    ("nodes", "options", "error", "match"),
    [
        ([], {}, ValueError, "expected nodes to be at least one"),
        (["a", "a"], {}, ValueError, "expected each node once, got 'a' 2 times"),
        (["a.b"], {}, ValueError, "expected node to be 1 to 64"),
        ([7], {}, TypeError, "expected node to be a str, got int"),
        (["a"], {"name": "a b"}, ValueError, "expected cluster to be 1 to 64"),
        (["a"], {"ttl": 1}, ValueError, "expected ttl to be at least 2 seconds, got 1"),
        (["a"], {"ttl": None}, TypeError, "expected ttl to be a whole number of seconds"),
        (["a"], {"ttl": 2.5}, TypeError, "expected ttl to be a whole number of seconds"),
        (["a"], {"timeout": -1}, ValueError, "expected timeout to be finite and at least 0"),
        (["a"], {"delay": 1}, TypeError, "expected delay to be two numbers of seconds, got int"),
        (["a"], {"delay": (1, 0)}, ValueError, r"the least and the most, got \(1, 0\)"),
        (["a"], {"delay": ("x", 0)}, TypeError, "expected delay to be a number, got str"),
        (["a"], {"seed": "x"}, TypeError, "expected seed to be an int or None, got str"),
    ],
)
def test_what_is_no_cluster_is_refused(nodes: Any, options: Any, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        cluster(*nodes, **options)


@pytest.mark.parametrize(
    "fault", ["cut", "hold", "freeze", "heal", "lose_answers", "lose_messages"]
)
def test_who_is_no_node_has_no_faults(fault: str) -> None:
    do = getattr(cluster("a", "b"), fault)
    with pytest.raises(ValueError, match="expected node to be one of a, b, got 'c'"):
        do("c")
    with pytest.raises(TypeError, match="expected node to be a str, got NoneType"):
        do(None)


@pytest.mark.parametrize("count", [-1, 1.5, None, True])
def test_what_is_no_number_is_not_lost(count: Any) -> None:
    shop = cluster("a")
    for lose in (shop.lose_writes, lambda n: shop.lose_answers("a", n)):
        with pytest.raises((TypeError, ValueError), match="expected count to be"):
            lose(count)
    with pytest.raises((TypeError, ValueError), match="expected node to be"):
        shop.join(7)  # type: ignore[arg-type]


def test_who_does_not_ask_imports_no_cluster(run: Run) -> None:
    done = run(
        "import sys, fauxtp.testing\n"
        "assert not [name for name in sys.modules if name.startswith('fauxtp.cluster')]\n"
        "fauxtp.testing.cluster('a')\n"
        "assert 'nats' not in sys.modules"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_without_the_extra_it_says_what_it_needs(run: Run) -> None:
    done = run(
        "import sys, fauxtp.testing\nsys.modules['ormsgpack'] = None\nfauxtp.testing.cluster('a')"
    )
    said = "ModuleNotFoundError: fauxtp.testing.cluster needs ormsgpack: install fauxtp[cluster]"
    assert done.stderr.splitlines()[-1] == said


async def test_what_it_yields_is_a_cluster_as_any() -> None:
    async with cluster("a") as (a,):
        assert isinstance(a, Cluster)
