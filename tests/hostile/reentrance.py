"""While each operation runs, each operation is called: by whatever Python lets in.

A program, as it may hang: `python -m hostile.reentrance TWIN SEED STEPS PATIENCE WAY ...`. What it
did has to be explained by an order of all operations, those that were let in among them.
"""

from __future__ import annotations

import faulthandler
import itertools
import json
import random
import sys
from collections import Counter
from typing import Any

from hostile.operations import told
from hostile.recorder import NAMES, OPERATIONS, PIDS, Recorder
from hostile.twins import find_twin
from hostile.ways import WAYS

EXTRAS = [
    "watch",
    "unwatch",
    "follow",
    "follow_names",
    "unfollow_names",
    "retire",
    "end",
    "bury",
    "iterate",
    "make",
]
ALL = [*dict.fromkeys(OPERATIONS), *EXTRAS]
ROUND = 20  # steps on one registry


class Listener:
    """A callback. All of them are equal, which somebody may use to come in."""

    def __init__(self, inside: Reentrance) -> None:
        self.inside = inside

    def __call__(self, pid: object) -> None:
        self.inside.heard += 1
        self.inside.enter("called")
        sys.audit("hostile.called")

    def __eq__(self, other: object) -> bool:
        self.inside.enter("compared")
        return isinstance(other, Listener)

    __hash__ = None  # type: ignore[assignment]

    def __del__(self) -> None:
        self.inside.enter("finalised")


class Follower:
    """What is called at changes of a group, or of names."""

    def __init__(self, inside: Reentrance) -> None:
        self.inside = inside

    def __call__(self, number: int = 0) -> None:
        self.inside.enter("called")


class Reentrance:
    """A registry that is used while it is used."""

    def __init__(self, twin: Any, seed: str) -> None:
        self.twin = twin
        self.dice = random.Random(seed)
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.outer: str | None = None
        self.inside = False
        self.letting_in = ""
        self.turns: Counter[str] = Counter()
        self.spell: Any = str
        self.counter, self.buried = itertools.count(), itertools.count()

    def renew(self) -> None:
        self.recorder = Recorder(self.twin)
        self.recorder.spell = self.spell
        self.watches = self.heard = 0
        self.followed: list[tuple[str, Any]] = []
        self.followers: list[Follower] = []

    def enter(self, by: str = "") -> None:
        """Use the registry, if it is in use. This is what is called in the middle."""
        if self.outer is None or self.inside or (by and by != self.letting_in):
            return
        self.inside = True
        try:
            self.turns[self.outer] += 1
            inner = ALL[self.turns[self.outer] % len(ALL)]
            self.operate(inner)
            self.pairs[self.outer, inner] += 1
        finally:
            self.inside = False

    def step(self) -> None:
        """Use the registry, and let others in meanwhile."""
        outer = ALL[next(self.counter) % len(ALL)]
        self.outer = outer
        try:
            self.operate(outer)
        finally:
            self.outer = None

    def operate(self, operation: str) -> None:
        name, pid = self.dice.choice(NAMES), self.dice.randrange(PIDS)
        if operation in EXTRAS:
            getattr(self, operation)(name)
        else:
            self.recorder.do(operation, name, pid, self.dice.randrange(PIDS))

    def watch(self, name: str) -> None:
        self.recorder.registry.watch("watched", Listener(self))
        self.watches += 1

    def unwatch(self, name: str) -> None:
        if self.recorder.registry.unwatch("watched", Listener(self)):
            self.watches -= 1

    def follow(self, name: str) -> None:
        self.followed.append((name, self.recorder.registry.follow(name, Follower(self))))

    def follow_names(self, name: str) -> None:
        self.recorder.registry.follow_names(name, follower := Follower(self))
        self.followers.append(follower)

    def unfollow_names(self, name: str) -> None:
        try:
            follower = self.followers.pop()
        except IndexError:
            return
        assert self.recorder.registry.unfollow_names(follower)

    def retire(self, name: str) -> None:
        """Register and retire a PID that nobody else knows; its name may be taken, but ends."""
        self.recorder.registry.watch("passing", listener := Listener(self))
        pid = self.twin.PID()
        self.recorder.registry.register("passing", pid)
        self.recorder.registry.unwatch("passing", listener)
        self.twin.retire(pid)
        assert self.recorder.registry.names(pid) == []

    def end(self, name: str) -> None:
        """Retire one of the PIDs that all fight for; seldom, as there are few of them."""
        if self.dice.random() < 0.2:
            self.recorder.do("retire", name, self.dice.randrange(PIDS), 0)

    def bury(self, name: str) -> None:
        """Let the last reference to a PID go where it is unregistered."""
        name = f"buried:{next(self.buried)}"
        mortal = self.mortal()
        assert self.recorder.registry.register(name, mortal)
        assert self.recorder.registry.register(f"{name} too", mortal)
        del mortal
        assert self.recorder.registry.unregister(name)
        assert self.recorder.registry.unregister(f"{name} too")

    def mortal(self) -> Any:
        """Return a PID. A way of coming in may see to it that its end is noticed."""
        return self.twin.PID()

    def iterate(self, name: str) -> None:
        registry = self.recorder.registry
        assert len(list(registry)) <= len(NAMES) + 5
        assert repr(registry).startswith("<Registry of ")
        name in registry, len(registry)

    def make(self, name: str) -> None:
        other = self.twin.Registry()
        pid = self.twin.PID()
        assert other.register(name, pid)
        assert self.recorder.registry.register("made", pid) in (True, False)
        assert other.release(pid) == [name]
        assert other.join(name, pid)
        assert other.members(name) == (pid,)
        assert other.groups() == [name]
        self.recorder.registry.release(pid)

    def judge(self) -> None:
        """Raise if anything was lost, or is there that should not be."""
        self.recorder.judge()
        for group, since in self.followed:
            assert told(*since) == self.recorder.registry.members(group), group
        pid = self.twin.PID()
        self.heard = 0
        assert self.recorder.registry.register("watched", pid)
        assert self.heard == self.watches, (self.heard, self.watches)


def let_in(twin: Any, way: str, seed: str, steps: int) -> dict[str, Any]:
    """Take so many steps, with others coming in that way; return how often they did."""
    reentrance = Reentrance(twin, seed)
    opened = WAYS[way](reentrance)
    for _ in range(0, steps, ROUND):
        reentrance.renew()
        for _ in range(ROUND):
            with opened:
                reentrance.step()
        reentrance.judge()
    opened.end()
    return {"way": way, "entered": reentrance.pairs.total(), "pairs": len(reentrance.pairs)}


def main(twin: str, seed: str, steps: str, patience: str, *ways: str) -> None:
    faulthandler.dump_traceback_later(float(patience), exit=True)
    for way in ways:
        print(json.dumps(let_in(find_twin(twin), way, seed, int(steps))))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
