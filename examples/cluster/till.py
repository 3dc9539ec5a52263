"""A node that has a till: python examples/cluster/till.py nats://127.0.0.1:4222 shop

It needs `pip install fauxtp[cluster]` and a NATS server, as `nats-server --jetstream` starts one.
Beside it runs shop.py, with the same arguments. It ends with its till.
"""

from __future__ import annotations

import sys

import anyio

from fauxtp import Call, GenServer
from fauxtp.cluster import Cluster


class Till(GenServer):
    async def init(self) -> int:
        return 0

    async def handle_call(self, request: tuple[str, int], from_: Call, total: int) -> object:
        match request:
            case ("charge", cents):
                return total + cents, total + cents
        raise ValueError(f"expected a charge, got {request!r}")


async def main(server: str, name: str) -> None:
    async with (
        Cluster.join(server, cluster=name, node="till") as cluster,
        anyio.create_task_group() as task_group,
    ):
        await Till.start(task_group=task_group, register_as=cluster.name("billing"))
        print("the till is open", flush=True)
    print("the till is closed")


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
