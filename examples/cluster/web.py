"""A web service of several workers, which share a limit and the sessions of users.

    pip install fauxtp[cluster] starlette uvicorn
    nats-server --jetstream
    uvicorn --workers 5 --app-dir examples/cluster web:app

Each worker is a node. Whichever gets a request asks the one limiter that there is, and the session
of that user, which is in one of the workers; when a worker ends, its sessions go on in others.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from fauxtp import (
    Call,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    OnDemand,
    Supervisor,
    call,
    running,
    send,
    send_every,
)
from fauxtp.cluster import Cluster, singleton

SERVER = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
NAME = os.environ.get("CLUSTER", "web")
NODE = os.environ.get("NODE", f"worker-{os.getpid()}")
MOST = int(os.environ.get("MOST", "600"))  # requests of a user in a minute
PATIENCE = 20.0  # seconds for an answer, also while somebody else takes the place of who is gone


class Limit(GenServer[str, Counter[str]]):
    """Counts the requests of each user, in all workers. There is one in the whole cluster."""

    async def init(self) -> Counter[str]:
        send_every(60.0, self.pid, "a minute is over")
        return Counter()

    async def handle_call(self, user: str, from_: Call, asked: Counter[str]) -> object:
        asked[user] += 1
        return asked[user] <= MOST, asked

    async def handle_info(self, message: object, asked: Counter[str]) -> Counter[str]:
        return Counter()


class Session(GenServer[str, int]):
    """What is known of one user. There is one for each in the whole cluster."""

    addresses: ClassVar[OnDemand]

    def __init__(self, user: str) -> None:
        self.user = user

    async def init(self) -> int:
        return 0

    async def handle_call(self, request: str, from_: Call, visits: int) -> object:
        return (visits + 1, os.getpid()), visits + 1

    async def handle_info(self, message: object, visits: int) -> int:
        match message:
            case ("handed over", int(before)):
                return visits + before
        return visits

    async def terminate(self, reason: str, visits: int) -> None:
        if reason == "shutdown":  # it moves, or its worker ends: its successor goes on with this
            await send(self.addresses[self.user], ("handed over", visits))


class Sessions(DynamicSupervisor):
    """The sessions that are in this worker."""


class Application(Supervisor):
    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def child_specs(self) -> list[ChildSpec]:
        limit = ChildSpec("limit", Limit, register_as=self.cluster.name("limit"))
        return [singleton(limit), ChildSpec("sessions", Sessions, register_as="sessions")]


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with Cluster.join(SERVER, cluster=NAME, node=NODE) as cluster:
        app.state.limit = cluster.name("limit")
        Session.addresses = OnDemand(
            Session, supervisor="sessions", prefix="session:", idle_timeout=1800, cluster=cluster
        )
        async with running(Application, cluster):
            yield


async def visit(request: Request) -> JSONResponse:
    user, limit = request.path_params["user"], request.app.state.limit
    if not await call(limit, user, timeout=PATIENCE, wait=PATIENCE):
        return JSONResponse({"error": "too many requests"}, 429)
    session = Session.addresses[user]
    visits, worker = await call(session, "visit", timeout=PATIENCE, wait=PATIENCE)
    return JSONResponse({"visits": visits, "session": worker, "worker": os.getpid()})


app = Starlette(routes=[Route("/visit/{user}", visit)], lifespan=lifespan)
