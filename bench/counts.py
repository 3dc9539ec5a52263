"""Count the instructions of the runtime's operations here, and at another commit.

    python -m bench.counts [--against COMMIT]

The other commit, `HEAD` unless it is named, is laid out and built below build/counts; here, the
compiled modules are built where they are. The exit status is 1 if an operation takes more than
2 % more instructions than there.

Each operation runs in two processes, a few times and more often: what they have in common
cancels. What is left is the operation and its share of the event loop, which is asyncio's.
"""

from __future__ import annotations

import compileall
import io
import os
import platform
import subprocess
import sys
import tarfile
from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from bench.callgrind import instructions, valgrind

HERE = Path(__file__).parent.parent
BAR = 1.02  # the ratio, at most


class Operation(NamedTuple):
    """What it is, in a program, how often it runs: few times, and more often; and what is on."""

    statement: str
    times: tuple[int, int]
    while_on: str = "pass"


OPERATIONS = {
    "call": Operation("await call(server, 1)", (1_000, 5_000)),
    "cast": Operation("await cast(server, 1); await checkpoint()", (500, 2_500)),
    "send": Operation("await send(server, 1); await checkpoint()", (500, 2_500)),
    "start and end": Operation(
        "pid = await Server.start(task_group=group); exit(pid); await wait_exit(pid)",
        (500, 2_000),
    ),
    "whereis": Operation("whereis('server')", (10_000, 210_000)),
    "call, timed": Operation("await call(server, 1)", (1_000, 5_000), "durations.measure(True)"),
    "call, heard": Operation("await call(server, 1)", (1_000, 5_000), "hears(events.HANDLED)"),
    "call's ends": Operation(
        "await call(server, 1)", (1_000, 5_000), "hears(events.CALL_BEGUN | events.CALL_ENDED)"
    ),
    "cast, timed": Operation(
        "await cast(server, 1); await checkpoint()", (500, 2_500), "durations.measure(True)"
    ),
    "cast, heard": Operation(
        "await cast(server, 1); await checkpoint()", (500, 2_500), "hears(events.HANDLED)"
    ),
    "send, heard": Operation(
        "await send(server, 1); await checkpoint()", (500, 2_500), "hears(events.SENT)"
    ),
    "dead letter": Operation("send_nowait('nobody', 1)", (1_000, 5_000)),
    "one heard": Operation(
        "send_nowait('nobody', 1)", (1_000, 5_000), "hears(events.DEAD_LETTER)"
    ),
    "listener": Operation("hear(None)", (1_000, 21_000)),
}

PROGRAM = """
import gc
import sys
from itertools import repeat
from pathlib import Path

import anyio
from anyio.lowlevel import checkpoint

import fauxtp.registry
from fauxtp import GenServer, call, cast, exit, send, send_nowait, wait_exit, whereis
from fauxtp.observe import durations, events

assert Path(fauxtp.__file__).is_relative_to({root!r}), fauxtp.__file__
assert fauxtp.registry.implementation == "cython"

class Server(GenServer):
    async def handle_call(self, request, from_, state):
        return request, state

    async def handle_cast(self, request, state):
        return state

    async def handle_info(self, message, state):
        return state

def hear(event):
    pass

def hears(kinds):
    global listener
    listener = events.listen(hear, kinds)

async def main():
    {while_on}
    async with anyio.create_task_group() as group:
        server = await Server.start(task_group=group, register_as="server")
        for _ in repeat(None, int(sys.argv[1])):  # which makes no numbers
            {statement}
        exit(server)

gc.disable()
anyio.run(main)
"""


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=HERE, check=True, stdout=subprocess.PIPE).stdout


def laid_out(commit: str) -> Path:
    """Return a folder with the files of a commit."""
    name = git("rev-parse", "--verify", f"{commit}^{{commit}}").decode().strip()
    place = HERE / "build" / "counts" / name
    if not place.exists():
        with tarfile.open(fileobj=io.BytesIO(git("archive", name))) as archive:
            archive.extractall(place, filter="data")
    return place


def build(root: Path) -> None:
    """Build the compiled modules where they are; what is built already is left alone."""
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    environment = {**os.environ, "FAUXTP_EXTENSIONS": "always"}
    subprocess.run(command, cwd=root, env=environment, check=True)
    compileall.compile_dir(root / "fauxtp", quiet=1)  # or the first that runs would do it


def total(operation: Operation, root: Path, times: int) -> int:
    """Return the instructions of a process that does something so many times."""
    program = PROGRAM.format(
        root=str(root), statement=operation.statement, while_on=operation.while_on
    )
    environment = {"PYTHONPATH": str(root), "FAUXTP_EXTENSIONS": "always"}
    return instructions(program, f"{times:09}", **environment)  # as long as any other


def count(operation: Operation, root: Path) -> float:
    """Return how many instructions it takes there."""
    few, more = (total(operation, root, times) for times in operation.times)
    return (more - few) / (operation.times[1] - operation.times[0])


def main() -> None:
    parser = ArgumentParser(description="Count the instructions of the runtime's operations.")
    parser.add_argument("--against", metavar="COMMIT", default="HEAD")
    against: str = parser.parse_args().against
    valgrind()
    there = laid_out(against)
    for root in (there, HERE):
        build(root)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = {
            name: [pool.submit(count, operation, root) for root in (there, HERE)]
            for name, operation in OPERATIONS.items()
        }
        counts = {name: [run.result() for run in both] for name, both in runs.items()}
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"{python}: instructions an operation, loop included\n")
    print(f"{'':16}{against[:12]:>12}{'here':>12}{'ratio':>8}{'bar':>8}")
    worst = 0.0
    for name, (before, now) in counts.items():
        worst = max(worst, now / before)
        verdict = "met" if now / before <= BAR else "MISSED"
        print(f"{name:16}{before:12,.0f}{now:12,.0f}{now / before:8.3f}{BAR:8.2f}  {verdict}")
    sys.exit(worst > BAR)


if __name__ == "__main__":
    main()
