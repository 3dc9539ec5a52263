"""Processes that are spread over the nodes of a cluster, each on the one that has its shard."""

from __future__ import annotations

import random
from collections import Counter
from contextvars import ContextVar
from functools import partial
from typing import Any

import anyio
import pytest
from anyio import to_thread
from clusters import ACTS, TTL, diary, member, members, seen_by, until
from conftest import ASYNCIO, task_group
from crew import process_of
from in_simulated_time import explored
from sessions import (
    KEYS,
    SHARDS,
    Book,
    Host,
    Session,
    Sessions,
    hosts,
    key_at,
    key_that_moves,
    rank,
    session_of,
    settled,
    shard_of,
)

from fauxtp import (
    PID,
    Down,
    GenServer,
    NoProcess,
    OnDemand,
    ProcessExited,
    ReceiveTimeout,
    call,
    call_blocking,
    carry,
    cast,
    cast_nowait,
    dead_letters,
    exit,
    is_alive,
    link,
    monitor,
    send,
    send_after,
    start_call,
    wait_exit,
    whereis,
)
from fauxtp.cluster import NoConnection
from fauxtp.cluster._keys import shard_keys
from fauxtp.cluster._keys.shard_keys import (
    ShardHolding,
    key_of,
    place_of,
    shard_holding,
)
from fauxtp.cluster._messages.shard_letter import keyed
from fauxtp.cluster._shards import shard_claims, shard_post
from fauxtp.cluster._wire.frames import packed
from fauxtp.cluster.memory_broker import MemoryBroker

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


user: ContextVar[str] = ContextVar("user", default="nobody")


class Diary(GenServer[Any, Any]):
    """Notes what it is told, and by whom."""

    def __init__(self, key: str) -> None:
        self.notes: list[Any] = []

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return [*self.notes, (request, user.get())], state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        self.notes.append((request, user.get()))
        return state

    handle_info = handle_cast


async def test_what_is_carried_goes_with_what_waits_for_its_shard_and_is_of_here() -> None:
    carry(user)
    async with members("a", "b") as (a, _), task_group() as group:
        diaries = OnDemand(Diary, supervisor="diaries", prefix="diary:", cluster=a)
        await Sessions.start(task_group=group, register_as="diaries")
        user.set("Anna")
        await cast(diaries["x"], 1)
        await send(diaries["x"], 2)
        assert len(a._sharding._post.kinds["diary:"].waiting) == 2
        user.set("Bert")
        assert await call(diaries["x"], 3) == [(1, "Anna"), (2, "Anna"), (3, "Bert")]


async def test_there_is_one_of_a_key_whoever_asks() -> None:
    book = Book()
    async with hosts("a", "b", "c", book=book) as all_of_them:
        answers: dict[str, set[str]] = {key: set() for key in KEYS}

        async def ask(host: Host, key: str) -> None:
            answers[key].add(await call(host[key], "where"))

        async with anyio.create_task_group() as asking:
            for key in KEYS:
                for host in all_of_them:
                    asking.start_soon(ask, host, key)
        assert set(book.starts.values()) == {1}
        assert all(len(where) == 1 for where in answers.values())
        assert {where for (where,) in answers.values()} == {"a", "b", "c"}


async def test_what_is_sent_from_elsewhere_starts_it_and_comes_in_order() -> None:
    async with hosts("a", "b") as (a, b):
        key = key_at(b)
        await cast(a[key], 1)
        await send(a[key], 2)
        cast_nowait(a[key], 3)
        send_after(0, a[key], 4)
        await until(lambda: whereis(b[key]) is not None)
        assert await start_call(a[key], "where") == "b"
        await to_thread.run_sync(partial(call_blocking, a[key], 5))
        await until(lambda: len(session_of(whereis(b[key])).state) == 4)
        assert await call(a[key], "told") == [("cast", 1), 2, ("cast", 3), 4]


