"""Measure a registry of a million names: its memory, its look-ups, and its pauses.

python -m bench.size
"""

from __future__ import annotations

import gc
import random
import statistics
import threading
import tracemalloc
from collections.abc import Callable, Sequence
from time import perf_counter
from timeit import Timer
from typing import TypeVar

from bench.figures import Figure, median_ratio, show
from fauxtp import _registry as compiled
from fauxtp import _registry_py as pure

NAMES = 1_000_000
LOOK_UPS = 100_000  # in a turn
LOOK_UP_TURNS = 25
PAUSE_TURNS = 15
LOOK_UP_BAR = 1.1

T = TypeVar("T")


def bytes_a_name(make: Callable[[], T]) -> tuple[float, T]:
    """Return what `make` makes, after the memory of it for each name."""
    tracemalloc.start()
    made = make()
    gc.collect()
    allocated, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return allocated / NAMES, made


def filled(registry: pure.Registry, names: Sequence[str], pids: Sequence[pure.PID]) -> object:
    for name, pid in zip(names, pids, strict=True):
        registry.register(name, pid)
    return registry


def memory(table: dict[str, compiled.PID]) -> list[Figure]:
    """Measure tables, and what PIDs keep for them; names and PIDs are there before."""
    names, fresh = list(table), [compiled.PID() for _ in table]
    pure_fresh = [pure.PID() for _ in table]
    theirs, _ = bytes_a_name(lambda: dict(zip(names, fresh, strict=True)))
    ours, _ = bytes_a_name(lambda: filled(compiled.Registry(), names, fresh))
    twins, _ = bytes_a_name(lambda: filled(pure.Registry(), names, pure_fresh))
    against = f"dict: {theirs:.1f} B"
    return [
        Figure("memory a name, compiled", f"{ours:.1f} B", against, ours / theirs),
        Figure("memory a name, pure", f"{twins:.1f} B", against, twins / theirs),
    ]


def look_ups(table: dict[str, compiled.PID]) -> Figure:
    """Time look-ups all over the tables, the two in turns."""
    scope = {
        "names": random.Random(0).choices(list(table), k=LOOK_UPS),
        "whereis": compiled.whereis,
        "get": table.get,
    }
    our_loop = Timer("for name in names: whereis(name)", globals=scope)
    their_loop = Timer("for name in names: get(name)", globals=scope)
    turns = [(our_loop.timeit(1), their_loop.timeit(1)) for _ in range(LOOK_UP_TURNS)]
    ours, theirs = zip(*turns, strict=True)
    ratio = median_ratio(ours, theirs)
    return Figure(
        "whereis",
        f"{statistics.median(ours) / LOOK_UPS * 1e9:.0f} ns",
        f"dict.get: {statistics.median(theirs) / LOOK_UPS * 1e9:.0f} ns",
        ratio,
        f"≤ {LOOK_UP_BAR}",
        ratio <= LOOK_UP_BAR,
    )


def longest_pause(work: Callable[[], object]) -> float:
    """Return the longest time between two look-ups of another thread during `work`."""
    started, done = threading.Event(), threading.Event()
    pauses: list[float] = []

    def look_up() -> None:
        longest, last = 0.0, perf_counter()
        started.set()
        going_on = True
        while going_on:
            going_on = not done.is_set()  # asked first: the pause that ends with `work` counts
            compiled.whereis("pipeline:processor:1")
            now = perf_counter()
            longest, last = max(longest, now - last), now
        pauses.append(longest)

    reader = threading.Thread(target=look_up)
    reader.start()
    started.wait()
    made = work()
    done.set()
    reader.join()
    del made  # only now: dropping a million names is a pause, too, but not one of `work`
    return pauses[0]


def pauses(table: dict[str, compiled.PID]) -> Figure:
    turns = [
        (longest_pause(compiled.registered), longest_pause(lambda: list(table)))
        for _ in range(PAUSE_TURNS)
    ]
    ours, theirs = zip(*turns, strict=True)
    return Figure(
        "pause of look-ups by registered()",
        f"{statistics.median(ours) * 1e3:.1f} ms",
        f"list(dict): {statistics.median(theirs) * 1e3:.1f} ms",
        median_ratio(ours, theirs),
    )


def main() -> None:
    table = {f"pipeline:processor:{number}": compiled.PID() for number in range(NAMES)}
    for name, pid in table.items():
        compiled.register(name, pid)
    figures = [*memory(table), look_ups(table), pauses(table)]
    show(f"{NAMES:,} names", figures)


if __name__ == "__main__":
    main()
