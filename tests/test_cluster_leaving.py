"""Nodes of a cluster that leave, or do not come in: nothing of them is left, and nobody waits."""

from __future__ import annotations

import asyncio
import os
import threading
from functools import partial
from typing import Any

import anyio
import pytest
from clusters import PATIENCE, TTL, diary, member, members, until
from conftest import ASYNCIO, Run, task_group
from crew import end_of, process_of

from fauxtp import Mailbox, call, dead_letters, exit, link, monitor, send
from fauxtp.cluster import Cluster, NoConnection
from fauxtp.cluster.memory_broker import MemoryBroker
from fauxtp.testing import explore

FORKS = """
import os
import anyio
from fauxtp import Mailbox, call
from fauxtp.cluster import Cluster, NoConnection
from fauxtp.cluster.memory_broker import MemoryBroker

async def ask(a, there):
    mailbox = Mailbox()
    for asked in (a.register("till", mailbox.pid), call(there, "hello", timeout=None)):
        try:
            await asked
        except NoConnection:
            print("left", flush=True)
    print(a.nodes(), a.whereis("post"), flush=True)

async def main():
    engine = MemoryBroker("shop").engine("a")
    engine.asyncio_only = True  # so that the child has an event loop that is not the hub's
    async with Cluster.join(engine, cluster="shop", node="a") as a:
        there = a._messenger.pids.elsewhere(a._node.peers.find("b", 4711), 1)
        mailbox = Mailbox()
        await a.register("post", mailbox.pid)
        assert a.whereis("post") is mailbox.pid
        def forks():
            child = os.fork()
            if child == 0:
                try:
                    anyio.run(ask, a, there)
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
        await anyio.to_thread.run_sync(forks)

anyio.run(main, backend="trio")
"""

FORKS_IN_A_TURN = """
import os
import anyio
from fauxtp import cast_nowait, dead_letters
from fauxtp.cluster import Cluster
from fauxtp.cluster.memory_broker import MemoryBroker

async def main():
    async with Cluster.join(MemoryBroker("shop").engine("a"), cluster="shop", node="a") as a:
        there = a._messenger.pids.elsewhere(a._node.peers.find("b", 4711), 1)
        for number in range(3):
            cast_nowait(there, number)
        child = os.fork()
        if child == 0:
            cast_nowait(there, "of the child")
            print(dead_letters.counts(), flush=True)
            os._exit(0)
        os.waitpid(child, 0)

anyio.run(main)
"""

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
            broker.lose_messages("a", 1000)  # heartbeats may be among them
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


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_whose_hub_has_ended_reaches_nobody(anyio_backend: str) -> None:
    engine = MemoryBroker("shop").engine("a")
    engine.asyncio_only = True
    async with Cluster.join(engine, cluster="shop", node="a") as a:
        there = a._messenger.pids.elsewhere(a._node.peers.find("b", 4711), 1)
    mailbox = Mailbox()
    async with task_group() as group:
        with pytest.raises(NoConnection, match="the cluster was left"):
            await call(there, "hello", timeout=PATIENCE)
        with pytest.raises(NoConnection, match="the cluster was left"):
            await a.register("till", mailbox.pid)
        before = dead_letters.counts().get("noconnection", 0)
        await send(there, "hello")
        assert dead_letters.counts()["noconnection"] == before + 1
        assert not exit(there)
        watcher, one = await diary(group), await diary(group)
        await call(watcher, partial(monitor, there))
        await until(lambda: process_of(watcher).state)
        assert process_of(watcher).state[0].reason == "noconnection"
        linked = process_of(one)
        await call(one, partial(link, there))
        assert await end_of(linked) == "noconnection"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked here")
def test_a_fork_is_no_node(run: Run) -> None:
    done = run(FORKS, options=("-W", "ignore::DeprecationWarning"))
    assert (done.returncode, done.stdout.split()) == (0, ["left", "left", "[]", "None"]), (
        done.stderr
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked here")
def test_what_a_fork_casts_to_another_node_is_a_dead_letter(run: Run) -> None:
    done = run(FORKS_IN_A_TURN, options=("-W", "ignore::DeprecationWarning"))
    assert (done.returncode, done.stdout) == (0, "{'noconnection': 1}\n"), done.stderr


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_who_is_cancelled_as_its_hub_begins_leaves_no_thread(anyio_backend: str) -> None:
    for _ in range(5):
        engine = MemoryBroker("shop").engine("a")
        engine.asyncio_only = True
        with anyio.move_on_after(0):
            async with Cluster.join(engine, cluster="shop", node="a"):
                raise AssertionError
    await until(lambda: "fauxtp cluster" not in [one.name for one in threading.enumerate()])
