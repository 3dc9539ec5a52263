"""What it costs to be watched: the longest pause, the share of a core; and when it is told.

    python -m bench.overload [PROCESSES]

Rounds with the watch and without it take turns in one run.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import sys
import time
from contextlib import nullcontext
from time import perf_counter, process_time

import anyio

from bench.agent import longest_pause
from bench.figures import Figure, show
from fauxtp import GenServer
from fauxtp.observe import watch

PROCESSES = 20_000
ROUNDS = 7
SECONDS = 2.0  # of a round
LIMIT = 0.25  # seconds that a loop may stand still


class Idle(GenServer[None, None]):
    """Has nothing to do."""


class Told(logging.Handler):
    """Notes when the watch tells of something."""

    def __init__(self) -> None:
        super().__init__()
        self.first: float | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.first = self.first or perf_counter()


async def share_of_a_core() -> float:
    """Return which part of a core the program takes that does nothing itself."""
    began, used = perf_counter(), process_time()
    await asyncio.sleep(SECONDS)
    return (process_time() - used) / (perf_counter() - began)


async def found_after() -> float:
    """Return after how many limits it is told that the loop stands still."""
    told, logger = Told(), logging.getLogger("fauxtp.watch")
    logger.addHandler(told)
    with watch(slow_handler=None, mailbox=None, loop_blocked=LIMIT):
        await asyncio.sleep(2 * LIMIT)  # until it knows the loop
        began = perf_counter()
        while told.first is None and perf_counter() - began < 10 * LIMIT:
            time.sleep(LIMIT / 50)
    logger.removeHandler(told)
    return ((told.first or perf_counter()) - began) / LIMIT


async def main(processes: int) -> None:
    logging.getLogger("fauxtp.watch").propagate = False
    pauses: dict[bool, list[float]] = {True: [], False: []}
    shares: dict[bool, list[float]] = {True: [], False: []}
    async with anyio.create_task_group() as group:
        await Idle.start(task_group=group)
        found = statistics.median([await found_after() for _ in range(ROUNDS)])
        for _ in range(processes - 1):
            await Idle.start(task_group=group)
        for _ in range(ROUNDS):
            for watched in (False, True):
                with watch() if watched else nullcontext():
                    pauses[watched].append(await longest_pause(SECONDS))
                    shares[watched].append(await share_of_a_core())
        group.cancel_scope.cancel()
    pause, alone = (statistics.median(pauses[watched]) for watched in (True, False))
    share = statistics.median(shares[True]) - statistics.median(shares[False])
    figures = [
        Figure("longest pause", f"{pause * 1e3:.1f} ms", f"{alone * 1e3:.1f} ms", pause / alone),
        Figure("share of a core", f"{share * 100:.2f} %", "", None, "1 %", share <= 0.01),
        Figure(
            "a blocked loop is told of after", f"{found:.2f} limits", "", None, "2", found <= 2
        ),
    ]
    show(f"a watch of {processes:,} processes", figures)


if __name__ == "__main__":
    anyio.run(main, int(sys.argv[1]) if sys.argv[1:] else PROCESSES)
