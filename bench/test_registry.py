"""Time the registry beside what people write by hand: a dict, and a dict behind a lock.

    python -m pytest bench --benchmark-enable -q

A round of a benchmark is `COUNT` operations in each thread. pytest-benchmark runs all rounds
of one test before the next test, so each test is there once for each of `TURNS` turns: in a
turn the contenders follow each other closely, and only ratios within a turn are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from random import Random
from threading import Barrier, Lock
from types import ModuleType
from typing import Any

import pytest

import fauxtp._registry
import fauxtp._registry_py

COUNT = 100_000
ROUNDS = 3
TURNS = 5
THOUSAND, MILLION = 1_000, 1_000_000

OF_NAMES = {
    "hit": "whereis(key)",
    "miss": "whereis(key)",
    "register + unregister": "register(key, pid); unregister(key)",
}
OF_PIDS = {
    "hash(pid)": "hash(key)",
    "pid == pid": "key == key",
    "d[pid]": "by_pid[key]",
    "PID()": "PID()",
}
BY_HAND = {"register + unregister": "table[key] = pid; del table[key]"}

# Each contender gets a function of its own: the interpreter specialises code for its callees.
LOOP = """
def loop(keys):
    pid = PID()
    for key in keys:
        {statement}
"""

Scope = dict[str, Any]  # what the names in a statement mean
Loop = Callable[[Sequence[object]], None]


class LockedDict:
    """What people write by hand to share a table of names between threads."""

    def __init__(self, table: dict[str, object]) -> None:
        self._table = table
        self._lock = Lock()

    def whereis(self, name: str) -> object | None:
        with self._lock:
            return self._table.get(name)

    def register(self, name: str, pid: object) -> bool:
        with self._lock:
            if name in self._table:
                return False
            self._table[name] = pid
            return True

    def unregister(self, name: str) -> bool:
        with self._lock:
            return self._table.pop(name, None) is not None


def scope_of_dict(names: list[str]) -> Scope:
    pids = [object() for _ in names]
    table = dict(zip(names, pids, strict=True))
    return {"whereis": table.get, "table": table, "PID": object, "pids": pids}


def scope_of_locked_dict(names: list[str]) -> Scope:
    locked = LockedDict({name: object() for name in names})
    return {**methods(locked), "PID": object, "pids": []}


def scope_of_registry(implementation: ModuleType, names: list[str]) -> Scope:
    """Fill the default registry: its functions are what people call."""
    for name in implementation.registered():
        implementation.unregister(name)
    pids = [implementation.PID() for _ in names]
    for name, pid in zip(names, pids, strict=True):
        implementation.register(name, pid)
    return {**methods(implementation), "PID": implementation.PID, "pids": pids}


def methods(table: Any) -> Scope:
    return {name: getattr(table, name) for name in ("whereis", "register", "unregister")}


CONTENDERS: dict[str, Callable[[list[str]], Scope]] = {
    "dict": scope_of_dict,
    "compiled": lambda names: scope_of_registry(fauxtp._registry, names),
    "pure": lambda names: scope_of_registry(fauxtp._registry_py, names),
    "dict + Lock": scope_of_locked_dict,
}


@cache
def names_of(count: int) -> list[str]:
    return [f"pipeline:processor:{number}" for number in range(count)]


scopes: dict[str, tuple[int, Scope]] = {}  # contender -> number of names, and what is filled


def scope_of(contender: str, names: int) -> Scope:
    """Return what a contender's statements work on; fill it anew only for another size."""
    filled_with, scope = scopes.get(contender, (0, {}))
    if filled_with != names:
        scope = CONTENDERS[contender](names_of(names))
        scope["by_pid"] = dict.fromkeys(scope["pids"])
        scopes[contender] = names, scope
    return scope


def loop_of(contender: str, operation: str, scope: Scope) -> Loop:
    statement = (OF_NAMES | OF_PIDS)[operation]
    if contender == "dict":
        statement = BY_HAND.get(operation, statement)
    defined = dict(scope)
    exec(LOOP.format(statement=statement), defined)
    loop: Loop = defined["loop"]
    return loop


def shares_of(operation: str, names: int, threads: int, pids: list[object]) -> list[list[object]]:
    """Return for each thread the names or PIDs it uses: in no order, and none of another's."""
    source: Sequence[object]
    if operation in OF_PIDS:
        source = pids
    elif operation == "hit":
        source = names_of(names)
    else:
        source = [f"pipeline:nobody:{number}" for number in range(COUNT)]
    part = len(source) // threads
    return [
        Random(thread).choices(source[thread * part : (thread + 1) * part], k=COUNT)
        for thread in range(threads)
    ]


def settings() -> list[tuple[str, int, int, int, str]]:
    """Return the parameters of all tests, in the order that keeps contenders together."""
    sized = [(operation, THOUSAND) for operation in (*OF_NAMES, *OF_PIDS)]
    sized += [(operation, MILLION) for operation in (*OF_NAMES, "d[pid]")]
    return [
        (operation, names, threads, turn, contender)
        for operation, names in sized
        for threads in (1, 2)
        for turn in range(TURNS)
        for contender in CONTENDERS
        if operation in OF_NAMES or contender != "dict + Lock"  # which has no PIDs of its own
    ]


@pytest.mark.benchmark(disable_gc=True)  # nobody measures collections of a million PIDs
@pytest.mark.parametrize(("operation", "names", "threads", "turn", "contender"), settings())
def test_operation(
    benchmark: Any, *, operation: str, names: int, threads: int, turn: int, contender: str
) -> None:
    scope = scope_of(contender, names)
    loop = loop_of(contender, operation, scope)
    shares = shares_of(operation, names, threads, scope["pids"])
    benchmark.extra_info["operations"] = COUNT * threads
    barrier = Barrier(threads)

    def work(share: list[object]) -> None:
        barrier.wait()  # else the first thread may be done before the second gets its share
        loop(share)

    with ThreadPoolExecutor(threads) as pool:
        benchmark.pedantic(lambda: list(pool.map(work, shares)), rounds=ROUNDS, warmup_rounds=1)
