"""Actors start, answer, crash, time out and end, and no more memory is in use than before.

A program, so that nothing else allocates: `python -m hostile.runtime_leaks BACKEND TIMES [leak]`.
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import anyio
from anyio.abc import TaskGroup

import fauxtp
from fauxtp import GenServer, ReceiveTimeout, call, cast, exit, send, wait_exit
from hostile.leaks import Leak

ATTEMPTS = 8
BLOCKS = 500  # fewer than rounds: what event loop and interpreter may take meanwhile


class Crash(Exception):
    """The crash of a test."""


class Server(GenServer[Any, Any]):
    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        if request == "crash":
            self.crash()
        if request == "sleep":
            return fauxtp.NO_REPLY, state
        return request, state

    def crash(self) -> NoReturn:
        raise Crash


Round = Callable[[TaskGroup], Awaitable[None]]


async def start_and_exit(group: TaskGroup) -> None:
    pid = await Server.start(task_group=group, register_as="leak:one")
    exit(pid, "enough")
    await wait_exit(pid)


async def calls_and_casts(group: TaskGroup) -> None:
    pid = await Server.start(task_group=group)
    await call(pid, "echo")
    await cast(pid, "ignored")
    await send(pid, "ignored too")
    await call(pid, "echo")
    exit(pid)
    await wait_exit(pid)


async def crash_of_a_server(group: TaskGroup) -> None:
    pid = await Server.start(task_group=group)
    try:
        await call(pid, "crash")
    except fauxtp.ProcessExited:
        pass
    await wait_exit(pid)


async def time_outs(group: TaskGroup) -> None:
    pid = await Server.start(task_group=group)
    for timeout in (0.0, 1e-4):
        try:
            await call(pid, "sleep", timeout=timeout)
        except ReceiveTimeout:
            pass
    exit(pid)
    await wait_exit(pid)


kept: list[fauxtp.PID] = []


async def keep(group: TaskGroup) -> None:
    """Leak, so that it can be seen to be found."""
    kept.append(await Server.start(task_group=group))
    exit(kept[-1])
    await wait_exit(kept[-1])


ROUNDS: list[Round] = [start_and_exit, calls_and_casts, crash_of_a_server, time_outs]


async def in_use() -> int:
    await anyio.lowlevel.checkpoint()
    gc.collect()
    return sys.getallocatedblocks()


async def growth(once: Round, group: TaskGroup, times: int) -> int:
    """Return how many blocks more are in use after so many rounds, at the least of a few times.

    What is cleared away now and then only may come to more, but not each time: as trio's heap
    of deadlines, in which up to a thousand lie that are over.
    """
    least = sys.maxsize
    for attempt in range(ATTEMPTS):
        before = await in_use()
        for _ in range(times + 61 * attempt):  # not in step with what clears away
            await once(group)
        grown = await in_use() - before
        least = min(least, grown)
        if attempt and least < BLOCKS:
            break
    return least


async def main(times: int, rounds: list[Round]) -> None:
    most = 0
    async with anyio.create_task_group() as group:
        for once in rounds:
            grown = await growth(once, group, times)
            if grown > BLOCKS:
                raise Leak(f"{once.__name__}: {grown:,} blocks")
            most = max(most, grown)
        group.cancel_scope.cancel()
    print(f"{times:,} times each of {len(rounds)} lives: at most {most} blocks more")  # noqa: T201


if __name__ == "__main__":
    logging.getLogger("fauxtp").setLevel(logging.CRITICAL)
    chosen: list[Round] = [keep] if "leak" in sys.argv else ROUNDS
    anyio.run(main, int(sys.argv[2]), chosen, backend=sys.argv[1])
