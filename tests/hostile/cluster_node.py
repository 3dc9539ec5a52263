"""One node of a cluster that is tried, as an OS process, which is killed and stopped.

    python -m hostile.cluster_node PREFIX NODE SEED URL …

prints each note as JSON; it works until its input has a line, then gives back what it has, and
says when it is back: when it sees all nodes, and no name.
"""

from __future__ import annotations

import json
import os
import sys
import time

import anyio
import anyio.to_thread

from fauxtp.cluster import Cluster, NoConnection, NodeTaken
from hostile.cluster_load import Journal, Load, Note

NAMES = [f"name:{number}" for number in range(4)]
NODES = [*"abcde"]
TTL = 5  # seconds


def write(note: Note) -> None:
    """Write at once, so that it is there even if this process is killed by then."""
    os.write(1, json.dumps(note).encode() + b"\n")


async def main(*arguments: str) -> None:
    prefix, node, seed, *urls = arguments
    journal = Journal(time.monotonic, write)
    while True:
        try:
            async with Cluster.join(urls, cluster="tried", node=node, ttl=TTL) as cluster:
                await work(cluster, Load(cluster, journal, NAMES, prefix, int(seed), 0.5))
                return
        except (NoConnection, NodeTaken, TimeoutError):
            await anyio.sleep(0.2)  # it was killed a moment ago, or there is no server now


async def work(cluster: Cluster, load: Load) -> None:
    """Work until there is a line, then wait until all is back, and for one more line."""
    async with anyio.create_task_group() as group:
        group.start_soon(load.run)
        await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
        load.stop()
    while not (cluster.nodes() == NODES and not len(cluster._names) and cluster._node.may_act()):
        await anyio.sleep(0.1)
    load.journal.note("back", cluster.node, "")
    await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
