"""Where lives go on that leave nothing in memory: two servers that stay, and a task group."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import TaskGroup

from fauxtp import PID, Call, GenServer, exit, wait_exit

AT_ONCE = 1e-9  # a timeout that is over in the next round of the event loop

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


@dataclass
class Stage:
    """What the lives have in common: where they begin, and two servers that stay."""

    group: TaskGroup
    server: PID
    other: PID
    kept: list[PID] = field(default_factory=list)
    hoard: bytearray = field(default_factory=bytearray)


Life = Callable[[Stage], Awaitable[None]]


async def end(pid: PID) -> None:
    exit(pid, "enough")
    await wait_exit(pid)