async def test_questions_are_about_the_own_node_and_start_nobody() -> None:
    book = Book()
    async with hosts("a", "b", book=book) as (a, b):
        key = key_at(b)
        for host in (a, b):
            assert whereis(host[key]) is None
            assert not is_alive(host[key])
            assert not exit(host[key])
            assert await wait_exit(host[key]) == "noproc"
        assert not book.starts
        assert await call(a[key], "where") == "b"
        assert is_alive(b[key])
        assert not is_alive(a[key])
        assert whereis(f"session:{key}@b.shop") is whereis(b[key]) is not None
        pid = await call(a[key], "pid")
        assert is_alive(pid)
        assert exit(pid)
        await until(lambda: not is_alive(b[key]))


async def test_a_monitor_of_a_key_is_one_of_whoever_has_it() -> None:
    async with hosts("a", "b") as (a, b), task_group() as group:
        key, watcher = key_at(b), await diary(group)
        await call(watcher, lambda: monitor(a[key]))
        await until(lambda: whereis(b[key]) is not None)
        exit(whereis(b[key]) or "", "enough")
        await until(lambda: process_of(watcher).state)
        (down,) = process_of(watcher).state
        assert isinstance(down, Down)
        assert (down.name, down.reason) == (f"session:{key}@a.shop", "enough")

        def linked() -> None:
            with pytest.raises(ValueError, match=f"a PID to link with, got 'session:{key}@a"):
                link(a[key])

        await call(watcher, linked)


async def test_where_nobody_can_start_it_there_is_nobody() -> None:
    book = Book()
    async with members("a", "b") as (a, b), task_group() as group:
        one, other = Host(a, book), Host(b, book)
        for host in (one, other):
            with pytest.raises(NoProcess, match=f"'session:anna@{host.cluster.node}.shop'"):
                await call(host["anna"], 1)
        before = dead_letters.counts().get("noproc", 0)
        await cast(one["anna"], 1)
        await until(lambda: dead_letters.counts().get("noproc", 0) == before + 1)
        with pytest.raises(NoProcess):
            await call(one["anna"], 1, wait=0)
        answers = []

        async def ask() -> None:
            answers.append(await call(one["anna"], "where", wait=30))

        async def ask_in_a_thread() -> None:
            ask_it = partial(call_blocking, one["anna"], "where", wait=30)
            answers.append(await to_thread.run_sync(ask_it))

        group.start_soon(ask)
        group.start_soon(ask_in_a_thread)
        await until(lambda: len(one.kind.hosts._awaited._waiting.get("", ())) == 2)
        await other.begin(group)
        await until(lambda: answers == ["b", "b"])


async def test_at_once_after_the_supervisor_has_begun_there_is_somebody() -> None:
    async with members("a") as (a,), task_group() as group:
        host = Host(a, Book())
        await host.begin(group)
        assert await call(host["anna"], "where") == "a"


async def test_when_a_node_comes_only_what_is_its_own_moves_and_nothing_is_lost() -> None:
    book, broker = Book(), MemoryBroker("shop")
    at_once: list[int] = []

    async def hand_over(key: str, state: Any) -> None:
        at_once.append(len(a.kind.yields))
        await anyio.sleep(0)

    async with members("a", broker=broker) as (first,), task_group() as group:
        a = Host(first, book)
        await a.begin(group)
        await until(lambda: settled(a))
        for number, key in enumerate(KEYS):
            assert await call(a[key], number) == number
        book.on_end = hand_over
        lost: list[Any] = []

        async def ask(host: Host) -> None:
            for number in range(1000, 1400):
                which = number * 2 + (host is a)
                try:
                    assert await call(host[random.choice(KEYS)], which, 30) == which
                except ProcessExited as error:
                    lost.append((which, error.taken_up))

        async with member(broker, "b") as second:
            b = Host(second, book)
            async with anyio.create_task_group() as asking:
                asking.start_soon(ask, a)
                await b.begin(group)
                asking.start_soon(ask, b)
            await until(lambda: settled(a, b))
            stays = {shard for shard in range(SHARDS) if max(rank("a")[shard], rank("b")[shard])}
            assert a.shards | b.shards == stays
            moved = {key for key in KEYS if shard_of(key) in b.shards}
            assert {key for key, count in book.starts.items() if count > 1} <= moved
            book.on_end = None
        await until(lambda: settled(a))
    assert not lost, "each call waited for who was to have it"
    assert max(book.handled.values()) == 1
    assert 1 <= max(at_once) <= shard_claims.MOVED_AT_ONCE
    assert not book.wrong


