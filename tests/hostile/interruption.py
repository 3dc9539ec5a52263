"""One operation while another runs, at each moment at which Python lets something in.

A run has two operations on few names: the inner one comes in at the first moment of the outer
one, in the next run at the second, and so on. Whatever comes of it has to be what comes of the
two one after the other, in either order.
"""

from __future__ import annotations

import gc
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from typing import Any

from hostile import effort
from hostile.operations import names_told, table_of, told

TOO_MANY = 5000  # moments in one operation: it does not end
GROUPS = ("kvstore", "also")
CROWD = 24  # what is made for so many is made anew each time


class NotInOrder(Exception):
    """What has happened is not what happens in one order or the other."""


class Scene:
    """A registry with a name that is free, or held by `old`, who may have another one."""

    def __init__(self, twin: Any, names: tuple[str, ...], crowd: int) -> None:
        self.twin, self.registry = twin, twin.Registry()
        self.old, self.new = twin.PID(), twin.PID()
        self.heard: list[Any] = []
        self.heard_too: list[Any] = []
        # Not methods of the scene: in a cycle, each would last until a collection.
        self.hear, self.hear_too = self.heard.append, self.heard_too.append
        for name in names:
            self.registry.register(name, self.old)
        if "also" in names:
            self.registry.registered("a")  # from now on they are kept in order
        for name in names:
            self.registry.join(name, self.old)
        self.followed = [self.registry.follow("kvstore", bool)]
        self.names_followed: list[tuple[dict[str, Any], Any]] = []
        if "also" in names:
            self.follow_names(bool)
        self.registry.watch("kvstore", self.hear)
        for _ in range(crowd):
            self.registry.watch("crowded", self.hear)

    def title(self, pid: Any) -> str:
        return "old" if pid is self.old else "new"

    def follow_names(self, listener: Callable[[int], object]) -> None:
        """Follow the names: what is there is known by what comes, as something came in between."""
        news = self.registry.follow_names("k", listener)
        there, since = table_of(self.registry), news
        while (since := since.next) is not None:
            for name in since.names:
                there.pop(name, None)
                if since.came:
                    there[name] = since.pid
            news = since
        self.names_followed.append((there, news))

    def do(self, operation: Callable[[Scene], Any]) -> Any:
        try:
            answer = operation(self)
        except Exception as error:
            return type(error).__name__
        return self.title(answer) if type(answer) is self.twin.PID else answer

    def picture(self) -> Any:
        """Return all that is to be seen, and what of it can be undone."""
        registry, pids = self.registry, (self.old, self.new)
        seen = [
            registry.registered(),
            registry.registered("k"),
            [self.title(registry.whereis(name)) for name in registry],
            [registry.names(pid) for pid in pids],
            [[self.title(pid) for pid in heard] for heard in (self.heard, self.heard_too)],
            registry.groups(),
            [[self.title(pid) for pid in registry.members(name)] for name in GROUPS],
            [told(*since) == registry.members("kvstore") for since in self.followed],
            [names_told(*since) == table_of(registry) for since in self.names_followed],
            [self.do(probe) for probe in PROBES],
            [names_told(*since) == table_of(registry) for since in self.names_followed],
            registry.registered(),
            [registry.members(name) for name in registry.groups()],
        ]
        return [*seen, [self.watches(name) for name in ("kvstore", "crowded")]]

    def watches(self, name: str) -> list[int]:
        """Return how many watches there are, and end them."""
        both = (self.hear, self.hear_too)
        return [len([*iter(partial(self.registry.unwatch, name, one), False)]) for one in both]


