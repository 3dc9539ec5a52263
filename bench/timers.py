"""What timers cost: to set one and cancel it, and how much memory it takes, beside `call_later`.

    python -m bench.timers [uvloop]

Each is measured in turns in one run: in a task outside of any process, to a name; in the handler
of a server, to itself, which both of them end with. A million of them are pending where memory is
measured, and then all are cancelled.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import tracemalloc
from collections.abc import Callable
from time import perf_counter
from typing import Any

import anyio

from bench.figures import Figure, median_ratio, show
from fauxtp import Call, GenServer, call, cancel_timer, exit, send_after

TIMES = 20_000
ROUNDS = 15
PENDING = 1_000_000
LATER = 3600.0
BAR = 1.0  # on asyncio: uvloop sets one in half a microsecond, and what is ours stays the same


class Server(GenServer[Any, None]):
    """Does as it is told."""

    async def init(self) -> None:
        return None

    async def handle_call(self, request: Callable[[Any], Any], from_: Call, state: None) -> Any:
        return request(self.pid), state


def timers(to: Any) -> float:
    """Return how long it takes to set a timer and to cancel it, so many times."""
    start = perf_counter()
    for _ in range(TIMES):
        cancel_timer(send_after(LATER, to, None))
    return perf_counter() - start


def handles() -> float:
    """Return how long that takes with what the event loop has for it."""
    loop = asyncio.get_running_loop()
    start = perf_counter()
    for _ in range(TIMES):
        loop.call_later(LATER, print, None).cancel()
    return perf_counter() - start


def bytes_each(make: Callable[[], object], cancel: Callable[[Any], object]) -> list[float]:
    """Return how much memory each takes of so many that `make` makes; and when it is cancelled."""
    gc.collect()
    tracemalloc.start()
    made = [make() for _ in range(PENDING)]
    taken = [tracemalloc.get_traced_memory()[0] - sys.getsizeof(made)]
    while made:
        cancel(made.pop())
    gc.collect()
    taken.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    return [each / PENDING for each in taken]


async def measure() -> list[Figure]:
    loop = asyncio.get_running_loop()
    async with anyio.create_task_group() as group:
        server = await Server.start(task_group=group)
        gc.disable()
        turns = [
            (await call(server, timers, None), timers("nobody"), handles()) for _ in range(ROUNDS)
        ]
        gc.enable()
        inside, outside, theirs = zip(*turns, strict=True)
        memory = {
            "in a process": await call(
                server,
                lambda pid: bytes_each(lambda: send_after(LATER, pid, None), cancel_timer),
                None,
            ),
            "to a name": bytes_each(lambda: send_after(LATER, "nobody", None), cancel_timer),
        }
        their_memory = bytes_each(
            lambda: loop.call_later(LATER, print, None), lambda handle: handle.cancel()
        )
        exit(server)
    against = f"call_later: {statistics.median(theirs) / TIMES * 1e9:.0f} ns"
    figures = []
    for what, times in (("in a process, to itself", inside), ("in a task, to a name", outside)):
        ratio = median_ratio(times, theirs)
        measured = f"{statistics.median(times) / TIMES * 1e9:.0f} ns"
        bar = (f"≤ {BAR}", ratio <= BAR) if isinstance(loop, asyncio.BaseEventLoop) else ("", None)
        figures.append(Figure(what, measured, against, ratio, *bar))
    for what, bytes_ in memory.items():
        for when, ours, its in zip(("pending", "cancelled"), bytes_, their_memory, strict=True):
            theirs_then = f"call_later: {its:.1f} B"
            figures.append(
                Figure(f"memory {when}, {what}", f"{ours:.1f} B", theirs_then, ours / its)
            )
    return figures


def main() -> None:
    options = {"use_uvloop": True} if "uvloop" in sys.argv[1:] else {}
    show("set and cancel a timer", anyio.run(measure, backend_options=options))


if __name__ == "__main__":
    main()
