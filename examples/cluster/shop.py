"""A node that charges, and closes the till in the end: see till.py, which runs beside it."""

from __future__ import annotations

import sys

import anyio

from fauxtp import call, exit, wait_exit
from fauxtp.cluster import Cluster


async def main(server: str, name: str) -> None:
    async with Cluster.join(server, cluster=name, node="shop") as cluster:
        billing = await cluster.wait_registered("billing", timeout=30)
        print("the sum is", await call(billing, ("charge", 42)))
        print("the sum is", await call(cluster.name("billing"), ("charge", 8)))
        print("nodes:", cluster.nodes())
        exit(billing, "it is late")
        await wait_exit(billing)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