PROBES: list[Callable[[Scene], Any]] = [  # whether they can still get names, and lose them
    lambda at: at.registry.register("probe", at.old),
    lambda at: at.registry.register("probe too", at.new),
    lambda at: at.registry.release(at.old),
    lambda at: at.registry.release(at.new),
    lambda at: at.registry.join("probe", at.old) and at.registry.leave("probe", at.old),
    lambda at: at.registry.join("probe", at.new) and at.registry.leave("probe", at.new),
    lambda at: [at.registry.leave(name, pid) for name in GROUPS for pid in (at.old, at.new)],
]
OPERATIONS: dict[str, Callable[[Scene], Any]] = {
    "register": lambda at: at.registry.register("kvstore", at.new),
    "register, old": lambda at: at.registry.register("kvstore", at.old),
    "unregister": lambda at: at.registry.unregister("kvstore"),
    "unregister, old": lambda at: at.registry.unregister("kvstore", at.old),
    "transfer": lambda at: at.registry.transfer("kvstore", at.old, at.new),
    "transfer back": lambda at: at.registry.transfer("kvstore", at.new, at.old),
    "transfer to itself": lambda at: at.registry.transfer("kvstore", at.old, at.old),
    "release": lambda at: at.registry.release(at.old),
    "release, new": lambda at: at.registry.release(at.new),
    "retire": lambda at: at.twin.retire(at.old),
    "retire, new": lambda at: at.twin.retire(at.new),
    "names": lambda at: at.registry.names(at.old),
    "whereis": lambda at: at.registry.whereis("kvstore"),
    "registered": lambda at: at.registry.registered("k"),
    "count": lambda at: at.registry.count("k"),
    "iterate": lambda at: list(at.registry),
    "join": lambda at: at.registry.join("kvstore", at.new),
    "join, old": lambda at: at.registry.join("kvstore", at.old),
    "leave, old": lambda at: at.registry.leave("kvstore", at.old),
    "members": lambda at: [at.title(pid) for pid in at.registry.members("kvstore")],
    "groups": lambda at: at.registry.groups(),
    "follow": lambda at: at.followed.append(at.registry.follow("kvstore", int)),
    "follow names": lambda at: at.follow_names(int),
    "unfollow names": lambda at: at.registry.unfollow_names(bool),
    "watch": lambda at: at.registry.watch("kvstore", at.hear_too),
    "unwatch": lambda at: at.registry.unwatch("kvstore", at.hear),
    "watch, crowded": lambda at: at.registry.watch("crowded", at.hear_too),
    "unwatch, crowded": lambda at: at.registry.unwatch("crowded", at.hear),
    "unwatch, too": lambda at: at.registry.unwatch("kvstore", at.hear_too),
}
BEGINNINGS: list[tuple[str, ...]] = [(), ("also",), ("kvstore",), ("also", "kvstore")]


class Moments:
    """Counts the moments of the outer operation; at one of them the inner one is done."""

    def __init__(self, number: int, inner: Callable[[], None]) -> None:
        self.left, self.inner, self.passed = number, inner, 0
        self.thread = threading.get_ident()

    def come(self, *_: Any) -> Any:
        if threading.get_ident() == self.thread:
            self.passed += 1
            if self.passed > TOO_MANY:
                raise NotInOrder("it does not end")
            self.left -= 1
            if self.left == -1:
                self.inner()
        return self.come

    @contextmanager
    def lines(self) -> Iterator[None]:
        """Each new line, as a debugger sees them, and each call."""
        sys.settrace(self.come)
        try:
            yield
        finally:
            sys.settrace(None)

    @contextmanager
    def calls(self) -> Iterator[None]:
        """Each call and return, as a profiler sees them."""
        sys.setprofile(self.come)
        try:
            yield
        finally:
            sys.setprofile(None)

    @contextmanager
    def collections(self) -> Iterator[None]:
        """Each collection, of which there are as many as Python can be moved to."""
        threshold = gc.get_threshold()
        gc.collect()  # and what was kept for the next allocation is given back
        gc.callbacks.append(self.come)
        gc.set_threshold(1, 1000, 1000)
        try:
            yield
        finally:
            gc.set_threshold(*threshold)
            gc.callbacks.remove(self.come)


def in_turn(scene: Scene, *titles: str) -> tuple[list[Any], Any]:
    """Return what comes of two operations one after the other."""
    answers = [scene.do(OPERATIONS[title]) for title in titles]
    return answers, scene.picture()


def interrupt(
    twin: Any, way: str, names: tuple[str, ...], outer: str, inner: str, moments: range
) -> int:
    """Let `inner` come in at these moments of `outer`, and judge; return how often it came."""
    begin = partial(Scene, twin, names, CROWD if way == "collections" else 1)
    answers, picture = in_turn(begin(), inner, outer)
    expected = [in_turn(begin(), outer, inner), (answers[::-1], picture)]
    for count, number in enumerate(moments):
        scene = begin()
        came_in: list[Any] = []

        def come_in(scene: Scene = scene, came_in: list[Any] = came_in) -> None:
            came_in.append(scene.do(OPERATIONS[inner]))

        with getattr(Moments(number, come_in), way)():
            answer = scene.do(OPERATIONS[outer])
        if not came_in:
            return count
        came = ([answer, *came_in], scene.picture())
        if came not in expected:
            raise NotInOrder(f"{inner} in {outer}, from {names}, at {number}: {came}")
    raise NotInOrder(f"{outer} has no end")


def interrupt_all(twin: Any, way: str) -> int:
    """Do that with each pair of operations; return how often one came in.

    Each begins in one of the ways to begin, and is tried at every third moment, by the seed; in
    torture, in all of them, at all. So a third of all others come in at each moment.
    """
    chance = random.Random(effort.SEED)
    gc.collect()
    count = 0
    for outer, inner in product(OPERATIONS, repeat=2):
        if effort.MINUTES:
            beginnings, moments = BEGINNINGS, range(TOO_MANY)
        else:
            beginnings = [chance.choice(BEGINNINGS)]
            moments = range(chance.randrange(3), TOO_MANY, 3)
        for names in beginnings:
            count += interrupt(twin, way, names, outer, inner, moments)
    return count
