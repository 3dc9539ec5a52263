"""casty: two nodes, where it says itself which has an actor: one is taken that the other has."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass

import apart
import protocol
from casty import ActorSystem, Askable, Cluster, Context, actor


@dataclass(frozen=True)
class Get(Askable[int]):
    pass


@dataclass(frozen=True)
class Never(Askable[int]):
    pass


@actor(initial=0)
async def server(context: Context[int, Get | Never]) -> None:
    async for message in context.inbox:
        match message:
            case Get():
                message.reply_to.tell(os.getpid())
            case Never():
                await asyncio.sleep(3_600)


def cluster(port: int, seed: int) -> Cluster:
    at = f"127.0.0.1:{port}"
    return Cluster(bind=at, advertise=at, seeds=(f"127.0.0.1:{seed}",))


async def other(port: int, seed: int) -> None:
    async with ActorSystem(cluster=cluster(port, seed)):
        print("ready", flush=True)
        await asyncio.sleep(3_600)


async def main() -> None:
    here, there = apart.free_port(), apart.free_port()
    async with ActorSystem(cluster=cluster(here, here)) as system:
        process = await asyncio.to_thread(apart.start_other, there, here)
        elsewhere: list[str] = []
        number = 0
        while len(elsewhere) < 2:
            number += 1
            name = f"key:{number}"
            if await system.ref(server, name).ask(Get()) == process.pid:
                elsewhere.append(name)
            await asyncio.sleep(0.01)
        target, busy = (system.ref(server, name) for name in elsewhere)
        await apart.measure(lambda: target.ask(Get()), lambda: busy.ask(Never()), process)
        os._exit(0)


if __name__ == "__main__":
    if apart.is_other():
        asyncio.run(other(int(sys.argv[1]), int(sys.argv[2])))
    else:
        protocol.run(main, "casty")
