"""Every operation, again and again, and no more memory is in use than before.

A program, so that nothing else allocates: `python -m hostile.leaks TWIN TIMES`. It counts the
blocks that Python has allocated, and, where the platform tells, the memory of the process.
"""

from __future__ import annotations

import gc
import itertools
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fauxtp.errors import NoProcess
from hostile.twins import find_twin

BLOCKS = 300  # what the interpreter itself may take meanwhile, caches and the like
BYTES = 8 << 20
WARM_UP = 2000
STATM = Path("/proc/self/statm")


class Leak(Exception):
    """Something was not given back."""


class Subject:
    """A registry in use, with what is done to it: each operation undoes what it did."""

    def __init__(self, twin: Any) -> None:
        self.twin = twin
        self.registry, self.home = twin.Registry(), twin.Registry()
        self.one, self.other, self.guest, self.gone = (twin.PID() for _ in range(4))
        self.numbers = itertools.count()
        self.home.register("home", self.guest)
        self.registry.register("held", self.one)
        twin.retire(self.gone)

    def look(self) -> None:
        registry = self.registry
        registry.whereis("held"), registry.whereis("nobody"), registry.names(self.one)
        registry.registered(), registry.registered("h"), list(registry), repr(registry)
        "held" in registry, len(registry), registry.members("held"), registry.groups("h")

    def in_order(self) -> None:
        name = f"held:{next(self.numbers)}"
        self.registry.register(name, self.other)
        assert self.registry.count("held:") == len(self.registry.registered("held:")) == 1
        self.registry.unregister(name)
        assert self.registry.registered("held") == ["held"]

    def one_name(self) -> None:
        self.registry.register("new", self.other)
        self.registry.unregister("new")

    def fresh_name(self) -> None:
        name = f"fresh:{next(self.numbers)}"
        self.registry.register(name, self.other)
        self.registry.unregister(name, self.other)

    def names_of_a_guest(self) -> None:
        self.registry.register("guest", self.guest)
        self.registry.register("guest too", self.guest)
        self.registry.unregister("guest")
        self.registry.release(self.guest)

    def several_names(self) -> None:
        for name in ("a", "b", "c"):
            self.registry.register(name, self.other)
        self.registry.release(self.other)

    def transfer(self) -> None:
        self.registry.transfer("held", self.one, self.guest)
        self.registry.transfer("held", self.guest, self.other)
        self.registry.transfer("held", self.other, self.one)

    def inherit(self) -> None:
        mortal = self.twin.PID()
        self.registry.register("inherited", mortal)
        self.registry.transfer("inherited", mortal, self.other)
        self.registry.release(self.other)

    def retire(self) -> None:
        pid = self.twin.PID()
        self.registry.register("mortal", pid)
        self.registry.register("mortal too", pid)
        self.home.register("mortal", pid)
        self.home.join("mortals", pid)
        self.registry.join("mortals", pid)
        self.registry.join("mortals too", pid)
        self.twin.retire(pid)

    def die_with_a_name(self) -> None:
        self.registry.register("unknown", self.twin.PID())
        self.registry.unregister("unknown")

    def watch(self) -> None:
        def callback(pid: object) -> None:
            pass

        name = f"watched:{next(self.numbers)}"
        self.registry.watch(name, callback)
        self.registry.watch(name, callback)
        self.registry.register(name, self.one)
        self.registry.unregister(name)
        self.registry.unwatch(name, callback)
        self.registry.unwatch(name, callback)

    def join_and_leave(self) -> None:
        group = f"group:{next(self.numbers)}"
        for pid in (self.one, self.other):
            self.registry.join(group, pid)
        self.registry.members(group)
        self.registry.leave(group, self.other)
        self.registry.members(group)
        self.registry.leave(group, self.one)

    def follow(self) -> None:
        group = f"group:{next(self.numbers)}"
        self.registry.join(group, self.one)
        _, news = self.registry.follow(group, bool)
        self.registry.leave(group, self.one)
        self.registry.join(group, self.other)
        mortal = self.twin.PID()
        self.registry.join(group, mortal)
        self.twin.retire(mortal)
        while news is not None:
            news = news.next
        self.registry.leave(group, self.other)
        self.registry.unfollow(group, bool)

    def follow_names(self) -> None:
        name = f"fresh:{next(self.numbers)}"
        news = self.registry.follow_names("fresh:", bool)
        self.registry.register(name, self.one)
        self.registry.transfer(name, self.one, self.other)
        self.registry.unregister(name)
        mortal = self.twin.PID()
        for number in range(3):
            self.registry.register(f"{name}:{number}", mortal)
        self.registry.follow_names("", bool)
        self.twin.withdraw(mortal, [name])
        self.registry.register(name, self.other)
        self.registry.release(self.other)
        while news is not None:
            news = news.next
        self.registry.unfollow_names(bool)

    def identities(self) -> None:
        for kind in (self.twin.PID, self.twin.Ref):
            one, two = kind(), kind()
            one == two, one < two, hash(one), repr(one), {one: two}

    def weak_references(self) -> None:
        for kind in (self.twin.PID, self.twin.Ref, self.twin.Registry):
            one = kind()
            weakref.ref(one), weakref.ref(one, print)

    def another_registry(self) -> None:
        registry = self.twin.Registry()
        registry.register("held", self.one)
        registry.register("new", self.twin.PID())
        registry.watch("watched", print)
        registry.unregister("held")  # else `one` would keep it, as what it is called there

    def refusals(self) -> None:
        registry, one = self.registry, self.one
        registry.register("held", one), registry.unregister("nobody")
        registry.transfer("held", self.other, one), registry.unwatch("nobody", print)
        attempts: list[Callable[[], object]] = [
            lambda: registry.register("new", self.gone),
            lambda: registry.join("new", self.gone),
            lambda: registry.join("", one),
            lambda: registry.follow("new", "one"),
            lambda: registry.follow_names("new", "one"),
            lambda: registry.follow_names(7, bool),
            lambda: registry.transfer("held", one, self.gone),
            lambda: registry.register("", one),
            lambda: registry.register(7, one),
            lambda: registry.register("new", "one"),
            lambda: registry.watch("", print),
        ]
        for refused in attempts:
            try:
                refused()
            except (TypeError, ValueError, NoProcess):
                pass


