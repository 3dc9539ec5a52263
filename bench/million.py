"""A million idle servers, each with a name: their memory, look-ups among them, and their end.

python -m bench.million [COUNT]
"""

from __future__ import annotations

import random
import resource
import statistics
import sys
from time import perf_counter
from timeit import Timer
from typing import Any

import anyio
from anyio.abc import TaskGroup

from bench.figures import Figure, median_ratio, show
from fauxtp import PID, GenServer, Registry, registered
from fauxtp.registry import default

COUNT = 1_000_000
FEW = 1_000
LOOK_UPS = 100_000  # in a turn
TURNS = 15
END_BAR = 60.0  # seconds for a million


class Idle(GenServer[Any, Any]):
    """Waits for a message that does not come."""


async def start(count: int, task_group: TaskGroup) -> Figure:
    before, started = peak(), perf_counter()
    for number in range(count):
        await Idle.start(task_group=task_group, register_as=f"idle:{number}")
    seconds = perf_counter() - started
    return Figure(
        "memory of a server, all in",
        f"{(peak() - before) / count / 1e3:.2f} kB",
        f"started in {seconds / count * 1e6:.0f} µs each",
    )


def peak() -> int:
    """Return how many bytes this process has had at most, which only grows here."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def look_ups(count: int) -> list[Figure]:
    """Time look-ups beside those in a registry of a few names, in turns.

    Of the same few names, and from anywhere: there, what is waited for is memory.
    """
    few = Registry()
    for number in range(FEW):
        few.register(f"idle:{number}", PID())
    loops = loop_over(few, FEW), loop_over(default, FEW), loop_over(default, count)
    turns = [[loop.timeit(1) for loop in loops] for _ in range(TURNS)]
    base, *others = zip(*turns, strict=True)
    against = f"among {FEW:,}: {statistics.median(base) / LOOK_UPS * 1e9:.0f} ns"
    return [
        Figure(
            what,
            f"{statistics.median(times) / LOOK_UPS * 1e9:.0f} ns",
            against,
            median_ratio(times, base),
        )
        for what, times in zip(
            (f"whereis, of {FEW:,} of them", "whereis, of any"), others, strict=True
        )
    ]


def loop_over(registry: Registry, count: int) -> Timer:
    """Return what looks names up, from anywhere among the first `count`."""
    names = [f"idle:{number}" for number in range(count)]
    chosen = random.Random(0).choices(names, k=LOOK_UPS)
    scope = {"names": chosen, "whereis": registry.whereis}
    return Timer("for name in names: whereis(name)", globals=scope)


async def measure(count: int) -> list[Figure]:
    async with anyio.create_task_group() as task_group:
        figures = [await start(count, task_group), *look_ups(count)]
        started = perf_counter()
        task_group.cancel_scope.cancel()
    seconds = perf_counter() - started
    assert not registered(), "who has ended has no name"
    bar = END_BAR * count / COUNT
    ended = Figure(
        "all of them ended, in order",
        f"{seconds:.1f} s",
        "",
        None,
        f"≤ {bar:.0f} s",
        seconds <= bar,
    )
    return [*figures, ended]


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else COUNT
    show(f"{count:,} idle servers with names", anyio.run(measure, count))


if __name__ == "__main__":
    main()
