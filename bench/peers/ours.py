"""fauxtp as it is in this directory."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import anyio
import protocol
from anyio.abc import TaskGroup

from fauxtp import PID, GenServer, call, cast, exit, wait_exit, whereis


class Server(GenServer[Any, int]):
    def __init__(self, behind: PID | None = None) -> None:
        self.behind = behind

    async def init(self) -> int:
        return 0

    async def handle_call(self, request: Any, from_: Any, state: int) -> tuple[int, int]:
        if request == "suspend":
            await asyncio.sleep(0)
        elif request == "pass on" and self.behind is not None:
            return await call(self.behind, None), state
        return state, state

    async def handle_cast(self, request: Any, state: int) -> int:
        return state


async def casts(server: PID, count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        await cast(server, None)
    await call(server, None)
    return (time.perf_counter() - started) / count


async def start_and_stop(task_group: TaskGroup) -> None:
    pid = await Server.start(task_group=task_group)
    exit(pid)
    await wait_exit(pid)


async def memory(task_group: TaskGroup, count: int) -> float:
    before = protocol.resident()
    for number in range(count):
        await Server.start(task_group=task_group, register_as=f"idle:{number}")
    await asyncio.sleep(0)
    return (protocol.resident() - before) / count


async def look_up(count: int) -> float:
    return protocol.look_ups(count, whereis)


async def main() -> None:
    async with anyio.create_task_group() as task_group:
        for name in protocol.NAMES:
            await Server.start(task_group=task_group, register_as=name)
        last = await Server.start(task_group=task_group)
        server = await Server.start(last, task_group=task_group)
        await protocol.answer(
            {
                "look-up": look_up,
                **protocol.calls(
                    partial(call, server, None),
                    partial(call, server, "pass on"),
                    partial(call, server, "suspend"),
                ),
                "cast": partial(casts, server),
                "start + stop": lambda count: protocol.one_by_one(
                    count, partial(start_and_stop, task_group)
                ),
                "memory": partial(memory, task_group),
            }
        )


if __name__ == "__main__":
    protocol.run(main, "fauxtp")
