"""What it costs to listen to events, beside the same with nobody there, and to collect metrics.

    python -m bench.events [uvloop]

Both take turns in one run. Nobody comes below what is told first: an event takes at least a
function in Python that is called, and some a look at the clock. What it costs that one could
listen, while nobody does, is counted in instructions: `python -m bench.counts`.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from itertools import repeat, starmap
from time import monotonic, perf_counter
from typing import Any

import anyio
from anyio.abc import TaskGroup

from bench.figures import Figure, show
from fauxtp import GenServer, Mailbox, call, cast, exit, processes, send_nowait, wait_exit
from fauxtp.observe import durations, events
from fauxtp.observe.events import Event, Kind
from fauxtp.observe.metrics import collect

ROUNDS = 61
TIMES = 1_000  # in a slice of time, while others want the machine, too
BAR = 100  # nanoseconds
TIMED_BAR = 40


class Server(GenServer[Any, None]):
    """Does nothing, and that at once."""

    async def handle_call(self, request: Any, from_: Any, state: None) -> tuple[None, None]:
        return None, None

    async def handle_cast(self, request: Any, state: None) -> None:
        return None


def hear(event: Event) -> None:
    """Listen, and think nothing of it."""


async def calls() -> None:
    for _ in range(TIMES):
        await call("server", 1)


async def casts() -> None:
    for _ in range(TIMES):
        await cast("server", 1)
    await call("server", 1)


async def sends() -> None:
    mailbox = Mailbox()
    pid = mailbox.pid
    for number in range(TIMES):
        send_nowait(pid, number)


async def starts() -> None:
    async with anyio.create_task_group() as group:
        for _ in range(TIMES // 8):
            pid = await Server.start(task_group=group)
            exit(pid)
            await wait_exit(pid)


async def dead_letters() -> None:
    for number in range(TIMES):
        send_nowait("nobody", number)


WORK: dict[str, tuple[Callable[[], Awaitable[None]], Kind, int, int]] = {
    "a call, begun and ended": (calls, events.CALL_BEGUN | events.CALL_ENDED, TIMES, 2),
    "a call, handled": (calls, events.HANDLED, TIMES, 1),
    "a cast, handled": (casts, events.HANDLED, TIMES, 1),
    "a message, sent": (sends, events.SENT, TIMES, 1),
    "a dead letter": (dead_letters, events.DEAD_LETTER, TIMES, 1),
    "a start and an end": (starts, events.STARTED | events.ENDED, TIMES // 8, 2),
}
"""What is done, what is listened to, how often it is done, and how many events each of it is."""


def least(what: str, function: Callable[..., object], *arguments: object) -> Figure:
    """Return how long it takes to call that, again and again, in C."""
    times = []
    for _ in range(ROUNDS):
        began = perf_counter()
        deque(starmap(function, repeat(arguments, TIMES)), maxlen=0)
        times.append(perf_counter() - began)
    return Figure(what, f"{statistics.median(times) / TIMES * 1e9:.0f} ns")


async def beside(work: Callable[[], Awaitable[None]], kinds: Kind) -> list[tuple[float, float]]:
    """Return the seconds that the work takes: with nobody there, and with somebody; in pairs."""
    pairs = []
    for number in range(ROUNDS):
        order = (None, kinds) if number % 2 else (kinds, None)  # the second finds more in caches
        seconds = {which: await timed(work, which) for which in order}
        pairs.append((seconds[None], seconds[kinds]))
    return pairs


async def timed(work: Callable[[], Awaitable[None]], kinds: Kind | None) -> float:
    """Return the seconds that the work takes, with somebody who listens to these kinds."""
    with nullcontext() if kinds is None else events.listen(hear, kinds):
        began = perf_counter()
        await work()
        return perf_counter() - began


async def measured() -> Figure:
    """Return what it costs a call that its handler is measured for a histogram."""
    pairs = []
    for _ in range(ROUNDS):
        alone = await timed(calls, None)
        durations.measure(True)
        pairs.append((alone, await timed(calls, None)))
        durations.measure(False)
    alone = statistics.median(without for without, _ in pairs) / TIMES * 1e9
    more = statistics.median(heard - without for without, heard in pairs) / TIMES * 1e9
    what = "a call, its handler in a histogram"
    bar = f"≤ +{TIMED_BAR} ns", more <= TIMED_BAR
    return Figure(what, f"{more:+.0f} ns", f"{alone:.0f} ns", (alone + more) / alone, *bar)


async def collected(group: TaskGroup) -> list[Figure]:
    """Return how long it takes to collect all metrics, with few processes and with many."""
    figures = []
    for number in (100, 20_000):
        while len(processes()) < number:
            await Server.start(task_group=group)
        times = []
        for _ in range(ROUNDS):
            began = perf_counter()
            collect()
            times.append(perf_counter() - began)
        milliseconds = statistics.median(times) * 1e3
        figures.append(Figure(f"metrics of {number:,} processes", f"{milliseconds:.2f} ms"))
    return figures


async def main() -> None:
    figures = [
        least("an empty function in Python", hear, None),
        least("a look at the clock", monotonic),
    ]
    async with anyio.create_task_group() as group:
        await Server.start(task_group=group, register_as="server")
        for what, (work, kinds, times, number) in WORK.items():
            pairs = await beside(work, kinds)
            alone = statistics.median(without for without, _ in pairs) / times * 1e9
            more = statistics.median(heard - without for without, heard in pairs)
            each = more / times / number * 1e9
            ratio = (alone + more / times * 1e9) / alone
            bar = f"≤ +{BAR} ns", each <= BAR
            figures.append(
                Figure(what, f"{each:+.0f} ns an event", f"{alone:.0f} ns", ratio, *bar)
            )
        figures.append(await measured())
        exit("server")
        figures += await collected(group)
        group.cancel_scope.cancel()
    show("a function in Python that listens to events; metrics", figures)


if __name__ == "__main__":
    if "uvloop" in sys.argv[1:]:
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
