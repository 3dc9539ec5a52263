"""A scenario of names that are watched: who has them is known by what is told.

It is for `explore`: it draws from the module `random`, and asserts as it goes.
"""

from __future__ import annotations

import random
from contextlib import aclosing
from typing import Any

import anyio

from fauxtp import (
    PID,
    GenServer,
    Overflow,
    Registered,
    Unregistered,
    cast,
    exit,
    register,
    registered,
    unregister,
    wait_exit,
    watch_names,
    whereis,
)
from fauxtp._core.process import find_process
from hostile.scenes import crash, pause, together

ROOMS = [f"room:{number}" for number in range(4)]


class Holder(GenServer[Any, None]):
    """Takes and lets go of names as it likes, and ends."""

    async def handle_cast(self, request: str, state: None) -> None:
        for _ in range(4):
            name = random.choice([*ROOMS, "elsewhere"])
            if not register(name, self.pid):
                unregister(name, self.pid)
            await pause()
        if request == "crash":
            crash()
        self.stop()


class Known:
    """Who has which name, as one who watches is told."""

    def __init__(self) -> None:
        self.there: dict[str, PID] = {}
        self.is_over = False

    def hear(self, change: Registered | Unregistered | Overflow) -> None:
        match change:
            case Overflow():
                self.there = {}
            case Registered("room:over"):
                self.is_over = True
            case Registered(name, pid):
                assert name not in self.there, "a name that was there was told to come"
                self.there[name] = pid
            case Unregistered(name, pid, reason):
                assert self.there.pop(name, None) is pid, "a name that was not there has gone"
                assert reason is None or find_process(pid) is None, "the living had an end"

    async def watch(self) -> None:
        """Watch until all is over; now and then, leave and begin again."""
        while not self.is_over:
            self.there = {}
            await pause()
            async with aclosing(watch_names("room:")) as watch:
                async for change in watch:
                    self.hear(change)
                    if self.is_over or random.random() < 0.05:
                        break
                    if random.random() < 0.5:
                        await pause()


async def watched_names() -> None:
    """Whoever watches names knows who has them, from its first look to the end."""
    known = [Known() for _ in range(3)]
    async with anyio.create_task_group() as group:
        async with anyio.create_task_group() as watchers:
            for one in known:
                watchers.start_soon(one.watch)
            holders = [await Holder.start(task_group=group) for _ in range(4)]
            await together(*[lambda holder=holder: live(holder) for holder in holders])
            there = {name: whereis(name) for name in registered("room:")}
            keeper = await GenServer.start(task_group=group, register_as="room:over")
        exit(keeper)
    for one in known:
        assert one.there == there == {}, "news were lost"


async def live(holder: PID) -> None:
    await pause()
    await cast(holder, random.choice(["crash", "stop"]))
    if random.random() < 0.3:
        await pause()
        exit(holder, random.choice(["shutdown", "kill"]))
    await wait_exit(holder)
