"""Actors start, answer, crash, time out and end, and no more memory is in use than before.

A program, so that nothing else allocates: `python -m hostile.runtime_leaks BACKEND [FAULT]`.
It counts what `leaks` counts: the blocks that Python has allocated, and the process's memory.
How often each thing is done is a matter of the minutes of torture, and never above a million.
"""

from __future__ import annotations

import gc
import importlib
import logging
import sys
from typing import Any, NoReturn

import anyio

from fauxtp import (
    NO_REPLY,
    Call,
    ChildSpec,
    NoProcess,
    ProcessExited,
    ReceiveTimeout,
    Supervisor,
    Task,
    call,
    call_blocking,
    cast,
    demonitor,
    link,
    monitor,
    reply,
    send,
    unlink,
    wait_exit,
    wait_registered,
)
from hostile import effort
from hostile.leak_services import SERVICES, start_services
from hostile.leak_stage import AT_ONCE, Life, Server, Stage, echo, echo_later, end
from hostile.leaks import BYTES, Leak, in_use

BLOCKS = 1250  # fewer than rounds: what event loop and interpreter may take meanwhile
SHORT, MOST = 1500, 1_000_000  # rounds, from the first look before to the first look after
LOOKS = 40  # for the least memory in use: see `least_in_use`
APART = 7  # rounds from one look to the next
TURN = 32  # rounds until the servers may catch up, who take up to 64 messages in a turn


class Crash(Exception):
    """The crash of a test."""


async def crash(from_: Call) -> NoReturn:
    raise Crash


class Restarter(Supervisor):
    """Restarts a server as often as it crashes."""

    max_restarts = 1
    max_seconds = 0.0

    def child_specs(self) -> list[ChildSpec]:
        return [ChildSpec("one", Server, register_as="leak:restarted")]


class Parent(Server):
    """Has a child."""

    async def init(self) -> None:
        await Server.start(task_group=self.children)


async def starts(stage: Stage) -> None:
    await end(await Server.start(task_group=stage.group, register_as="leak:one"))


async def crashes(stage: Stage) -> None:
    pid = await Server.start(task_group=stage.group, register_as="leak:one")
    try:
        await call(pid, crash)
    except ProcessExited:
        await wait_exit(pid)


async def restarts(stage: Stage) -> None:
    try:
        await call("leak:restarted", crash)
    except ProcessExited:
        await wait_registered("leak:restarted")


async def families(stage: Stage) -> None:
    await end(await Parent.start(task_group=stage.group))


async def tasks(stage: Stage) -> None:
    await (await Task.spawn(anyio.lowlevel.checkpoint, stage.group)).join()


async def calls(stage: Stage) -> None:
    await call(stage.server, echo)


async def slow_calls(stage: Stage) -> None:
    await call(stage.server, echo_later)


async def calls_by_threads(stage: Stage) -> None:
    await anyio.to_thread.run_sync(call_blocking, stage.server, echo)


async def calls_to_nobody(stage: Stage) -> None:
    try:
        await call("leak:nobody", echo)
    except NoProcess:
        pass


async def casts(stage: Stage) -> None:
    await cast(stage.server, echo)


async def sends(stage: Stage) -> None:
    await send(stage.server, "ignored")


async def refusals_to_wait(stage: Stage) -> None:
    try:
        await call(stage.server, echo_later, timeout=0.0)
    except ReceiveTimeout:
        pass


async def time_outs(stage: Stage) -> None:
    """The answer comes too late."""
    asked: list[Call] = []

    async def keep_waiting(from_: Call) -> Any:
        asked.append(from_)
        return NO_REPLY

    try:
        await call(stage.server, keep_waiting, timeout=AT_ONCE)
    except ReceiveTimeout:
        for late in asked:
            reply(late, "late")


async def monitors(stage: Stage) -> None:
    async def watch_for_a_while(from_: Call) -> None:
        demonitor(monitor(stage.other))

    await call(stage.server, watch_for_a_while)


async def links(stage: Stage) -> None:
    async def link_for_a_while(from_: Call) -> None:
        link(stage.other)
        unlink(stage.other)

    await call(stage.server, link_for_a_while)


