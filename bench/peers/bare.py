"""The least that asyncio can do: tasks fed by deques, answering through futures; a dict of names.

No errors, no timeouts, no deaths: nobody who serves callers in tasks can do with less.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from functools import partial
from typing import Any

import protocol


class Bare:
    """One task that serves requests in order."""

    def __init__(self, behind: Bare | None = None) -> None:
        self.behind = behind
        self.requests: deque[tuple[Any, asyncio.Future[Any] | None]] = deque()
        self.idle: asyncio.Future[None] | None = None

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while self.requests:
                request, answer = self.requests.popleft()
                result = 0
                if request == "suspend":
                    await asyncio.sleep(0)
                elif request == "pass on" and self.behind is not None:
                    result = await self.behind.call(None)
                if answer is not None and not answer.done():
                    answer.set_result(result)
            self.idle = loop.create_future()
            await self.idle

    def cast(self, request: Any, answer: asyncio.Future[Any] | None = None) -> None:
        self.requests.append((request, answer))
        if self.idle is not None and not self.idle.done():
            self.idle.set_result(None)

    async def call(self, request: Any) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.cast(request, answer)
        return await answer


async def casts(server: Bare, count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        server.cast(None)
    await server.call(None)
    return (time.perf_counter() - started) / count


async def start_and_stop() -> None:
    task = asyncio.create_task(Bare().serve())
    await asyncio.sleep(0)  # it has begun
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass


async def memory(count: int) -> float:
    before = protocol.resident()
    names = {f"idle:{number}": Bare() for number in range(count)}
    tasks = [asyncio.create_task(server.serve()) for server in names.values()]
    await asyncio.sleep(0)
    growth = (protocol.resident() - before) / count
    assert len(names) == len(tasks)
    return growth


async def main() -> None:
    names = {name: Bare() for name in protocol.NAMES}
    server = Bare(behind=names[protocol.NAMES[0]])
    tasks = [asyncio.create_task(each.serve()) for each in [server, *names.values()]]
    assert tasks  # to keep them alive

    async def look_up(count: int) -> float:
        return protocol.look_ups(count, names.get)

    await protocol.answer(
        {
            "look-up": look_up,
            **protocol.calls(
                partial(server.call, None),
                partial(server.call, "pass on"),
                partial(server.call, "suspend"),
            ),
            "cast": partial(casts, server),
            "start + stop": lambda count: protocol.one_by_one(count, start_and_stop),
            "memory": memory,
        }
    )


if __name__ == "__main__":
    protocol.run(main, None)
