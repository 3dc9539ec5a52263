"""The faults of the chaos: what is done to servers and to whole branches, on purpose."""

from __future__ import annotations

import time
from random import Random

import anyio
from anyio.lowlevel import checkpoint

from fauxtp import (
    ChildSpec,
    FauxtpError,
    NoChild,
    NoProcess,
    RestartType,
    delete_child,
    exit,
    restart_child,
    start_child,
    terminate_child,
    whereis,
)
from hostile.chaos_letter import How, Order
from hostile.chaos_post import Boom, post
from hostile.chaos_servers import Server
from hostile.chaos_tree import GIVES_UP_AFTER, pooled
from hostile.chaos_world import World

__all__ = ["Injector", "end_the_hung", "parent_of"]

PAUSE = 0.01  # seconds between two faults of one injector, on average
FLOOD = 8  # letters at once, more than a bounded mailbox takes


def parent_of(name: str) -> str:
    """Return the name of the supervisor of a server or a branch."""
    return name.rpartition(":")[0]


def is_pool(name: str) -> bool:
    """Return whether a supervisor is one whose children are known by their PIDs."""
    return name.endswith(":pool")


def end_the_hung(world: World, after: float) -> None:
    """Kill those that hang for so many seconds."""
    now = time.monotonic()
    for pid, since in world.hung.copy().items():
        if now - since > after:
            world.inject("kill of a hung one")
            exit(pid, "kill")


class Injector:
    """One source of faults. Which it injects, and into whom, depends on the seed alone."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.random = Random(f"{world.seed} injector {number}")
        self.sender = world.new_sender()
        self.name = f"{number}"
        self.guests = 0

    async def inject(self) -> None:
        """Do harm as long as the storm lasts."""
        faults = 4 * [self.exit, self.kill] + 2 * [self.letters, self.restart]
        faults += [self.exit_limb, self.restart_limb, self.burst, self.flood, self.guest]
        while self.world.stormy:
            await self.random.choice(faults)()
            await anyio.sleep(self.random.expovariate(self.world.severity / PAUSE))

    async def exit(self) -> None:
        self.world.inject("exit")
        reason = self.random.choice(("chaos", "normal", "shutdown"))
        exit(self.random.choice(self.world.servers), reason)

    async def kill(self) -> None:
        self.world.inject("kill")
        exit(self.random.choice(self.world.servers), "kill")

    async def letters(self) -> None:
        """Let a server crash, stop or hang, by a message."""
        how = self.random.choice((How.CALL, How.CAST_NOWAIT, How.SEND_NOWAIT))
        order = self.random.choice((Order.CRASH, Order.STOP, Order.HANG))
        to = self.random.choice(self.world.servers)
        await post(self.world.letter(self.sender, to, how, order), 0.01)

    async def flood(self) -> None:
        """Send more at once than some mailboxes take."""
        self.world.inject("flood")
        to = self.random.choice(self.world.servers)
        for _ in range(FLOOD):
            letter = self.world.letter(self.sender, to, How.SEND_NOWAIT, Order.DAWDLE)
            await post(letter, None)

    async def burst(self) -> None:
        """Let the servers of a branch that soon gives up crash until it does."""
        self.world.inject("burst of crashes")
        limb = self.random.choice([limb for limb in self.world.limbs if "fragile" in limb])
        for number in range(2 * GIVES_UP_AFTER):
            to = f"{limb}:{number % 2}"
            await post(self.world.letter(self.sender, to, How.CALL, Order.CRASH), 0.05)

    async def exit_limb(self) -> None:
        self.world.inject("exit of a branch")
        exit(self.random.choice(self.world.limbs), self.random.choice(("chaos", "kill")))

    async def restart(self) -> None:
        self.world.inject("restart of a server")
        await self.stop_and_start(self.random.choice(self.world.servers))

    async def restart_limb(self) -> None:
        self.world.inject("restart of a branch")
        await self.stop_and_start(self.random.choice(self.world.limbs))

    async def stop_and_start(self, name: str) -> None:
        if is_pool(parent_of(name)):
            await self.replace(name)
            return
        try:
            await terminate_child(parent_of(name), name)
        except FauxtpError:
            return  # its supervisor is not there
        await self.bring_back(name)

    async def bring_back(self, name: str) -> None:
        """Start a child that somebody has stopped, also if its `init` fails now and then."""
        while True:
            try:
                await restart_child(parent_of(name), name)
            except (ValueError, NoProcess, NoChild):
                return  # somebody was quicker; or its supervisor will start it, being new
            except (FauxtpError, Boom):
                await checkpoint()
            else:
                return

    async def replace(self, name: str) -> None:
        """Stop a server of a pool, and let the pool have another of that name."""
        pool, pid = parent_of(name), whereis(name)
        while True:
            try:
                if pid is not None:
                    await terminate_child(pool, pid)
                    pid = None
                await start_child(pool, pooled(self.world, name))
            except (ValueError, NoProcess, NoChild):
                return  # somebody was quicker; or the pool is new, and takes it in
            except (FauxtpError, Boom):
                await checkpoint()
            else:
                return

    async def guest(self) -> None:
        """Add a child that nobody counts on, let it work, and see it go."""
        self.world.inject("guest")
        self.guests += 1
        limb = self.random.choice(self.world.limbs)
        name = f"{limb}:guest:{self.name}:{self.guests}"
        restart = self.random.choice((RestartType.TEMPORARY, RestartType.TRANSIENT))
        if is_pool(limb):
            restart = RestartType.TEMPORARY
        order = self.random.choice((Order.WORK, Order.STOP, Order.CRASH))
        arguments = (self.world, name)
        spec = ChildSpec(name, Server, arguments, restart=restart, register_as=name)
        try:
            pid = await start_child(limb, spec)
            await post(self.world.letter(self.sender, name, How.CALL, order), 0.05)
            exit(name, "kill")
            await terminate_child(limb, pid if is_pool(limb) else name)
            await delete_child(limb, name)
        except (FauxtpError, ValueError, Boom):
            pass  # it has gone by itself, or its supervisor has
