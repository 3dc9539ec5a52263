"""The load of the chaos: tasks and threads that send letters, and lose patience."""

from __future__ import annotations

import asyncio
import time
from random import Random

from anyio import CancelScope, move_on_after
from anyio.lowlevel import checkpoint

from fauxtp import PID, exit, whereis
from fauxtp._loops.running import running_asyncio_loop
from hostile.chaos_letter import How, Letter, Order
from hostile.chaos_post import post, post_blocking, post_later
from hostile.chaos_world import AFTERWARDS, World

__all__ = ["Caller"]

FROM_TASKS = [
    *(4 * [How.CALL] + 2 * [How.START_CALL, How.CAST, How.SEND]),
    *(How.CAST_NOWAIT, How.SEND_NOWAIT, How.SEND_AFTER, How.CAST_AFTER),
]
FROM_THREADS = [How.CALL_BLOCKING, How.CALL_BLOCKING, How.CAST_NOWAIT, How.SEND_NOWAIT]
PATIENCE = (None, 5.0, 0.05, 0.05, 0.02, 0.005, 0.0)
HARMLESS = [
    *(20 * [Order.WORK] + 4 * [Order.YIELD] + 2 * [Order.DAWDLE]),
    *(Order.RELAY, Order.RELAY, Order.LATER, Order.ELSEWHERE),
    *(Order.HIRE, Order.TASK),
]
HARMFUL = (Order.CRASH, Order.STOP, Order.HANG, Order.LINK, Order.CHILD)
HARM = 0.01  # of all letters, in a storm
AT_ONCE = 8  # letters that a task sends before it lets others run
KNOWN = 16  # PIDs that a caller remembers, also when they have died


class Caller:
    """One sender of letters."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.random = Random(f"{world.seed} caller {number}")
        self.sender = world.new_sender()
        self.known: list[PID | str] = ["nobody"]

    async def call_from_task(self) -> None:
        while self.world.calling:
            for _ in range(AT_ONCE):
                letter, timeout = self.letter(FROM_TASKS)
                await self.post_as_long_as_it_likes(letter, timeout)
            await self.world.breathe()

    async def post_as_long_as_it_likes(self, letter: Letter, timeout: float | None) -> None:
        """Send a letter, and perhaps be cancelled."""
        fate = self.random.random()
        if letter.how.is_timed:
            with move_on_after(self.random.random() * 0.005):
                await post_later(letter, *(self.random.random() * 0.002 for _ in range(2)))
        elif fate < 0.05:
            with move_on_after(self.random.random() * 0.005):
                await post(letter, timeout)
        elif fate < 0.08:
            with CancelScope() as scope:
                scope.cancel()
                await post(letter, timeout)
        elif fate < 0.1 and running_asyncio_loop() is not None:
            await self.post_from_a_bare_task(letter, timeout)
        else:
            await post(letter, timeout)

    async def post_from_a_bare_task(self, letter: Letter, timeout: float | None) -> None:
        """Send a letter from a task that anyio knows nothing of, and cancel that."""
        task = asyncio.create_task(post(letter, timeout))
        try:
            for _ in range(self.random.randint(1, 4)):
                await checkpoint()
        finally:
            task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    def call_from_thread(self) -> None:
        while self.world.calling:
            letter, timeout = self.letter(FROM_THREADS)
            post_blocking(letter, timeout)
            if self.world.stormy and self.random.random() < 0.005:
                self.world.inject("exit from a thread")
                exit(self.random.choice(self.world.servers), "a thread's whim")
            if self.world.closed:
                time.sleep(AFTERWARDS)

    def letter(self, hows: list[How]) -> tuple[Letter, float | None]:
        """Return a letter to anybody, and how long to wait for an answer."""
        how = self.random.choice(hows)
        if self.random.random() < 0.1:
            to = self.random.choice(self.world.spared)
            order = self.random.choice((Order.WORK, Order.YIELD, Order.LATER))
            sender = self.world.new_sender() if how.is_timed else self.sender
            return self.world.letter(sender, to, how, order, spared=True), None
        if self.world.stormy and self.random.random() < HARM * self.world.severity:
            order = self.random.choice(HARMFUL)
        else:
            order = self.random.choice(HARMLESS)
        if how.is_timed:  # one to a PID may end with that; and others overtake it
            to = self.random.choice(self.world.servers)
            letter = self.world.letter(self.world.new_sender(), to, how, order)
        else:
            letter = self.world.letter(self.sender, self.anybody(), how, order)
        return letter, self.random.choice(PATIENCE)

    def anybody(self) -> PID | str:
        """Return the name or address of a server; or the PID of one, that perhaps is no more."""
        fate = self.random.random()
        if fate < 0.2:
            return self.random.choice(self.world.popular)
        if fate < 0.3:
            return self.random.choice(self.world.addresses)
        name = self.random.choice(self.world.servers)
        if fate < 0.8:
            return name
        if fate < 0.85:
            self.known = [*self.known[-KNOWN:], whereis(name) or "nobody"]
        return self.random.choice(self.known)
