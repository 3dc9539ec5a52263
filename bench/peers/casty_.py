"""casty, within one process. Its actors are virtual: a reference is made without a look-up, and
an actor starts with the first message to it. It copies every message.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import count as counter

import protocol
from casty import ActorSystem, Askable, Context, actor


@dataclass(frozen=True)
class Put:
    pass


@dataclass(frozen=True)
class Get(Askable[int]):
    pass


@dataclass(frozen=True)
class PassOn(Askable[int]):
    pass


@dataclass(frozen=True)
class Suspend(Askable[int]):
    pass


@actor(initial=0)
async def server(context: Context[int, Put | Get | PassOn | Suspend]) -> None:
    async for message in context.inbox:
        match message:
            case Get():
                message.reply_to.tell(context.state.value)
            case PassOn():
                message.reply_to.tell(await context.system.ref(server, "last").ask(Get()))
            case Suspend():
                await asyncio.sleep(0)
                message.reply_to.tell(context.state.value)


async def casts(system: ActorSystem, count: int) -> float:
    target = system.ref(server, "server")
    started = time.perf_counter()
    for _ in range(count):
        target.tell(Put())
    await target.ask(Get())
    return (time.perf_counter() - started) / count


async def memory(system: ActorSystem, count: int) -> float:
    before = protocol.resident()
    for number in range(count):
        await system.ref(server, f"idle:{number}").ask(Get())
    return (protocol.resident() - before) / count


async def main() -> None:
    async with ActorSystem(idle_after=timedelta(hours=1)) as system:
        for name in protocol.NAMES:
            await system.ref(server, name).ask(Get())
        target = system.ref(server, "server")
        numbers = counter()

        async def look_up(count: int) -> float:
            return protocol.look_ups(count, partial(system.ref, server))

        async def start_and_stop() -> None:
            key = f"short-lived:{next(numbers)}"
            await system.ref(server, key).ask(Get())
            await system.release(server, key)

        await protocol.answer(
            {
                "look-up": look_up,
                **protocol.calls(
                    lambda: target.ask(Get()),
                    lambda: target.ask(PassOn()),
                    lambda: target.ask(Suspend()),
                ),
                "cast": partial(casts, system),
                "start + stop": lambda count: protocol.one_by_one(count, start_and_stop),
                "memory": partial(memory, system),
            }
        )


if __name__ == "__main__":
    protocol.run(main, "casty")
