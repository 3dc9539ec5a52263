"""What very many names of a cluster cost a node that comes: time, memory, and taking one more.

    python -m bench.cluster_names [COUNT]

It starts a NATS server of its own, and writes COUNT names, 50,000 unless it is said otherwise,
which another node has. Then another node joins, in a process of its own. At last a node takes
as many names itself, in another cluster, and what is done with each heartbeat is measured.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import subprocess
import sys
import tracemalloc
from pathlib import Path
from time import perf_counter, process_time

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from nats.aio.client import Client
from nats_server import running

from fauxtp import Mailbox
from fauxtp._base.tell_all import tell_all
from fauxtp.cluster import Cluster
from fauxtp.cluster._engines.subjects import Subjects
from fauxtp.cluster._keys.name_keys import Holding, key_of
from fauxtp.cluster._names.holders import Holders
from fauxtp.cluster._nodes.peers import Membership

COUNT = 50_000
AT_ONCE = 5_000  # names that are written before the node has to have seen them
REGISTERED = 1_000
IN_FLIGHT = 64
ROUNDS = 3
BEATS = 20
TTL = 60  # seconds: writing so many names keeps this node busy
SUBJECTS = Subjects("names")


async def fill(url: str, a: Cluster, count: int) -> None:
    """Write so many names, by the shortest way there is, as fast as the node hears of them.

    Who has them is a node by its key alone.
    """
    client, there = Client(), len(a._names)
    await client.connect(url)
    await client.publish(f"{SUBJECTS.keys}node.c", Membership(4711, False).packed())
    for first in range(0, count, AT_ONCE):
        last = min(first + AT_ONCE, count)
        for number in range(first, last):
            await client.publish(
                f"{SUBJECTS.keys}{key_of(f'user:{number}')}", Holding("c", 4711, number).packed()
            )
        await client.flush(timeout=60)
        while len(a._names) < there + last:
            await asyncio.sleep(0.001)
    await client.close()


async def register(
    cluster: Cluster, mailbox: Mailbox, prefix: str, count: int = REGISTERED
) -> float:
    """Return how many names a second are taken."""
    numbers = iter(range(count))

    async def some() -> None:
        for number in numbers:
            await cluster.register(f"{prefix}:{number}", mailbox.pid)

    start = perf_counter()
    await asyncio.gather(*(some() for _ in range(IN_FLIGHT)))
    return count / (perf_counter() - start)


async def come(url: str, count: int, measure: str) -> None:
    """Join as a node that comes, and print what that takes for each name."""
    if measure == "memory":
        tracemalloc.start()
    start, worked = perf_counter(), process_time()
    async with Cluster.join(url, cluster="names", node="b", ttl=TTL) as cluster:
        took, worked = perf_counter() - start, process_time() - worked
        assert len(cluster._names) == count, len(cluster._names)
        if measure == "memory":
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            cluster._names.holders = Holders()
            gc.collect()
            print((before - tracemalloc.get_traced_memory()[0]) / count)
        else:
            print((took if measure == "time" else worked) / count)


def measured(url: str, count: int, measure: str) -> float:
    """Return what a new node prints, in a process of its own."""
    command = [sys.executable, "-m", "bench.cluster_names", str(count), url, measure]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


async def compare(url: str, count: int) -> None:
    mailbox = Mailbox()
    async with Cluster.join(url, cluster="names", node="a", ttl=TTL) as a:
        before = [await register(a, mailbox, f"before:{turn}") for turn in range(ROUNDS)]
        there = ROUNDS * REGISTERED
        start = perf_counter()
        await fill(url, a, count)
        took = perf_counter() - start
        print(f"{count:,} names: written and seen by another node, {count / took:,.0f} a second")
        there += count
        for measure in ("time", "work"):
            each = [await asyncio.to_thread(measured, url, there, measure) for _ in range(ROUNDS)]
            of = {"time": "a second", "work": "a second of its own work"}[measure]
            print(f"read by a node that comes: {1 / statistics.median(each):,.0f} {of}")
        memory = await asyncio.to_thread(measured, url, there, "memory")
        print(f"each takes {memory:.0f} bytes there")
        after = [await register(a, mailbox, f"after:{turn}") for turn in range(ROUNDS)]
        print(
            f"taken, {IN_FLIGHT} at a time: {statistics.median(before):,.0f} a second before"
            f" these, {statistics.median(after):,.0f} after:"
            f" {statistics.median(after) / statistics.median(before):.2f} times as many"
        )


async def rest(url: str, count: int) -> None:
    """Print what a heartbeat takes of a node that has so many names, beside its write."""
    mailbox = Mailbox()
    async with Cluster.join(url, cluster="rest", node="a", ttl=TTL) as a:
        await register(a, mailbox, "own", count)
        tell_all(a._node.on_beat)
        times = []
        for _ in range(BEATS):
            start = process_time()
            tell_all(a._node.on_beat)
            times.append(process_time() - start)
        took = statistics.median(times) * 1e3
        print(f"a heartbeat of a node that has {count:,} names: {took:.3f} ms of its time")
        mailbox.close()
        a._claims._owned.clear()  # or it would give back each of them


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else COUNT
    if len(sys.argv) > 2:
        asyncio.run(come(sys.argv[2], count, sys.argv[3]))
        return
    with running() as server:
        asyncio.run(compare(server.url, count))
        asyncio.run(rest(server.url, count))


if __name__ == "__main__":
    main()
