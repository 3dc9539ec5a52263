"""The trees of the chaos: supervisors of supervisors of servers, each with its name.

a                           a root; the other tree, in the other event loop, is b
    a:spared                four servers that nobody harms, two of them wardens
    a:one, a:rest, a:all    supervisors of each strategy, and below each of them
        a:one:one, …        … again, of ten servers each: a:one:one:0, …
        a:one:fragile       one that gives up after a few crashes
"""

from __future__ import annotations

from typing import Any

from fauxtp import Actor, ChildSpec, MaxRestartsExceeded, RestartStrategy, Supervisor
from hostile.chaos_servers import KINDS, Server
from hostile.chaos_warden import Warden
from hostile.chaos_world import World

__all__ = ["GIVES_UP_AFTER", "Root", "lay_out"]

FRAGILE, LEAVES = 3, 10
GIVES_UP_AFTER = 3
POPULAR = (":all:0", ":one:2", ":rest:2", ":rest:5")  # the bounded ones, and clerks, too
SHUTDOWN = 0.1  # seconds that a server has for its `terminate`


def leaf(world: World, name: str, kind: type[Actor]) -> ChildSpec:
    """Return the spec of a server with that name, which is its id, too."""
    return ChildSpec(name, kind, args=(world, name), shutdown=SHUTDOWN, register_as=name)


def limb(world: World, name: str, kind: type[Branch]) -> ChildSpec:
    """Return the spec of a supervisor with that name, which has the time that it needs."""
    return ChildSpec(name, kind, args=(world, name), shutdown=60.0, register_as=name)


class Branch(Supervisor):
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
        ]


class LimbsForAll(Limbs, OneForAll):
    pass


class LimbsRestForOne(Limbs, RestForOne):
    pass


class Root(Branch):
    """The one that nobody harms while the tree stands."""

    def child_specs(self) -> list[ChildSpec]:
        return [
            limb(self.world, f"{self.name}:spared", Spared),
            limb(self.world, f"{self.name}:one", Limbs),
            limb(self.world, f"{self.name}:rest", LimbsRestForOne),
            limb(self.world, f"{self.name}:all", LimbsForAll),
        ]


def lay_out(world: World, *roots: str) -> None:
    """Note the names that there will be below these roots."""
    for root in roots:
        _lay_out(world, Root(world, root))
    world.popular += [name for name in world.servers if name.endswith(POPULAR)]


def _lay_out(world: World, supervisor: Branch) -> None:
    for spec in supervisor.child_specs():
        if issubclass(spec.actor_class, Branch):
            below = spec.actor_class(*spec.args)
            if not isinstance(below, Spared):
                world.limbs.append(spec.id)
            _lay_out(world, below)
        elif isinstance(supervisor, Spared):
            world.spared.append(spec.id)
        else:
            world.servers.append(spec.id)
