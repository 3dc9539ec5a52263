"""What the scripts of clusters share: another node in a process of its own, which is killed.

    python SCRIPT

Each prints lines of JSON: the version of the peer, then seconds. In one process it is the node
that calls; that starts the script once more, as the node with the actor that is called.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import protocol

AT_A_TIME = 64
CALLS = 2_000
PATIENCE = 40.0  # seconds, after which a call counts as one that hears nothing

Call = Callable[[], Awaitable[object]]


def is_other() -> bool:
    """Return whether this process is the node that is called."""
    return len(sys.argv) > 1


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_other(*arguments: object) -> subprocess.Popen[str]:
    """Start the node that is called, and return when it says that it is there."""
    other = subprocess.Popen(
        [sys.executable, sys.argv[0], *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert "ready" in other.stdout.readline()
    return other


async def until_answered(call: Call) -> None:
    """Call until the nodes have met."""
    while True:
        try:
            await asyncio.wait_for(call(), 2)
            return
        except Exception:
            await asyncio.sleep(0.1)


async def many(count: int, call: Call) -> float:
    async def client() -> None:
        for _ in range(count // AT_A_TIME):
            await call()

    started = time.perf_counter()
    await asyncio.gather(*[client() for _ in range(AT_A_TIME)])
    return (time.perf_counter() - started) / (count // AT_A_TIME * AT_A_TIME)


async def _outcome(call: Call) -> float | None:
    """Return how many seconds it took until a call was answered or failed."""
    started = time.perf_counter()
    try:
        await asyncio.wait_for(call(), PATIENCE)
    except Exception:
        pass
    took = time.perf_counter() - started
    return None if took >= PATIENCE else took


class Other(Protocol):
    """The node that is called."""

    def kill(self) -> None: ...


async def measure(call: Call, never: Call, other: Other) -> None:
    """Take all measures of a peer: `never` is a call whose handler waits for ever."""
    await until_answered(call)
    for _ in range(2):  # once to warm up
        one, some = await protocol.one_by_one(CALLS, call), await many(CALLS, call)
    protocol.say("remote call", one)
    protocol.say("64 at a time", some)
    in_flight = asyncio.ensure_future(_outcome(never))
    await asyncio.sleep(0.5)
    other.kill()
    started = time.perf_counter()
    await asyncio.sleep(0.1)
    protocol.say("killed: a new call", await _outcome(call))
    await in_flight
    took = time.perf_counter() - started
    protocol.say("killed: a call in flight", None if in_flight.result() is None else took)
