"""Measure how look-ups scale with threads, where there is no GIL to keep those apart.

python -m bench.scaling
"""

from __future__ import annotations

import os
import statistics
import sys
import threading
from collections.abc import Callable, Sequence
from time import perf_counter

from bench.figures import Figure, interpreter, median_ratio, show
from fauxtp._registry import PID, register, whereis

NAMES = 1_000
PASSES = 10_000  # of a thread over its names: it takes time until a thread has its core
TURNS = 15
SCALING_BAR = 0.85
TWO_CORES = 1.7  # what an empty loop reaches at least where two cores are free

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

Names = Sequence[str]

table: dict[str, PID] = {f"pipeline:processor:{number}": PID() for number in range(NAMES)}
get = table.get


def empty(names: Names) -> None:
    for _ in range(PASSES):
        for _name in names:
            pass


def by_get(names: Names) -> None:
    for _ in range(PASSES):
        for name in names:
            get(name)


def by_whereis(names: Names) -> None:
    for _ in range(PASSES):
        for name in names:
            whereis(name)


def by_own_dict(names: Names) -> None:
    """Look up in a dict, by names, that this thread made: nothing is shared."""
    own_names = ["".join(list(name)) for name in names]
    own_get = {name: PID() for name in own_names}.get
    for _ in range(PASSES):
        for name in own_names:
            own_get(name)


def on_its_core(number: int, loop: Callable[[Names], None], names: Names) -> None:
    """Run `loop` where no other thread of ours runs, if that can be chosen here."""
    if CORES:
        os.sched_setaffinity(0, {CORES[number % len(CORES)]})
    loop(names)


def seconds(loop: Callable[[Names], None], shares: Sequence[Names]) -> float:
    """Return how long `loop` takes in as many threads as there are shares of the names."""
    threads = [
        threading.Thread(target=on_its_core, args=[number, loop, share])
        for number, share in enumerate(shares)
    ]
    start = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return perf_counter() - start


def single(shares: Sequence[Names]) -> Figure:
    """Time one thread by `whereis` and by `dict.get`, in turns."""
    turns = [(seconds(by_whereis, shares), seconds(by_get, shares)) for _ in range(TURNS)]
    ours, theirs = zip(*turns, strict=True)
    scale = 1e9 / (PASSES * len(shares[0]))
    return Figure(
        "whereis, 1 thread",
        f"{statistics.median(ours) * scale:.0f} ns",
        f"dict.get: {statistics.median(theirs) * scale:.0f} ns",
        median_ratio(ours, theirs),
    )


def scaling(loop: Callable[[Names], None], shares: Sequence[Names]) -> float:
    """Return the throughput of all threads together, as a multiple of that of one."""
    return len(shares) * seconds(loop, shares[:1]) / seconds(loop, shares)


def double(what: str, shares: Sequence[Names]) -> list[Figure]:
    """Compare how `whereis` scales with what the machine allows.

    That is an empty loop; look-ups that share nothing tell its part from the interpreter's.
    """
    turns = [
        (scaling(by_whereis, shares), scaling(empty, shares), scaling(by_own_dict, shares))
        for _ in range(TURNS)
    ]
    ours, loops, dicts = zip(*turns, strict=True)
    allowed = statistics.median(loops)
    measured, ratio = f"× {statistics.median(ours):.2f}", median_ratio(ours, loops)
    against_loops = f"empty loop: × {allowed:.2f}"
    against_dicts = f"a dict each: × {statistics.median(dicts):.2f}"
    met = ratio >= SCALING_BAR if allowed >= TWO_CORES else None
    return [
        Figure(what, measured, against_loops, ratio, f"≥ {SCALING_BAR}", met),
        Figure(what, measured, against_dicts, median_ratio(ours, dicts)),
    ]


def main() -> None:
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        print(f"{interpreter()}: scaling with threads: does not apply, there is a GIL\n")
        return
    for name, pid in table.items():
        register(name, pid)
    names, half = list(table), NAMES // 2
    halves = [names[:half], names[half:]]
    alone = [[names[0]] * half, [names[-1]] * half]
    for loop in (empty, by_get, by_whereis, by_own_dict):
        seconds(loop, halves)  # warms up
    figures = [
        single(halves[:1]),
        *double("whereis, 2 threads, one name each", alone),
        *double(f"whereis, 2 threads, {half} names each", halves),
    ]
    show("time and throughput of look-ups", figures)
    print(f"No verdict is given where an empty loop scales by less than {TWO_CORES}: too busy.\n")


if __name__ == "__main__":
    main()
