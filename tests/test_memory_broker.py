"""What the broker in memory does beside what every engine promises: faults, by its seed alone."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from engines import Told
from in_simulated_time import explored

from fauxtp.cluster._engines.engine import (
    Change,
    Entry,
    NoConnection,
    Part,
    Snapshot,
    Superseded,
    Taken,
)
from fauxtp.cluster._engines.memory_engine import MemoryEngine
from fauxtp.cluster.memory_broker import MemoryBroker
from fauxtp.testing import SeedFailed, explore

pytestmark = pytest.mark.anyio


async def opened(broker: MemoryBroker, node: str, **options: Any) -> MemoryEngine:
    engine = broker.engine(node)
    await engine.open(**options)
    return engine


async def closed(*engines: MemoryEngine) -> None:
    for engine in engines:
        await engine.close()


async def test_what_is_lost_is_as_before_and_its_revisions_come_again() -> None:
    broker, told = MemoryBroker(), Told()
    a = await opened(broker, "a", followed=told)
    kept = await a.create("kept", b"1")
    changed = await a.create("changed", b"1", ttl=60)
    await a.update("changed", b"2", changed)
    lost = await a.create("lost", b"1")
    await a.delete("kept", kept)
    broker.lose_writes(3)
    assert not a.connected
    await told.wait(lambda all_: isinstance(all_[-1], Snapshot) and len(all_) > 5)
    assert told.known() == {"kept": (b"1", kept), "changed": (b"1", changed)}
    again = [await a.create(key, b"2") for key in ("x", "y")]
    assert again == [changed + 1, lost]
    await told.wait(lambda _: "y" in told.known())
    await closed(a)


async def test_many_keys_are_told_in_parts_and_changes_after_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fauxtp.cluster._engines.memory_engine.PART", 2)
    broker, told = MemoryBroker(), Told()
    a = await opened(broker, "a")
    revisions = {key: await a.create(key, b"1") for key in "abcde"}
    b = await opened(broker, "b", followed=told)
    assert [type(what) for what in told.all] == [Part, Part, Snapshot]
    assert [len(what.entries) for what in told.all] == [2, 2, 1]
    assert told.known() == {key: (b"1", revision) for key, revision in revisions.items()}
    later = await a.create("later", b"1")
    await told.number(4)
    assert told.all[3] == Change("later", b"1", later)
    await closed(a, b)


async def test_a_write_that_was_lost_takes_its_time_with_it() -> None:
    broker, told = MemoryBroker(), Told()
    a = await opened(broker, "a", followed=told)
    revision = await a.create("k", b"1", ttl=1)
    await a.update("k", b"2", revision)  # for ever
    broker.lose_writes(1)
    await told.wait(lambda all_: isinstance(all_[-1], Change) and all_[-1].value is None)
    assert told.all[-1].key == "k"
    await closed(a)


async def test_an_answer_that_is_lost_leaves_the_write_done() -> None:
    broker = MemoryBroker()
    engine, patient = broker.engine("a", timeout=0.05), await opened(broker, "b")
    await engine.open()
    broker.lose_answers("a", 1)
    with pytest.raises(TimeoutError):
        await engine.create("k", b"1")
    assert await patient.read("k") == Entry("k", b"1", 1)
    with pytest.raises(Taken):
        await patient.create("k", b"2")
    await closed(engine, patient)


async def test_after_a_change_that_is_lost_a_snapshot_is_told() -> None:
    broker, told = MemoryBroker(), Told()
    a, b = await opened(broker, "a", followed=told), await opened(broker, "b")
    broker.lose_messages("a", 2)
    await b.create("one", b"1")
    await b.create("two", b"1")
    assert len(told.all) == 1
    three = await b.create("three", b"1")
    await told.number(2)
    assert isinstance(told.all[1], Snapshot)
    assert set(told.known()) == {"one", "two", "three"}
    assert told.all[1].revision == three
    await b.create("four", b"1")
    await told.number(3)
    assert told.all[2].key == "four"
    await closed(a, b)


async def test_messages_that_are_lost_are_counted() -> None:
    broker, received = MemoryBroker(), Told()
    a, b = await opened(broker, "a"), await opened(broker, "b")
    await b.listen(b.prefix + "x", received)
    broker.lose_messages("b")
    for number in range(3):
        a.publish(a.prefix + "x", b"%d" % number)
    await received.number(2)
    assert ([payload for _, payload, _ in received.all], b.dropped) == ([b"1", b"2"], 1)
    await closed(a, b)


async def test_a_frozen_node_is_told_all_when_it_wakes_up() -> None:
    broker, told, received, connection = MemoryBroker(), Told(), Told(), Told()
    a = await opened(broker, "a", followed=told, connection=connection)
    b = await opened(broker, "b")
    await a.listen(a.prefix + "x", received)
    broker.freeze("a")
    b.publish(b.prefix + "x", b"1")
    await b.create("k", b"1")
    await b.flush()
    a.publish(a.prefix + "x", b"2")
    assert (len(told.all), received.all, a.unsent) == (1, [], 1)
    broker.heal("a")
    await told.number(2)
    await received.number(2)
    assert a.connected
    assert connection.all == []
    await closed(a, b)


async def test_without_a_leader_keys_are_refused_and_messages_go_on() -> None:
    broker, told, received = MemoryBroker(), Told(), Told()
    a = await opened(broker, "a", followed=told)
    await a.listen(a.prefix + "x", received)
    revision = await a.create("k", b"1")
    broker.lose_leader()
    with pytest.raises(NoConnection):
        await a.create("l", b"1")
    with pytest.raises(NoConnection):
        await a.read("k")
    a.publish(a.prefix + "x", b"1")
    await received.number(1)
    late = Told()
    b = broker.engine("b")
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: b.open(followed=late))
        await anyio.sleep(0.01)
        assert late.all == []
        broker.elect_leader()
    assert await a.update("k", b"2", revision) == revision + 1
    await late.number(2)
    await closed(a, b)


async def test_a_broker_outlasts_the_event_loop_and_time_stands_still_without_one() -> None:
    broker = MemoryBroker()
    a = await opened(broker, "a")
    await a.create("k", b"1", ttl=3600)
    await closed(a)
    assert await anyio.to_thread.run_sync(lambda: anyio.run(used_elsewhere, broker)) == b"1"


async def used_elsewhere(broker: MemoryBroker) -> bytes:
    b = await opened(broker, "b")
    entry = await b.read("k")
    await closed(b)
    assert entry is not None
    return entry.value


async def test_two_event_loops_at_a_time_are_refused() -> None:
    broker = MemoryBroker()
    a = await opened(broker, "a")
    with pytest.raises(RuntimeError, match="one event loop"):
        await anyio.to_thread.run_sync(lambda: anyio.run(used_elsewhere, broker))
    await closed(a)


# In simulated time


@explored(seeds=5)
async def test_what_was_held_arrives_late() -> None:
    broker, connection = MemoryBroker(), Told()
    a = await opened(broker, "a", connection=connection)
    b = await opened(broker, "b")
    broker.hold("a")
    async with anyio.create_task_group() as group:

        async def write() -> None:
            with pytest.raises(TimeoutError):
                await a.create("k", b"late")

        group.start_soon(write)
        await connection.number(1)
    assert await b.read("k") is None
    broker.heal("a")
    await connection.number(2)
    assert await b.read("k") == Entry("k", b"late", 1)
    await closed(a, b)


@explored(seeds=5)
async def test_a_key_whose_time_is_over_without_a_leader_goes_with_the_next() -> None:
    broker, told = MemoryBroker(), Told()
    a = await opened(broker, "a", followed=told)
    await a.create("k", b"1", ttl=1)
    broker.lose_leader()
    await anyio.sleep(2.1)
    assert len(told.all) == 2
    broker.elect_leader()
    await told.number(3)
    assert told.all[2] == Change("k", None, 2)
    await closed(a)


async def claims_under_faults(broker: MemoryBroker, log: list[Any]) -> None:
    """Let three nodes take one key from each other while connections come and go."""
    tolds = {node: Told() for node in "abc"}
    engines = {node: await opened(broker, node, followed=tolds[node]) for node in "abc"}

    async def claim(node: str) -> None:
        engine = engines[node]
        for turn in range(6):
            value = f"{node}{turn}".encode()
            try:
                log.append((value, await engine.create("k", value, ttl=5)))
            except (Taken, NoConnection):
                await anyio.sleep(0.3)
            except TimeoutError:
                pass
            else:
                await anyio.sleep(0.2)
                try:
                    await engine.delete("k", log[-1][1])
                except (Superseded, NoConnection, TimeoutError):
                    pass

    async def disturb() -> None:
        for _ in range(6):
            node = broker.random.choice("abc")
            broker.random.choice([broker.cut, broker.hold, broker.freeze])(node)
            await anyio.sleep(broker.random.uniform(0, 2))
            broker.heal(node)

    async with anyio.create_task_group() as group:
        for node in "abc":
            group.start_soon(claim, node)
        group.start_soon(disturb)
    await anyio.sleep(20)
    end = await engines["a"].read("k")
    for node in "abc":
        known = tolds[node].known()
        assert known == ({} if end is None else {"k": (end.value, end.revision)})
        log.extend(tolds[node].all)
    await closed(*engines.values())


def test_faults_in_simulated_time_leave_all_with_the_same_keys() -> None:
    seeds = iter(range(1_000))

    async def scenario() -> None:
        broker = MemoryBroker(seed=next(seeds), delay=(0.0, 0.05))
        await claims_under_faults(broker, [])

    explore(scenario, seeds=100)


def test_a_seed_brings_all_back() -> None:
    logs: list[list[Any]] = []

    async def scenario() -> None:
        logs.append([])
        await claims_under_faults(MemoryBroker(seed=3, delay=(0.0, 0.05)), logs[-1])

    explore(scenario, seeds=[5])
    explore(scenario, seeds=[5])
    assert logs[0] == logs[1]
    assert len(logs[0]) > 10


def test_a_fault_is_found_in_simulated_time() -> None:
    async def scenario() -> None:
        broker = MemoryBroker(delay=(0.0, 0.1))
        a, b = await opened(broker, "a"), await opened(broker, "b")

        async def take(engine: MemoryEngine) -> None:  # without looking who has it
            entry = await engine.read("k")
            if entry is None:
                await engine.create("k", b"1")

        async with anyio.create_task_group() as group:
            group.start_soon(take, a)
            group.start_soon(take, b)
        await closed(a, b)

    with pytest.raises(SeedFailed, match="is there already"):
        explore(scenario, seeds=50)


@pytest.mark.parametrize("again", ["freeze", "hold"])
@explored(seeds=1)
async def test_a_hold_that_is_over_is_not_noticed_in_a_later_one(again: str) -> None:
    broker = MemoryBroker()
    engine = broker.engine("a")
    await engine.open()
    broker.hold("a")
    await anyio.sleep(1)
    broker.heal("a")
    await anyio.sleep(1)
    getattr(broker, again)("a")
    await anyio.sleep(2.5)
    assert engine.connected
    await anyio.sleep(1)
    assert engine.connected is (again == "freeze")
    await engine.close()
