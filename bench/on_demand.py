"""What it costs to start servers when they are needed, and to end them when they are not.

    python -m bench.on_demand [users]

Each is measured in turns in one run. A hit is a call by an address, against one by a name. A miss
is the first, against a start under the same supervisor and a call. The service answers requests
over TCP, in the same event loop as who asks. A visit is so many requests of one of the users, at
random; they are counted by a server of the user's own, or in a dict: both end when they have been
idle for a second, and begin anew at the next visit.
"""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
import sys
import tracemalloc
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, cast

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from bench.figures import Figure, median_ratio, show
from fauxtp import (
    Call,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    OnDemand,
    RestartType,
    call,
    exit,
    start_child,
    wait_exit,
)

USERS = 20_000
TIMES, ROUNDS = 500, 11
MANY = 20_000
AT_ONCE = 50
IDLE = 1.0  # seconds
SECONDS = 4.0  # of service, of each kind
CONNECTIONS = 32


group_of_all: TaskGroup


class Session(GenServer[Any, int]):
    """Counts the requests of a user."""

    def __init__(self, user: str) -> None:
        self.user = user

    async def init(self) -> int:
        return 0

    async def handle_call(self, request: Any, from_: Call, count: int) -> Any:
        return count + 1, count + 1


class Slow(Session):
    """Takes a millisecond to start."""

    async def init(self) -> int:
        await asyncio.sleep(0.001)
        return 0


class Sessions(DynamicSupervisor):
    """Has as many as are needed."""


async def seconds(work: Callable[[int], Awaitable[object]]) -> float:
    start = perf_counter()
    for number in range(TIMES):
        await work(number)
    return perf_counter() - start


def compared(
    what: str, ours: list[float], theirs: list[float], against: str, bar: float
) -> Figure:
    ratio = median_ratio(ours, theirs)
    micro = [statistics.median(times) / TIMES * 1e6 for times in (ours, theirs)]
    figures = f"{micro[0]:.2f} µs", f"{against}: {micro[1]:.2f} µs"
    return Figure(what, *figures, ratio, f"≤ {bar}", ratio <= bar)


async def calls() -> list[Figure]:
    """Compare hits and misses."""
    sessions = OnDemand(Session, supervisor="sessions", prefix="s:", idle_timeout=60)
    hits: list[list[float]] = [[], [], []]
    misses: list[list[float]] = [[], []]
    keys = [str(number) for number in range(TIMES)]
    addresses = [sessions[key] for key in keys]

    ways: list[Callable[[int], Awaitable[object]]] = [
        lambda number: call(sessions[keys[number]], 1),
        lambda number: call(addresses[number], 1),
        lambda number: call(f"s:{keys[number]}", 1),
    ]

    async def plain(number: int) -> None:
        key, name = keys[number], f"p:{number}"
        spec = ChildSpec(
            key, Session, args=(key,), restart=RestartType.TEMPORARY, register_as=name
        )
        await start_child("sessions", spec)
        await call(name, 1)

    for _ in range(ROUNDS):
        await Sessions.start(task_group=group_of_all, register_as="sessions")
        misses[0].append(await seconds(lambda number: call(sessions[keys[number]], 1)))
        misses[1].append(await seconds(plain))
        for _ in range(2):  # the first after a start has more to do
            await seconds(lambda number: call(addresses[number], 1))
            await checkpoint()
        for times, work in zip(hits, ways, strict=True):
            times.append(await seconds(work))
        exit("sessions")
        await wait_exit("sessions")
    more = [(one - other) / TIMES * 1e6 for one, other in zip(*misses, strict=True)]
    above = statistics.median(more)
    return [
        compared("hit, made there", hits[0], hits[2], "by name", 1.5),
        compared("hit, address kept", hits[1], hits[2], "by name", 1.1),
        Figure(
            "miss",
            f"{statistics.median(misses[0]) / TIMES * 1e6:.1f} µs",
            f"start and call: {statistics.median(misses[1]) / TIMES * 1e6:.1f} µs",
            median_ratio(*misses),
            "≤ 10 µs more",
            above <= 10,
        ),
    ]


async def starts_at_once() -> Figure:
    """Start so many at once whose `init` takes a millisecond."""
    sessions = OnDemand(Slow, supervisor="sessions", prefix="s:")
    each = []
    await Sessions.start(task_group=group_of_all, register_as="sessions")
    for turn in range(ROUNDS):
        start = perf_counter()
        async with anyio.create_task_group() as callers:
            for number in range(AT_ONCE):
                callers.start_soon(call, sessions[f"{turn}:{number}"], 1)
        each.append((perf_counter() - start) / AT_ONCE)
    exit("sessions")
    await wait_exit("sessions")
    taken = statistics.median(each) * 1e6
    against = f"init: 1000 µs, {AT_ONCE} at once"
    return Figure(
        "start, at once", f"{taken:.0f} µs", against, taken / 1000, "≤ 0.1", taken <= 100
    )


