"""A web service with a process for each user, beside the same on dicts.

    python -m bench.web_service [users]

Starlette under uvicorn, in a process of its own; 32 connections ask it, each for one of the users
at random, and again when it has its answer. The users' requests are counted by servers that are
started on demand, or in a dict: both end when they have been idle for a second, and begin anew.
So of 20,000 users most requests start a server and end one. Both are asked in turns in one run.
"""

from __future__ import annotations

import asyncio
import importlib.util
import random
import socket
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bench.figures import Figure, median_ratio, show
from bench.on_demand import CONNECTIONS, IDLE, Counts, Session, Sessions
from fauxtp import ChildSpec, OnDemand, Supervisor, call, running

USERS = 20_000
ROUNDS = 5
SECONDS = 3.0  # of each, in each round
BAR = 0.7

sessions = OnDemand(Session, supervisor="sessions", prefix="session:", idle_timeout=IDLE)
counts = Counts()


class Application(Supervisor):
    """Has the users' sessions."""

    def child_specs(self) -> list[ChildSpec]:
        return [ChildSpec("sessions", Sessions, register_as="sessions")]


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    ending = asyncio.ensure_future(counts.end_the_idle())
    async with running(Application):
        yield
    ending.cancel()


async def by_servers(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(await call(sessions[request.path_params["user"]], 1)))


async def by_dicts(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(await counts.answer(request.path_params["user"])))


app = Starlette(
    routes=[Route("/servers/{user}", by_servers), Route("/dicts/{user}", by_dicts)],
    lifespan=lifespan,
)


async def ask(port: int, kind: str, users: int, seed: int, end: float) -> int:
    """Return how many answers one connection gets until then."""
    dice, done = random.Random(seed), 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while perf_counter() < end:
        path = f"/{kind}/user-{dice.randrange(users)}"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 200 "):
            raise RuntimeError(f"expected an answer, got {head.decode()}")
        await reader.readexactly(int(head.partition(b"content-length:")[2].split(None, 1)[0]))
        done += 1
    writer.close()
    return done


async def requests_a_second(port: int, kind: str, users: int) -> float:
    start = perf_counter()
    asked = (ask(port, kind, users, seed, start + SECONDS) for seed in range(CONNECTIONS))
    return sum(await asyncio.gather(*asked)) / (perf_counter() - start)


async def measure(port: int, users: int) -> Figure:
    ours, theirs = [], []
    for number in range(ROUNDS + 1):
        figures = [await requests_a_second(port, kind, users) for kind in ("servers", "dicts")]
        if number:  # the first warms up
            ours.append(figures[0])
            theirs.append(figures[1])
    ratio = median_ratio(ours, theirs)
    return Figure(
        f"{users:,} users",
        f"{statistics.median(ours):,.0f} requests/s",
        f"dicts: {statistics.median(theirs):,.0f}",
        ratio,
        f"≥ {BAR}",
        ratio >= BAR,
    )


def serve(socket_number: int) -> None:
    config = uvicorn.Config(app, loop="asyncio", log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=socket_number)])


def main(users: int) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS) as listening:
        port, number = listening.getsockname()[1], listening.fileno()
        command = [sys.executable, "-m", "bench.web_service", "serve", str(number)]
        service = subprocess.Popen(command, pass_fds=[number])
    try:
        figure = anyio.run(measure, port, users)
    finally:
        service.terminate()
        service.wait()
    parser = "httptools" if importlib.util.find_spec("httptools") else "h11"
    show(f"a web service: Starlette, uvicorn with {parser}", [figure])


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else USERS)
