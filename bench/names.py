"""What it costs to ask for names by how they begin, beside a look at all of them.

    python -m bench.names [n]

Of a million names, or as many as you say, 100 are listed, in turns with a list of all and a look
at each; and a name is registered and unregistered in that table and in one where nobody has asked.
"""

from __future__ import annotations

import gc
import random
import statistics
import sys
from collections.abc import Callable
from time import perf_counter

from bench.figures import Figure, median_ratio, show
from fauxtp import PID, Registry

USUAL = 1_000_000
ROUNDS = 15
TIMES = 2_000
PREFIX = "session:7:4"


def filled(names: list[str]) -> Registry:
    registry = Registry()
    for name in names:
        registry.register(name, PID())
    return registry


def time_of(work: Callable[[], object], times: int = 1) -> float:
    """Return the microseconds that `work` takes."""
    start = perf_counter()
    for _ in range(times):
        work()
    return (perf_counter() - start) / times * 1e6


def ratio_of_watched(come_and_go: Callable[[Registry], None]) -> float:
    """Return how many times as long names take to come and go where somebody follows them.

    Who follows does as `watch_names`: it is told of the first, and takes what has come then.
    """
    ours, theirs = [], []
    for _ in range(ROUNDS):
        followed, never = Registry(), Registry()
        followed.follow_names("", bool)
        ours.append(time_of(lambda: come_and_go(followed)))  # noqa: B023
        theirs.append(time_of(lambda: come_and_go(never)))  # noqa: B023
    return median_ratio(ours, theirs)


def main(number: int) -> None:
    names = [f"session:{at % (number // 1000)}:{at}" for at in range(number)]
    random.Random(1).shuffle(names)
    asked, never = filled(names), filled(names)
    pid, fresh = PID(), [f"session:new:{at}" for at in range(TIMES)]
    gc.collect()
    gc.disable()

    def come_and_go(registry: Registry) -> None:
        for name in fresh:
            registry.register(name, pid)
        for name in fresh:
            registry.unregister(name)

    first = time_of(lambda: asked.registered(PREFIX))
    found = len(asked.registered(PREFIX))
    listed, looked, ours, theirs, after = [], [], [], [], []
    for _ in range(ROUNDS):
        listed.append(time_of(lambda: asked.registered(PREFIX), 20))
        looked.append(time_of(lambda: [it for it in never.registered() if it.startswith(PREFIX)]))
        ours.append(time_of(lambda: come_and_go(asked)) / TIMES)
        theirs.append(time_of(lambda: come_and_go(never)) / TIMES)
        asked.registered(PREFIX)
        asked.register("session:new:0", pid)
        after.append(time_of(lambda: asked.registered(PREFIX)))
        asked.unregister("session:new:0")
    watched = ratio_of_watched(come_and_go)
    counted = statistics.median(time_of(lambda: asked.count(PREFIX), 20) for _ in range(ROUNDS))
    times = {what: statistics.median(it) for what, it in (("listed", listed), ("after", after))}
    ratio = median_ratio(ours, theirs)
    show(
        f"{found} of {number:,} names",
        [
            Figure(
                "list them",
                f"{times['listed']:.1f} µs",
                f"a look at all: {statistics.median(looked):,.0f} µs",
                median_ratio(listed, looked),
                "≤ 50 µs",
                times["listed"] <= 50,
            ),
            Figure("list them, after a change", f"{times['after']:.1f} µs"),
            Figure("count them", f"{counted:.1f} µs"),
            Figure("the first question", f"{first / 1e6:.2f} s"),
            Figure(
                "register and unregister",
                f"{statistics.median(ours) * 1000:.0f} ns",
                f"nobody asks: {statistics.median(theirs) * 1000:.0f} ns",
                ratio,
                "≤ 3.0",
                ratio <= 3,
            ),
            Figure("the same, watched", "", "nobody watches", watched, "≤ 3.0", watched <= 3),
        ],
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else USUAL)
