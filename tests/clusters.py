"""What tests of clusters share: nodes of one cluster in one event loop, and what they wait for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup

from fauxtp import PID, GenServer
from fauxtp.cluster.cluster import Cluster
from fauxtp.cluster.memory_broker import MemoryBroker
from fauxtp.testing import TestCluster

TTL = 5  # seconds
ACTS = 0.9 * TTL  # how long a node acts of which nobody hears
PATIENCE = 30.0


@asynccontextmanager
async def members(*names: str, broker: MemoryBroker | None = None) -> AsyncIterator[list[Cluster]]:
    """Let there be nodes of these names meanwhile, each of which knows all."""
    async with TestCluster(names, broker or MemoryBroker("shop"), TTL, 5.0) as joined:
        yield list(joined)


def member(broker: MemoryBroker, name: str, ttl: int = TTL, timeout: float = 5.0) -> Any:
    return TestCluster((), broker, ttl, timeout).join(name)


async def until(holds: Callable[[], object]) -> None:
    """Wait for what nobody tells, and which comes within some turns of the event loop."""
    with anyio.fail_after(PATIENCE):
        pause = 0.001
        while not holds():
            await anyio.sleep(pause)
            pause = min(2 * pause, 0.1)


class Diary(GenServer[Any, Any]):
    """Does what it is told in a call, and notes all else."""

    async def init(self) -> list[Any]:
        return []

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return request(), state

    async def handle_info(self, message: Any, state: Any) -> Any:
        return [*state, message]


async def diary(group: TaskGroup, **how: Any) -> Any:
    return await Diary.start(task_group=group, **how)


def seen_by(one: Cluster, other: Cluster, pid: PID) -> PID:
    """Return the PID that a process of node `other` has at node `one`."""
    return one._messenger.pids.pid_at(other._messenger.pids.address_of(pid))
