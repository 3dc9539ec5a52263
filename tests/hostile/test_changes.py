"""Whatever is done to the children of a supervisor at once: it knows each one that lives."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from crew import Boom, boom, running, supervisor

from fauxtp import (
    PID,
    ChildSpec,
    FauxtpError,
    GenServer,
    RestartStrategy,
    RestartType,
    cast,
    delete_child,
    exit,
    process_infos,
    restart_child,
    start_child,
    terminate_child,
    which_children,
)

pytestmark = pytest.mark.anyio

IDS = ["a", "b", "c", "d", "e"]
TASKS, STEPS = 5, 8


class Slow(GenServer[Any, Any]):
    """Lets others have a turn or two as it starts and ends; may fail to start."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    async def init(self) -> Any:
        await self.turns()
        if self.chance.random() < 0.1:
            boom()

    async def terminate(self, reason: str, state: Any) -> None:
        await self.turns()

    async def turns(self) -> None:
        for _ in range(self.chance.randrange(4)):
            await checkpoint()

    async def handle_cast(self, request: Callable[[], Any], state: Any) -> Any:
        return request()


class Hands:
    """Do one thing after the other to the children of `chief`, whatever the others do."""

    def __init__(self, chance: random.Random, chief: PID) -> None:
        self.chance, self.chief = chance, chief

    def spec(self, id_: str) -> ChildSpec:
        kind = self.chance.choice(list(RestartType))
        return ChildSpec(id_, Slow, args=(self.chance,), restart=kind, register_as=id_)

    async def work(self) -> None:
        ways = (self.start, terminate_child, delete_child, restart_child, self.crash, self.crash)
        for _ in range(STEPS):
            way: Callable[[PID, str], Awaitable[Any]] = self.chance.choice(ways)
            with suppress(FauxtpError, Boom):
                await way(self.chief, self.chance.choice(IDS))

    async def start(self, chief: PID, id_: str) -> None:
        await start_child(chief, self.spec(id_))

    async def crash(self, _: PID, id_: str) -> None:
        await cast(id_, boom)


def living(chief: PID) -> set[PID]:
    """Return the children that live, whether their supervisor knows them or not."""
    return {info.pid for info in process_infos() if info.supervisor is chief}


async def quiet(chief: PID) -> dict[str, PID | None]:
    """Return the children when all changes are over."""
    before: Any = None
    while True:
        children = {info.id: info.pid for info in await which_children(chief)}
        if before == (children, living(chief)):
            return children
        before = children, living(chief)
        for _ in range(50):
            await checkpoint()


@pytest.mark.parametrize("strategy", RestartStrategy)
@pytest.mark.parametrize("seed", range(25))
async def test_whoever_lives_is_known(strategy: RestartStrategy, seed: int) -> None:
    chance = random.Random(seed)
    async with running() as group:
        kind = supervisor(strategy=strategy, max_restarts=10_000)
        chief = await kind.start(task_group=group)
        async with anyio.create_task_group() as several:
            for _ in range(TASKS):
                several.start_soon(Hands(chance, chief).work)
        known = await quiet(chief)
        lost = living(chief) - set(known.values())
        for pid in lost:
            exit(pid)  # or the supervisor would wait for them for ever
        assert not lost
