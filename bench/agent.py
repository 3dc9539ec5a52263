"""What it costs a program that others look into it: its longest pause, and how fast they are told.

    python -m bench.agent [PROCESSES]

The viewer is a process of its own. Rounds with it and without it take turns in one run.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import threading
from time import perf_counter

import anyio

from bench.figures import Figure, show
from fauxtp import GenServer
from fauxtp.observe import serve

PROCESSES = 20_000
ROUNDS = 9
SECONDS = 1.0  # of a round: a viewer asks once a second

VIEWER = """
import sys
from time import perf_counter
from fauxtp._commands.client import viewer_of

with viewer_of(int(sys.argv[1])) as viewer:
    for line in sys.stdin:
        ask, details = ("top", {"most": 50}) if line == "top\\n" else ("processes", {})
        start = perf_counter()
        count = sum(len(piece["processes"]) for piece in viewer.ask(ask, **details))
        print(perf_counter() - start, count, flush=True)
"""


async def longest_pause(seconds: float) -> float:
    """Return the longest time between two turns of a task that does nothing else."""
    longest, last = 0.0, perf_counter()
    end = last + seconds
    while last < end:
        await asyncio.sleep(0)
        now = perf_counter()
        longest, last = max(longest, now - last), now
    return longest


async def asked(viewer: asyncio.subprocess.Process, what: str) -> float:
    """Return the seconds in which the viewer is told what it asks for."""
    assert viewer.stdin is not None
    assert viewer.stdout is not None
    viewer.stdin.write(f"{what}\n".encode())
    seconds, _ = (await viewer.stdout.readline()).split()
    return float(seconds)


async def main(number: int) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(number):
            await GenServer.start(task_group=group)
        with serve():
            viewer = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", VIEWER, str(os.getpid())),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            await asked(viewer, "all")
            alone, watched, snapshots, tops = [], [], [], []
            for _ in range(ROUNDS):
                alone.append(await longest_pause(SECONDS))
                pause = asyncio.ensure_future(longest_pause(SECONDS))
                snapshots.append(await asked(viewer, "all"))
                watched.append(await pause)
                tops.append(await asked(viewer, "top"))
            assert viewer.stdin is not None
            viewer.stdin.close()
            await viewer.wait()
        threads = threading.active_count()
        group.cancel_scope.cancel()
    one, other = statistics.median(alone), statistics.median(watched)
    top = statistics.median(tops)
    show(
        f"{number:,} processes, {threads} thread",
        [
            Figure(
                "longest pause, as all are told of",
                f"{other * 1e3:.1f} ms",
                f"{one * 1e3:.1f} ms",
                other / one,
                "2.00",
                other / one <= 2,
            ),
            Figure("all are told of in", f"{statistics.median(snapshots) * 1e3:.0f} ms"),
            Figure("the top 50 in", f"{top * 1e3:.0f} ms", bar="50 ms", met=top <= 0.05),
        ],
    )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else PROCESSES))
