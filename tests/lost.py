"""Servers whose event loop ends before they do."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio

from fauxtp import PID, GenServer

ENDED = "event loop ended"


class Server(GenServer[Any, list[Any]]):
    trap_exit = True

    async def init(self) -> list[Any]:
        return []

    async def handle_call(self, request: Any, from_: Any, state: list[Any]) -> Any:
        return await request(state) if callable(request) else request, state

    async def handle_info(self, message: Any, state: list[Any]) -> list[Any]:
        return [*state, message]


class Plain(Server):
    trap_exit = False


class Full(Plain):
    mailbox_size = 1


async def hang(state: object) -> None:
    await anyio.sleep_forever()


async def seen(state: list[Any]) -> list[Any]:
    return state


def start(loop: asyncio.AbstractEventLoop, kind: type[Server] = Plain, **options: Any) -> PID:
    """Start a server which is there still when the loop does not run any more."""

    async def in_loop() -> PID:
        group = anyio.create_task_group()
        await group.__aenter__()
        return await kind.start(task_group=group, **options)

    return loop.run_until_complete(in_loop())
