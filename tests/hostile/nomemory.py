"""Every allocation of every operation fails in turn, and the table is what it was.

A program, as a failure may take the interpreter along: `python -m hostile.nomemory TWIN`. The
compiled registry keeps to all of it. The twin may do what it was told and lose its answer for
lack of memory; but it does a thing or leaves it, and what it left can be done afterwards: who
is retired may be known to have exited, and still have names until that is done again. Its tables
are dicts of Python's, so half of the sizes are enough for it, by the seed; in torture all.

A free-threaded CPython crashes by itself where a new list of some length gets no memory
(python/cpython#152125), so what makes one in C is left out there. And CPython 3.13.0 goes on
after a `dict.setdefault` that got no memory, so what may need that of a table is left out there.
"""

from __future__ import annotations

import _testcapi  # type: ignore[import-not-found]
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from hostile import effort
from hostile.operations import OPERATIONS, Place
from hostile.twins import find_twin

SIZES = (1, 3, 4, 5, 8, 9, 10, 19, 20, 21)  # dicts of names and tables grow at some of these
LIMIT = 1000  # no operation allocates more often
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
LISTING = ("iteration", "registered", "names", "release", "retire")
GROWING = ("watch",)  # by `setdefault`, in the twin
SETDEFAULT = """
import _testcapi
for failing in range(8):
    table = dict.fromkeys(range(10))
    _testcapi.set_nomemory(failing, failing + 1)
    try:
        table.setdefault("new", None)
    except MemoryError:
        pass
    finally:
        _testcapi.remove_mem_hooks()
"""


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


def try_all(twin: Any, strict: bool, sizes: Sequence[int] = SIZES) -> Counter[str]:
    """Return how often each operation failed; raise if one left the table otherwise."""
    failures: Counter[str] = Counter()
    left_out = what_the_interpreter_does_not_survive(strict)
    enough = 3 if strict else 6  # failures in a row that did not matter; Python makes up for some
    for title, operation in OPERATIONS.items():
        if title.startswith(left_out):
            continue
        for size in sizes:
            complete = Place(twin, size)
            operation(complete)
            done, watched = complete.picture(), complete.watches()
            clean = 0
            for failing in range(LIMIT):
                at = Place(twin, size)
                before = at.picture()
                if not fails(operation, at, failing):
                    assert at.picture() == done, (title, size, failing)
                    assert at.watches() == watched, (title, size, failing)
                    clean += 1
                    if clean == enough:  # there is no such allocation any more
                        break
                    continue
                clean = 0
                failures[title] += 1
                after = at.picture()
                if after != before:
                    assert not strict, (title, size, failing, before, after)
                    check_whole(title, operation, at)
                    check_released(twin, size, operation, failing)
                assert at.watches() in watches_after(title, size), (title, size, failing)
                assert not (strict and at.retired()), (title, size, failing)
            else:
                raise AssertionError(f"{title} allocates more than {LIMIT} times, {size}")
    return failures


def what_the_interpreter_does_not_survive(strict: bool) -> tuple[str, ...]:
    if strict:
        return LISTING if FREE_THREADED else ()
    done = subprocess.run([sys.executable, "-c", SETDEFAULT], capture_output=True, check=False)
    return GROWING if done.returncode else ()


def watches_after(title: str, size: int) -> tuple[int, ...]:
    step = {"watch": 1, "watch, first": 1, "unwatch": -1}.get(title, 0)
    return size, size + step


def check_whole(title: str, operation: Callable[[Place], object], at: Place) -> None:
    """Raise if something was done by half, and cannot be done to its end now."""
    operation(at)
    again = at.picture()
    operation(at)
    assert at.picture() == again, title
    held = {name: at.registry.whereis(name) for name in at.registry}
    known = {name: pid for pid in at.pids for name in at.registry.names(pid)}
    assert held == known, (title, held, known)


def check_released(
    twin: Any, size: int, operation: Callable[[Place], object], failing: int
) -> None:
    """Raise if who was in it by half cannot be rid of all names."""
    at = Place(twin, size)
    fails(operation, at, failing)
    for pid in at.pids:
        at.registry.release(pid)
        assert not at.registry.names(pid), (size, failing)


def main(twin: str) -> None:
    strict = twin == "_registry"
    sizes = SIZES if strict else effort.one_in(2, SIZES)
    failures = try_all(find_twin(twin), strict, sizes)
    print(f"{failures.total():,} failed allocations in {len(failures)} operations")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
