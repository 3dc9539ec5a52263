"""Clusters over a NATS server: in one program, and in several that are killed and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest
from clusters import diary, until
from conftest import ASYNCIO, task_group
from crew import process_of
from engines import new_cluster

from fauxtp import (
    PID,
    CallCycle,
    GenServer,
    NoProcess,
    ProcessExited,
    call,
    call_blocking,
    exit,
    is_alive,
    send_nowait,
    start_call,
    wait_exit,
)
from fauxtp.cluster import Cluster, NoConnection, NodeTaken

pytestmark = pytest.mark.anyio

TTL = 3  # seconds, of a node that is to be gone soon
LONG = 30  # seconds, of one that is to stay whatever else the machine has to do

PROGRAM = """
import sys
import anyio
from fauxtp import GenServer
from fauxtp.cluster import Cluster

class Till(GenServer):
    async def init(self):
        return []
    async def handle_call(self, request, from_, state):
        if request == "wait":
            print("waits", flush=True)
            await anyio.sleep_forever()
        return sys.argv[3], state
    async def terminate(self, reason, state):
        print("ended", reason, flush=True)

async def main():
    url, cluster, node, ttl = sys.argv[1:]
    async with Cluster.join(url, cluster=cluster, node=node, ttl=int(ttl)) as joined:
        async with anyio.create_task_group() as group:
            while True:
                till = await Till.start(task_group=group, register_as=joined.name("billing"))
                print("has it", flush=True)
                while joined.whereis("billing") is till:
                    await anyio.sleep(0.05)
                await joined.wait_registered("none")

anyio.run(main)
"""


SINGLETON = """
import sys
import anyio
from fauxtp import ChildSpec, GenServer, Supervisor
from fauxtp.cluster import Cluster, singleton

class Till(GenServer):
    def __init__(self, node):
        self.node = node
    async def handle_call(self, request, from_, state):
        return self.node, state

class Shop(Supervisor):
    def __init__(self, cluster):
        self.cluster = cluster
    def child_specs(self):
        name = self.cluster.name("billing")
        return [singleton(ChildSpec("till", Till, args=(self.cluster.node,), register_as=name))]

async def main():
    url, cluster, node, ttl = sys.argv[1:]
    async with (
        Cluster.join(url, cluster=cluster, node=node, ttl=int(ttl)) as joined,
        anyio.create_task_group() as group,
    ):
        await Shop.start(joined, task_group=group)
        await anyio.sleep_forever()

if __name__ == "__main__":
    anyio.run(main)
"""

SESSIONS = """
import sys
import anyio
from fauxtp import DynamicSupervisor, GenServer, OnDemand
from fauxtp.cluster import Cluster

class Session(GenServer):
    node = ""
    def __init__(self, user):
        self.user = user
    async def handle_call(self, request, from_, state):
        return (self.user, self.node), state

class Sessions(DynamicSupervisor):
    pass

def sessions_of(cluster):
    kind = type("SessionHere", (Session,), {"node": cluster.node})
    return OnDemand(kind, supervisor="sessions", prefix="session:", cluster=cluster)

async def main():
    url, cluster, node, ttl = sys.argv[1:]
    async with (
        Cluster.join(url, cluster=cluster, node=node, ttl=int(ttl)) as joined,
        anyio.create_task_group() as group,
    ):
        sessions_of(joined)
        await Sessions.start(task_group=group, register_as="sessions")
        await anyio.sleep_forever()

if __name__ == "__main__":
    anyio.run(main)
