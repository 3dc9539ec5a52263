"""Actors start, answer, crash, time out and end, and no more memory is in use than before.

A program, so that nothing else allocates: `python -m hostile.runtime_leaks BACKEND [FAULT]`.
It counts what `leaks` counts: the blocks that Python has allocated, and the process's memory.
How often each thing is done is a matter of the minutes of torture, and never above a million.
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import anyio
from anyio.abc import TaskGroup

from fauxtp import (
    NO_REPLY,
    PID,
    Call,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    NoProcess,
    OnDemand,
    ProcessExited,
    ReceiveTimeout,
    Supervisor,
    Task,
    call,
    call_blocking,
    cancel_timer,
    cast,
    demonitor,
    exit,
    join,
    link,
    monitor,
    monitor_group,
    publish,
    reply,
    send,
    send_after,
    send_every,
    unlink,
    wait_exit,
    wait_registered,
    whereis,
)
from hostile import effort
from hostile.leaks import BYTES, Leak, in_use

BLOCKS = 1000  # fewer than rounds: what event loop and interpreter may take meanwhile
SHORT, MOST = 1500, 1_000_000  # rounds, from the first look before to the first look after
LOOKS = {"asyncio": 40, "trio": 160}  # for the least memory in use: see `least_in_use`
APART = 7  # rounds from one look to the next
TURN = 32  # rounds until the servers may catch up, who take up to 64 messages in a turn
AT_ONCE = 1e-9  # a timeout that is over in the next round of the event loop


class Crash(Exception):
    """The crash of a test."""


Request = Callable[[Call], Awaitable[Any]]


class Server(GenServer[Request, None]):
    """Answers with what the request returns."""

    async def handle_call(self, request: Request, from_: Call, state: None) -> Any:
        return await request(from_), state

    async def handle_cast(self, request: Any, state: None) -> None:
        return state

    async def handle_info(self, message: Any, state: None) -> None:
        return state


async def echo(from_: Call) -> str:
    return "echo"


async def echo_later(from_: Call) -> str:
    await anyio.lowlevel.checkpoint()
    return "echo"


async def crash(from_: Call) -> NoReturn:
    raise Crash


class Session(Server):
    """Ends as soon as it is idle."""

    idle_timeout = AT_ONCE

    def __init__(self, key: str) -> None:
        self.key = key

    async def handle_info(self, message: Any, state: None) -> None:
        self.stop()


class Sessions(DynamicSupervisor):
    """Has as many as are needed."""


SESSIONS = OnDemand(Session, supervisor="leak:sessions", prefix="leak:session:")


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


@dataclass
class Stage:
    """What the lives have in common: where they begin, and two servers that stay."""

    group: TaskGroup
    server: PID
    other: PID
    looks: int
    kept: list[PID] = field(default_factory=list)
    hoard: bytearray = field(default_factory=bytearray)


Life = Callable[[Stage], Awaitable[None]]


async def end(pid: PID) -> None:
    exit(pid, "enough")
    await wait_exit(pid)


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


async def timers(stage: Stage) -> None:
    async def change_its_mind(from_: Call) -> None:
        cancel_timer(send_after(3600, stage.other, "never"))
        cancel_timer(send_every(3600, "leak:nobody", "never"))

    await call(stage.server, change_its_mind)


async def timers_that_go_off(stage: Stage) -> None:
    send_after(0, stage.server, "ignored")
    await anyio.lowlevel.checkpoint()


async def timers_of_who_ends(stage: Stage) -> None:
    async def set_some(from_: Call) -> None:
        send_after(3600, stage.server, "never")
        send_every(3600, stage.other, "never")

    pid = await Server.start(task_group=stage.group)
    await call(pid, set_some)
    send_after(3600, pid, "never")
    await end(pid)


async def gatherings(stage: Stage) -> None:
    async def gather(from_: Call) -> None:
        assert join("leak:group")
        monitor_group("leak:group")
        demonitor(monitor_group("leak:group"))

    pid = await Server.start(task_group=stage.group)
    await call(pid, gather)
    publish("leak:group", "ignored")
    await end(pid)


async def sessions(stage: Stage) -> None:
    """Start one on demand, leave a message as it ends, and wait until its successor is idle."""
    one = SESSIONS["one"]
    await call(one, echo)
    first = whereis(one)
    assert first is not None
    await send(one, "stop")
    await cast(one, "hello")
    await wait_exit(first)
    await wait_exit(one)


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
    timers: (500_000, 70_000),
    timers_that_go_off: (500_000, 70_000),
    timers_of_who_ends: (70_000, 40_000),
    gatherings: (70_000, 40_000),
    sessions: (50_000, 10_000),
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
    deadlines, in which up to a thousand lie that are over on trio, and a hundred on asyncio.
    """
    looks = []
    for _ in range(stage.looks):
        await repeat(life, stage, APART)
        await anyio.lowlevel.checkpoint()
        looks.append(in_use())
    return min(blocks for blocks, _ in looks), min(size for _, size in looks)


async def growth(life: Life, stage: Stage, rounds: int) -> tuple[int, int]:
    """Return how many blocks and bytes more are in use after so many rounds."""
    blocks, size = await least_in_use(life, stage)
    await repeat(life, stage, rounds - stage.looks * APART)
    blocks_after, size_after = await least_in_use(life, stage)
    return blocks_after - blocks, size_after - size


async def main(lives: dict[Life, int], looks: int) -> None:
    most = most_bytes = 0
    async with anyio.create_task_group() as group:
        server, other = await Server.start(task_group=group), await Server.start(task_group=group)
        await Restarter.start(task_group=group)
        await Sessions.start(task_group=group, register_as="leak:sessions")
        stage = Stage(group, server, other, looks)
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
    anyio.run(main, rounds, LOOKS[backend], backend=backend)