async def test_what_lies_in_a_mailbox_as_its_shard_moves_is_handled_elsewhere() -> None:
    book, broker = Book(), MemoryBroker("shop")
    async with members("a", broker=broker) as (first,), task_group() as group:
        a = Host(first, book)
        await a.begin(group)
        await until(lambda: settled(a))
        async with member(broker, "b") as second:
            key = key_that_moves("b", "a")
            busy = anyio.Event()
            stuck = start_call(a[key], ("wait", busy), 30)
            b = Host(second, book)
            await until(lambda: b.kind.hosts.nodes == ("a",))
            calls = [start_call(host[key], number, 30) for number, host in enumerate((a, b, a))]
            await cast(a[key], "cast")
            await cast(b[key], "cast from b")
            await send(a[key], "sent")
            await until(lambda: len(session_of(whereis(a[key])).mailbox) == 6)
            await b.begin(group)
            with pytest.raises(ProcessExited, match="shutdown") as raised:
                await stuck
            assert raised.value.taken_up
            assert [await one for one in calls] == [0, 1, 2]
            await until(lambda: whereis(b[key]) is not None)
            assert whereis(a[key]) is None
            await until(lambda: len(session_of(whereis(b[key])).state) == 3)
            told = await call(a[key], "told")
            assert set(map(str, told)) == {
                str(("cast", "cast")),
                str(("cast", "cast from b")),
                "sent",
            }
            assert max(book.handled.values()) == 1
    assert not book.wrong


async def test_who_is_in_its_init_as_its_shard_moves_begins_elsewhere() -> None:
    book, broker = Book(), MemoryBroker("shop")
    begun: list[str] = []

    async def hang(where: str) -> None:
        begun.append(where)
        if where == "a":
            await anyio.sleep_forever()

    async with members("a", broker=broker) as (first,), task_group() as group:
        a = Host(first, book)
        await a.begin(group)
        await until(lambda: settled(a))
        async with member(broker, "b") as second:
            b = Host(second, book)
            key = key_that_moves("b", "a")
            book.in_init = hang
            asked = [start_call(host[key], "where", 30) for host in (a, b)]
            await until(lambda: begun == ["a"])
            await b.begin(group)
            assert [await one for one in asked] == ["b", "b"]
    assert not book.wrong


async def test_what_a_session_tells_its_successor_as_it_ends_comes_first() -> None:
    book, broker = Book(), MemoryBroker("shop")
    async with members("a", broker=broker) as (first,), task_group() as group:
        a = Host(first, book)
        await a.begin(group)
        await until(lambda: settled(a))
        async with member(broker, "b") as second:
            b = Host(second, book)
            key = key_that_moves("b", "a")
            await cast(a[key], "kept")

            async def hand_over(of: str, state: Any) -> None:
                for message in state:
                    await send(a[of], ["handed over", message[1]])

            await until(lambda: whereis(a[key]) is not None)
            await until(lambda: session_of(whereis(a[key])).state)
            book.on_end = hand_over
            await b.begin(group)
            await until(lambda: settled(a, b))
            assert await call(b[key], "told") == [["handed over", "kept"]]
            book.on_end = None


async def test_shards_of_a_supervisor_that_ends_go_elsewhere_and_come_back() -> None:
    async with hosts("a", "b") as (a, b), task_group() as group:
        key = key_at(b)
        assert await call(a[key], "where") == "b"
        exit(b.name, "shutdown")
        for host in (a, b):
            assert await call(host[key], "where", 30) == "a"
        await until(lambda: len(a.shards) == SHARDS and not b.shards)
        await b.begin(group)
        await until(lambda: settled(a, b))
        for host in (a, b):
            assert await call(host[key], "where", 30) == "b"


