"""What tests of shards share: sessions that note what they do, and the nodes that have them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from clusters import members, until
from conftest import task_group
from crew import process_of

from fauxtp import PID, DynamicSupervisor, GenServer, OnDemand
from fauxtp.cluster import Cluster
from fauxtp.cluster._engines import memory_engine
from fauxtp.cluster._keys import shard_keys
from fauxtp.cluster.memory_broker import MemoryBroker

SHARDS = memory_engine.SHARDS
shard_of = partial(shard_keys.shard_of, shards=SHARDS)
rank = partial(shard_keys.rank, shards=SHARDS)
KEYS = [f"user {number}" for number in range(40)]


class Book:
    """What all sessions of a cluster do: of each key, there may be one at a time."""

    def __init__(self) -> None:
        self.lives: dict[str, str] = {}
        self.starts: Counter[str] = Counter()
        self.handled: Counter[Any] = Counter()
        self.wrong: list[str] = []
        self.in_init: Callable[[str], Any] | None = None
        self.on_end: Callable[[str, Any], Any] | None = None


class Session(GenServer[Any, Any]):
    """Says where it is, and notes what it was told."""

    where = ""
    book: Book

    def __init__(self, key: str) -> None:
        self.key = key

    async def init(self) -> list[Any]:
        if self.book.in_init is not None:
            await self.book.in_init(self.where)
        if self.key in self.book.lives:
            self.book.wrong.append(f"{self.key} at {self.book.lives[self.key]} and {self.where}")
        self.book.lives[self.key] = self.where
        self.book.starts[self.key] += 1
        return []

    async def terminate(self, reason: Any, state: Any) -> None:
        if self.book.on_end is not None:
            await self.book.on_end(self.key, state)
        if self.book.lives.get(self.key) == self.where:
            del self.book.lives[self.key]

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        self.book.handled[request if isinstance(request, int) else str(request)] += 1
        match request:
            case "where":
                return self.where, state
            case "pid":
                return self.pid, state
            case "told":
                return state, state
            case ("wait", event):
                await event.wait()
        return request, state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        self.book.handled[str(request)] += 1
        return [*state, ("cast", request)]

    async def handle_info(self, message: Any, state: Any) -> Any:
        self.book.handled[str(message)] += 1
        return [*state, message]


class Sessions(DynamicSupervisor):
    """Those of one node."""


class Host:
    """One node with a supervisor of sessions, and their addresses as seen from there."""

    def __init__(self, cluster: Cluster, book: Book) -> None:
        self.cluster = cluster
        self.name = f"sessions of {cluster.node}"
        kind = type("SessionHere", (Session,), {"where": cluster.node, "book": book})
        self.sessions = OnDemand(kind, supervisor=self.name, prefix="session:", cluster=cluster)

    def __getitem__(self, key: str) -> str:
        return self.sessions[key]

    async def begin(self, group: Any) -> PID:
        return await Sessions.start(task_group=group, register_as=self.name)

    @property
    def kind(self) -> Any:
        return self.cluster._sharding._post.kinds["session:"]

    @property
    def shards(self) -> set[int]:
        return self.kind.had  # type: ignore[no-any-return]


def session_of(pid: PID | None) -> Any:
    """Return the process of one that is there."""
    assert pid is not None
    return process_of(pid)


def settled(*hosts: Host) -> bool:
    """Return whether each shard is with the host that it is to be with, and all know it."""
    had = [shard for host in hosts for shard in host.shards]
    return sorted(had) == list(range(SHARDS)) and all(
        host.kind.hosts.wanted(shard) == host.cluster.node
        and len(host.kind.hosts.nodes) == len(hosts)
        and all(owner_of(one, shard) == host.cluster.node for one in hosts)
        for host in hosts
        for shard in host.shards
    )


def owner_of(host: Host, shard: int) -> str:
    """Return which node has a shard, as far as `host` knows."""
    owner = host.cluster._sharding._claims._table.owner("session:", shard)
    return "" if owner is None else owner.peer.node


@asynccontextmanager
async def hosts(
    *names: str, broker: MemoryBroker | None = None, book: Book | None = None
) -> AsyncIterator[list[Host]]:
    """Let there be nodes with supervisors meanwhile, which have all shards among them."""
    book = book or Book()
    async with members(*names, broker=broker) as joined, task_group() as group:
        all_of_them = [Host(cluster, book) for cluster in joined]
        for host in all_of_them:
            await host.begin(group)
        await until(lambda: settled(*all_of_them))
        yield all_of_them
    assert not book.wrong


def key_at(host: Host, besides: tuple[str, ...] = ()) -> str:
    """Return a key of a shard that `host` has."""
    return next(it for it in KEYS if shard_of(it) in host.shards and it not in besides)


def key_that_moves(to: str, of: str) -> str:
    """Return a key of a shard that is to be with node `to`, where it is with node `of` else."""
    return next(it for it in KEYS if rank(to)[shard_of(it)] > rank(of)[shard_of(it)])
