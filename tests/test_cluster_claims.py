"""What a node does about its own names with each heartbeat: no more than there is to do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from anyio import to_thread
from anyio.lowlevel import checkpoint
from clusters import members, until
from conftest import ASYNCIO, task_group
from crew import Idle
from lost import start
from steps import Steps

from fauxtp import Mailbox, exit, is_alive
from fauxtp._base.tell_all import tell_all
from fauxtp.cluster import Cluster, NoConnection
from fauxtp.cluster._engines.engine import Snapshot
from fauxtp.cluster._keys.name_keys import Holding, key_of
from fauxtp.cluster.memory_broker import MemoryBroker

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


def beat(cluster: Cluster) -> None:
    """Let a node do what it does after each heartbeat."""
    tell_all(cluster._node.on_beat)


async def test_a_heartbeat_takes_no_longer_with_many_names_than_with_few() -> None:
    async with members("a") as (a,), task_group() as group:
        mailbox, counts = Mailbox(), list[int]()
        for number in range(80):
            process = await Idle.start(task_group=group)
            assert await a.register(f"user:{number}", process)
            assert await a.register(f"post:{number}", mailbox.pid)
            if number in {9, 79}:
                with Steps():  # CPython 3.12.1 counts none where it has counted none before
                    beat(a)  # what there is to do
                with Steps() as steps:
                    beat(a)
                counts.append(steps.count)
        few, many = counts
        assert many <= few, "of eight times as many names"


def key_of_nobody(cluster: Cluster) -> bytes:
    own = cluster._node.peers.own
    return Holding(own.node, own.incarnation, 4711).packed()


async def test_a_name_of_this_node_that_nobody_here_has_is_given_back() -> None:
    broker = MemoryBroker("shop")
    async with members("a", broker=broker) as (a,):
        vandal = broker.engine("vandal")
        await vandal.open()
        await vandal.create(key_of("billing"), key_of_nobody(a))
        await until(lambda: a._names.find("billing"))
        beat(a)
        await until(lambda: a._names.find("billing") is None)
        await vandal.close()


async def test_so_is_one_that_was_told_with_all_the_others() -> None:
    broker = MemoryBroker("shop")
    async with members("a", broker=broker) as (a,):
        mailbox = Mailbox()
        assert await a.register("post", mailbox.pid)
        a._node.replica.on_name = lambda *_: None  # it is missed
        vandal = broker.engine("vandal")
        await vandal.open()
        revision = await vandal.create(key_of("billing"), key_of_nobody(a))
        await until(lambda: a._node.replica.revision >= revision)
        a._node.replica.on_name = a._names._told
        snapshot = broker.keys.snapshot()
        assert type(snapshot) is Snapshot
        a._node._followed(snapshot)
        await until(lambda: a._names.find("billing") is None)
        assert a.whereis("post") is mailbox.pid
        await vandal.close()


async def test_what_could_not_be_given_back_is_tried_again_with_the_next_heartbeat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with members("a") as (a,), task_group() as group:
        one = await Idle.start(task_group=group)
        assert await a.register("billing", one)
        tried: list[str] = []

        async def fails(key: str, revision: int) -> int:
            tried.append(key)
            raise NoConnection("as a test wants it")

        with monkeypatch.context() as patch:
            patch.setattr(a._node.engine, "delete", fails)
            exit(one)
            await until(lambda: tried and not a._claims._busy)
            for _ in range(100):
                await checkpoint()
            assert len(tried) == 1, "and not again and again"
            beat(a)
            await until(lambda: len(tried) > 1 and not a._claims._busy)
        assert a._names.find("billing") is not None
        beat(a)
        await until(lambda: a._names.find("billing") is None)


async def test_of_a_closed_mailbox_the_next_heartbeat_gives_the_names_back() -> None:
    async with members("a") as (a,):
        mailboxes = [Mailbox(), Mailbox()]
        for number, mailbox in enumerate(mailboxes):
            assert await a.register(f"post:{number}", mailbox.pid)
        mailboxes[0].close()
        beat(a)
        await until(lambda: a._names.find("post:0") is None)
        assert a.whereis("post:1") is mailboxes[1].pid
        assert len(a._claims._ends._silent) == 1


async def test_so_it_does_for_processes_whose_event_loop_was_closed_unnoticed() -> None:
    async with members("a") as (a,), task_group() as group:
        here = await Idle.start(task_group=group)
        assert await a.register("here", here)
        loop = asyncio.new_event_loop()
        elsewhere = [await to_thread.run_sync(start, loop) for _ in range(3)]
        for number, process in enumerate(elsewhere):
            assert await a.register(f"there:{number}", process)
        type(loop).close(loop)
        beat(a)
        await until(lambda: a._names.all_of("") == ["here"])
        assert not any(map(is_alive, elsewhere))
