"""Every allocation of every operation fails in turn, and the table is what it was.

A program, as a failure may take the interpreter along: `python -m hostile.nomemory TWIN`. The
compiled registry keeps to all of it. The twin may do what it was told and lose its answer for
lack of memory; but it does a thing or leaves it, and what it left can be done afterwards.
"""

from __future__ import annotations

import _testcapi
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from hostile.reentrance import find_twin

SIZES = (1, 4, 5, 9, 10, 20, 21)  # dicts grow at some of these
LIMIT = 200  # no operation allocates more often


class Place:
    """A registry with PIDs that have many names, one, one as a guest, and none."""

    def __init__(self, twin: Any, size: int) -> None:
        self.twin = twin
        self.registry, self.elsewhere = twin.Registry(), twin.Registry()
        self.many, self.one, self.guest, self.new = pids = [twin.PID() for _ in range(4)]
        self.pids = pids
        for number in range(size):
            self.registry.register(f"name:{number}", self.many)
        self.registry.register("held", self.one)
        self.elsewhere.register("elsewhere", self.guest)
        self.registry.register("guest", self.guest)
        self.heard: list[Any] = []
        for _ in range(size):
            self.registry.watch("watched", self.heard.append)

    def picture(self) -> Any:
        """Return what is to be seen of it all."""
        return [
            (
                registry.registered(),
                [registry.whereis(name) for name in registry],
                [registry.names(pid) for pid in self.pids],
            )
            for registry in (self.registry, self.elsewhere)
        ]

    def watches(self) -> int:
        """Return how many watches there are, and end them."""
        count = 0
        while self.registry.unwatch("watched", self.heard.append):
            count += 1
        return count


OPERATIONS: dict[str, Callable[[Place], object]] = {
    "register, first name": lambda at: at.registry.register("new", at.new),
    "register, second name": lambda at: at.registry.register("new", at.one),
    "register, next name": lambda at: at.registry.register("new", at.many),
    "register, of a guest": lambda at: at.registry.register("new", at.guest),
    "register, taken": lambda at: at.registry.register("held", at.new),
    "register, a new guest": lambda at: at.elsewhere.register("new", at.one),
    "unregister": lambda at: at.registry.unregister("held"),
    "unregister, one of many": lambda at: at.registry.unregister("name:0", at.many),
    "unregister, of a guest": lambda at: at.registry.unregister("guest", at.guest),
    "transfer, to many": lambda at: at.registry.transfer("held", at.one, at.many),
    "transfer, to new": lambda at: at.registry.transfer("held", at.one, at.new),
    "transfer, to a guest": lambda at: at.registry.transfer("held", at.one, at.guest),
    "transfer, from a guest": lambda at: at.registry.transfer("guest", at.guest, at.one),
    "whereis": lambda at: at.registry.whereis("held"),
    "in": lambda at: "held" in at.registry,
    "len": lambda at: len(at.registry),
    "repr": lambda at: repr(at.registry),
    "iteration": lambda at: [*at.registry],
    "registered": lambda at: at.registry.registered(),
    "registered, prefix": lambda at: at.registry.registered("name"),
    "names": lambda at: at.registry.names(at.many),
    "names, of a guest": lambda at: at.registry.names(at.guest),
    "release": lambda at: at.registry.release(at.many),
    "release, one": lambda at: at.registry.release(at.one),
    "release, a guest": lambda at: at.registry.release(at.guest),
    "release, nothing": lambda at: at.registry.release(at.new),
    "retire": lambda at: at.twin.retire(at.one),
    "retire, many": lambda at: at.twin.retire(at.many),
    "retire, a guest": lambda at: at.twin.retire(at.guest),
    "watch": lambda at: at.registry.watch("watched", at.heard.append),
    "watch, first": lambda at: at.registry.watch("new", at.heard.append),
    "unwatch": lambda at: at.registry.unwatch("watched", at.heard.append),
    "Registry": lambda at: at.twin.Registry().register("new", at.new),
    "PID": lambda at: at.twin.PID(),
    "Ref": lambda at: at.twin.Ref(),
}


def fails(operation: Callable[[Place], object], at: Place, failing: int) -> bool:
    """Let the allocation of that number fail; tell whether that mattered."""
    _testcapi.set_nomemory(failing, failing + 1)
    try:
        operation(at)
    except MemoryError:
        return True
    finally:
        _testcapi.remove_mem_hooks()
    return False


def try_all(twin: Any, strict: bool) -> Counter[str]:
    """Return how often each operation failed; raise if one left the table otherwise."""
    failures: Counter[str] = Counter()
    for title, operation in OPERATIONS.items():
        for size in SIZES:
            complete = Place(twin, size)
            operation(complete)
            clean = 0
            for failing in range(LIMIT):
                at = Place(twin, size)
                before = at.picture()
                if not fails(operation, at, failing):
                    clean += 1
                    if clean > 5:  # there is no such allocation any more
                        break
                    continue
                clean = 0
                failures[title] += 1
                after = at.picture()
                if after != before:
                    assert not strict, (title, size, failing, before, after)
                    check_whole(title, operation, at)
                assert at.watches() in watches_after(title, size), (title, size, failing)
            else:
                raise AssertionError(f"{title} allocates more than {LIMIT} times")
    return failures


def watches_after(title: str, size: int) -> tuple[int, ...]:
    return {"watch": (size, size + 1), "unwatch": (size, size - 1)}.get(title, (size,))


def check_whole(title: str, operation: Callable[[Place], object], at: Place) -> None:
    """Raise if something was done by half, and cannot be done to its end now."""
    operation(at)
    again = at.picture()
    operation(at)
    assert at.picture() == again, title
    held = {name: at.registry.whereis(name) for name in at.registry}
    known = {name: pid for pid in at.pids for name in at.registry.names(pid)}
    assert held == known, (title, held, known)


def main(twin: str) -> None:
    failures = try_all(find_twin(twin), strict=twin == "_registry")
    print(f"{failures.total():,} failed allocations in {len(failures)} operations")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
