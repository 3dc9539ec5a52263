"""What a child of a DynamicSupervisor costs, compared to a process that nobody supervises.

    python -m bench.dynamic [n] [rounds]

Each pair is measured in turns, and the medians are compared: the time and the memory of n starts;
50 starts at once of an `init` that takes a millisecond; and the stop of 200 children each of whose
`terminate` takes 20 ms, compared to 20 ms.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter
from typing import Any

import anyio
from anyio.abc import TaskGroup

from fauxtp import (
    PID,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    exit,
    start_child,
    wait_exit,
)

USUAL, ROUNDS = 10_000, 5


class Session(GenServer[Any, Any]):
    """Does nothing."""


class Slow(GenServer[Any, Any]):
    """Takes a millisecond to start, and twenty to end."""

    async def init(self) -> Any:
        await asyncio.sleep(0.001)

    async def terminate(self, reason: str, state: Any) -> None:
        await asyncio.sleep(0.02)


class Pool(DynamicSupervisor):
    """Supervises as many as one likes."""


Start = Callable[[], Awaitable[object]]


async def bare(group: TaskGroup) -> tuple[Start, PID | None]:
    return lambda: Session.start(task_group=group), None


async def supervised(group: TaskGroup) -> tuple[Start, PID | None]:
    chief, spec = await Pool.start(task_group=group), ChildSpec("session", Session)
    return lambda: start_child(chief, spec), chief


async def seconds_and_bytes(
    prepare: Callable[[TaskGroup], Awaitable[tuple[Start, PID | None]]], number: int
) -> tuple[float, float, float]:
    """Return what a start takes, what an end of all takes for each, and the memory of each."""
    async with anyio.create_task_group() as group:
        start, chief = await prepare(group)
        await start()
        gc.collect()
        gc.disable()
        began = perf_counter()
        for _ in range(number):
            await start()
        took = perf_counter() - began
        began = perf_counter()
        if chief is None:
            group.cancel_scope.cancel()
        else:
            exit(chief)
    ended = perf_counter() - began
    gc.enable()
    async with anyio.create_task_group() as group:
        start, chief = await prepare(group)
        await start()
        tracemalloc.start()
        for _ in range(1000):
            await start()
        gc.collect()
        size = tracemalloc.get_traced_memory()[0] / 1000
        tracemalloc.stop()
        group.cancel_scope.cancel()
    return took / number, ended / number, size


async def starts_at_once(number: int) -> float:
    """Return the seconds of each of so many starts of an `init` that takes a millisecond."""
    async with anyio.create_task_group() as group:
        chief, spec = await Pool.start(task_group=group), ChildSpec("slow", Slow)
        began = perf_counter()
        async with anyio.create_task_group() as starters:
            for _ in range(number):
                starters.start_soon(start_child, chief, spec)
        took = perf_counter() - began
        exit(chief)
    return took / number


async def stop_of(number: int) -> float:
    """Return the seconds in which so many children end that each take 20 ms."""
    async with anyio.create_task_group() as group:
        chief, spec = await Pool.start(task_group=group), ChildSpec("slow", Slow)
        async with anyio.create_task_group() as starters:
            for _ in range(number):
                starters.start_soon(start_child, chief, spec)
        began = perf_counter()
        exit(chief)
        await wait_exit(chief)
    return perf_counter() - began


async def main(number: int, rounds: int) -> None:
    pairs = [
        (await seconds_and_bytes(bare, number), await seconds_and_bytes(supervised, number))
        for _ in range(rounds)
    ]
    for place, (what, unit, scale) in enumerate(
        [("start", "µs", 1e6), ("end", "µs", 1e6), ("memory", "bytes", 1)]
    ):
        one = median(first[place] for first, _ in pairs)
        other = median(second[place] for _, second in pairs)
        ratio = median(second[place] / first[place] for first, second in pairs)
        print(
            f"{what}: {one * scale:,.1f} {unit} bare, {other * scale:,.1f} supervised,"
            f" {ratio:.2f} ×"
        )
    at_once = median([await starts_at_once(50) for _ in range(rounds)])
    print(f"50 starts at once, each of 1 ms: {at_once * 1e6:,.0f} µs each")
    stop = median([await stop_of(200) for _ in range(rounds)])
    print(f"stop of 200 that take 20 ms each: {stop * 1e3:,.0f} ms, {stop / 0.02:.1f} × one")


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    asyncio.run(main(*(given + [USUAL, ROUNDS][len(given) :])))
