"""Ray: a node beside the first one on this machine, and an actor that is on it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import apart
import protocol
import ray
from ray.cluster_utils import Cluster


@ray.remote(num_cpus=0, resources={"there": 1})
class Server:
    async def get(self) -> int:
        return 0

    async def never(self) -> None:
        await asyncio.sleep(3_600)


class Other:
    """The node that is killed."""

    def __init__(self, cluster: Any, node: Any) -> None:
        self._cluster, self._node = cluster, node

    def kill(self) -> None:
        self._cluster.remove_node(self._node, allow_graceful=False)


async def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    node = cluster.add_node(num_cpus=1, resources={"there": 2})
    ray.init(address=cluster.address, logging_level=logging.ERROR)
    actors: Any = Server
    server, busy = actors.remote(), actors.remote()
    await apart.measure(server.get.remote, busy.never.remote, Other(cluster, node))


if __name__ == "__main__":
    protocol.run(main, "ray")
