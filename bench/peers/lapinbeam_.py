"""lapinbeam, within one node. It stops all actors of a supervisor, and has no other way."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import protocol
from lapinbeam import Node, Supervisor, actor, current_message, register_name, whereis_name


class Server:
    """An actor: `actor` gives it a name, which must be another one for each."""

    def __init__(self, behind: Any = None) -> None:
        self.behind = behind

    async def receive(self, message: Any) -> None:
        result = 0
        if message == "suspend":
            await asyncio.sleep(0)
        elif message == "pass on":
            result = await self.behind.ask(None)
        meta = current_message()
        if meta.reply_to is not None:
            await meta.reply(result)


def spawn(supervisor: Supervisor, name: str, *arguments: Any) -> Any:
    return supervisor.spawn(actor(name=name)(Server), *arguments)


async def casts(server: Any, count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        await server.send(None)
    await server.ask(None, timeout=60)
    return (time.perf_counter() - started) / count


async def start_and_stop(node: Node) -> None:
    supervisor = Supervisor(node=node)
    spawn(supervisor, "short-lived")
    await asyncio.sleep(0)  # it has begun: spawn does not wait for that
    await supervisor.shutdown()


async def memory(node: Node, supervisor: Supervisor, count: int) -> float:
    before = protocol.resident()
    for number in range(count):
        name = f"idle:{number}"
        await register_name(node, name, spawn(supervisor, name))
        if number % 100 == 0:
            await asyncio.sleep(0)
    return (protocol.resident() - before) / count


async def main() -> None:
    node = Node("bench@127.0.0.1:0")
    await node.start()
    supervisor = Supervisor(node=node)
    for name in protocol.NAMES:
        await register_name(node, name, spawn(supervisor, name))
    last = spawn(supervisor, "last")
    server = spawn(supervisor, "server", last)

    async def look_up(count: int) -> float:
        return protocol.look_ups(count, partial(whereis_name, node))

    await protocol.answer(
        {
            "look-up": look_up,
            **protocol.calls(
                partial(server.ask, None),
                partial(server.ask, "pass on"),
                partial(server.ask, "suspend"),
            ),
            "cast": partial(casts, server),
            "start + stop": lambda count: protocol.one_by_one(
                count, partial(start_and_stop, node)
            ),
            "memory": partial(memory, node, supervisor),
        }
    )


if __name__ == "__main__":
    protocol.run(main, "lapinbeam")