async def test_a_node_that_leaves_gives_all_back_and_nobody_notices() -> None:
    book, broker = Book(), MemoryBroker("shop")
    async with members("a", broker=broker) as (first,), task_group() as group:
        a = Host(first, book)
        await a.begin(group)
        async with member(broker, "b") as second:
            b = Host(second, book)
            await b.begin(group)
            await until(lambda: settled(a, b))
            keys = [key for key in KEYS if shard_of(key) in b.shards]
            for key in keys:
                assert await call(a[key], "where") == "b"
            pending = [start_call(a[key], number, 30) for number, key in enumerate(keys)]
        assert [await one for one in pending] == list(range(len(keys)))
        assert [await call(a[key], "where", 30) for key in keys] == ["a"] * len(keys)
        assert len(first.nodes()) == 1
        await until(lambda: settled(a))
        with pytest.raises((NoConnection, NoProcess)):
            await call(b["anna"], 1)
    assert not book.wrong


async def test_bad_arguments_are_told() -> None:
    async with members("a") as (a,):
        host = Host(a, Book())
        with pytest.raises(ValueError, match=r"begins no other .* beside 'session:' of"):
            Host(a, Book())
        for prefix in ("", "sess", "session:new:"):
            with pytest.raises(ValueError, match="begins no other"):
                OnDemand(Session, supervisor="s", prefix=prefix, cluster=a)
        with pytest.raises(TypeError, match="expected cluster to be a Cluster or None, got str"):
            OnDemand(Session, supervisor="s", prefix="x", cluster="shop")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="expected prefix to be at most 300 bytes, got 400"):
            OnDemand(Session, supervisor="s", prefix="x" * 400, cluster=a)
        with pytest.raises(ValueError, match="expected key to be at most 1000 characters"):
            host["k" * 20_000]
        with pytest.raises(ValueError, match="expected key to have at least one character"):
            host[""]


async def test_what_cannot_travel_is_told_to_who_sends_it() -> None:
    async with hosts("a", "b") as (a, b):
        key = key_at(b)
        for way in (partial(call, a[key]), partial(cast, a[key]), partial(send, a[key])):
            with pytest.raises(TypeError, match="expected a message of what travels"):
                await way(object())
        assert await call(b[key], lambda: None) is not None, "here it need not"


async def test_frames_that_make_no_sense_are_dropped() -> None:
    async with hosts("a", "b") as (a, b):
        to, post = a.cluster._node.peers.up["b"], a.cluster._messenger.post
        inner = packed("send", 0, b"\x01")
        bad = [
            ("keyed", 0, 3, 3, b"ab"),
            ("keyed", 0, 0, 0, inner),
            ("keyed", 0, 1, 1, b"\xff\xfe" + inner),
            keyed("session:", "anna", ("cancel", 3)),
            keyed("session:", "anna", ("ask",)),
            ("keyed", 0, 8, 4, b"session:anna" + keyed_bytes("session:", "anna")),
            keyed("session:", "k" * 17_000, ("send", 0, b"\x01")),
        ]
        for frame in bad:
            post.send(to, frame)
        await until(lambda: b.cluster.malformed == len(bad))
        post.send(to, keyed("nobody:", "anna", ("watch", 0, 9)))
        post.send(to, keyed("nobody:", "anna", ("call", 0, 99, None, 0, b"\x01")))
        before = dead_letters.counts().get("noproc", 0)
        post.send(to, keyed("nobody:", "anna", ("send", 0, post.pack(1))))
        post.send(to, keyed("session:", key_at(a), ("send", 0, post.pack(1)), hops=100))
        await until(lambda: dead_letters.counts().get("noproc", 0) == before + 2)
        assert b.cluster.malformed == len(bad)


def keyed_bytes(prefix: str, key: str) -> bytes:
    return packed(*keyed(prefix, key, ("send", 0, b"\x01")))


