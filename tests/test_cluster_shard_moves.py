"""Shards that move while something is not as usual: slow ends, lost news, hundreds of messages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import anyio
import pytest
from clusters import TTL, diary, member, members, until
from conftest import task_group
from in_simulated_time import explored
from sessions import (
    KEYS,
    SHARDS,
    Book,
    Host,
    Session,
    hosts,
    key_at,
    key_that_moves,
    rank,
    session_of,
    settled,
    shard_of,
)

from fauxtp import (
    FauxtpError,
    GenServer,
    call,
    cast,
    dead_letters,
    exit,
    monitor,
    start_call,
    whereis,
)
from fauxtp.cluster._keys.shard_keys import ShardHolding, key_of
from fauxtp.cluster._shards import shard_post
from fauxtp.cluster.memory_broker import MemoryBroker

simulated = explored(seeds=3)


def nothing(*_: Any) -> None:
    """Do nothing."""


@asynccontextmanager
async def one_and_another(
    book: Book, broker: MemoryBroker
) -> AsyncIterator[tuple[Host, Host, Any]]:
    """Let node `a` have all shards, and `b` be there; it may begin in the group."""
    async with (
        task_group() as group,
        member(broker, "a") as first,
        member(broker, "b") as second,
    ):
        a, b = Host(first, book), Host(second, book)
        await a.begin(group)
        await until(lambda: settled(a) and b.kind.hosts.nodes == ("a",))
        yield a, b, group
        book.on_end = None
        group.cancel_scope.cancel()


@simulated
async def test_a_node_that_leaves_waits_for_what_it_was_giving_up() -> None:
    book, broker = Book(), MemoryBroker("shop", delay=(0.0005, 0.002))

    async def slowly(key: str, state: Any) -> None:
        await anyio.sleep(3)

    async with task_group() as group, member(broker, "b") as second:
        b = Host(second, book)
        async with member(broker, "a") as first:
            a, key = Host(first, book), key_that_moves("b", "a")
            await a.begin(group)
            await until(lambda: settled(a))
            assert await call(a[key], "where") == "a"
            book.on_end = slowly
            await b.begin(group)
            await until(lambda: a.kind.yields)
        assert await call(b[key], "where", 30) == "b"
        book.on_end = None
        group.cancel_scope.cancel()
    assert not book.wrong


@simulated
async def test_one_that_is_slow_to_end_holds_up_no_other_as_its_node_leaves() -> None:
    book, broker = Book(), MemoryBroker("shop", delay=(0.0005, 0.002))
    async with task_group() as group, member(broker, "b") as second:
        b = Host(second, book)
        async with member(broker, "a") as first:
            a = Host(first, book)
            await a.begin(group)
            await until(lambda: settled(a))
            slow, other = KEYS[0], next(it for it in KEYS if shard_of(it) != shard_of(KEYS[0]))

            async def slowly(key: str, state: Any) -> None:
                if key == slow:
                    await anyio.sleep(60)

            for key in (slow, other):
                assert await call(a[key], "where") == "a"
            book.on_end = slowly
            await b.begin(group)
            since = anyio.current_time()

            async def ask() -> None:
                while await call(b[other], "where", 60) != "b":
                    await anyio.sleep(0.1)
                assert anyio.current_time() - since < 3
                while await call(b[slow], "where", 60) != "b":
                    await anyio.sleep(0.1)

            group.start_soon(ask)
        assert anyio.current_time() - since < 8
        assert whereis(f"session:{slow}@a.shop") is None, "it was killed before its node had left"
        await until(lambda: settled(b))
        book.on_end = None
        group.cancel_scope.cancel()


@simulated
async def test_hundreds_of_messages_move_and_none_counts_as_too_many() -> None:
    book, broker = Book(), MemoryBroker("shop", delay=(0.001, 0.01))
    async with one_and_another(book, broker) as (a, b, group):
        key = key_that_moves("b", "a")
        stuck = start_call(a[key], ("wait", anyio.Event()), None)
        for number in range(600):
            await cast(a[key], number)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shard_post, "MOST_WAITING", 10)
            await b.begin(group)
            with suppress(FauxtpError):
                await stuck
            await until(lambda: settled(a, b))
            assert await call(b[key], "told", 60) == [("cast", it) for it in range(600)]


@simulated
async def test_what_is_handed_over_to_a_node_that_is_gone_by_then_comes_back() -> None:
    book, broker = Book(), MemoryBroker("shop", delay=(0.01, 0.01))
    async with one_and_another(book, broker) as (a, b, group):
        key = key_that_moves("b", "a")
        stuck = start_call(a[key], ("wait", anyio.Event()), None)
        for number in range(300):
            await cast(a[key], number)
        await b.begin(group)
        await until(lambda: a.kind.yields)
        b.cluster._messenger.post.stop()
        broker.freeze("b")
        with suppress(FauxtpError):
            await stuck
        await anyio.sleep(3 * TTL)
        assert len(await call(a[key], "told", 60)) == 300
        broker.heal("b")


@simulated
async def test_what_is_yet_to_be_handed_over_as_the_connection_goes_is_not_lost() -> None:
    book, broker = Book(), MemoryBroker("shop", delay=(0.0005, 0.002))
    async with one_and_another(book, broker) as (a, b, group):
        key, engine = key_that_moves("b", "a"), a.cluster._node.engine
        stuck = start_call(a[key], ("wait", anyio.Event()), None)
        for number in range(600):
            await cast(a[key], number)
        flush, flushed = engine.flush, []

        async def once_in_vain() -> None:
            flushed.append(True)
            if len(flushed) == 1:
                raise TimeoutError
            await flush()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine, "flush", once_in_vain)
            await b.begin(group)
            with suppress(FauxtpError):
                await stuck
            await until(lambda: settled(a, b))
        await until(lambda: sum(book.handled.values()) >= 601)
        told = await call(b[key], "told", 60)
        assert sorted(told) == [("cast", number) for number in range(600)]


@simulated
async def test_a_shard_that_could_not_be_given_up_is_given_up_later() -> None:
    book, broker = Book(), MemoryBroker("shop", delay=(0.0005, 0.002))
    async with one_and_another(book, broker) as (a, b, group):
        key = key_that_moves("b", "a")
        assert await call(a[key], "where") == "a"
        claims = a.cluster._sharding._claims
        stop, failed = claims._stop, list[bool]()

        async def fails_once(*those: Any) -> None:
            if not failed:
                failed.append(True)
                raise RuntimeError("as a fault of ours would")
            await stop(*those)

        claims._stop = fails_once  # type: ignore
        await b.begin(group)
        await until(lambda: failed and settled(a, b))
        assert await call(b[key], "where", 60) == "b"


@simulated
async def test_who_is_killed_as_that_takes_long_leaves_its_mailbox_to_who_is_next() -> None:
    book, broker = Book(), MemoryBroker("shop", delay=(0.0005, 0.002))

    async def slowly(key: str, state: Any) -> None:
        await anyio.sleep(7)

    async with one_and_another(book, broker) as (a, b, group):
        key = key_that_moves("b", "a")
        stuck = start_call(a[key], ("wait", anyio.Event()), None)
        for number in range(3):
            await cast(a[key], number)
        told = start_call(a[key], "told", 60)
        book.on_end = slowly
        await b.begin(group)
        assert await told == [("cast", number) for number in range(3)]
        with suppress(FauxtpError):
            await stuck


@simulated
async def test_who_traps_exits_handles_what_came_before_it_moves_and_the_rest_goes_on() -> None:
    book, broker, opens = Book(), MemoryBroker("shop", delay=(0.0005, 0.002)), anyio.Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "trap_exit", True)
        async with one_and_another(book, broker) as (a, b, group):
            key = key_that_moves("b", "a")
            first = start_call(a[key], ("wait", opens), 60)
            before = start_call(a[key], "where", 60)
            await b.begin(group)
            await until(lambda: shard_of(key) in a.kind.yields)
            late = start_call(b[key], "where", 60)
            opens.set()
            assert await first == ("wait", opens)
            assert (await before, await late) == ("a", "b")


@simulated
async def test_those_that_never_end_keep_no_other_shard_from_moving() -> None:
    book, broker = Book(), MemoryBroker("shop", delay=(0.0005, 0.002))
    release = anyio.Event()
    async with one_and_another(book, broker) as (a, b, group):
        moving = [shard for shard in range(SHARDS) if rank("b")[shard] > rank("a")[shard]]
        key_in = {shard_of(key): key for key in (f"key {number}" for number in range(300))}
        hung = [key_in[shard] for shard in moving[:8]]

        async def hang(key: str, state: Any) -> None:
            if key in hung:
                with anyio.CancelScope(shield=True):
                    await release.wait()

        for key in hung:
            assert await call(a[key], "where") == "a"
        book.on_end = hang
        await b.begin(group)
        await until(lambda: len(b.shards) == len(moving) - len(hung))
        release.set()
        await until(lambda: settled(a, b))


@simulated
async def test_a_session_without_a_lease_is_killed_in_the_end_before_another_begins() -> None:
    book, broker = Book(), MemoryBroker("shop", delay=(0.0005, 0.002))

    async def slowly(key: str, state: Any) -> None:
        await anyio.sleep(60)

    async with members("a", "b", broker=broker) as joined, task_group() as group:
        a, b = [Host(cluster, book) for cluster in joined]
        for host in (a, b):
            await host.begin(group)
        await until(lambda: settled(a, b))
        key = key_at(b)
        assert await call(a[key], "where") == "b"
        before, book.on_end = whereis(b[key]), slowly
        b.cluster._node.fence()
        await until(b.cluster._node.may_act)
        assert await call(b[key], "where", 60) == "b"
        assert session_of(whereis(b[key])).pid is not before
        assert [pid for pid in b.kind.running(b.kind.shards) if pid is before] == []
        book.on_end = None
        group.cancel_scope.cancel()


@simulated
async def test_a_call_to_a_node_that_has_just_lost_its_lease_goes_to_who_is_next() -> None:
    book, broker = Book(), MemoryBroker("shop", delay=(0.001, 0.002))
    async with members("a", "b", broker=broker) as joined, task_group() as group:
        a, b = [Host(cluster, book) for cluster in joined]
        for host in (a, b):
            await host.begin(group)
        await until(lambda: settled(a, b))
        key = key_at(b)
        assert await call(a[key], "where") == "b"
        broker.lose_leader()  # so that it cannot come in again at once
        b.cluster._node.fence()
        asked = start_call(a[key], 1, None)
        await anyio.sleep(1)
        broker.elect_leader()
        assert await asked == 1
        assert book.handled[1] == 1
        group.cancel_scope.cancel()


@simulated
async def test_what_cannot_be_started_is_told_to_who_calls_from_elsewhere() -> None:
    async with members("a", "b") as joined, task_group() as group:
        a, b = [Host(cluster, Book()) for cluster in joined]
        await GenServer.start(task_group=group, register_as=b.name)
        await until(lambda: settled(b) and len(a.kind.hosts.nodes) == 1)
        for host in (a, b):
            with pytest.raises(TypeError, match="expected 'sessions of b' to be a DynamicSup"):
                await call(host["anna"], 1, None)
        before = dead_letters.counts().get("noproc", 0)
        await cast(a["anna"], 1)
        await until(lambda: dead_letters.counts().get("noproc", 0) == before + 1)
        exit(b.name)


@simulated
async def test_a_shard_that_a_snapshot_says_is_of_another_is_lost() -> None:
    book, broker = Book(), MemoryBroker("shop", delay=(0.0005, 0.002))
    async with members("a", "b", broker=broker) as joined, task_group() as group:
        a, b = [Host(cluster, book) for cluster in joined]
        for host in (a, b):
            await host.begin(group)
        await until(lambda: settled(a, b))
        key, engine = key_at(b), a.cluster._node.engine
        shard = shard_of(key)
        assert await call(a[key], "where") == "b"
        before = whereis(b[key])
        broker.cut("b")
        entry = await engine.read(key_of("session:", shard))
        assert entry is not None
        a.cluster._sharding._claims._look_at = nothing  # type: ignore
        taken = ShardHolding("a", a.cluster._node.peers.own.incarnation).packed()
        await engine.update(key_of("session:", shard), taken, entry.revision)
        broker.heal("b")
        await until(lambda: before not in b.kind.running([shard]))
        del a.cluster._sharding._claims._look_at
        await until(lambda: settled(a, b))
        group.cancel_scope.cancel()


@simulated
async def test_calls_that_wait_for_a_session_to_end_elsewhere_are_sent_again_seldom() -> None:
    book, broker = Book(), MemoryBroker("shop", delay=(0.0005, 0.001))
    async with one_and_another(book, broker) as (a, b, group), member(broker, "c") as third:
        c, key = Host(third, book), key_that_moves("b", "a")

        async def slowly(_: str, __: Any) -> None:
            await anyio.sleep(4.9)

        assert await call(c[key], "where", 30, wait=30) == "a"
        book.on_end = slowly
        await b.begin(group)
        await until(lambda: shard_of(key) in a.kind.yields)
        book.on_end = None
        sent, post = [], c.cluster._messenger.post
        send_frame = post.send

        def counted(peer: Any, frame: Any, number: int = 0) -> None:
            sent.append(frame[0])
            send_frame(peer, frame, number)

        post.send = counted  # type: ignore[method-assign]
        pending = [start_call(c[key], number, 60) for number in range(20)]
        assert [await one for one in pending] == list(range(20))
        assert sent.count("keyed") < 20 * 10


@simulated
async def test_a_call_that_was_handed_on_can_be_given_up() -> None:
    book, broker, ready = Book(), MemoryBroker("shop", delay=(0.0005, 0.002)), anyio.Event()
    async with one_and_another(book, broker) as (a, b, group):
        key = key_that_moves("b", "a")
        stuck = start_call(a[key], ("wait", anyio.Event()), 60)
        asked = start_call(a[key], 77, 60)
        await until(lambda: len(session_of(whereis(a[key])).mailbox) == 1)

        async def at_b(where: str) -> None:
            if where == "b":
                await ready.wait()

        book.in_init = at_b
        await b.begin(group)
        await until(lambda: whereis(b[key]) and len(session_of(whereis(b[key])).mailbox))
        assert asked.cancel()
        await until(lambda: not b.cluster._messenger.calls_in._known)
        ready.set()
        assert await call(b[key], "where", 30) == "b"
        assert not book.handled[77]
        with suppress(FauxtpError):
            await stuck


@simulated
async def test_a_monitor_whose_news_was_lost_starts_nobody_and_is_told() -> None:
    book, broker = Book(), MemoryBroker("shop", delay=(0.001, 0.002))
    async with hosts("a", "b", broker=broker, book=book) as (a, b), task_group() as group:
        key, watcher = key_at(b), await diary(group)
        await call(watcher, partial(monitor, a[key]))
        await until(lambda: whereis(b[key]) is not None)
        await anyio.sleep(1)
        broker.lose_messages("a", 1)
        exit(whereis(b[key]) or "", "enough")
        await until(lambda: session_of(watcher).state)
        assert book.starts[key] == 1
        group.cancel_scope.cancel()


@pytest.mark.anyio
async def test_what_is_too_large_with_its_key_is_refused_where_it_is_sent() -> None:
    async with hosts("a", "b") as (a, b):
        limit = a.cluster._node.engine.max_payload
        key = next(it for it in (f"{'k' * 900}{n}" for n in range(99)) if shard_of(it) in b.shards)
        for way in (call, cast):
            with pytest.raises(ValueError, match="expected a message of at most"):
                await way(a[key], b"x" * (limit - 300))
        assert await call(a[key], "where") == "b"


@simulated
async def test_shards_of_the_last_host_are_swept_when_its_node_is_gone() -> None:
    book, broker = Book(), MemoryBroker("shop", delay=(0.001, 0.02))

    def keys() -> list[str]:
        return [key for key in broker.keys._held if key.startswith("shard.")]

    async with members("a", "b", broker=broker) as (first, _), task_group() as group:
        a = Host(first, book)  # which has yet to begin
        async with member(broker, "c") as third:
            c = Host(third, book)
            await c.begin(group)
            await until(lambda: settled(c))
            assert len(keys()) == SHARDS
            broker.cut("c")
        await until(lambda: not keys())
        await a.begin(group)
        await until(lambda: settled(a))
        assert await call(a["anna"], "where") == "a"


@explored(seeds=10)
async def test_who_becomes_a_host_as_shards_are_swept_has_them() -> None:
    book, broker = Book(), MemoryBroker("shop", delay=(0.001, 0.1))
    async with members("a", "b", broker=broker) as (_, second), task_group() as group:
        b = Host(second, book)
        async with member(broker, "c") as third:
            c = Host(third, book)
            await c.begin(group)
            await until(lambda: settled(c))
            broker.cut("c")
        await until(lambda: second.nodes() == ["a", "b"])
        await anyio.sleep(broker.random.uniform(0, 0.3))
        await b.begin(group)
        await until(lambda: settled(b))
        assert await call(b["anna"], "where") == "b"
    assert not book.wrong