async def keeps(stage: Stage) -> None:
    """Leak, so that it can be seen to be found."""
    stage.kept.append(await Server.start(task_group=stage.group))
    await end(stage.kept[-1])


async def hoards(stage: Stage) -> None:
    """Leak what is not counted as blocks."""
    stage.hoard.extend(b"x" * (1 << 15))


# How many in ten minutes of torture, on asyncio and on trio.
LIVES: dict[Life, tuple[int, int]] = {
    starts: (100_000, 67_000),
    crashes: (100_000, 67_000),
    restarts: (70_000, 40_000),
    families: (70_000, 20_000),
    tasks: (70_000, 50_000),
    calls: (MOST, 500_000),
    slow_calls: (MOST, 80_000),
    calls_by_threads: (70_000, 40_000),
    calls_to_nobody: (MOST, MOST),
    casts: (MOST, MOST),
    sends: (MOST, MOST),
    refusals_to_wait: (500_000, 80_000),
    time_outs: (500_000, 100_000),
    monitors: (MOST, 70_000),
    links: (MOST, 70_000),
    **SERVICES,
}
FAULTS: dict[Life, tuple[int, int]] = {keeps: (0, 0), hoards: (0, 0)}


async def repeat(life: Life, stage: Stage, rounds: int) -> None:
    for number in range(rounds):
        await life(stage)
        if not number % TURN:
            await anyio.lowlevel.checkpoint()


async def least_in_use(life: Life, stage: Stage) -> tuple[int, int]:
    """Return the blocks and the bytes in use, each at the least of many looks.

    What is cleared away now and then only counts as it is just after that: as the heap of
    deadlines, in which up to a hundred lie that are over.
    """
    looks = []
    for _ in range(LOOKS):
        await repeat(life, stage, APART)
        await anyio.lowlevel.checkpoint()
        looks.append(in_use())
    return min(blocks for blocks, _ in looks), min(size for _, size in looks)


async def growth(life: Life, stage: Stage, rounds: int) -> tuple[int, int]:
    """Return how many blocks and bytes more are in use after so many rounds."""
    blocks, size = await least_in_use(life, stage)
    await repeat(life, stage, rounds - LOOKS * APART)
    blocks_after, size_after = await least_in_use(life, stage)
    return blocks_after - blocks, size_after - size


async def main(lives: dict[Life, int]) -> None:
    most = most_bytes = 0
    async with anyio.create_task_group() as group:
        server, other = await Server.start(task_group=group), await Server.start(task_group=group)
        await Restarter.start(task_group=group)
        await start_services(group)
        stage = Stage(group, server, other)
        gc.freeze()  # what is there by now need not be looked through each time
        for life, rounds in lives.items():
            blocks, size = await growth(life, stage, rounds)
            if blocks > BLOCKS or size > BYTES:
                what = "blocks" if blocks > BLOCKS else "bytes"
                grown = f"{blocks:,} blocks, {size:,} bytes"
                raise Leak(f"{life.__name__}: too many {what}: {grown}")
            most, most_bytes = max(most, blocks), max(most_bytes, size)
        group.cancel_scope.cancel()
    done = ", ".join(
        f"{rounds:,} {life.__name__.replace('_', ' ')}" for life, rounds in lives.items()
    )
    print(f"{done}: at most {most} blocks and {most_bytes >> 10} KB more")  # noqa: T201


if __name__ == "__main__":
    logging.getLogger("fauxtp").setLevel(logging.CRITICAL)
    backend, *faults = sys.argv[1:]
    chosen = {life: many for life, many in FAULTS.items() if life.__name__ in faults} or LIVES
    rounds = {
        life: min(MOST, effort.times(SHORT, many[backend == "trio"]))
        for life, many in chosen.items()
    }
    if backend == "trio":  # which lets a thousand deadlines lie that are over; asyncio a hundred
        run = vars(importlib.import_module("trio._core._run"))
        run.update(DEADLINE_HEAP_MIN_PRUNE_THRESHOLD=100)
    anyio.run(main, rounds, backend=backend)
