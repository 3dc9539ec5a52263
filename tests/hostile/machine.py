"""Histories that hypothesis thinks up, told to the model and to the twins, step by step."""

from __future__ import annotations

import itertools
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

import fauxtp
from hostile import model
from hostile.texts import ODD, WRONG
from hostile.worlds import Callback, Outcome, Pid, Taken, World

STEPS = 50  # of one history, at most
COMMON = [f"name:{number}" for number in range(12)] + ["store", "shard:1", "shard:2"]
PREFIXES = ["", "n", "name:", "name:1", "shard:", "crowd:1", *ODD, *WRONG]
WRONG_PIDS = [None, "PID", 1.5, True, fauxtp.Ref(), fauxtp.PID]


class Disagreement(Exception):
    """Two worlds are not alike."""


class Dice(random.Random):
    """Chooses evenly, which hypothesis does not: it prefers what is small or was before."""

    def name(self) -> Any:
        kind = self.random()
        if kind < 0.5:
            return self.taken()
        if kind < 0.8:
            return self.choice(COMMON)
        return self.choice(ODD if kind < 0.93 else WRONG)

    def taken(self) -> Taken:
        return Taken(self.randrange(10**6))

    def pid(self) -> Any:
        return self.choice(WRONG_PIDS) if self.random() < 0.1 else self.good_pid()

    def good_pid(self) -> Pid:
        return Pid(self.randrange(10**6))


thrown = st.integers(0, 2**63 - 1).map(Dice)


