"""What the heartbeats of a cluster's nodes come to, in simulated time: how many writes and news.

    python -m bench.cluster_beats [NODES]

The nodes, 100 unless it is said otherwise, are in this process, on a broker in memory. For two
minutes nothing happens but that they live. The arithmetic: each writes its key five times within
a time to live, and each of them is told of each write.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from time import process_time
from typing import Any, cast

import anyio
import trio
from trio.testing import MockClock

from fauxtp.cluster import Cluster
from fauxtp.cluster._engines.memory_engine import MemoryEngine
from fauxtp.cluster.cluster import BEATS, USUAL_TTL
from fauxtp.cluster.memory_broker import MemoryBroker

NODES = 100
SECONDS = 120


class Counts:
    """How often engines are asked to write, and are told of a change."""

    def __init__(self) -> None:
        self.writes = self.news = 0


@contextmanager
def counting() -> Iterator[Counts]:
    counts, engine = Counts(), cast(Any, MemoryEngine)
    update, tell = engine.update, engine.tell

    def counted_update(self: Any, *arguments: Any, **options: Any) -> Any:
        counts.writes += 1
        return update(self, *arguments, **options)

    def counted_tell(self: Any, change: Any) -> None:
        counts.news += 1
        tell(self, change)

    engine.update, engine.tell = counted_update, counted_tell
    try:
        yield counts
    finally:
        engine.update, engine.tell = update, tell


def live(nodes: int) -> tuple[Counts, float]:
    """Let so many nodes live; return what came of that, and the seconds of work it took."""
    counts, work = Counts(), 0.0

    async def scenario() -> None:
        nonlocal counts, work
        broker = MemoryBroker("shop")
        async with AsyncExitStack() as stack:
            names = [f"n{number}" for number in range(nodes)]
            joined = [
                await stack.enter_async_context(
                    Cluster.join(broker.engine(name), cluster="shop", node=name)
                )
                for name in names
            ]
            await anyio.sleep(USUAL_TTL)
            incarnations = [one._node.peers.own for one in joined]
            with counting() as counts:
                before = process_time()
                await anyio.sleep(SECONDS)
                work = process_time() - before
            assert [one._node.peers.own for one in joined] == incarnations, "nobody was fenced"
            assert all(one.nodes() == sorted(names) for one in joined)

    trio.run(scenario, clock=MockClock(autojump_threshold=0))
    return counts, work


def main() -> None:
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else NODES
    counts, work = live(nodes)
    writes = nodes * SECONDS * BEATS / USUAL_TTL
    print(f"{nodes} nodes, {SECONDS} s: {counts.writes:,} writes, {counts.news:,} news")
    print(f"by the arithmetic: {writes:,.0f} writes, {writes * nodes:,.0f} news")
    print(f"{work / counts.news * 1e6:.1f} µs of work for each of the news, broker and all")


if __name__ == "__main__":
    main()
