"""What all scripts here share: which measures are asked for, and how the answers are printed.

    python SCRIPT [uvloop] MEASURE=COUNT ...

Each measure prints one line of JSON: seconds for one operation, bytes for one process, or null
where the peer has no such thing. The first line tells the version of the peer. The scripts run
each in the environment of its peer, so that nothing here may come from outside the standard
library.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

NAMES = [f"service:shard:{number}" for number in range(1_000)]
CLIENTS = 100

Work = Callable[[], Awaitable[object]]
Measure = Callable[[int], Awaitable[float]]
BlockingMeasure = Callable[[int], float]


def asked() -> Iterator[tuple[str, int]]:
    for argument in sys.argv[1:]:
        name, equals, count = argument.partition("=")
        if equals:
            yield name, int(count)


def say(measure: str, value: float | str | None) -> None:
    print(json.dumps({"measure": measure, "value": value}), flush=True)


def run(main: Callable[[], Awaitable[None]], distribution: str | None) -> None:
    """Run an asynchronous script, on uvloop if its arguments say so."""
    factory = None
    if "uvloop" in sys.argv[1:]:
        import uvloop  # noqa: PLC0415  # most environments here have none

        factory, distribution = uvloop.new_event_loop, "uvloop"
    say("version", version(distribution) if distribution else "")

    async def whole() -> None:
        await main()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(whole())


async def answer(measures: Mapping[str, Measure]) -> NoReturn:
    """Take the measures that are asked for, each of time once before to warm up; exit at once.

    To end 100,000 processes in order is no part of what is measured, and can take minutes.
    """
    for name, count in asked():
        measure = measures.get(name)
        if measure is None:
            say(name, None)
            continue
        if name != "memory":
            await measure(max(count // 10, CLIENTS))
        gc.collect()
        say(name, await measure(count))
    os._exit(0)


def answer_blocking(measures: Mapping[str, BlockingMeasure]) -> NoReturn:
    """Do as `answer` does, for a peer that has no event loop."""
    for name, count in asked():
        measure = measures.get(name)
        if measure is None:
            say(name, None)
            continue
        if name != "memory":
            measure(max(count // 10, CLIENTS))
        gc.collect()
        say(name, measure(count))
    os._exit(0)


def some_names(count: int) -> list[str]:
    """Return `count` names in no order, always the same."""
    return random.Random(0).choices(NAMES, k=count)


def look_ups(count: int, look_up: Callable[[str], object]) -> float:
    """Return the seconds of a look-up that is a plain function."""
    names = some_names(count)
    started = time.perf_counter()
    for name in names:
        look_up(name)
    return (time.perf_counter() - started) / count


async def asynchronous_look_ups(count: int, look_up: Callable[[str], Awaitable[object]]) -> float:
    """Return the seconds of a look-up that must be awaited."""
    names = some_names(count)
    started = time.perf_counter()
    for name in names:
        await look_up(name)
    return (time.perf_counter() - started) / count


async def one_by_one(count: int, work: Work) -> float:
    """Return the seconds of `work`, by one client."""
    started = time.perf_counter()
    for _ in range(count):
        await work()
    return (time.perf_counter() - started) / count


async def by_many(count: int, work: Work) -> float:
    """Return the seconds of `work` when many clients at once share `count` of it."""

    async def client() -> None:
        for _ in range(count // CLIENTS):
            await work()

    started = time.perf_counter()
    await asyncio.gather(*[client() for _ in range(CLIENTS)])
    return (time.perf_counter() - started) / (count // CLIENTS * CLIENTS)


def calls(plain: Work, chained: Work, suspending: Work) -> dict[str, Measure]:
    """Return the measures that differ only in what is called."""
    return {
        "call": lambda count: one_by_one(count, plain),
        "100 clients": lambda count: by_many(count, plain),
        "chain": lambda count: one_by_one(count, chained),
        "suspends": lambda count: one_by_one(count, suspending),
    }


def resident() -> int:
    """Return how many bytes of memory this operating system process has."""
    gc.collect()
    status = Path("/proc/self/status").read_text("ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024
