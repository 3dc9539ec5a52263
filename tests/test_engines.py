"""What an engine promises: one table of tests, which each kind of engine must pass."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import pytest
from conftest import PATIENCE
from engines import InMemory, OverNats, Told, World

from fauxtp.cluster._engines.engine import (
    Change,
    Engine,
    Entry,
    NoConnection,
    Snapshot,
    Superseded,
    Taken,
)

pytestmark = pytest.mark.anyio

KINDS = [
    pytest.param(("memory", ("asyncio", {})), id="memory-asyncio"),
    pytest.param(("memory", ("asyncio", {"use_uvloop": True})), id="memory-uvloop"),
    pytest.param(("memory", ("trio", {})), id="memory-trio"),
    pytest.param(("nats", ("asyncio", {})), id="nats-asyncio"),
    pytest.param(("nats", ("asyncio", {"use_uvloop": True})), id="nats-uvloop"),
]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    """A kind of engine, and the event loop that it runs in."""
    return request.param


@pytest.fixture
def anyio_backend(kind: Any) -> Any:
    return kind[1]


@pytest.fixture
async def world(kind: Any, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    made: World = InMemory()
    if kind[0] == "nats":
        made = OverNats(request.getfixturevalue("nats_server"))
    yield made
    await made.end()


Open = Callable[..., Awaitable[Engine]]


@pytest.fixture
async def opened(world: World) -> AsyncIterator[Open]:
    """Return a function that opens engines, which are closed afterwards."""
    engines: list[Engine] = []

    async def open_one(node: str = "a", timeout: float = PATIENCE, **callbacks: Any) -> Engine:
        engine = await world.engine(node, timeout=timeout)
        await engine.open(**callbacks)
        engines.append(engine)
        return engine

    with anyio.fail_after(PATIENCE):
        yield open_one
        for engine in engines:
            await engine.close()


# Keys


async def test_a_key_is_taken_once(opened: Open) -> None:
    a, b = await opened("a"), await opened("b")
    revision = await a.create("name.billing", b"a")
    with pytest.raises(Taken) as taken:
        await b.create("name.billing", b"b")
    assert taken.value.key == "name.billing"
    assert await b.read("name.billing") == Entry("name.billing", b"a", revision)


async def test_of_many_that_try_one_takes_it(opened: Open) -> None:
    engines = [await opened(node) for node in "abc"]
    won: list[bytes] = []

    async def take(engine: Engine, value: bytes) -> None:
        with contextlib.suppress(Taken):
            await engine.create("name.one", value)
            won.append(value)

    async with anyio.create_task_group() as group:
        for number in range(30):
            group.start_soon(take, engines[number % 3], b"%d" % number)
    entry = await engines[0].read("name.one")
    assert entry is not None
    assert won == [entry.value]


async def test_who_names_the_revision_changes_it(opened: Open) -> None:
    a = await opened()
    first = await a.create("k", b"1")
    second = await a.update("k", b"2", first)
    assert second > first
    assert await a.read("k") == Entry("k", b"2", second)
    with pytest.raises(Superseded) as late:
        await a.update("k", b"3", first)
    assert (late.value.key, late.value.revision) == ("k", first)
    with pytest.raises(Superseded):
        await a.delete("k", first)
    assert await a.read("k") == Entry("k", b"2", second)
    third = await a.delete("k", second)
    assert third > second
    assert await a.read("k") is None


async def test_what_is_gone_has_no_revision(opened: Open) -> None:
    a = await opened()
    first = await a.create("k", b"1")
    await a.delete("k", first)
    with pytest.raises(Superseded):
        await a.update("k", b"2", first)
    with pytest.raises(Superseded):
        await a.delete("k", first)
    for revision in (1, 10**9):
        with pytest.raises(Superseded):
            await a.update("never.there", b"2", revision)
        with pytest.raises(Superseded):
            await a.delete("never.there", revision)


async def test_a_deleted_key_can_be_taken_at_once(opened: Open) -> None:
    a = await opened()
    last = 0
    for number in range(5):
        revision = await a.create("k", b"%d" % number)
        assert revision > last
        last = await a.delete("k", revision)
    assert await a.read("k") is None


async def test_a_key_goes_when_its_time_is_over_and_can_be_taken_again(opened: Open) -> None:
    told = Told()
    a = await opened(followed=told)
    began = anyio.current_time()
    revision = await a.create("k", b"1", ttl=1)
    await told.wait(lambda all_: isinstance(all_[-1], Change) and all_[-1].value is None)
    assert anyio.current_time() - began >= 1 - 0.1  # the server's clock is another
    assert told.all[-1].key == "k"
    assert told.all[-1].revision > revision
    assert await a.read("k") is None
    gone = told.all[-1].revision
    again = await a.create("k", b"2")
    assert again > gone
    assert await a.read("k") == Entry("k", b"2", again)


async def test_who_writes_in_time_keeps_it_and_who_names_no_time_for_ever(opened: Open) -> None:
    told = Told()
    a = await opened(followed=told)
    kept = await a.create("kept", b"1", ttl=2)
    held = await a.create("held", b"1", ttl=2)
    await a.create("other", b"1", ttl=2)
    kept = await a.update("kept", b"2", kept)
    held = await a.update("held", b"2", held, ttl=3600)
    await told.wait(lambda all_: "other" not in told.known() and len(all_) > 5)
    assert await a.read("kept") == Entry("kept", b"2", kept)
    assert await a.read("held") == Entry("held", b"2", held)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda a: a.create("", b"1"), ValueError),
        (lambda a: a.create("a b", b"1"), ValueError),
        (lambda a: a.create("a..b", b"1"), ValueError),
        (lambda a: a.create("a.*", b"1"), ValueError),
        (lambda a: a.create("a\r\nPUB x 0", b"1"), ValueError),
        (lambda a: a.create("é", b"1"), ValueError),
        (lambda a: a.create("x" * 513, b"1"), ValueError),
        (lambda a: a.create(7, b"1"), TypeError),
        (lambda a: a.create("k", b""), ValueError),
        (lambda a: a.create("k", "text"), TypeError),
        (lambda a: a.create("k", None), TypeError),
        (lambda a: a.create("k", b"1" * (a.max_payload + 1)), ValueError),
        (lambda a: a.create("k", b"1", ttl=0), ValueError),
        (lambda a: a.create("k", b"1", ttl=0.5), TypeError),
        (lambda a: a.create("k", b"1", ttl=True), TypeError),
        (lambda a: a.create("k", b"1", ttl=10**12), ValueError),
        (lambda a: a.update("k", b"1", 0), ValueError),
        (lambda a: a.update("k", b"1", None), TypeError),
        (lambda a: a.delete("k", -1), ValueError),
        (lambda a: a.delete("k", True), TypeError),
        (lambda a: a.read("k>"), ValueError),
        (lambda a: a.listen("elsewhere.x", print), ValueError),
        (lambda a: a.listen(a.prefix, print), ValueError),
        (lambda a: a.listen(a.prefix + "a..b", print), ValueError),
        (lambda a: a.listen(a.prefix + ">.b", print), ValueError),
        (lambda a: a.listen(a.prefix + "a b", print), ValueError),
        (lambda a: a.listen(7, print), TypeError),
        (lambda a: a.listen(a.prefix + "a", None), TypeError),
    ],
)
async def test_what_is_none_is_refused(
    opened: Open, call: Callable[[Engine], Awaitable[object]], error: type[Exception]
) -> None:
    told = Told()
    a = await opened(followed=told)
    with pytest.raises(error, match="expected"):
        await call(a)
    await a.create("afterwards", b"1")
    await told.number(2)
    assert list(told.known()) == ["afterwards"]


async def test_the_longest_keys_and_values_go_through(opened: Open) -> None:
    told = Told()
    a = await opened(followed=told)
    key, value = "name." + "x/_=-" * 101, b"\0\r\n" * 1000 + b"1" * 500_000
    revision = await a.create(key, value)
    assert await a.read(key) == Entry(key, value, revision)
    await told.number(2)
    assert told.known() == {key: (value, revision)}


# Following


async def test_first_a_snapshot_is_told_then_each_change(opened: Open) -> None:
    a = await opened("a")
    one = await a.create("one", b"1")
    two = await a.create("two", b"2")
    gone = await a.create("gone", b"3")
    gone = await a.delete("gone", gone)
    told = Told()
    b = await opened("b", followed=told)
    assert len(told.all) == 1
    snapshot = told.all[0]
    assert isinstance(snapshot, Snapshot)
    assert sorted(snapshot.entries) == [Entry("one", b"1", one), Entry("two", b"2", two)]
    assert snapshot.revision >= gone
    three = await b.create("three", b"3")
    four = await a.update("one", b"4", one)
    five = await b.delete("two", two)
    await told.number(4)
    assert told.all[1:] == [
        Change("three", b"3", three),
        Change("one", b"4", four),
        Change("two", None, five),
    ]


async def test_who_comes_while_keys_change_misses_nothing_and_is_told_nothing_twice(
    opened: Open,
) -> None:
    a = await opened("a")
    revisions = {}
    for number in range(50):
        revisions[number] = await a.create(f"k.{number}", b"0")

    async def change() -> None:
        for turn in range(1, 5):
            for number in range(50):
                value = b"%d" % turn
                revisions[number] = await a.update(f"k.{number}", value, revisions[number])

    came: list[Told] = []
    async with anyio.create_task_group() as group:
        group.start_soon(change)
        for number in range(5):
            told = Told()
            came.append(told)
            await opened(f"b{number}", followed=told)
            keys = told.known()  # none is missing at any time
            assert len(keys) == 50
    for told in came:
        await told.wait(partial(all_are, told, b"4"))
        assert told.known() == {f"k.{n}": (b"4", revision) for n, revision in revisions.items()}
        assert sum(isinstance(what, Snapshot) for what in told.all) == 1


def all_are(told: Told, value: bytes, _: object) -> bool:
    return {one for one, _ in told.known().values()} == {value}


async def test_clusters_see_nothing_of_each_other(opened: Open, kind: Any) -> None:
    told = Told()
    a = await opened(followed=told)
    received = Told()
    await a.listen(a.prefix + ">", received)
    a.publish(a.prefix + "x", b"1")
    await received.number(1)
    assert a.prefix.endswith(".")
    assert received.all == [(a.prefix + "x", b"1", None)]


# Messages


async def test_messages_come_in_the_order_in_which_they_were_published(opened: Open) -> None:
    a, b = await opened("a"), await opened("b")
    received = Told()
    await b.listen(b.prefix + "to.b.*", received)
    for number in range(500):
        a.publish(a.prefix + "to.b.a", b"%d" % number)
    a.publish(a.prefix + "to.c.a", b"not for b")
    a.publish(a.prefix + "to.b.a", b"", a.prefix + "back")
    await received.number(501)
    await a.flush()
    to = a.prefix + "to.b.a"
    assert received.all == [
        *((to, b"%d" % number, None) for number in range(500)),
        (to, b"", a.prefix + "back"),
    ]


async def test_all_who_listen_are_told_and_who_stops_is_not(opened: Open) -> None:
    a, b = await opened("a"), await opened("b")
    first, second, own = Told(), Told(), Told()
    listening = await b.listen(b.prefix + "x.>", first)
    await b.listen(b.prefix + "x.y", second)
    await a.listen(b.prefix + "*.y", own)
    a.publish(a.prefix + "x.y", b"1")
    for told in (first, second, own):
        await told.number(1)
    listening.stop()
    listening.stop()
    a.publish(a.prefix + "x.y", b"2")
    for told in (second, own):
        await told.number(2)
    await b.flush()
    assert [payload for _, payload, _ in first.all] == [b"1"]


async def test_where_nobody_listens_who_wants_a_reply_is_told(opened: Open) -> None:
    a, b = await opened("a"), await opened("b")
    replies, other = Told(), Told()
    await a.listen(a.prefix + "back.*", replies)
    await b.listen(b.prefix + "back.*", other)
    a.publish(a.prefix + "to.nobody", b"1", a.prefix + "back.7")
    await replies.number(1)
    assert replies.all == [(a.prefix + "back.7", None, None)]
    listening = await b.listen(b.prefix + "to.b", Told())
    a.publish(a.prefix + "to.b", b"1", a.prefix + "back.8")
    await a.flush()
    listening.stop()
    await b.flush()
    a.publish(a.prefix + "to.b", b"1", a.prefix + "back.9")
    await replies.number(2)
    assert replies.all[1] == (a.prefix + "back.9", None, None)
    await b.flush()
    assert other.all == []


async def test_an_empty_message_is_not_that_nobody_listens(opened: Open) -> None:
    a = await opened("a")
    received = Told()
    await a.listen(a.prefix + "x", received)
    a.publish(a.prefix + "x", b"")
    await received.number(1)
    assert received.all == [(a.prefix + "x", b"", None)]


async def test_a_message_may_be_as_long_as_is_said_and_no_longer(opened: Open) -> None:
    a = await opened("a")
    received = Told()
    await a.listen(a.prefix + "x", received)
    with pytest.raises(ValueError, match=f"{a.max_payload}"):
        a.publish(a.prefix + "x", b"1" * (a.max_payload + 1))
    a.publish(a.prefix + "x", b"1" * a.max_payload)
    await received.number(1)
    assert len(received.all[0][1]) == a.max_payload


async def test_what_a_callback_raises_is_logged_and_the_next_is_told(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    received, told = Told(), Told()

    def fails(*what: object) -> None:
        received(*what)
        raise ValueError("of a listener")

    def fails_too(what: object) -> None:
        told(what)
        raise ValueError("of who follows")

    a = await opened("a", followed=fails_too)
    await a.listen(a.prefix + "x", fails)
    a.publish(a.prefix + "x", b"1")
    a.publish(a.prefix + "x", b"2")
    await received.number(2)
    await a.create("k", b"1")
    await a.create("l", b"1")
    await told.number(3)
    assert "of a listener" in caplog.text
    assert "of who follows" in caplog.text


# The connection


async def test_before_it_is_open_and_after_it_is_closed_nothing_can_be_done(
    world: World, kind: Any
) -> None:
    engine = await world.engine("a")
    for _ in range(2):
        assert not engine.connected
        for attempt in (
            lambda: engine.create("k", b"1"),
            lambda: engine.update("k", b"1", 1),
            lambda: engine.delete("k", 1),
            lambda: engine.read("k"),
            engine.flush,
            lambda: engine.listen(engine.prefix + "x", print),
        ):
            with pytest.raises(NoConnection):
                await attempt()
        with pytest.raises(NoConnection):
            engine.publish(engine.prefix + "x", b"1")
        await engine.close()
    with pytest.raises(RuntimeError):
        await engine.open()


async def test_an_engine_is_opened_once(opened: Open) -> None:
    a = await opened()
    with pytest.raises(RuntimeError):
        await a.open()
    assert a.connected
    await a.close()
    await a.close()
    assert not a.connected


async def test_what_was_published_before_it_is_closed_arrives(opened: Open) -> None:
    a, b = await opened("a"), await opened("b")
    received = Told()
    await b.listen(b.prefix + "x", received)
    for number in range(100):
        a.publish(a.prefix + "x", b"%d" % number)
    await a.close()
    await received.number(100)


async def test_after_it_is_closed_nothing_is_told(opened: Open) -> None:
    told, connection, received = Told(), Told(), Told()
    a = await opened("a", followed=told, connection=connection)
    b = await opened("b")
    await a.listen(a.prefix + "x", received)
    await a.close()
    await b.create("k", b"1")
    b.publish(b.prefix + "x", b"1")
    await b.flush()
    assert (len(told.all), connection.all, received.all) == (1, [], [])


async def test_where_nobody_is_it_is_not_opened(world: World) -> None:
    world.cut("a")
    engine = await world.engine("a", timeout=0.5)
    world.cut("a")
    with anyio.fail_after(PATIENCE):
        with pytest.raises(NoConnection):
            await engine.open(followed=Told())
        with pytest.raises(NoConnection):
            await engine.read("k")


async def test_while_the_connection_is_away_all_fails_at_once_and_then_it_is_back(
    opened: Open, world: World
) -> None:
    told, connection, received = Told(), Told(), Told()
    a = await opened("a", followed=told, connection=connection)
    b = await opened("b")
    await a.listen(a.prefix + "to.a", received)
    kept = await a.create("kept", b"1")
    gone = await a.create("gone", b"1")
    await told.number(3)
    world.cut("a")
    await connection.number(1)
    assert not a.connected
    for attempt in (
        lambda: a.create("k", b"1"),
        lambda: a.update("kept", b"2", kept),
        lambda: a.delete("kept", kept),
        lambda: a.read("kept"),
        a.flush,
        lambda: a.listen(a.prefix + "x", print),
    ):
        with pytest.raises(NoConnection):
            await attempt()
    with pytest.raises(NoConnection):
        a.publish(a.prefix + "x", b"1")
    await b.delete("gone", gone)
    new = await b.create("new", b"1")
    replies = Told()
    await b.listen(b.prefix + "back", replies)
    b.publish(b.prefix + "to.a", b"lost", b.prefix + "back")
    await replies.number(1)
    world.heal("a")
    await connection.number(2)
    assert connection.all == [False, True]
    assert a.connected
    b.publish(b.prefix + "to.a", b"1")
    await received.number(1)
    assert received.all == [(a.prefix + "to.a", b"1", None)]
    await told.wait(lambda all_: isinstance(all_[-1], Snapshot))
    assert told.known() == {"kept": (b"1", kept), "new": (b"1", new)}
    later = await b.create("later", b"1")
    await told.wait(lambda all_: isinstance(all_[-1], Change))
    assert told.all[-1] == Change("later", b"1", later)


async def test_who_is_cut_off_without_a_word_notices(opened: Open, world: World) -> None:
    told, connection = Told(), Told()
    a = await opened("a", followed=told, connection=connection)
    b = await opened("b")
    errors = Told()

    async def write() -> None:
        with pytest.raises(TimeoutError):
            await a.create("k", b"1")
        errors("unknown")

    async with anyio.create_task_group() as group:
        world.hold("a")
        group.start_soon(write)
        await connection.number(1)
        await errors.number(1)  # it is not left to wait for its own time to be over
    assert (connection.all, a.connected) == ([False], False)
    new = await b.create("new", b"1")
    world.heal("a")
    await told.wait(lambda _: "new" in told.known())
    assert told.known()["new"] == (b"1", new)
    assert connection.all == [False, True]


async def test_who_is_not_answered_does_not_know(opened: Open, world: World) -> None:
    a = await opened("a", timeout=1.0)
    b = await opened("b")
    world.hold("a")
    with pytest.raises(TimeoutError):
        await a.create("k", b"1")
    world.heal("a")
    for _ in range(2):  # it came late, or never: who reads it knows
        with contextlib.suppress(TimeoutError, NoConnection):
            await a.read("k")
    assert (await b.read("k")) in {None, Entry("k", b"1", 1)}


async def test_a_server_that_is_started_again_has_the_keys(opened: Open, world: World) -> None:
    told, connection, received = Told(), Told(), Told()
    a = await opened("a", followed=told, connection=connection)
    b = await opened("b", followed=Told())
    await b.listen(b.prefix + "x", received)
    revision = await a.create("k", b"1")
    held = await a.create("held", b"1", ttl=3600)
    await world.restart()
    await connection.number(2)
    await told.wait(lambda all_: isinstance(all_[-1], Snapshot) and len(all_) > 2)
    assert told.known() == {"k": (b"1", revision), "held": (b"1", held)}
    assert await a.update("k", b"2", revision) > revision
    while not b.connected:
        await anyio.sleep(0.01)
    await b.flush()
    a.publish(a.prefix + "x", b"1")
    await received.number(1)
