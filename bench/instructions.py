"""Count the instructions of the registry's operations, and of what they compete with.

    python -m bench.instructions

Unlike times, counts are the same on a busy machine. Callgrind counts a whole process, so each
statement runs in two processes, in a short loop and in a long one: what they have in common
cancels, that is start, imports, and the warm-up in which the interpreter specialises the loop.
What is left is the statement and its share of the loop, on both sides of a comparison alike.

Like is compared with like: a function with a dict's bound method, a method with a method.
"""

from __future__ import annotations

import os
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from bench.callgrind import instructions

SHORT, LONG = 1_000, 21_000  # how often a statement runs
LENIENCY = 1.0 if sys.version_info < (3, 12) else 1.05  # the bars were set on 3.11

PROGRAM = """
from fauxtp._registry import Lookup, PID, Registry, quick, register, unregister, whereis
from fauxtp._registry_py import PID as PurePID, register as pure_register, whereis as pure_whereis

registry, table = Registry(), {{}}
for number in range(1_000):
    name, holder = f"pipeline:processor:{{number}}", PID()
    register(name, holder)
    registry.register(name, holder)
    pure_register(name, PurePID())
    table[name] = holder

@quick
class Cluster(Lookup):
    pass

cluster = Cluster(table.copy(), print)

get = table.get
known, unknown, fresh = "pipeline:processor:500", "pipeline:nobody", "pipeline:producer"
pid, another_pid, thing, another_thing = PID(), PID(), object(), object()
by_pid = dict.fromkeys([*(PID() for _ in range(1_000)), pid])
by_thing = dict.fromkeys([*(object() for _ in range(1_000)), thing])

def loop(times):
    for _ in range(times):
        {statement}

loop(3_000)
loop({times})
"""


class Comparison(NamedTuple):
    operation: str
    ours: str  # a statement
    theirs: str
    bar: float  # the ratio, at most


COMPARISONS = [
    Comparison("whereis, hit", "whereis(known)", "get(known)", 1.0),
    Comparison("whereis, miss", "whereis(unknown)", "get(unknown)", 1.0),
    Comparison("method, hit", "registry.whereis(known)", "table.get(known)", 1.05),
    Comparison("method, miss", "registry.whereis(unknown)", "table.get(unknown)", 1.05),
    Comparison(
        "register + unregister",
        "register(fresh, pid); unregister(fresh)",
        "table[fresh] = pid; del table[fresh]",
        2.5,
    ),
    Comparison("hash(pid)", "hash(pid)", "hash(thing)", 1.1),
    Comparison("pid == pid", "pid == pid", "thing == thing", 1.1),
    Comparison("pid == another", "pid == another_pid", "thing == another_thing", 1.1),
    Comparison("d[pid]", "by_pid[pid]", "by_thing[thing]", 1.1),
    Comparison("PID()", "PID()", "object()", 3.0),
    Comparison("of a cluster", "cluster.whereis(known)", "registry.whereis(known)", 1.2),
    Comparison("pure whereis, hit", "pure_whereis(known)", "get(known)", 2.5),
    Comparison("pure whereis, miss", "pure_whereis(unknown)", "get(unknown)", 2.5),
]


def count_all() -> dict[str, float]:
    """Return for each statement the instructions of running it once."""

    def count(statement: str) -> float:
        short, long = (
            instructions(PROGRAM.format(statement=statement, times=times))
            for times in (SHORT, LONG)
        )
        return (long - short) / (LONG - SHORT)

    statements = {statement for row in COMPARISONS for statement in (row.ours, row.theirs)}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(statements, pool.map(count, statements), strict=True))


def line(row: Comparison, counts: dict[str, float]) -> str:
    ours, theirs, bar = counts[row.ours], counts[row.theirs], row.bar * LENIENCY
    verdict = "met" if ours / theirs <= bar else "MISSED"
    return (
        f"{row.operation:22}{ours:12.1f}   {row.theirs:36}{theirs:12.1f}"
        f"{ours / theirs:8.3f}{bar:8.3f}  {verdict}"
    )


def main() -> None:
    counts = count_all()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    count = "instructions"
    print(f"{python}: {count} an operation, loop included\n")
    print(f"{'':22}{count:>12}   {'against':36}{count:>12}{'ratio':>8}{'bar':>8}")
    for row in COMPARISONS:
        print(line(row, counts))
    print()


if __name__ == "__main__":
    main()