async def test_a_message_for_a_shard_of_another_is_passed_on() -> None:
    async with hosts("a", "b", "c") as (a, _, c):
        key = key_at(c)
        post, to = a.cluster._messenger.post, a.cluster._node.peers.up["b"]
        post.send(to, keyed("session:", key, ("send", 0, post.pack("astray"))))
        await until(lambda: whereis(c[key]) is not None)
        await until(lambda: session_of(whereis(c[key])).state == ["astray"])


async def test_what_waits_for_a_shard_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_post, "MOST_WAITING", 2)
    async with hosts("a", "b") as (a, b):
        key = key_at(b)
        a.cluster._sharding._claims._table._table["session:"].pop(shard_of(key))
        with pytest.raises(ReceiveTimeout) as raised:
            await call(a[key], 1, timeout=0.001)
        assert not raised.value.taken_up
        pending = [start_call(a[key], number, 30) for number in range(3)]
        with pytest.raises(NoConnection, match="2 messages wait for shards"):
            await pending[2]
        b.cluster._sharding._claims._lose(b.kind, shard_of(key))
        b.cluster._sharding._claims.look(b.kind)
        a.cluster._sharding._claims.look(a.kind)
        for one in pending[:2]:
            one.cancel()


async def test_keys_of_shards_that_make_no_sense_are_dropped() -> None:
    async with members("a", "b") as (a, b):
        engine = a._node.engine
        for key, value in (
            ("shard.x", b"a 1"),
            ("shard.eA.9999", b"a 1"),
            ("shard.eA.3", b"junk"),
            ("shard.eA.4", b"a -1"),
        ):
            await engine.create(key, value)
        await until(lambda: b.malformed == 4)
        assert b._sharding._claims._table.find("x", 3) is None


def test_keys_of_shards() -> None:
    for prefix in ("", "session:", "ü", "a.b"):
        for number in (0, 15):
            assert place_of(key_of(prefix, number).removeprefix("shard.")) == (prefix, number)
    held = ShardHolding("a", 4711)
    assert shard_holding(held.packed()) == held
    for junk in (b"", b"a", b"a ", b" 1", b"a 1 2", b"\xff 1", b"a.b 1"):
        assert shard_holding(junk) is None
    assert shard_of("\ud800") == shard_of("\ud800")


def test_shards_are_spread_evenly_and_move_to_who_comes_alone() -> None:
    rank = partial(shard_keys.rank, shards=1024)
    nodes = [f"node-{number}" for number in range(5)]
    of = [max(nodes, key=lambda it: rank(it)[shard]) for shard in range(1024)]
    assert all(140 < count < 270 for count in Counter(of).values())
    fewer = [max(nodes[:-1], key=lambda it: rank(it)[shard]) for shard in range(1024)]
    assert all(now == before for now, before in zip(of, fewer, strict=True) if now != nodes[-1])
    keys = Counter(shard_keys.shard_of(f"user {n}", 1024) for n in range(100_000))
    assert max(keys.values()) < 200


@explored(seeds=5)
async def test_a_node_that_is_gone_is_succeeded_and_never_are_there_two() -> None:
    book, broker = Book(), MemoryBroker("shop", delay=(0.001, 0.02))
    async with members("a", "b", "c", broker=broker) as joined, task_group() as group:
        a, b, c = all_of_them = [Host(cluster, book) for cluster in joined]
        for host in all_of_them:
            await host.begin(group)
        await until(lambda: settled(a, b, c))
        key = key_at(b)
        assert await call(a[key], "where", 30) == "b"
        broker.freeze("b")
        pending = start_call(a[key], "lost", timeout=None)
        with pytest.raises(ProcessExited, match="noconnection"):
            await pending
        assert await call(a[key], "where", 30) == await call(c[key], "where", 30) != "b"
        await until(lambda: settled(a, c))
        broker.heal("b")
        await until(lambda: settled(a, b, c))
        assert await call(b[key], "where", 30) == "b"
    assert not book.wrong
    assert book.handled["lost"] <= 1


