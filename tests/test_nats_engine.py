"""What the engine over NATS does beside what every engine promises: servers that will not do."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import nats_server as nats
import pytest
from conftest import ASYNCIO, PATIENCE
from engines import Told, new_cluster

pytest.importorskip("nats")

from nats.aio.client import Client

from fauxtp.cluster._engines.engine import Change, Entry, NoConnection, Part, Refused, Snapshot
from fauxtp.cluster._engines.nats_engine import NatsEngine
from fauxtp.cluster._engines.nats_follower import PART, NatsFollower
from fauxtp.cluster._engines.nats_reading import Reading
from fauxtp.cluster._engines.subjects import Subjects

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(nats.binary() is None, reason=nats.ABSENT),
]


@pytest.fixture
def anyio_backend() -> Any:
    return "asyncio"


@asynccontextmanager
async def opened(
    server: nats.NatsServer, cluster: str, node: str = "a", **callbacks: Any
) -> AsyncIterator[NatsEngine]:
    engine = NatsEngine(server.url, cluster=cluster, node=node, timeout=PATIENCE)
    with anyio.fail_after(PATIENCE):
        await engine.open(**callbacks)
        yield engine
        await engine.close()


@asynccontextmanager
async def plain(server: nats.NatsServer) -> AsyncIterator[Client]:
    """A connection to the server that knows nothing of clusters."""
    client = Client()
    await client.connect(server.url)
    yield client
    await client.close()


async def told(client: Client, what: str, asked: object) -> dict[str, Any]:
    answer = await client.request(f"$JS.API.{what}", json.dumps(asked).encode())
    found: dict[str, Any] = json.loads(answer.data)
    return found


async def test_a_server_that_is_too_old_is_refused() -> None:
    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {"server_id": "x", "version": "2.10.4", "max_payload": 1024, "proto": 1}
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(pretend, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    engine = NatsEngine(f"nats://127.0.0.1:{port}", cluster="shop", node="a", timeout=PATIENCE)
    with (
        anyio.fail_after(PATIENCE),
        pytest.raises(Refused, match=r"2\.11 or newer, got .*2\.10\.4"),
    ):
        await engine.open()
    assert not engine.connected
    server.close()


async def test_a_stream_that_is_set_up_otherwise_is_refused(nats_server: nats.NatsServer) -> None:
    cluster = new_cluster()
    subjects = Subjects(cluster)
    async with plain(nats_server) as client:
        config = {"name": subjects.stream, "subjects": [subjects.keys + ">"]}
        await told(client, f"STREAM.CREATE.{subjects.stream}", config)
    engine = NatsEngine(nats_server.url, cluster=cluster, node="a", timeout=PATIENCE)
    with pytest.raises(Refused, match="set up otherwise") as refused:
        await engine.open()
    for name in ("max_msgs_per_subject", "allow_msg_ttl", "republish", "marker_ttl"):
        assert name in refused.value.why


async def test_the_stream_is_as_clusters_need_it(nats_server: nats.NatsServer) -> None:
    cluster = new_cluster()
    async with opened(nats_server, cluster), plain(nats_server) as client:
        config = (await told(client, f"STREAM.INFO.ftp_{cluster}", {}))["config"]
    assert config["storage"] == "file"
    assert not config.get("allow_direct")
    assert config["subject_delete_marker_ttl"] >= 600 * 10**9


async def test_what_others_publish_there_is_no_change(nats_server: nats.NatsServer) -> None:
    cluster, changes = new_cluster(), Told()
    stream = f"ftp_{cluster}"
    async with opened(nats_server, cluster, followed=changes) as a:
        async with plain(nats_server) as client:
            for headers in (
                None,
                {"Nats-Sequence": "7"},
                {"Nats-Stream": stream},
                {"Nats-Stream": stream, "Nats-Sequence": "x"},
                {"Nats-Stream": "other", "Nats-Sequence": "1"},
            ):
                await client.publish(f"ftp.{cluster}.seen.k", b"forged", headers=headers)
            await client.flush()
        revision = await a.create("k", b"1")
        await changes.number(2)
        assert changes.all[1] == Change("k", b"1", revision)


async def test_after_a_change_that_does_not_come_all_is_read_again(
    nats_server: nats.NatsServer,
) -> None:
    cluster, changes = new_cluster(), Told()
    stream = f"ftp_{cluster}"
    async with opened(nats_server, cluster, followed=changes) as a:
        first = await a.create("k", b"1")
        await changes.number(2)
        async with plain(nats_server) as client:  # as if two were missing before it
            headers = {"Nats-Stream": stream, "Nats-Sequence": str(first + 3)}
            await client.publish(f"ftp.{cluster}.seen.x", b"1", headers=headers)
        await changes.number(3)
        assert changes.all[2] == Snapshot([("k", b"1", first)], first)  # type: ignore[list-item]
        second = await a.create("l", b"1")
        await changes.wait(lambda _: "l" in changes.known())
        assert changes.known() == {"k": (b"1", first), "l": (b"1", second)}


async def test_a_deleted_key_leaves_a_marker_that_goes(nats_server: nats.NatsServer) -> None:
    cluster = new_cluster()
    async with opened(nats_server, cluster) as a, plain(nats_server) as client:
        await a.delete("k", await a.create("k", b"1"))
        asked = {"last_by_subj": f"ftp.{cluster}.key.k"}
        found = await told(client, f"STREAM.MSG.GET.ftp_{cluster}", asked)
        assert "data" not in found["message"]
        info = await told(client, f"STREAM.INFO.ftp_{cluster}", {})
        assert info["state"]["messages"] == 1


async def test_keys_come_in_more_than_one_batch(
    nats_server: nats.NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fauxtp.cluster._engines.nats_follower.BATCH", 64)
    cluster, changes = new_cluster(), Told()
    async with opened(nats_server, cluster) as a:
        async with anyio.create_task_group() as group:
            for number in range(1_000):
                group.start_soon(a.create, f"k.{number}", b"%d" % number)
        async with opened(nats_server, cluster, "b", followed=changes):
            known = changes.known()
    assert {key: value for key, (value, _) in known.items()} == {
        f"k.{number}": b"%d" % number for number in range(1_000)
    }


async def test_what_is_published_at_once_waits_for_no_turn_but_for_what_was_before(
    nats_server: nats.NatsServer,
) -> None:
    received, name = Told(), new_cluster()
    async with opened(nats_server, name) as a, opened(nats_server, name, "b") as b:
        to = a.prefix + "to.b"
        await b.listen(to, received)
        a.publish(to, b"0", at_once=True)
        assert a.unsent == 0, "the network has it"
        a.publish(to, b"1")
        assert a.unsent > 0
        a.publish(to, b"2", "reply.to", at_once=True)
        assert a.unsent > 0, "what was sent before goes before"
        await received.wait(lambda told: len(told) == 3)
        assert received.all == [(to, b"0", None), (to, b"1", None), (to, b"2", "reply.to")]
        assert a.unsent == 0
        with pytest.raises(ValueError, match="at most"):
            a.publish(to, bytes(a.max_payload + 1), at_once=True)
    with pytest.raises(NoConnection):
        a.publish(to, b"3", at_once=True)


async def test_what_the_network_does_not_take_waits_in_order(nats_server: nats.NatsServer) -> None:
    received, name, part = Told(), new_cluster(), bytes(500_000)
    async with opened(nats_server, name) as a, opened(nats_server, name, "b") as b:
        to = a.prefix + "to.b"
        await b.listen(to, received)
        for number in range(40):  # no turn goes by, in which the network could take the rest
            a.publish(to, b"%d " % number + part, at_once=True)
        assert a.unsent > 10 * len(part)
        await received.wait(lambda told: len(told) == 40)
        numbers = [int(payload.split(b" ", 1)[0]) for _, payload, _ in received.all]
        assert numbers == list(range(40))


async def test_without_jetstream_it_is_not_opened() -> None:
    with nats.running("jetstream: disabled") as server:
        engine = NatsEngine(server.url, cluster="shop", node="a", timeout=1)
        with anyio.fail_after(PATIENCE), pytest.raises((Refused, NoConnection)):
            await engine.open()


async def test_any_of_several_servers_will_do(nats_server: nats.NatsServer) -> None:
    urls = [f"nats://127.0.0.1:{nats.free_port()}", nats_server.url]
    engine = NatsEngine(urls, cluster=new_cluster(), node="a", timeout=PATIENCE)
    with anyio.fail_after(PATIENCE):
        await engine.open()
        assert await engine.read("k") is None
        await engine.close()


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"servers": 7}, TypeError, "servers to be a URL"),
        ({"servers": []}, ValueError, "servers to be at least one"),
        ({"servers": [7]}, TypeError, "servers to be a URL"),
        ({"cluster": "a.b"}, ValueError, "cluster to be 1 to 64"),
        ({"node": ""}, ValueError, "node to be 1 to 64"),
        ({"node": None}, TypeError, "node to be a str"),
        ({"replicas": 2}, ValueError, "replicas to be 1, 3, 5 or None"),
        ({"timeout": -1}, ValueError, "timeout to be finite"),
        ({"pending_size": 7}, TypeError, "options to be among .* got pending_size"),
    ],
)
async def test_what_is_none_is_refused(options: Any, error: type, match: str) -> None:
    given = {"servers": "nats://127.0.0.1:1", "cluster": "shop", "node": "a", **options}
    with pytest.raises(error, match=match):
        NatsEngine(given.pop("servers"), **given)


async def test_of_three_servers_one_may_go() -> None:
    """Whichever it is, what was acknowledged is there, and after some seconds all goes on."""
    with nats.three() as servers, anyio.fail_after(PATIENCE):
        urls = [server.url for server in servers]
        changes = Told()
        a = NatsEngine(urls, cluster="shop", node="a", timeout=15)
        await a.open(followed=changes)
        async with plain(servers[0]) as client:
            info = await told(client, "STREAM.INFO.ftp_shop", {})
        assert info["config"]["num_replicas"] == 3
        done = {f"k.{number}": await a.create(f"k.{number}", b"1") for number in range(50)}
        leader = int(info["cluster"]["leader"].removeprefix("s"))
        servers[leader].kill()
        while True:
            try:
                done["after"] = await a.create("after", b"1")
            except (NoConnection, TimeoutError):
                entry = None
                with contextlib.suppress(NoConnection, TimeoutError):
                    entry = await a.read("after")
                if entry is None:
                    await anyio.sleep(0.1)
                    continue
                done["after"] = entry.revision
            break
        await changes.wait(lambda _: len(changes.known()) == len(done))
        assert {key: revision for key, (_, revision) in changes.known().items()} == done
        await a.close()


async def test_what_changes_while_the_keys_are_read_is_in_the_snapshot(
    nats_server: nats.NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, changes = new_cluster(), Told()
    read_all = NatsFollower._read_all
    async with opened(nats_server, cluster) as a:
        kept = await a.create("kept", b"1")
        changed = await a.create("changed", b"1")
        gone = await a.create("gone", b"1")

        async def read_while_they_change(follower: NatsFollower, told: Any) -> None:
            nonlocal changed
            changed = await a.update("changed", b"2", changed)
            await read_all(follower, told)
            await a.delete("gone", gone)
            changed = await a.update("changed", b"3", changed)

        monkeypatch.setattr(NatsFollower, "_read_all", read_while_they_change)
        async with opened(nats_server, cluster, "b", followed=changes):
            (snapshot,) = changes.all
            assert sorted(snapshot.entries) == [
                Entry("changed", b"3", changed),
                Entry("kept", b"1", kept),
            ]
            assert snapshot.revision == changed
            later = await a.create("later", b"1")
            await changes.number(2)
            assert changes.all[1] == Change("later", b"1", later)


async def test_who_reads_the_keys_as_the_connection_is_lost_does_not_wait_for_them() -> None:
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    over.set_result(None)
    with pytest.raises(TimeoutError, match="lost"):
        await Reading("ftp.x.key.", "ftp_x", "read", 1, print).more(PATIENCE, over)


async def test_very_many_keys_are_told_in_parts_while_others_go_on(
    nats_server: nats.NatsServer,
) -> None:
    cluster, number, turn = new_cluster(), 20_000, 0
    parts: list[tuple[int, Part | Snapshot | Change]] = []
    told = Told()

    def followed(what: Part | Snapshot | Change) -> None:
        told(what)
        parts.append((turn, what))

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async with opened(nats_server, cluster) as a, plain(nats_server) as client:
        for one in range(number):
            headers = {"Nats-Expected-Last-Subject-Sequence": "0"} if one % 2 else None
            await client.publish(f"ftp.{cluster}.key.k.{one}", b"%d" % one, headers=headers)
        await client.request(f"ftp.{cluster}.key.last", b"1", PATIENCE)  # all are stored by then
        turns = asyncio.create_task(count_turns())
        async with opened(nats_server, cluster, "b", followed=followed) as b:
            turns.cancel()
            assert isinstance(parts[-1][1], Snapshot)
            assert all(isinstance(what, Part) for _, what in parts[:-1])
            known = {key: value for key, (value, _) in told.known().items()}
            assert known == {**{f"k.{one}": b"%d" % one for one in range(number)}, "last": b"1"}
            of_turns = Counter[int]()
            for at, what in parts:
                assert not isinstance(what, Change)
                of_turns[at] += len(what.entries)
            assert max(of_turns.values()) < number / 2
            assert min(len(what.entries) for _, what in parts[:-1]) >= PART  # type: ignore[union-attr]
            later = await b.create("later", b"1")
            await told.wait(lambda every: every[-1] == Change("later", b"1", later))
            await a.delete("k.7", told.known()["k.7"][1])
            await told.wait(lambda _: "k.7" not in told.known())


async def test_what_changes_while_parts_are_told_is_in_the_snapshot(
    nats_server: nats.NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fauxtp.cluster._engines.nats_follower.PART", 2)
    cluster, changes = new_cluster(), Told()
    read_all = NatsFollower._read_all
    async with opened(nats_server, cluster) as a:
        revisions = {key: await a.create(key, b"1") for key in "abcdef"}

        async def read_while_they_change(follower: NatsFollower, told: Any) -> None:
            await read_all(follower, lambda entries: [told([entry]) for entry in entries])
            await a.delete("a", revisions["a"])
            revisions["b"] = await a.update("b", b"2", revisions["b"])
            revisions["g"] = await a.create("g", b"1")

        monkeypatch.setattr(NatsFollower, "_read_all", read_while_they_change)
        async with opened(nats_server, cluster, "b", followed=changes):
            assert sum(isinstance(what, Part) for what in changes.all) == 4
            there = {key: (b"2" if key == "b" else b"1", revisions[key]) for key in "bcdefg"}
            assert changes.known() == there


async def test_parts_of_a_snapshot_that_never_came_do_not_count(
    nats_server: nats.NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fauxtp.cluster._engines.nats_follower.PART", 2)
    cluster, changes = new_cluster(), Told()
    add_changes, read_all = NatsFollower._add_changes, NatsFollower._read_all
    readings = 0
    async with opened(nats_server, cluster) as a:
        revisions = {key: await a.create(key, b"1") for key in "abcd"}

        async def read_one_by_one(follower: NatsFollower, told: Any) -> None:
            nonlocal readings
            readings += 1
            each = (
                (lambda entries: [told([entry]) for entry in entries]) if readings == 1 else told
            )
            await read_all(follower, each)

        async def fail_once(follower: NatsFollower, *what: Any) -> bool:
            if readings > 1:
                return await add_changes(follower, *what)
            for key in "abc":
                await a.delete(key, revisions[key])
            return False

        monkeypatch.setattr(NatsFollower, "_read_all", read_one_by_one)
        monkeypatch.setattr(NatsFollower, "_add_changes", fail_once)
        async with opened(nats_server, cluster, "b", followed=changes):
            assert isinstance(changes.all[0], Part)
            assert changes.all[-1] == Snapshot(
                [Entry("d", b"1", revisions["d"])], revisions["d"] + 3
            )
            assert changes.known() == {"d": (b"1", revisions["d"])}


@pytest.mark.parametrize("anyio_backend", ASYNCIO)
async def test_the_first_message_of_a_turn_goes_to_the_socket_and_the_next_ones_after_it(
    nats_server: nats.NatsServer,
) -> None:
    async with opened(nats_server, new_cluster()) as one:
        heard, all_there = list[bytes](), anyio.Event()

        def received(subject: str, payload: bytes | None, reply: str | None) -> None:
            assert payload is not None
            heard.append(payload)
            if len(heard) == 3:
                all_there.set()

        subject = one.prefix + "here"
        await one.listen(subject, received)
        assert one._session is not None
        client = one._session.client
        one.publish(subject, b"first", at_once=True)
        assert client.pending_data_size == 0
        one.publish(subject, b"second")
        one.publish(subject, b"third", at_once=True)
        assert client.pending_data_size > 0
        with anyio.fail_after(PATIENCE):
            await all_there.wait()
        assert heard == [b"first", b"second", b"third"]
