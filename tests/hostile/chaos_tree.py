"""The trees of the chaos: supervisors of supervisors of servers, each with its name.

a                           a root; the other tree, in the other event loop, is b
    a:spared                four servers that nobody harms, two of them wardens
    a:one, a:rest, a:all    supervisors of each strategy, and below each of them
        a:one:one, …        … again, of ten servers each: a:one:one:0, …
        a:one:fragile       one that gives up after a few crashes
        a:one:pool          a dynamic one, of servers that it takes in when it has started
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from anyio.lowlevel import checkpoint

from fauxtp import (
    Actor,
    AlreadyStarted,
    Backoff,
    ChildInfo,
    ChildSpec,
    DynamicSupervisor,
    ExitReason,
    MaxRestartsExceeded,
    RestartStrategy,
    Supervisor,
    start_child,
)
from hostile.chaos_post import Boom
from hostile.chaos_servers import KINDS, Server, addresses_of
from hostile.chaos_warden import Warden
from hostile.chaos_world import World

__all__ = ["GIVES_UP_AFTER", "Pool", "Root", "lay_out", "pooled"]

FRAGILE, LEAVES, POOLED = 3, 10, 6
GIVES_UP_AFTER = 3
POPULAR = (":all:0", ":one:2", ":rest:2", ":rest:5")  # the bounded ones, and clerks, too
SHUTDOWN = 0.1  # seconds that a server has for its `terminate`


def leaf(world: World, name: str, kind: type[Actor]) -> ChildSpec:
    """Return the spec of a server with that name, which is its id, too."""
    return ChildSpec(name, kind, args=(world, name), shutdown=SHUTDOWN, register_as=name)


def pooled(world: World, name: str) -> ChildSpec:
    """Return the spec of a server in a pool, of which some are waited with before a restart."""
    number = int(name.rpartition(":")[2])
    spec = leaf(world, name, KINDS[number % len(KINDS)])
    return replace(spec, backoff=Backoff(first=0.002, most=0.02)) if number % 2 else spec


def limb(world: World, name: str, kind: type[Branch | Pool]) -> ChildSpec:
    """Return the spec of a supervisor with that name, which has the time that it needs."""
    return ChildSpec(name, kind, args=(world, name), shutdown=60.0, register_as=name)


class Noting:
    """A supervisor that notes what it is told of."""

    world: World

    def on_restart(self, child: ChildInfo, reason: ExitReason, count: int) -> None:
        self.world.count("on_restart")

    def on_give_up(self, child: ChildInfo, reason: ExitReason) -> None:
        self.world.count("on_give_up")


class Branch(Noting, Supervisor):
    """A supervisor of servers, that does not give up."""

    max_restarts = 1_000_000

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        world.witness(self)

    def child_specs(self) -> list[ChildSpec]:
        return [
            leaf(self.world, f"{self.name}:{number}", KINDS[number % len(KINDS)])
            for number in range(LEAVES)
        ]

    async def terminate(self, reason: str, state: Any) -> None:
        if isinstance(getattr(reason, "exception", None), MaxRestartsExceeded):
            self.world.inject("too many restarts")


class OneForAll(Branch):
    strategy = RestartStrategy.ONE_FOR_ALL


class RestForOne(Branch):
    strategy = RestartStrategy.REST_FOR_ONE


class Fragile(Branch):
    """One that soon gives up: its own supervisor has to start it again."""

    max_restarts = GIVES_UP_AFTER
    max_seconds = 1_000.0

    def child_specs(self) -> list[ChildSpec]:
        return super().child_specs()[:FRAGILE]


class Pool(Noting, DynamicSupervisor):
    """A supervisor whose servers come when it has started, each by its name, and may go."""

    max_restarts = 1_000_000

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        world.witness(self)

    def servers(self) -> list[ChildSpec]:
        return [pooled(self.world, f"{self.name}:{number}") for number in range(POOLED)]

    async def init(self) -> None:
        self.start_soon_child(self.take_all_in)

    async def take_all_in(self) -> None:
        for spec in self.servers():
            await self.take_in(spec)

    async def take_in(self, spec: ChildSpec) -> None:
        while True:
            try:
                await start_child(self.pid, spec)
            except AlreadyStarted:
                return
            except Boom:
                await checkpoint()  # as its `init` fails now and then
            else:
                return


class Spared(Branch):
    def child_specs(self) -> list[ChildSpec]:
        kinds = (Server, Warden, Server, Warden)
        return [
            leaf(self.world, f"{self.name}:{number}", kind) for number, kind in enumerate(kinds)
        ]


class Limbs(Branch):
    """A supervisor of supervisors."""

    def child_specs(self) -> list[ChildSpec]:
        return [
            limb(self.world, f"{self.name}:one", Branch),
            limb(self.world, f"{self.name}:fragile", Fragile),
            limb(self.world, f"{self.name}:rest", RestForOne),
            limb(self.world, f"{self.name}:all", OneForAll),
            limb(self.world, f"{self.name}:pool", Pool),
        ]


class LimbsForAll(Limbs, OneForAll):
    pass


class LimbsRestForOne(Limbs, RestForOne):
    pass


class Sessions(DynamicSupervisor):
    """A supervisor of those that are started on demand."""


class Root(Branch):
    """The one that nobody harms while the tree stands."""

    def child_specs(self) -> list[ChildSpec]:
        return [
            limb(self.world, f"{self.name}:spared", Spared),
            self.sessions(),
            limb(self.world, f"{self.name}:one", Limbs),
            limb(self.world, f"{self.name}:rest", LimbsRestForOne),
            limb(self.world, f"{self.name}:all", LimbsForAll),
        ]

    def sessions(self) -> ChildSpec:
        name = f"{self.name}:sessions"
        return ChildSpec(name, Sessions, shutdown=60.0, register_as=name)


def lay_out(world: World, *roots: str) -> None:
    """Note the names that there will be below these roots."""
    for root in roots:
        _lay_out(world, Root(world, root))
        world.addresses += addresses_of(world, f"{root}:sessions")
    world.popular += [name for name in world.servers if name.endswith(POPULAR)]


def _lay_out(world: World, supervisor: Branch | Pool) -> None:
    specs = supervisor.servers() if isinstance(supervisor, Pool) else supervisor.child_specs()
    for spec in specs:
        if spec.actor_class is Sessions:
            continue
        if issubclass(spec.actor_class, (Branch, Pool)):
            below = spec.actor_class(*spec.args)
            if not isinstance(below, Spared):
                world.limbs.append(spec.id)
            _lay_out(world, below)
        elif isinstance(supervisor, Spared):
            world.spared.append(spec.id)
        else:
            world.servers.append(spec.id)
