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

from bench.cluster_engine import PAYLOAD, of_nats, time_of
from fauxtp import PID, GenServer, call, cast, exit
from fauxtp.cluster import Cluster

REQUEST = ("charge", {"user": "anna", "cents": 4200, "tags": ("a", "b")})  # 67 bytes
ROUNDS = 9
CASTS = 20_000
AT_A_TIME = 64


class Till(GenServer[Any, Any]):
    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return request, state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        return state


def told(what: str, times: list[tuple[float, float]], theirs: str) -> None:
    ratio = statistics.median(one / other for one, other in times)
    one, other = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"{what}: {one:.1f} µs; {theirs} {other:.1f} µs: {ratio:.2f} times")


async def casts(till: PID, clients: list[Client]) -> tuple[float, float]:
    """Return the microseconds that a cast takes until it is handled, and a publish, heard."""
    heard, all_heard = 0, asyncio.Event()

    async def hears(message: Msg) -> None:
        nonlocal heard
        heard += 1
        if heard == CASTS:
            all_heard.set()

    here, there = clients
    subscription = await there.subscribe("casts", cb=hears)
    await there.flush()
    start = perf_counter()
    for _ in range(CASTS):
        await cast(till, REQUEST)
    await call(till, None)
    between = perf_counter()
    for _ in range(CASTS):
        await here.publish("casts", PAYLOAD)
    await all_heard.wait()
    end = perf_counter()
    await subscription.unsubscribe()
    return (between - start) / CASTS * 1e6, (end - between) / CASTS * 1e6


async def compare(url: str) -> None:
    request, clients = await of_nats(url)
    async with (
        Cluster.join(url, cluster="bench", node="a") as a,
        Cluster.join(url, cluster="bench", node="b") as b,
        anyio.create_task_group() as task_group,
    ):
        till = await Till.start(task_group=task_group)
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
        told("a cast", [await casts(there, clients) for _ in range(ROUNDS)], "a bare publish")
        exit(till)
    for client in clients:
        await client.close()


def main() -> None:
    with running() as server:
        asyncio.run(compare(server.url))


if __name__ == "__main__":
    main()
