"""What the runtime costs: calls, casts, starting and ending, memory, beside bare asyncio.

    python -m bench.runtime [uvloop]

Everything is measured in turns in one run, and the medians are printed with the bars that
the project sets itself.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
import tracemalloc
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup

from bench.figures import Figure, median_ratio, show
from fauxtp import (
    PID,
    Actor,
    GenServer,
    Reply,
    StateMachine,
    Transition,
    call,
    cast,
    exit,
    wait_exit,
)

ROUNDS = 9
CALLS = 3_000
CASTS = 10_000
STARTS = 500
IDLE = 10_000


def what_comes() -> asyncio.Future[None]:
    """Return a future whose result comes with the next turn of the event loop."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.call_soon(future.set_result, None)
    return future


class Server(GenServer[Any, int]):
    """Answers at once, or after one trip through the event loop, or after a wait."""

    async def init(self) -> int:
        return 0

    async def handle_call(self, request: Any, from_: Any, state: int) -> tuple[int, int]:
        if request == "suspend":
            await asyncio.sleep(0)
        elif request == "wait":
            await what_comes()
        return state, state

    async def handle_cast(self, request: Any, state: int) -> int:
        return state + 1


class Machine(StateMachine[str, int]):
    """Answers at once, in whichever state."""

    async def init(self) -> Transition[str, int]:
        return "on", 0

    async def in_on(self, event: Any, data: int) -> Transition[str, int]:
        return "on", data, Reply(event, data)


class IdleServer(GenServer[Any, Any]):
    """Waits for a message that does not come."""


class IdleActor(Actor):
    """Does so by receiving."""

    async def run(self, state: Any) -> Any:
        await self.receive((int, lambda number: number))


HOW = {"gives way": "suspend", "waits": "wait"}
"""How a handler suspends: for a turn of the event loop, or until something comes."""

ENDS: dict[str, type[Actor]] = {
    "start and end of a server": IdleServer,
    "start and end of an actor that receives": IdleActor,
}


class Bare:
    """A server task without fauxtp: fed by a deque, it answers through a future."""

    def __init__(self) -> None:
        self.requests: deque[tuple[Any, asyncio.Future[int]]] = deque()
        self.idle: asyncio.Future[None] | None = None

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while self.requests:
                request, answer = self.requests.popleft()
                if request == "suspend":
                    await asyncio.sleep(0)
                elif request == "wait":
                    await what_comes()
                if not answer.done():
                    answer.set_result(0)
            self.idle = loop.create_future()
            await self.idle

    async def call(self, request: Any) -> int:
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.requests.append((request, answer))
        if self.idle is not None and not self.idle.done():
            self.idle.set_result(None)
        return await answer


async def timed(times: int, work: Callable[[], Awaitable[object]]) -> float:
    """Return the microseconds that `work` takes, on average of `times`."""
    started = time.perf_counter()
    for _ in range(times):
        await work()
    return (time.perf_counter() - started) / times * 1e6


async def start_and_end(kind: type[Actor], task_group: TaskGroup) -> None:
    pid = await kind.start(task_group=task_group)
    if kind is IdleActor:
        await asyncio.sleep(0)  # until it receives
    exit(pid)
    await wait_exit(pid)


async def cast_and_drain(server: PID) -> float:
    """Return the microseconds of a cast, its handling included."""
    started = time.perf_counter()
    for _ in range(CASTS):
        await cast(server, None)
    sent = time.perf_counter() - started
    await call(server, None)
    return sent / CASTS * 1e6


async def memory_of_one(kind: type[Actor], task_group: TaskGroup) -> float:
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    pids = [
        await kind.start(task_group=task_group, register_as=f"idle:{number}")
        for number in range(IDLE)
    ]
    await anyio.sleep(0.01)
    gc.collect()
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    for pid in pids:
        exit(pid)
    for pid in pids:
        await wait_exit(pid)
    return used / IDLE


async def measure() -> list[Figure]:
    names = (
        "call",
        "call to a state machine",
        "bare",
        *(f"{who} {how}" for who in ("call", "bare") for how in HOW),
        "cast",
        *ENDS,
    )
    times: dict[str, list[float]] = {name: [] for name in names}
    async with anyio.create_task_group() as task_group:
        bare = Bare()
        task_group.start_soon(bare.serve)
        server = await Server.start(task_group=task_group)
        machine = await Machine.start(task_group=task_group)
        for _ in range(ROUNDS):
            times["call"].append(await timed(CALLS, lambda: call(server, None)))
            work = partial(call, machine, None)
            times["call to a state machine"].append(await timed(CALLS, work))
            times["bare"].append(await timed(CALLS, lambda: bare.call(None)))
            for how, request in HOW.items():
                times[f"call {how}"].append(await timed(CALLS, partial(call, server, request)))
                times[f"bare {how}"].append(await timed(CALLS, partial(bare.call, request)))
            times["cast"].append(await cast_and_drain(server))
            for name, kind in ENDS.items():
                work = partial(start_and_end, kind, task_group)
                times[name].append(await timed(STARTS, work))
        memories = {kind: await memory_of_one(kind, task_group) for kind in ENDS.values()}
        task_group.cancel_scope.cancel()
    middle = {name: statistics.median(values) for name, values in times.items()}

    def against_bare(name: str, base: str, bar: float) -> Figure:
        ratio = median_ratio(times[name], times[base])
        return Figure(
            f"{name}, round trip",
            f"{middle[name]:.2f} µs",
            f"{base}: {middle[base]:.2f} µs",
            ratio,
            f"≤ {bar}",
            ratio <= bar,
        )

    def absolute(name: str, bar: float) -> Figure:
        value = middle[name]
        return Figure(name, f"{value:.2f} µs", "", None, f"≤ {bar} µs", value <= bar)

    def memory(name: str, size: float, bar: int) -> Figure:
        return Figure(name, f"{size:.0f} B", "", None, f"≤ {bar} B", size <= bar)

    return [
        against_bare("call", "bare", 0.2),
        against_bare("call to a state machine", "bare", 1.0),
        *(against_bare(f"call {how}", f"bare {how}", 1.3) for how in HOW),
        absolute("cast", 0.5),
        *(absolute(name, bar) for name, bar in zip(ENDS, (15, 40), strict=True)),
        memory("memory of an idle, named server", memories[IdleServer], 2560),
        memory("memory of a named actor that receives", memories[IdleActor], 4096),
    ]


def main() -> None:
    options = {"use_uvloop": True} if "uvloop" in sys.argv[1:] else {}
    show("the runtime beside bare asyncio", anyio.run(measure, backend_options=options))


if __name__ == "__main__":
    main()
