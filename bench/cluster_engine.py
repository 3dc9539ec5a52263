"""What a cluster's engine costs beside bare nats-py, and what messages cost to encode and decode.

    python -m bench.cluster_engine

It starts a NATS server of its own. Rounds of both are taken in turns in one run.
"""

from __future__ import annotations

import asyncio
import pickle
import statistics
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter
from timeit import Timer
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats_server import running

from fauxtp.cluster._engines.engine import Change, Part, Snapshot
from fauxtp.cluster._engines.nats_engine import NatsEngine
from fauxtp.cluster._wire.wire import Wire

PAYLOAD = b"x" * 67
REQUESTS = 2_000  # a round
ROUNDS = 9
NAMES = 50_000
AT_A_TIME = 64
MESSAGE = ("call", 17, ("charge", {"user": "anna", "cents": 4200, "tags": ("a", "b")}))

Request = Callable[[], Awaitable[object]]


async def time_of(request: Request, at_a_time: int) -> float:
    """Return the microseconds that a request takes, so many at a time."""

    async def some() -> None:
        for _ in range(REQUESTS // at_a_time):
            await request()

    start = perf_counter()
    await asyncio.gather(*(some() for _ in range(at_a_time)))
    return (perf_counter() - start) / REQUESTS * 1e6


async def of_nats(url: str) -> tuple[Request, list[Client]]:
    """Return how bare nats-py makes a request, and what is to be closed."""
    asks, answers = Client(), Client()
    await asks.connect(url)
    await answers.connect(url)

    async def answer(message: Msg) -> None:
        await message.respond(message.data)

    await answers.subscribe("bare", cb=answer)
    await answers.flush()
    return lambda: asks.request("bare", PAYLOAD, timeout=5), [asks, answers]


async def of_engines(url: str) -> tuple[Request, list[NatsEngine]]:
    """Return how a request is made by two engines, and these."""
    a, b = (NatsEngine(url, cluster="bench", node=node) for node in "ab")
    await a.open()
    await b.open()
    waiting: dict[str, asyncio.Future[bytes]] = {}
    numbers = iter(range(1_000_000_000))
    prefix = a.prefix

    def answered(subject: str, payload: bytes | None, _: str | None) -> None:
        assert payload is not None
        waiting.pop(subject).set_result(payload)

    def asked(_: str, payload: bytes | None, reply: str | None) -> None:
        assert payload is not None
        assert reply is not None
        b.publish(reply, payload)

    await a.listen(prefix + "back.*", answered)
    await b.listen(prefix + "to.b", asked)

    async def request() -> bytes:
        reply = f"{prefix}back.{next(numbers)}"
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        waiting[reply] = future
        a.publish(prefix + "to.b", PAYLOAD, reply)
        return await future

    return request, [a, b]


async def requests(url: str) -> None:
    bare, clients = await of_nats(url)
    ours, engines = await of_engines(url)
    for at_a_time in (1, AT_A_TIME):
        times = [
            (await time_of(ours, at_a_time), await time_of(bare, at_a_time)) for _ in range(ROUNDS)
        ]
        ratio = statistics.median(one / other for one, other in times)
        one, other = (statistics.median(column) for column in zip(*times, strict=True))
        print(
            f"a request, {at_a_time} at a time: {one:.0f} µs; bare nats-py {other:.0f} µs:"
            f" {ratio:.2f} times"
        )
    await publishes(engines[0], clients[0])
    for client in clients:
        await client.close()
    for engine in engines:
        await engine.close()


async def publishes(engine: NatsEngine, client: Client) -> None:
    """Print what it takes to publish, until the server has it all."""
    subject, count = engine.prefix + "nobody", 20_000
    times: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        start = perf_counter()
        for _ in range(count):
            engine.publish(subject, PAYLOAD)
        await engine.flush()
        between = perf_counter()
        for _ in range(count):
            await client.publish(subject, PAYLOAD)
        await client.flush()
        times.append((between - start, perf_counter() - between))
    ratio = statistics.median(one / other for one, other in times)
    one, other = (statistics.median(column) / count * 1e6 for column in zip(*times, strict=True))
    print(f"a publish: {one:.2f} µs; bare nats-py {other:.2f} µs: {ratio:.2f} times")


async def names(url: str) -> None:
    """Print how many keys are created, seen by another node, and read by one that comes."""
    a, b, c = (NatsEngine(url, cluster="names", node=node) for node in "abc")
    seen: list[Part | Snapshot | Change] = []
    await a.open()
    await b.open(followed=seen.append)

    async def create(first: int) -> None:
        for number in range(first, NAMES, 256):
            await a.create(f"name.n{number}", b"\x93\xa1a\xcf12345678\x07")

    start = perf_counter()
    await asyncio.gather(*map(create, range(256)))
    print(f"keys created, 256 at a time: {NAMES / (perf_counter() - start):,.0f} a second")
    while len(seen) <= NAMES:
        await asyncio.sleep(0.001)
    print(f"and all seen elsewhere: {NAMES / (perf_counter() - start):,.0f} a second")
    there: list[Any] = []
    start = perf_counter()
    await c.open(followed=there.append)
    assert sum(len(part.entries) for part in there) == NAMES
    print(f"read by a node that comes: {NAMES / (perf_counter() - start):,.0f} a second")
    for each in (a, b, c):
        await each.close()


def messages() -> None:
    """Print what a nested call takes to encode and to decode, beside pickle."""
    wire, count = Wire(), 20_000
    ours, theirs = wire.encode(MESSAGE), pickle.dumps(MESSAGE, 5)
    rows = {
        "encode": (Timer(lambda: wire.encode(MESSAGE)), Timer(lambda: pickle.dumps(MESSAGE, 5))),
        "decode": (Timer(lambda: wire.decode(ours)), Timer(lambda: pickle.loads(theirs))),
    }
    for name, timers in rows.items():
        times = [[timer.timeit(count) / count * 1e6 for timer in timers] for _ in range(ROUNDS)]
        one, other = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"to {name} a nested call: {one:.2f} µs; pickle {other:.2f} µs")
    print(f"its bytes: {len(ours)}; pickle {len(theirs)}")


def main() -> None:
    messages()
    with running() as server:
        asyncio.run(requests(server.url))
        asyncio.run(names(server.url))


if __name__ == "__main__":
    main()
