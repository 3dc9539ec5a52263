"""What scenarios for `explore` have in common: pauses and crashes, drawn by the seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import anyio

from fauxtp import (
    PID,
    exit,
    wait_exit,
    whereis,
)
from fauxtp._core.process import find_process

SHORT = 0.01  # seconds, within which timeouts and sleeps lie


class Crash(Exception):
    """A crash that is meant."""


def crash() -> NoReturn:
    raise Crash


def moment() -> float:
    return SHORT * random.random()


async def pause() -> None:
    """Give way, for a turn or for a while, or not at all."""
    choice = random.randrange(3)
    if choice == 1:
        await anyio.sleep(0)
    elif choice == 2:
        await anyio.sleep(moment())


async def together(*functions: Callable[[], Coroutine[Any, Any, object]]) -> None:
    async with anyio.create_task_group() as group:
        for function in functions:
            group.start_soon(function)


async def end_of(pid: PID) -> None:
    """End a process in one of the ways there are, and wait for it."""
    exit(pid, random.choice(["shutdown", "kill"]))
    await wait_exit(pid)


def nobody_dead(name: str) -> None:
    pid = whereis(name)
    assert pid is None or find_process(pid) is not None, "a name means a corpse"
