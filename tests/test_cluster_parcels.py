"""What goes to one node in one turn of the event loop goes together."""

from __future__ import annotations

from typing import Any

import pytest
from clusters import diary, member, members, seen_by, until
from conftest import ASYNCIO, task_group
from crew import process_of

from fauxtp import call, cast, dead_letters, send, send_nowait, start_call
from fauxtp._messaging.pending_call import PendingCall
from fauxtp.cluster import Cluster, NoConnection
from fauxtp.cluster._messages.parcels import HEAD, LARGEST, MOST, frames_in, parcel
from fauxtp.cluster._wire.frames import packed
from fauxtp.cluster.memory_broker import MemoryBroker

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


def spied(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return what the node sends from now on."""
    sent: list[bytes] = []
    engine = cluster._node.engine
    publish = engine.publish

    def spy(
        subject: str, payload: bytes, reply: str | None = None, *, at_once: bool = False
    ) -> None:
        publish(subject, payload, reply, at_once=at_once)
        sent.append(payload)

    monkeypatch.setattr(engine, "publish", spy)
    return sent


async def test_what_is_sent_in_one_turn_goes_in_few_messages_and_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await diary(group)
        there = seen_by(a, b, server)
        sent = spied(a, monkeypatch)
        for number in range(50):
            await send(there, number)
        await until(lambda: len(process_of(server).state) == 50)
        assert process_of(server).state == list(range(50))
        assert [len(frames_in(payload)) for payload in sent] == [1, 49]
        assert sent[0] == frames_in(sent[0])[0], "what goes alone is no parcel"
        sent.clear()
        for number in range(50, 60):
            await send(there, number)
        await until(lambda: len(process_of(server).state) == 60)
        assert [len(frames_in(payload)) for payload in sent] == [10], "as there are many again"
        for number in (60, 61):
            sent.clear()
            await send(there, number)
            await until(lambda: process_of(server).state[-1] == number)  # noqa: B023
            assert [len(frames_in(payload)) for payload in sent] == [1]
        assert process_of(server).state == list(range(62))


async def test_parcels_are_no_larger_than_they_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await diary(group)
        there = seen_by(a, b, server)
        sent = spied(a, monkeypatch)
        for number in range(5):
            await send(there, bytes([number]) * (LARGEST // 3))
        await send(there, b"large" * LARGEST)
        await send(there, b"last")
        await until(lambda: len(process_of(server).state) == 7)
        assert [message[:1] for message in process_of(server).state[:5]] == [
            bytes([number]) for number in range(5)
        ]
        assert process_of(server).state[5:] == [b"large" * LARGEST, b"last"]
        assert [len(frames_in(payload)) for payload in sent] == [1, 2, 2, 1, 1]
        sent.clear()
        post, peer = a._messenger.post, a._node.peers.up["b"]
        for _ in range(MOST + 2):
            post.send(peer, ("cancel", 4711))
        await send(there, b"now")
        await until(lambda: process_of(server).state[-1] == b"now")
        assert max(len(frames_in(payload)) for payload in sent) == MOST


async def test_parcels_are_no_larger_than_servers_take(monkeypatch: pytest.MonkeyPatch) -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await diary(group)
        there = seen_by(a, b, server)
        monkeypatch.setattr(a._node.engine, "max_payload", LARGEST // 4)
        sent = spied(a, monkeypatch)
        for _ in range(100):
            await send(there, bytes(1000))
        await send(there, bytes(LARGEST // 4 - 300))
        await until(lambda: len(process_of(server).state) == 101)
        assert max(map(len, sent)) <= LARGEST // 4
        assert len(sent) == 1 + 7 + 1, "as few as there can be"


async def test_what_a_finaliser_sends_meanwhile_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await diary(group)
        there = seen_by(a, b, server)
        engine = a._node.engine
        publish, left = engine.publish, ["of one", "another"]

        def collects(*what: Any, **how: Any) -> None:
            publish(*what, **how)
            mine, left[:] = left[:], []
            for message in mine:
                send_nowait(there, message)

        monkeypatch.setattr(engine, "publish", collects)
        await send(there, "first")
        await until(lambda: len(process_of(server).state) == 3)


async def test_nobody_hears_a_parcel_and_all_that_was_in_it_has_failed() -> None:
    async with members("a") as (a,):
        there = a._messenger.pids.elsewhere(a._node.peers.find("b", 4711), 1)
        before = dead_letters.counts().get("noconnection", 0)
        calls: list[PendingCall[Any]] = []
        for number in range(20):
            calls.append(start_call(there, number))
            await cast(there, number)
        for pending in calls:
            with pytest.raises(NoConnection, match="node 'b' does not listen"):
                await pending
        await until(lambda: dead_letters.counts()["noconnection"] == before + 20)
        assert a._messenger.post._parcels._sent == {}


async def test_what_waits_as_the_connection_is_lost_has_failed() -> None:
    broker = MemoryBroker("shop")
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        there = seen_by(a, b, await diary(group))
        before = dead_letters.counts().get("noconnection", 0)
        await send(there, 1)
        pending = start_call(there, "first")
        await send(there, 2)
        a._node.engine.lose_connection()  # type: ignore[attr-defined]
        with pytest.raises(NoConnection):
            await call(there, "second")
        with pytest.raises(NoConnection):
            await pending
        assert dead_letters.counts()["noconnection"] == before + 1


async def test_each_of_the_many_that_wait_as_a_node_is_fenced_is_a_dead_letter() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        there = seen_by(a, b, await diary(group))
        before = dead_letters.counts().get("noconnection", 0)
        for number in range(300):
            send_nowait(there, number)
        a._node.fence()
        assert dead_letters.counts()["noconnection"] == before + 299, "the first went at once"


async def test_what_waits_as_a_node_is_fenced_is_not_sent_as_the_next_one() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await diary(group)
        there = seen_by(a, b, server)
        before = dead_letters.counts().get("noconnection", 0)
        await send(there, 1)
        pending = start_call(there, "first")
        await send(there, 2)
        a._node.fence()
        with pytest.raises(NoConnection):
            await pending
        assert dead_letters.counts()["noconnection"] == before + 1
        await until(a._node.may_act)
        await until(lambda: "a" in b.nodes() and "b" in a.nodes())
        await send(seen_by(a, b, server), 3)
        await until(lambda: process_of(server).state[-1:] == [3])
        assert process_of(server).state in ([1, 3], [3])


async def test_what_is_cast_by_a_fenced_node_goes_not_with_what_it_says_all_the_same() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        there = seen_by(a, b, await diary(group))
        before = dead_letters.counts().get("noconnection", 0)
        peer = a._node.peers.up["b"]
        a._node.fence()
        for _ in range(2):
            a._messenger.post.try_to_send(peer, ("ask",))
        await cast(there, 1)
        await until(lambda: dead_letters.counts().get("noconnection", 0) == before + 1)


async def test_what_waits_as_a_node_leaves_is_sent() -> None:
    broker = MemoryBroker("shop")
    async with members("b", broker=broker) as (b,), task_group() as group:
        server = await diary(group)
        async with member(broker, "a") as a:
            there = seen_by(a, b, server)
            await until(lambda: len(a.nodes()) == 2)
            for number in range(5):
                await send(there, number)
        await until(lambda: len(process_of(server).state) == 5)


async def test_a_parcel_that_makes_no_sense_is_dropped_whole() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await diary(group)
        there = seen_by(a, b, server)
        number = b._messenger.pids.number_of(server)
        good = packed("send", number, a._messenger.post.pack("good"))
        whole = parcel([good, good])
        malformed = [HEAD, whole[:-1], whole + b"\0", HEAD + b"\xff\xff\xff\xff" + good]
        malformed += [parcel([b"x"] * (MOST + 1)), parcel([whole])]
        to = a._node.peers.up["b"]
        for payload in malformed:
            a._node.engine.publish(to.subject, payload)
        a._node.engine.publish(to.subject, parcel([b"junk", good, b""]))
        await send(there, "last")
        await until(lambda: process_of(server).state[-1:] == ["last"])
        assert process_of(server).state == ["good", "last"], "of it, what makes sense"
        assert b.malformed == len(malformed) + 2
