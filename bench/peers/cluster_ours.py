"""fauxtp over NATS, with what is usual: a lease of 15 seconds."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import anyio
import apart
import protocol

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from nats_server import running

from fauxtp import GenServer, call
from fauxtp.cluster import Cluster


class Server(GenServer[Any, Any]):
    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        if request == "never":
            await anyio.sleep_forever()
        return 0, state


async def other(url: str) -> None:
    async with (
        Cluster.join(url, cluster="bench", node="b") as cluster,
        anyio.create_task_group() as group,
    ):
        for name in ("server", "busy"):
            await cluster.register(name, await Server.start(task_group=group))
        print("ready", flush=True)


async def main() -> None:
    with running() as server:
        process = await asyncio.to_thread(apart.start_other, server.url)
        async with Cluster.join(server.url, cluster="bench", node="a") as cluster:
            there = await cluster.wait_registered("server", timeout=30)
            busy = await cluster.wait_registered("busy", timeout=30)
            await apart.measure(
                lambda: call(there, "get", timeout=None),
                lambda: call(busy, "never", timeout=None),
                process,
            )


if __name__ == "__main__":
    if apart.is_other():
        asyncio.run(other(sys.argv[1]))
    else:
        protocol.run(main, "fauxtp")