async def bytes_each(start: Callable[[str], Awaitable[object]]) -> float:
    keys = [f"{number:06}" for number in range(MANY)]
    await start("x")
    gc.collect()
    tracemalloc.start()
    for key in keys:
        await start(key)
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] / MANY
    tracemalloc.stop()
    return taken


async def memory() -> list[Figure]:
    """Measure an idle server with its timeout, and one without supervisor and timeout."""
    sessions = OnDemand(Session, supervisor="sessions", prefix="session:", idle_timeout=600)
    chief = await Sessions.start(task_group=group_of_all, register_as="sessions")

    async def begin(key: str) -> None:
        cast(Any, sessions[key]).reach()  # without a message, as the bare one gets none
        await checkpoint()
        await checkpoint()

    idle = await bytes_each(begin)
    exit(chief)
    await wait_exit(chief)
    chief = await Sessions.start(task_group=group_of_all, register_as="sessions")
    called = await bytes_each(lambda key: call(sessions[key], 1))
    exit(chief)
    await wait_exit(chief)
    bare = await bytes_each(
        lambda key: Session.start(key, task_group=group_of_all, register_as=f"session:{key}")
    )
    against = f"bare: {bare:.0f} B"
    return [
        Figure("idle", f"{idle:.0f} B", against, idle / bare, "≤ 2600 B", idle <= 2600),
        Figure(
            "idle, after a call",
            f"{called:.0f} B",
            against,
            called / bare,
            "≤ 2600 B",
            called <= 2600,
        ),
    ]


Answer = Callable[[str], Awaitable[int]]


class Counts:
    """The same in dicts: what is idle is taken out in the order in which it was used last."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.used: OrderedDict[str, float] = OrderedDict()

    async def answer(self, user: str) -> int:
        self.used[user] = perf_counter()
        self.used.move_to_end(user)
        self.counts[user] = count = self.counts.get(user, 0) + 1
        return count

    async def end_the_idle(self) -> None:
        while True:
            await asyncio.sleep(IDLE / 16)
            while self.used and next(iter(self.used.values())) < perf_counter() - IDLE:
                user, _ = self.used.popitem(last=False)
                del self.counts[user]


async def requests_a_second(answer: Answer, users: int, visit: int) -> float:
    """Return how many requests are answered in a second, over TCP."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(b"%d\n" % await answer(line.decode().strip()))
        writer.close()

    done = 0
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    end = perf_counter() + SECONDS

    async def ask(seed: int) -> None:
        nonlocal done
        dice = random.Random(seed)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while perf_counter() < end:
            user = b"user-%d\n" % dice.randrange(users)
            for _ in range(visit):
                writer.write(user)
                await reader.readline()
            done += visit
        writer.close()

    start = perf_counter()
    async with anyio.create_task_group() as clients:
        for seed in range(CONNECTIONS):
            clients.start_soon(ask, seed)
    took = perf_counter() - start
    server.close()
    return done / took


async def service(users: int, visit: int, bar: float | None) -> Figure:
    """Compare the service on servers with that on dicts."""
    sessions = OnDemand(Session, supervisor="sessions", prefix="session:", idle_timeout=IDLE)
    await Sessions.start(task_group=group_of_all, register_as="sessions")
    ours, theirs = [], []
    for _ in range(3):
        counts = Counts()
        ending = asyncio.ensure_future(counts.end_the_idle())
        theirs.append(await requests_a_second(counts.answer, users, visit))
        ending.cancel()
        ours.append(await requests_a_second(lambda user: call(sessions[user], 1), users, visit))
    exit("sessions")
    await wait_exit("sessions")
    ratio = median_ratio(ours, theirs)
    against = f"dicts: {statistics.median(theirs):,.0f}"
    measured = f"{statistics.median(ours):,.0f} requests/s"
    what = f"{users:,} users, {visit} a visit"
    if bar is None:
        return Figure(what, measured, against, ratio)
    return Figure(what, measured, against, ratio, f"≥ {bar}", ratio >= bar)


async def main(users: int) -> None:
    global group_of_all
    async with anyio.create_task_group() as group_of_all:
        gc.disable()
        figures = await calls()
        gc.enable()
        figures += [await starts_at_once(), *await memory()]
        group_of_all.cancel_scope.cancel()
    async with anyio.create_task_group() as group_of_all:
        figures += [await service(users, 10, 0.7), await service(users, 1, None)]
    show("servers on demand", figures)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else USERS))
