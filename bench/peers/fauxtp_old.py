"""fauxtp as it was: 0.2.0, with a table of names, and 0.3.1, where a server keeps the names."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import protocol
from anyio.abc import TaskGroup

fauxtp: Any = importlib.import_module("fauxtp")  # its types are not those of today
call: Callable[..., Awaitable[Any]] = fauxtp.call
HAS_TABLE = hasattr(fauxtp, "whereis")


class Server(fauxtp.GenServer):
    def __init__(self, behind: Any = None) -> None:
        super().__init__()
        self.behind = behind

    async def init(self) -> int:
        return 0

    async def handle_call(self, request: Any, from_: Any, state: int) -> tuple[int, int]:
        if request == "suspend":
            await asyncio.sleep(0)
        elif request == "pass on":
            return await call(self.behind, None), state
        return state, state

    async def handle_cast(self, request: Any, state: int) -> int:
        return state


class Idle(fauxtp.Actor):
    async def run(self, state: Any) -> Any:
        await self.receive((int, lambda number: number))


class Names:
    """The names, in the way of either version."""

    def __init__(self, server: Any) -> None:
        self.server = server

    async def register(self, name: str, pid: Any) -> None:
        if HAS_TABLE:
            fauxtp.register(name, pid)
        else:
            await fauxtp.cast(self.server, ("register", name, pid))

    async def look_up(self, count: int) -> float:
        if HAS_TABLE:
            return protocol.look_ups(count, fauxtp.whereis)
        return await protocol.asynchronous_look_ups(
            count, lambda name: call(self.server, ("get", name))
        )


async def casts(server: Any, count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        await fauxtp.cast(server, None)
    await call(server, None, timeout=60)
    return (time.perf_counter() - started) / count


async def start_and_stop(task_group: TaskGroup) -> None:
    ended = anyio.Event()

    async def on_exit(pid: Any, reason: str) -> None:
        ended.set()

    handle = await Idle.start_link(task_group=task_group, on_exit=on_exit)
    await asyncio.sleep(0)  # it has begun: start_link does not wait for that
    handle.cancel_scope.cancel()
    await ended.wait()


async def memory(task_group: TaskGroup, names: Names, count: int) -> float:
    before = protocol.resident()
    for number in range(count):
        await names.register(f"idle:{number}", await Idle.start(task_group=task_group))
        if number % 100 == 0:
            await asyncio.sleep(0)
    await call(names.server, ("get", protocol.NAMES[0]), timeout=60)
    return (protocol.resident() - before) / count


async def main() -> None:
    async with anyio.create_task_group() as task_group:
        registry = Server if HAS_TABLE else fauxtp.Registry
        names = Names(await registry.start(task_group=task_group))
        for name in protocol.NAMES:
            await names.register(name, await Idle.start(task_group=task_group))
        last = await Server.start(task_group=task_group)
        server = await Server.start(last, task_group=task_group)
        await protocol.answer(
            {
                "look-up": names.look_up,
                **protocol.calls(
                    partial(call, server, None),
                    partial(call, server, "pass on"),
                    partial(call, server, "suspend"),
                ),
                "cast": partial(casts, server),
                "start + stop": lambda count: protocol.one_by_one(
                    count, partial(start_and_stop, task_group)
                ),
                "memory": partial(memory, task_group, names),
            }
        )


if __name__ == "__main__":
    protocol.run(main, "fauxtp")
