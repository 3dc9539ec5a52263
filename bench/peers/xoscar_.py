"""xoscar, within one process: there a reference from `actor_ref` is local, and a call through it
takes the lock of the actor and calls the method. Between processes it would be a message.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import protocol
import xoscar as xo

ADDRESS = "127.0.0.1:0"


class Server(xo.Actor):
    behind: Any = None

    async def put_before(self, address: str, uid: str) -> None:
        self.behind = await xo.actor_ref(address=address, uid=uid)

    async def get(self) -> int:
        return 0

    async def pass_on(self) -> Any:
        return await self.behind.get()

    async def suspend(self) -> int:
        await asyncio.sleep(0)
        return 0


async def casts(server: Any, count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        await server.get.tell()
    await server.get()
    return (time.perf_counter() - started) / count


async def start_and_stop(address: str) -> None:
    await xo.destroy_actor(await xo.create_actor(Server, address=address))


async def memory(address: str, count: int) -> float:
    before = protocol.resident()
    for number in range(count):
        await xo.create_actor(Server, address=address, uid=f"idle:{number}")
    return (protocol.resident() - before) / count


async def main() -> None:
    pool = await xo.create_actor_pool(ADDRESS, n_process=0)
    address = pool.external_address
    for name in protocol.NAMES:
        await xo.create_actor(Server, address=address, uid=name)
    await xo.create_actor(Server, address=address, uid="server")
    server = await xo.actor_ref(address=address, uid="server")
    await server.put_before(address, protocol.NAMES[0])
    await protocol.answer(
        {
            "look-up": lambda count: protocol.asynchronous_look_ups(
                count, lambda name: xo.actor_ref(address=address, uid=name)
            ),
            **protocol.calls(server.get, server.pass_on, server.suspend),
            "cast": partial(casts, server),
            "start + stop": lambda count: protocol.one_by_one(
                count, partial(start_and_stop, address)
            ),
            "memory": partial(memory, address),
        }
    )


if __name__ == "__main__":
    protocol.run(main, "xoscar")
