"""What a server is told of the nodes of a cluster holds each to its own name: a real one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anyio
import nats_server as nats
import pytest
from conftest import PATIENCE, Run
from engines import Told

pytest.importorskip("nats")

from fauxtp.cluster._engines.engine import Engine, Refused
from fauxtp.cluster._engines.nats_engine import NatsEngine
from fauxtp.cluster._engines.permissions import configuration

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(nats.binary() is None, reason=nats.ABSENT),
]

SECRETS = {f"FAUXTP_PASSWORD_{node}": f"secret-{node}" for node in ("A", "B", "C_1")}


@pytest.fixture
def anyio_backend() -> Any:
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Iterator[nats.NatsServer]:
    """A server that knows the nodes of a cluster and nobody else."""
    with nats.running(configuration("shop", ["a", "b", "c-1"]), **SECRETS) as started:
        yield started


def engine_of(server: nats.NatsServer, node: str, **options: Any) -> NatsEngine:
    options = {"user": node, "password": f"secret-{node.upper().replace('-', '_')}", **options}
    return NatsEngine(server.url, cluster="shop", node=node, timeout=2, **options)


async def test_nodes_do_all_that_nodes_do(server: nats.NatsServer) -> None:
    told, received, replies = Told(), Told(), Told()
    with anyio.fail_after(PATIENCE):
        a, b = engine_of(server, "a"), engine_of(server, "b")
        await a.open(followed=told)
        await b.open()
        beat = await a.create("node.a", b"1", ttl=60)
        beat = await a.update("node.a", b"1", beat, ttl=60)
        name = await b.create("name.billing", b"b")
        await b.create("shard.7", b"b")
        await b.create("group.sport.b", b"b")
        entry = await a.read("name.billing")
        assert entry is not None
        assert entry.revision == name
        await a.delete("name.billing", name)
        await told.wait(lambda _: set(told.known()) == {"node.a", "shard.7", "group.sport.b"})
        await b.listen("ftp.shop.to.b.1.>", received)
        await a.listen("ftp.shop.to.a.1.>", replies)
        a.publish("ftp.shop.to.b.1.a", b"1")
        a.publish("ftp.shop.to.b.1.a.1", b"2")
        a.publish("ftp.shop.to.b.2.a", b"3", "ftp.shop.to.a.1.a.7")
        await received.number(2)
        await replies.number(1)
        assert replies.all == [("ftp.shop.to.a.1.a.7", None, None)]
        await a.delete("node.a", beat)
        await a.close()
        await b.close()


@pytest.mark.parametrize(
    "key", ["node.a", "node.b.C-1", "node.B", "group.sport.a", "elsewhere", "lease.c-1"]
)
async def test_a_node_cannot_write_what_is_anothers(server: nats.NatsServer, key: str) -> None:
    c = engine_of(server, "c-1")
    await c.open()
    try:
        with pytest.raises(Refused, match=r"[Pp]ermissions"):
            await c.create(key, b"mine")
        assert await c.read(key) is None
        assert c.connected
    finally:
        await c.close()


@pytest.mark.parametrize(
    "subject",
    ["to.a.1.>", "to.*.1.>", "to.>", ">", "key.>", "to.a.1.c-1", "to.A.1.>"],
)
async def test_a_node_cannot_listen_to_what_is_said_to_others(
    server: nats.NatsServer, subject: str
) -> None:
    c = engine_of(server, "c-1")
    await c.open()
    try:
        with pytest.raises(Refused, match=r"[Pp]ermissions"):
            await c.listen(c.prefix + subject, print)
        await c.listen(c.prefix + "to.c-1.1.>", print)
    finally:
        await c.close()


@pytest.mark.parametrize("subject", ["to.b.1.a", "to.b.1.a.c-1", "seen.name.forged", "to.b.a"])
async def test_a_node_cannot_speak_as_another_or_as_the_server(
    server: nats.NatsServer, subject: str
) -> None:
    received, told = Told(), Told()
    b, c = engine_of(server, "b"), engine_of(server, "c-1")
    await b.open(followed=told)
    await c.open()
    try:
        await b.listen("ftp.shop.to.b.1.>", received)
        before = len(told.all)
        c.publish(c.prefix + subject, b"forged")
        c.publish(c.prefix + "to.b.1.c-1", b"true")
        await c.flush()
        await received.number(1)
        await b.flush()
        assert received.all == [("ftp.shop.to.b.1.c-1", b"true", None)]
        assert len(told.all) == before
    finally:
        await c.close()
        await b.close()


async def test_who_is_not_known_is_let_in_by_nobody(server: nats.NatsServer) -> None:
    for options in ({"password": "wrong"}, {"user": "z"}, {"user": None, "password": None}):
        engine: Engine = engine_of(server, "a", **options)
        with pytest.raises(Refused, match="does not let us in"):
            await engine.open()


def test_the_command_prints_the_configuration(run: Run) -> None:
    program = "import runpy; runpy.run_module('fauxtp', run_name='__main__')"
    end = run(program, "cluster", "permissions", "a", "b", "--cluster", "shop")
    assert (end.stdout, end.returncode) == (configuration("shop", ["a", "b"]), 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a", "a"], "'a' and 'a' would both have the password FAUXTP_PASSWORD_A"),
        (["a-b", "a_b"], "'a-b' and 'a_b' would both have the password FAUXTP_PASSWORD_A_B"),
        (["a.b"], "expected node to be 1 to 64 letters"),
        (["a", "--observer", "a"], "'a' and 'a' would both have the password FAUXTP_PASSWORD_A"),
        ([], "expected nodes to be at least one"),
        (["a", "--cluster", "x y"], "expected cluster to be 1 to 64 letters"),
    ],
)
def test_what_is_no_node_is_refused(run: Run, arguments: list[str], said: str) -> None:
    program = "import runpy; runpy.run_module('fauxtp', run_name='__main__')"
    end = run(program, "cluster", "permissions", "--cluster", "shop", *arguments)
    assert (said in end.stderr, end.stdout, end.returncode) == (True, "", 1)


def test_without_the_extra_it_says_what_it_needs(run: Run) -> None:
    program = (
        "import runpy, sys; sys.modules['ormsgpack'] = None;"
        "runpy.run_module('fauxtp', run_name='__main__')"
    )
    end = run(program, "cluster", "permissions", "--cluster", "shop", "a")
    assert "needs ormsgpack: install fauxtp[cluster]" in end.stderr
    assert end.returncode == 1
