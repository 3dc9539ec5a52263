"""Five nodes take names and shards, call and cast while faults come at random; they are judged.

In simulated time over a broker in memory, where planted faults are found; and as OS processes on
three servers, which are killed and stopped: minutes of that by `make torture ONLY=cluster`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
import pytest

pytest.importorskip("ormsgpack")

from fauxtp.cluster import Cluster
from fauxtp.cluster._engines.engine import NoConnection, Superseded
from fauxtp.cluster._messages.calls_out import CallsOut
from fauxtp.cluster._names.names import Names
from fauxtp.cluster._names.sweeper import Sweeper
from fauxtp.cluster._shards.shard_claims import ShardClaims
from fauxtp.cluster._shards.shard_frames import ShardFrames
from fauxtp.cluster._wire.frames import unpacked
from fauxtp.testing import SeedFailed, TestCluster, cluster, explore
from hostile import effort
from hostile.cluster_judge import judge
from hostile.cluster_load import PREFIX, Journal, Load, Note

NODES = "abcde"
NAMES = [f"name:{number}" for number in range(4)]
TTL = 5  # seconds, as those below, simulated
SEASON = 40.0
USUAL, SLOW = (0.001, 0.01), (1.0, 1.9)  # how long a message takes
KINDS = ["cut", "hold", "freeze", "stutter", "slow", "slow", "lose answers", "lose leader"]
TO_BE_BACK = 60.0
SOON = 0.1
PAUSE = 0.5  # seconds, at most, between two calls of a caller
LATE = 0.6  # seconds: what takes time here are turns of tasks that are late
counts: Counter[str] = Counter()


async def faults(shop: TestCluster, journal: Journal, chance: random.Random) -> None:
    """Do something to some node, again and again, until it is enough."""
    until = anyio.current_time() + SEASON
    while anyio.current_time() < until:
        await anyio.sleep(chance.uniform(0.5, TTL))
        node = chance.choice(NODES)
        kind = chance.choice(KINDS)
        counts[kind] += 1
        journal.note("fault", node, kind)
        match kind:
            case "stutter":  # what waited arrives late, then nothing does
                shop.freeze(node)
                await anyio.sleep(chance.uniform(0.2, 0.8) * TTL)
                shop.heal(node)
                await anyio.sleep(0.05)
                shop.cut(node)
                await anyio.sleep(chance.uniform(1, 2) * TTL)
            case "slow":  # what is answered then is old when it arrives
                shop.broker.delay = SLOW
                await anyio.sleep(chance.uniform(1, 2) * TTL)
                shop.broker.delay = USUAL
                shop.cut(node)
                await anyio.sleep(chance.uniform(1, 2) * TTL)
            case "lose answers":
                shop.lose_answers(node, chance.randrange(1, 4))
            case "lose leader":
                shop.lose_leader()
                await anyio.sleep(chance.uniform(0.1, 1) * TTL)
                shop.elect_leader()
            case _:
                getattr(shop, kind)(node)
                await anyio.sleep(chance.uniform(0.1, 2) * TTL)
        shop.heal(node)
        journal.note("healed", node, kind)


async def season() -> None:
    """Let five nodes work while there are faults, then see them back, and judge what they note."""
    chance = random.Random(random.getrandbits(32))
    notes: list[Note] = []
    journal = Journal(anyio.current_time, notes.append)
    shop = cluster(*NODES, ttl=TTL, timeout=4.0, delay=USUAL)
    async with shop as nodes:
        loads = [
            Load(one, journal, NAMES, one.node, chance.getrandbits(32), PAUSE) for one in nodes
        ]
        async with anyio.create_task_group() as group:
            for load in loads:
                group.start_soon(load.run)
            await faults(shop, journal, chance)
            for load in loads:
                load.stop()
        for node in NODES:
            shop.broker.lose_no_more(node)
        slow = await is_too_slow()
        counts["machines that are too slow"] += slow
        away = await who_is_away(nodes)
        assert not away or await is_too_slow(), f"not all is back: {away}"
    found = judge(notes, window=SOON, late=None if slow else LATE)
    counts.update(found.counts)
    assert not found.faults, found.faults[0][:500]


async def who_is_away(nodes: tuple[Cluster, ...]) -> list[Any]:
    """Wait until all are back; return who is not, in the end, and what it sees."""
    with anyio.move_on_after(TO_BE_BACK):
        while not all(map(is_back, nodes)):
            await anyio.sleep(0.5)
    return [
        (one.node, one.nodes(), list(one._names.holders.names()))
        for one in nodes
        if not is_back(one)
    ]


async def is_too_slow() -> bool:
    """Return whether the simulated machine is, so that nobody on it can keep a lease.

    A step may take a millisecond there, and steps without a pause take longer and longer.
    """
    before = anyio.current_time()
    for _ in range(10):
        await anyio.sleep(0.1)
    return anyio.current_time() - before > 2


def has_shards(one: Cluster) -> bool:
    """Return whether a node has a shard, or knows of one that somebody has."""
    kind = one._sharding._post.kinds[PREFIX]
    table = one._sharding._claims._table
    owners = [table.owner(PREFIX, shard) for shard in kind.shards]
    return bool(kind.had or kind.yields or kind.hosts.nodes or any(owners))


def is_back(one: Cluster) -> bool:
    """Return whether a node sees all, and no name or shard that nobody has any more."""
    is_there = one._node.may_act() and one.nodes() == [*NODES]
    return is_there and not len(one._names) and not has_shards(one)


def test_whatever_happens_to_nodes_their_names_and_calls_are_as_promised() -> None:
    seeds = effort.times(1, 200)
    explore(season, seeds=range(effort.SEED, effort.SEED + seeds))
    for what in ("got", "refused", "handled", "answered", "not done", "given up"):
        assert counts[what] > 0, what
    told = ", ".join(f"{count:,} {what}" for what, count in counts.most_common())
    effort.report(f"cluster, in simulated time: {seeds} seasons of {SEASON:g} s: {told}")


@pytest.mark.parametrize(
    ("answered", "answer", "is_fault"),
    [(0.03, "refused", True), (9.0, "refused", False), (9.0, "got", False)],
)
def test_who_is_answered_late_may_have_had_the_name_before_another(
    answered: float, answer: str, is_fault: bool
) -> None:
    """The answer to its write is lost, its node is fenced, and then another gets the name."""
    notes = [
        Note(0.0, "tries", "c", "c-1", "name:0"),
        Note(1.0, "tries", "b", "b-1", "name:0"),
        Note(1.03, "refused", "b", "b-1", "name:0"),
        Note(5.0, "tries", "d", "d-1", "name:0"),
        Note(5.03, "got", "d", "d-1", "name:0"),
        Note(8.0 if answer == "got" else 10.0, "ends", "d", "d-1", "name:0"),
        Note(answered, answer, "c", "c-1", "name:0"),
    ]
    found = judge(sorted(notes), window=SOON, late=LATE)
    assert bool(found.faults) == is_fault


# What is planted


async def sweep_without_revision(self: Any, limiter: Any, key: str, _: int) -> None:
    try:
        if self._node.may_act():
            await anyio.sleep(0.3)
            entry = await self._node.engine.read(key)
            if entry is not None:
                await self._node.engine.delete(key, entry.revision)
    except (NoConnection, Superseded, TimeoutError):
        pass
    finally:
        limiter.release_on_behalf_of(key)


def nothing(*_: Any) -> None:
    """Do nothing."""


async def nobody_ends(self: Any, place: Any) -> None:
    kind, shard = place
    if kind.hosts.wanted(shard) == self._node.name and shard in kind.had:
        return
    self._busy.add(place)
    kind.yields.add(shard)
    kind.had.discard(shard)
    await self._release(place)  # `_give` itself asks first whether anybody runs there


def moves_late(self: Any, peer: Any, hops: int, first: int, second: int, content: bytes) -> None:
    heard_by_key(self, peer, hops, first, second, content)
    what, parts = unpacked(content[first + second :])
    if what == "call":
        self._post.try_to_send(peer, ("answer", parts[1], "moved", False, b""))


heard_by_key = ShardFrames._keyed
PLANTED: dict[str, tuple[type, str, Callable[..., Any], str]] = {
    "a sweep without revision": (
        Sweeper,
        "_sweep_one",
        sweep_without_revision,
        "name:|not all is back",
    ),
    "a replica that is not swapped": (Names, "_told_all", nothing, "not all is back|name:"),
    "a cancel that is lost": (CallsOut, "give_up", nothing, "given up at"),
    "a shard that is given back too early": (ShardClaims, "_give", nobody_ends, "session:"),
    "shards that are kept without a lease": (ShardClaims, "_fenced", nothing, "session:"),
    "a call that moves when it was taken up": (ShardFrames, "_keyed", moves_late, "handled"),
}


@pytest.mark.once
@pytest.mark.skipif(not effort.MINUTES, reason="in torture only: it takes a minute for each")
@pytest.mark.parametrize("fault", PLANTED)
def test_a_fault_that_is_planted_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, method, does, words = PLANTED[fault]
    monkeypatch.setattr(owner, method, does)
    with pytest.raises(SeedFailed, match=words):
        explore(season, seeds=range(100))
