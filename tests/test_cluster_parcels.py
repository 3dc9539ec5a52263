"""What goes to one node in one turn of the event loop goes together."""

from __future__ import annotations

import math
from typing import Any

import pytest
from clusters import Diary, diary, member, members, seen_by, until
from conftest import ASYNCIO, task_group
from crew import process_of

from fauxtp import (
    FauxtpError,
    call,
    cast,
    dead_letters,
    exit,
    send,
    send_nowait,
    start_call,
    wait_exit,
)
from fauxtp._messaging.pending_call import PendingCall
from fauxtp.cluster import Cluster, NoConnection
from fauxtp.cluster._messages.parcels import (
    HEAD,
    KEPT_MESSAGES,
    LARGEST,
    MOST,
    frames_in,
    parcel,
)
from fauxtp.cluster._wire.frames import packed
from fauxtp.cluster._wire.wire import Wire
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


class Logbook(Diary):
    """Notes casts and calls, too."""

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return request, [*state, ("called", request)]

    async def handle_cast(self, request: Any, state: Any) -> Any:
        return [*state, ("cast", request)]


async def test_what_follows_each_other_to_one_process_is_found_its_mailbox_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        one, other = [await Logbook.start(task_group=group) for _ in range(2)]
        post, found = b._messenger.post, list[int]()
        find = post.find

        def noted(number: int) -> Any:
            found.append(number)
            return find(number)

        monkeypatch.setattr(post, "find", noted)
        to_one, to_other = seen_by(a, b, one), seen_by(a, b, other)
        for number in range(10):
            await send(to_other, number)  # of which the first goes by itself
        for number in range(40):
            await cast(to_one, number)
        pending = start_call(to_one, 40)
        for number in range(41, 50):
            await cast(to_one, number)
        assert await pending == 40
        await until(lambda: len(process_of(one).state) == 50)
        assert process_of(one).state == [
            ("called" if number == 40 else "cast", number) for number in range(50)
        ]
        assert process_of(other).state == list(range(10))
        assert len(found) == 5, "one alone, nine, forty, a call, and nine"


@pytest.mark.parametrize("size", [0, 1, 3])
async def test_of_a_row_each_message_that_makes_sense_arrives(size: int) -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        kind: Any = type("Logbook", (Logbook,), {"mailbox_size": size})
        server = await kind.start(task_group=group)
        number = b._messenger.pids.number_of(server)
        contents = [a._messenger.post.pack(message) for message in range(10)]
        contents[3], contents[7] = b"", contents[7] + b"\0"
        frames = [packed("cast", number, content) for content in contents]
        a._node.engine.publish(a._node.peers.up["b"].subject, parcel(frames))
        await send(seen_by(a, b, server), "last")
        await until(lambda: process_of(server).state[-1:] == ["last"])
        casts = [message for message in process_of(server).state if message != "last"]
        assert casts == [("cast", message) for message in range(10) if message != 3]
        assert b.malformed == 1


async def test_of_a_row_to_nobody_each_is_a_dead_letter() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await diary(group)
        there = seen_by(a, b, server)
        exit(server)
        await wait_exit(server)
        before = dead_letters.counts().get("noproc", 0)
        for number in range(20):
            await cast(there, number)
        await until(lambda: dead_letters.counts().get("noproc", 0) == before + 20)


async def test_of_a_row_nothing_is_put_in_if_the_lease_is_over_by_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await diary(group)
        there, node, decode = seen_by(a, b, server), b._node, Wire.decode
        await send(there, "first")
        await until(lambda: process_of(server).state == ["first"])
        held = node.lease.until

        def drops(wire: Wire, content: bytes) -> Any:
            node.lease.drop()  # as if it had been frozen within the row
            return decode(wire, content)

        monkeypatch.setattr(Wire, "decode", drops)
        a._node.peers.up["b"].is_busy = True  # so all go together
        for message in range(20):
            await send(there, message)
        await until(lambda: node.lease.until not in {held, -math.inf})  # as another
        assert process_of(server).state == ["first"]


async def test_only_the_last_messages_are_kept_in_case_that_nobody_hears_them() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        there = seen_by(a, b, await diary(group))
        parcels = a._messenger.post._parcels
        for number in range(1000):
            await send(there, number)
            if number % 7 == 0:
                await until(lambda: not parcels._open)
        await until(lambda: not parcels._open)
        kept = [message for _, _, messages in parcels._recent for _, message in messages]
        assert kept == list(range(1000))[-len(kept) :]
        assert KEPT_MESSAGES <= len(kept) < KEPT_MESSAGES + 7
        assert parcels._recently == len(kept)


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


async def test_of_a_call_that_goes_alone_nothing_is_kept_in_case_that_nobody_hears_it() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        there = seen_by(a, b, await diary(group))
        parcels = a._messenger.post._parcels
        calls = [start_call(there, number) for number in range(2)]  # the second goes after
        await until(lambda: not parcels._open)
        assert parcels._sent == {}, "of 256 such, others would have been forgotten"
        for pending in calls:
            with pytest.raises(FauxtpError):  # a diary does no numbers
                await pending


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
