"""What a call to another node costs beside a bare request of nats-py, and casts beside publishes.

    python -m bench.cluster

It starts a NATS server of its own. Both nodes are in one event loop, as both clients are. Rounds
of both are taken in turns in one run.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import anyio
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats_server import running

from bench.cluster_engine import PAYLOAD, Request, of_nats, time_of
from fauxtp import PID, GenServer, call, cast, exit
from fauxtp.cluster import Cluster

REQUEST = ("charge", {"user": "anna", "cents": 4200, "tags": ("a", "b")})  # 67 bytes
ROUNDS = 9
AT_A_TIME = 64
BURSTS = {1: 2_000, AT_A_TIME: 20_000, 20_000: 20_000}  # casts one after the other; and in all


class Heard:
    """Waits for so many messages, of either side."""

    def expect(self, count: int) -> asyncio.Event:
        self.left, self.event = count, asyncio.Event()
        return self.event

    def one(self) -> None:
        self.left -= 1
        if not self.left:
            self.event.set()


class Till(GenServer[Any, Heard]):
    def __init__(self, heard: Heard) -> None:
        self.heard = heard

    async def init(self) -> Heard:
        return self.heard

    async def handle_call(self, request: Any, from_: Any, state: Heard) -> Any:
        return request, state

    async def handle_cast(self, request: Any, state: Heard) -> Heard:
        state.one()
        return state


def told(what: str, times: list[tuple[float, float]], theirs: str) -> None:
    ratio = statistics.median(one / other for one, other in times)
    one, other = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"{what}: {one:.1f} µs; {theirs} {other:.1f} µs: {ratio:.2f} times")


async def time_of_bursts(send: Request, heard: Heard, burst: int) -> float:
    """Return the microseconds that each takes of so many, until all are heard."""
    count = BURSTS[burst]
    start = perf_counter()
    for _ in range(count // burst):
        all_heard = heard.expect(burst)
        for _ in range(burst):
            await send()
        await all_heard.wait()
    return (perf_counter() - start) / count * 1e6


async def casts(till: PID, heard: Heard, clients: list[Client]) -> None:
    """Compare casts, until they are handled, with publishes, until they are heard."""
    here, there = clients

    async def hears(message: Msg) -> None:
        heard.one()

    subscription = await there.subscribe("casts", cb=hears)
    await there.flush()
    for burst in BURSTS:
        times = [
            (
                await time_of_bursts(lambda: cast(till, REQUEST), heard, burst),
                await time_of_bursts(lambda: here.publish("casts", PAYLOAD), heard, burst),
            )
            for _ in range(ROUNDS)
        ]
        told(f"a cast, {burst:,} one after the other", times, "a bare publish")
    await subscription.unsubscribe()


async def compare(url: str) -> None:
    request, clients = await of_nats(url)
    async with (
        Cluster.join(url, cluster="bench", node="a") as a,
        Cluster.join(url, cluster="bench", node="b") as b,
        anyio.create_task_group() as task_group,
    ):
        heard = Heard()
        till = await Till.start(heard, task_group=task_group)
        await a.register("till", till)
        there = await b.wait_registered("till", timeout=10)
        for at_a_time in (1, AT_A_TIME):
            times = [
                (
                    await time_of(lambda: call(there, REQUEST), at_a_time),
                    await time_of(request, at_a_time),
                )
                for _ in range(ROUNDS)
            ]
            told(f"a call, {at_a_time} at a time", times, "a bare request")
        await casts(there, heard, clients)
        exit(till)
    for client in clients:
        await client.close()


def main() -> None:
    with running() as server:
        asyncio.run(compare(server.url))


if __name__ == "__main__":
    main()
