"""The visitors of the chaos: processes without a supervisor, started by whoever needs one.

Tasks of both event loops want the same few of them. `start_or_find` lets one of them start
it, and gives to the others one that has started.
"""

from __future__ import annotations

from contextlib import suppress
from random import Random

from anyio import create_task_group

from fauxtp import (
    NoProcess,
    Phase,
    ProcessExited,
    ReceiveTimeout,
    process_info,
    start_or_find,
    wait_registered,
)
from hostile.chaos_letter import How, Order
from hostile.chaos_post import Boom, post
from hostile.chaos_servers import Server
from hostile.chaos_world import World

__all__ = ["Host"]

NAMES = [f"visitor:{number}" for number in range(4)]
ORDERS = (Order.WORK, Order.WORK, Order.YIELD, Order.STOP)


class Host:
    """One who starts or finds visitors, as long as there are callers."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.random = Random(f"{world.seed} host {number}")
        self.sender = world.new_sender()

    async def receive_visitors(self) -> None:
        async with create_task_group() as group:
            while self.world.calling:
                name = self.random.choice(NAMES)
                order = self.random.choice(ORDERS)
                try:
                    pid = await start_or_find(name, Server, self.world, name, task_group=group)
                except (Boom, ProcessExited):
                    continue  # its `init` has failed, or somebody has ended it
                self.world.count("visits")
                with suppress(NoProcess):
                    if process_info(pid).phase is Phase.STARTING:
                        self.world.fault(f"{pid!r} was found while it started")
                await post(self.world.letter(self.sender, pid, How.CALL, order), 1.0)
                with suppress(ReceiveTimeout):
                    await wait_registered(self.random.choice(NAMES), self.random.random() / 1000)
                await self.world.breathe()
            group.cancel_scope.cancel()
