"""How long others wait while two actors call each other without pause.

    python -m bench.latency [uvloop]

A task that has nothing to do with them asks the event loop for its next turn, again and again,
and notes how long that took; beside two bare tasks that do the same to each other.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter
from typing import Any

import anyio

from bench.figures import Figure, show
from bench.runtime import Bare
from fauxtp import PID, GenServer, call, cast

SECONDS = 3.0


class Caller(GenServer[Any, None]):
    """Answers calls, and has a task that calls the other one all the time."""

    async def init(self) -> None:
        return None

    async def handle_call(self, request: Any, from_: Any, state: None) -> tuple[int, None]:
        return 0, state

    async def handle_cast(self, other: PID, state: None) -> None:
        self.start_soon_child(without_pause, partial(call, other, None))


async def without_pause(work: Callable[[], Awaitable[object]]) -> None:
    while True:
        await work()


async def turns() -> list[float]:
    """Return how long it took until each next turn, for a while."""
    waits = []
    now = perf_counter()
    end = now + SECONDS
    while now < end:
        await asyncio.sleep(0)
        before, now = now, perf_counter()
        waits.append(now - before)
    return waits


async def beside_actors() -> list[float]:
    async with anyio.create_task_group() as task_group:
        one = await Caller.start(task_group=task_group)
        other = await Caller.start(task_group=task_group)
        await cast(one, other)
        await cast(other, one)
        waits = await turns()
        task_group.cancel_scope.cancel()
    return waits


async def beside_bare_tasks() -> list[float]:
    async with anyio.create_task_group() as task_group:
        one, other = Bare(), Bare()
        for bare in (one, other):
            task_group.start_soon(bare.serve)
            task_group.start_soon(without_pause, partial(bare.call, None))
        waits = await turns()
        task_group.cancel_scope.cancel()
    return waits


async def measure() -> list[Figure]:
    ours, theirs = await beside_actors(), await beside_bare_tasks()
    figures = []
    for what, choose in (
        ("half of the turns come within", statistics.median),
        ("99 % of them within", lambda waits: statistics.quantiles(waits, n=100)[98]),
        ("the last one within", max),
    ):
        our, their = choose(ours), choose(theirs)
        against = f"bare: {their * 1e6:.0f} µs"
        figures.append(Figure(what, f"{our * 1e6:.0f} µs", against, our / their))
    return figures


def main() -> None:
    options = {"use_uvloop": True} if "uvloop" in sys.argv[1:] else {}
    show(
        "waiting for a turn while two actors call each other",
        anyio.run(measure, backend_options=options),
    )


if __name__ == "__main__":
    main()