class Machine(RuleBasedStateMachine):
    """The operations. Whatever one of them does in one world, it has to do in all of them."""

    twins: Sequence[Any]
    outcomes: Counter[str]

    @initialize()
    def begin(self) -> None:
        self.worlds = [World(twin) for twin in (model, *self.twins)]
        self.history = deque[Any](maxlen=STEPS)
        self.crowd = itertools.count()
        for world in self.worlds:
            world.registries += [world.twin.Registry() for _ in range(3)]
            world.pids += [world.twin.PID() for _ in range(4)]

    def compare(self, seen: list[Any]) -> None:
        for other in seen[1:]:
            if other != seen[0]:
                raise Disagreement(f"{other!r} instead of {seen[0]!r} after {self.history}")

    def tell(self, what: Any, tell_one: Callable[[World], Outcome]) -> None:
        self.history.append(what)
        told = [tell_one(world) for world in self.worlds]
        self.compare(told)
        self.outcomes[told[0][0]] += 1

    def ask(self, dice: Dice, method: str, *arguments: Any) -> None:
        """Call a method of one registry in each world."""
        number = dice.randrange(len(self.worlds[0].registries))

        def ask_one(world: World) -> Outcome:
            registry = world.registries[number]
            return world.outcome(getattr(registry, method), registry, *arguments)

        self.tell((number, method, *arguments), ask_one)

    @rule()
    def another_pid(self) -> None:
        for world in self.worlds:
            world.pids.append(world.twin.PID())

    @rule(dice=thrown)
    def replace_registry(self, dice: Dice) -> None:
        number = dice.randrange(3)
        for world in self.worlds:
            world.registries[number] = world.twin.Registry()

    @rule(dice=thrown)
    def register(self, dice: Dice) -> None:
        self.ask(dice, "register", dice.name(), dice.pid())

    @rule(dice=thrown)
    def register_well(self, dice: Dice) -> None:
        self.ask(dice, "register", dice.choice(COMMON), dice.good_pid())

    @rule(dice=thrown)
    def register_crowd(self, dice: Dice) -> None:
        """Register names by the dozen, so that there are hundreds; some PIDs get several."""
        number = dice.randrange(3)
        crowd = [(f"crowd:{next(self.crowd)}", dice.good_pid()) for _ in range(dice.randrange(60))]

        def register_all(world: World) -> Outcome:
            one = world.registries[number]
            return "answer", [world.outcome(one.register, one, *each) for each in crowd]

        self.tell((number, "register", crowd), register_all)

    @rule(dice=thrown)
    def unregister(self, dice: Dice) -> None:
        self.ask(dice, "unregister", dice.name())

    @rule(dice=thrown)
    def unregister_of(self, dice: Dice) -> None:
        self.ask(dice, "unregister", dice.name(), dice.pid())

    @rule(dice=thrown)
    def whereis(self, dice: Dice) -> None:
        self.ask(dice, "whereis", dice.name())
        self.ask(dice, "__contains__", dice.name())

    @rule(dice=thrown)
    def registered(self, dice: Dice) -> None:
        self.ask(dice, "registered", dice.choice(PREFIXES))
        self.ask(dice, "count", dice.choice(PREFIXES))

    @rule(dice=thrown)
    def names(self, dice: Dice) -> None:
        self.ask(dice, "names", dice.pid())

    @rule(dice=thrown)
    def release(self, dice: Dice) -> None:
        self.ask(dice, "release", dice.pid())

    @rule(dice=thrown)
    def transfer(self, dice: Dice) -> None:
        self.ask(dice, "transfer", dice.name(), dice.pid(), dice.pid())

    @rule(dice=thrown)
    def transfer_well(self, dice: Dice) -> None:
        """Transfer a name from whoever has it."""
        number, name, successor = dice.randrange(3), dice.taken(), dice.good_pid()

        def pass_on(world: World) -> Outcome:
            registry = world.registries[number]
            holder = registry.whereis(world.real(registry, name)) or world.pids[0]
            return world.outcome(registry.transfer, registry, name, holder, successor)

        self.tell((number, "transfer from its holder", name, successor), pass_on)

    @rule(dice=thrown)
    def retire(self, dice: Dice) -> None:
        pid = dice.pid()
        self.tell(("retire", pid), lambda world: world.outcome(world.twin.retire, None, pid))

    @rule(dice=thrown)
    def join(self, dice: Dice) -> None:
        self.ask(dice, "join", dice.choice([*COMMON, *ODD, *WRONG]), dice.pid())

    @rule(dice=thrown)
    def join_well(self, dice: Dice) -> None:
        """Let many join few groups."""
        for _ in range(dice.randrange(4)):
            self.ask(dice, "join", dice.choice(COMMON[:3]), dice.good_pid())

    @rule(dice=thrown)
    def leave(self, dice: Dice) -> None:
        self.ask(dice, "leave", dice.choice(COMMON[:3]), dice.pid())

    @rule(dice=thrown)
    def members(self, dice: Dice) -> None:
        self.ask(dice, "members", dice.choice([*COMMON[:3], *ODD, *WRONG]))
        self.ask(dice, "groups", dice.choice(PREFIXES))

    @rule(dice=thrown)
    def watch(self, dice: Dice) -> None:
        self.ask(dice, "watch", dice.name(), Callback(dice.randrange(3)))

    @rule(dice=thrown)
    def unwatch(self, dice: Dice) -> None:
        self.ask(dice, "unwatch", dice.name(), Callback(dice.randrange(3)))

    @rule(dice=thrown)
    def iterate_and_change(self, dice: Dice) -> None:
        """Iteration is over a snapshot, whatever happens meanwhile."""
        number, prefix = dice.randrange(3), dice.choice(COMMON)

        def change(world: World) -> Outcome:
            registry, seen = world.registries[number], []
            for name in registry:
                seen.append(name)
                registry.unregister(name)
                pid = world.pids[len(seen) % len(world.pids)]
                world.outcome(registry.register, registry, f"{prefix}:{len(seen)}", pid)
            return "answer", seen

        self.tell((number, "iterate and change", prefix), change)

    @invariant()
    def all_worlds_look_the_same(self) -> None:
        if hasattr(self, "worlds"):
            self.compare([(world.picture(), world.heard) for world in self.worlds])


def drive(twins: Sequence[Any], histories: int, number: int) -> Counter[str]:
    """Tell so many histories to the model and to `twins`; return what came of the steps."""
    outcomes = Counter[str]()
    machine: Any = type("Machine", (Machine,), {"twins": twins, "outcomes": outcomes})
    run_state_machine_as_test(
        seed(number)(machine),
        settings=settings(
            max_examples=histories,
            stateful_step_count=STEPS,
            phases=[Phase.generate],
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return outcomes