"""


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@contextmanager
def program(
    url: str, cluster: str, node: str, text: str = PROGRAM
) -> Iterator[subprocess.Popen[str]]:
    """Run a node beside the test that has the name `billing`."""
    arguments = [sys.executable, "-c", text, url, cluster, node, str(TTL)]
    beside = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        yield beside
    finally:
        beside.kill()
        beside.communicate()


async def ask_for_ever(there: PID) -> None:
    while True:
        await call(there, "who?")


class Till(GenServer[Any, Any]):
    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return (request, from_.caller is not None), state


async def test_two_nodes_meet_at_a_server(nats_server: Any) -> None:
    cluster = new_cluster()
    async with (
        Cluster.join(nats_server.url, cluster=cluster, node="a", ttl=LONG) as a,
        Cluster.join([nats_server.url], cluster=cluster, node="b", ttl=LONG) as b,
        task_group() as group,
    ):
        till = await Till.start(task_group=group, register_as=a.name("shop:billing"))
        assert a.whereis("shop:billing") is till
        there = await b.wait_registered("shop:billing", timeout=30)
        assert there is not till
        assert await call(there, {"a": (1,)}) == ({"a": (1,)}, False)
        assert await anyio.to_thread.run_sync(call_blocking, there, 2) == (2, False)
        assert a.nodes() == b.nodes() == ["a", "b"]
        listener = await diary(group)
        await b.register("diary", listener)
        far = await a.wait_registered("diary", timeout=30)
        for number in range(100):
            send_nowait(far, number)
        await anyio.to_thread.run_sync(send_nowait, far, 100)
        await until(lambda: process_of(listener).state == list(range(101)))
        exit(there, "enough")
        assert await wait_exit(there) in {"enough", "noproc"}
        await until(lambda: a.whereis("shop:billing") is b.whereis("shop:billing") is None)
        with pytest.raises(NodeTaken):
            async with Cluster.join(nats_server.url, cluster=cluster, node="b", ttl=2):
                raise AssertionError


async def test_a_group_has_members_on_two_nodes(nats_server: Any) -> None:
    cluster = new_cluster()
    async with (
        Cluster.join(nats_server.url, cluster=cluster, node="a", ttl=LONG) as a,
        task_group() as group,
    ):
        here, there = await diary(group), await diary(group)
        async with Cluster.join(nats_server.url, cluster=cluster, node="b", ttl=LONG) as b:
            assert await a.join_group("sport", here)
            assert await b.join_group("sport", there)
            await until(lambda: len(a.members("sport")) == len(b.members("sport")) == 2)
            for number in range(50):
                assert await a.publish("sport", number) == 2
            await until(lambda: process_of(there).state == list(range(50)))
            await until(lambda: process_of(here).state == list(range(50)))
            assert await b.leave_group("sport", there)
            await until(lambda: a.members("sport") == (here,))
            assert await b.join_group("sport", there)
            await until(lambda: len(a.members("sport")) == 2)
        await until(lambda: a.members("sport") == (here,))
        exit(here)
        await until(lambda: not a._grouped.groups.own())


class Asker(GenServer[Any, Any]):
    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        try:
            return await call(request[0], request[1:], timeout=None), state
        except CallCycle as error:
            return error.circle, state


async def test_two_that_call_each_other_are_told_so(nats_server: Any) -> None:
    cluster = new_cluster()
    async with (
        Cluster.join(nats_server.url, cluster=cluster, node="a", ttl=LONG) as a,
        Cluster.join(nats_server.url, cluster=cluster, node="b", ttl=LONG) as b,
        task_group() as group,
    ):
        one = await Asker.start(task_group=group)
        other = await Asker.start(task_group=group)
        await b.register("other", other)
        there = await a.wait_registered("other", timeout=30)
        assert await call(one, [there, one], timeout=30) == [there, one, there]
        exit(one)
        exit(other)


async def test_where_no_server_is_nobody_joins() -> None:
    with pytest.raises(NoConnection):
        async with Cluster.join("nats://127.0.0.1:1", cluster="x", node="a", timeout=1.0):
            raise AssertionError


async def test_a_node_that_is_killed_is_gone_and_its_name_is_taken(nats_server: Any) -> None:
    cluster = new_cluster()
    with program(nats_server.url, cluster, "b") as beside:
        async with (
            Cluster.join(nats_server.url, cluster=cluster, node="a", ttl=LONG) as a,
            task_group() as group,
        ):
            there = await a.wait_registered("billing", timeout=30)
            assert await call(there, "who?") == "b"
            pending = start_call(there, "wait", timeout=None)
            assert beside.stdout is not None
            lines = [await anyio.to_thread.run_sync(beside.stdout.readline) for _ in range(2)]
            assert lines == ["has it\n", "waits\n"], "it was taken up"
            beside.kill()
            await anyio.to_thread.run_sync(beside.wait)
            with pytest.raises((NoConnection, NoProcess, ProcessExited)):
                await ask_for_ever(there)
            with pytest.raises(ProcessExited, match="noconnection"):
                await pending
            assert not is_alive(there)
            till = await Till.start(task_group=group, register_as=a.name("billing"))
            assert a.whereis("billing") is till


async def test_a_singleton_of_a_node_that_is_killed_goes_on_at_another(nats_server: Any) -> None:
    cluster = new_cluster()
    names: dict[str, Any] = {"__name__": "singleton"}
    exec(SINGLETON, names)
    with program(nats_server.url, cluster, "b", SINGLETON) as beside:
        async with (
            Cluster.join(nats_server.url, cluster=cluster, node="a", ttl=TTL) as a,
            task_group() as group,
        ):
            there = await a.wait_registered("billing", timeout=30)
            shop = await names["Shop"].start(a, task_group=group)
            assert await call(there, "who?") == "b"
            beside.kill()
            await until(lambda: a.whereis("billing") not in {there, None})
            assert await call(a.name("billing"), "who?", wait=30) == "a"
            assert await a.token("billing") is not None
            exit(shop)
            await wait_exit(shop)
            assert a.whereis("billing") is None


async def test_keys_of_a_node_that_is_killed_go_on_at_another(nats_server: Any) -> None:
    cluster = new_cluster()
    names: dict[str, Any] = {"__name__": "sessions"}
    exec(SESSIONS, names)
    users = [f"user {number}" for number in range(20)]
    with program(nats_server.url, cluster, "b", SESSIONS) as beside:
        async with (
            Cluster.join(nats_server.url, cluster=cluster, node="a", ttl=TTL) as a,
            task_group() as group,
        ):
            sessions = names["sessions_of"](a)
            for user in users:  # of here, nobody can start them yet
                assert await call(sessions[user], "who?", 30, wait=30) == (user, "b")
            await names["Sessions"].start(task_group=group, register_as="sessions")
            where: set[str] = set()
            while where != {"a", "b"}:
                where = {(await call(sessions[user], "who?", 30))[1] for user in users}
            beside.kill()
            for user in users:
                try:
                    answer = await call(sessions[user], "who?", 30)
                except ProcessExited:  # it was on its way as that node was killed
                    answer = await call(sessions[user], "who?", 30)
                assert answer == (user, "a")


async def test_a_node_that_is_stopped_serves_nothing_on_waking(nats_server: Any) -> None:
    cluster = new_cluster()
    with program(nats_server.url, cluster, "b") as beside:
        async with (
            Cluster.join(nats_server.url, cluster=cluster, node="a", ttl=LONG) as a,
            task_group() as group,
        ):
            there = await a.wait_registered("billing", timeout=30)
            assert await call(there, "who?") == "b"
            os.kill(beside.pid, signal.SIGSTOP)
            with pytest.raises((ProcessExited, NoConnection)):
                await call(there, "who?", timeout=None)
            till = await Till.start(task_group=group, register_as=a.name("billing"))
            os.kill(beside.pid, signal.SIGCONT)
            assert beside.stdout is not None
            lines = [await anyio.to_thread.run_sync(beside.stdout.readline) for _ in range(2)]
            assert lines == ["has it\n", "ended fenced\n"]
            await until(lambda: a.nodes() == ["a", "b"])
            assert a.whereis("billing") is till