OPERATIONS: list[Callable[[Subject], None]] = [
    Subject.look,
    Subject.in_order,
    Subject.one_name,
    Subject.fresh_name,
    Subject.names_of_a_guest,
    Subject.several_names,
    Subject.transfer,
    Subject.inherit,
    Subject.retire,
    Subject.die_with_a_name,
    Subject.watch,
    Subject.join_and_leave,
    Subject.follow,
    Subject.follow_names,
    Subject.identities,
    Subject.weak_references,
    Subject.another_registry,
    Subject.refusals,
]


def in_use() -> tuple[int, int]:
    """Return the blocks that are allocated, and the bytes of memory where they can be known."""
    gc.collect()
    pages = int(STATM.read_text().split()[1]) if STATM.exists() else 0
    return sys.getallocatedblocks(), pages * 4096


def repeat(operation: Callable[[Subject], None], subject: Subject, times: int) -> None:
    for _ in range(times):
        operation(subject)


def growth(operation: Callable[[Subject], None], subject: Subject, times: int) -> tuple[int, int]:
    """Return how many blocks and bytes more are in use after so many times."""
    repeat(operation, subject, WARM_UP)
    blocks, size = in_use()
    repeat(operation, subject, times)
    blocks_after, size_after = in_use()
    return blocks_after - blocks, size_after - size


def main(twin: str, times: str) -> None:
    most = most_bytes = 0
    for operation in OPERATIONS:
        blocks, size = growth(operation, Subject(find_twin(twin)), int(times))
        if blocks > BLOCKS or size > BYTES:
            raise Leak(f"{operation.__name__}: {blocks:,} blocks, {size:,} bytes")
        most, most_bytes = max(most, blocks), max(most_bytes, size)
    print(  # noqa: T201
        f"{int(times):,} times each of {len(OPERATIONS)} operations: at most {most} blocks"
        f" and {most_bytes >> 10} KB more"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