@explored(seeds=5)
async def test_a_node_without_connection_ends_its_own_before_others_begin() -> None:
    book, broker = Book(), MemoryBroker("shop")
    async with members("a", "b", broker=broker) as joined, task_group() as group:
        a, b = [Host(cluster, book) for cluster in joined]
        for host in (a, b):
            await host.begin(group)
        await until(lambda: settled(a, b))
        key = key_at(b)
        assert await call(b[key], 1) == 1
        broker.cut("b")
        assert await call(b[key], 2) == 2, "it has its lease"
        await anyio.sleep(ACTS + 0.6)
        assert whereis(f"session:{key}@b.shop") is None
        with pytest.raises((NoConnection, NoProcess)):
            await call(b[key], 3, 1)
        await anyio.sleep(TTL)
        assert await call(a[key], "where", 30) == "a"
        broker.heal("b")
        await until(lambda: settled(a, b))
    assert not book.wrong


@explored(seeds=5)
async def test_writes_and_answers_that_are_lost_are_made_good() -> None:
    book, broker = Book(), MemoryBroker("shop", delay=(0.001, 0.01))
    async with members("a", "b", broker=broker) as joined, task_group() as group:
        a, b = [Host(cluster, book) for cluster in joined]
        await a.begin(group)
        await until(lambda: settled(a))
        for key in KEYS[:8]:
            assert await call(a[key], "where", 30) == "a"
        broker.lose_answers("a", 3)
        broker.lose_answers("b", 3)
        broker.lose_messages("b", 2)
        await b.begin(group)
        await until(lambda: settled(a, b))
        broker.lose_writes(random.randrange(20))
        await until(lambda: all(host.cluster._node.engine.connected for host in (a, b)))
        await until(lambda: settled(a, b))
        for host in (a, b):
            for key in KEYS[:8]:
                place = "a" if shard_of(key) in a.shards else "b"
                assert await call(host[key], "where", 60) == place
    assert not book.wrong


@explored(seeds=3)
async def test_who_moves_has_ended_before_another_begins() -> None:
    book, broker = Book(), MemoryBroker("shop", delay=(0.001, 0.02))

    async def slowly(key: str, state: Any) -> None:
        await anyio.sleep(0.5)

    book.on_end = slowly
    async with members("a", "b", broker=broker) as joined, task_group() as group:
        a, b = [Host(cluster, book) for cluster in joined]
        await a.begin(group)
        await until(lambda: settled(a))
        for number, key in enumerate(KEYS):
            assert await call(a[key], number, 60) == number
        await b.begin(group)
        for number, key in enumerate(KEYS):
            assert await call(b[key], 100 + number, 60) == 100 + number
        await until(lambda: settled(a, b))
        assert max(book.handled.values()) == 1
    assert not book.wrong


@explored(seeds=5)
async def test_what_is_handed_over_comes_before_all_calls_as_a_supervisor_ends() -> None:
    book, broker = Book(), MemoryBroker("shop", delay=(0.001, 0.02))
    async with members("a", "b", broker=broker) as joined, task_group() as group:
        a, b = [Host(cluster, book) for cluster in joined]
        for host in (a, b):
            await host.begin(group)
        await until(lambda: settled(a, b))
        keys = [key for key in KEYS if shard_of(key) in b.shards]
        for key in keys:
            await cast(b[key], "kept")
            assert await call(b[key], "told", 60) == [("cast", "kept")]

        async def hand_over(of: str, state: Any) -> None:
            await anyio.sleep(0.05)
            await send(b[of], state)

        async def ask(key: str) -> None:
            told = await call(a[key], "told", 60)
            if told != [("cast", "kept")]:  # which it may say itself, before it ends
                assert told == [[("cast", "kept")]]

        book.on_end = hand_over
        exit(b.name, "shutdown")
        async with anyio.create_task_group() as asking:
            for key in keys:
                asking.start_soon(ask, key)
        book.on_end = None
    assert not book.wrong


async def test_a_pid_of_a_session_is_as_any_other() -> None:
    async with hosts("a", "b") as (a, b):
        key = key_at(b)
        pid = await call(a[key], "pid")
        assert pid is seen_by(a.cluster, b.cluster, whereis(b[key]) or PID())
        assert await call(pid, "where") == "b"
