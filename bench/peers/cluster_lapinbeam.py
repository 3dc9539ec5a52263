"""lapinbeam: two nodes, one of which has connected to the other."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import apart
import protocol
from lapinbeam import Node, Supervisor, actor, current_message


class Server:
    async def receive(self, message: Any) -> None:
        if message == "never":
            await asyncio.sleep(3_600)
        await current_message().reply(0)


async def other(name: str) -> None:
    node = Node(name)
    await node.start()
    supervisor = Supervisor(node=node)
    for each in ("server", "busy"):
        supervisor.spawn(actor(name=each)(type("Server", (Server,), {})))
    print("ready", flush=True)
    await asyncio.sleep(3_600)


async def main() -> None:
    there = f"b@127.0.0.1:{apart.free_port()}"
    process = await asyncio.to_thread(apart.start_other, there)
    node = Node(f"a@127.0.0.1:{apart.free_port()}")
    await node.start()
    await node.connect_peer(there)
    server = node.get_remote_actor(there, "server")
    busy = node.get_remote_actor(there, "busy")
    await apart.measure(
        lambda: server.ask("get", timeout=None), lambda: busy.ask("never", timeout=None), process
    )
    await node.stop()


if __name__ == "__main__":
    if apart.is_other():
        asyncio.run(other(sys.argv[1]))
    else:
        protocol.run(main, "lapinbeam")
