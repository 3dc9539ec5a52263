"""What groups cost: to read one, to publish in one, to join, beside what names and messages cost.

    python -m bench.groups

Each is measured in turns in one run, beside what it is compared with.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable
from time import perf_counter

from bench.figures import Figure, median_ratio, show
from fauxtp import (
    PID,
    Mailbox,
    join,
    leave,
    members,
    publish,
    register,
    send_nowait,
    unregister,
    whereis,
)

MEMBERS = 10_000
READS = 100_000
ROUNDS = 25

mailboxes = [Mailbox() for _ in range(MEMBERS)]
pids = [mailbox.pid for mailbox in mailboxes]
names = [f"member:{number}" for number in range(MEMBERS)]


def time_of(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def read_the_group() -> None:
    for _ in range(READS):
        members("crew")


def read_a_name() -> None:
    for _ in range(READS):
        whereis("member:0")


def publish_once() -> None:
    assert publish("crew", None) == MEMBERS


def send_to_each() -> None:
    for pid in pids:
        send_nowait(pid, None)


def join_and_leave() -> None:
    for pid in pids:
        join("band", pid)
    for pid in pids:
        leave("band", pid)


def register_and_unregister() -> None:
    for name, pid in zip(names, pids, strict=True):
        register(name, pid)
    for name in names:
        unregister(name)


def growth_of_joining() -> float:
    """Return how often as long it takes to join a group of so many as a group of a tenth."""

    def fill(number: int) -> None:
        for pid in many[:number]:
            join("band", pid)

    many = [PID() for _ in range(MEMBERS)]
    ratios = []
    for _ in range(ROUNDS):
        few = time_of(lambda: fill(MEMBERS // 10)) / (MEMBERS // 10)
        for pid in many:
            leave("band", pid)
        ratios.append(time_of(lambda: fill(MEMBERS)) / MEMBERS / few)
        for pid in many:
            leave("band", pid)
    return statistics.median(ratios)


def compared(
    what: str, ours: Callable[[], None], theirs: Callable[[], None], number: int, bar: float
) -> Figure:
    pairs = []
    for _ in range(ROUNDS):
        pairs.append((time_of(ours), time_of(theirs)))
        for mailbox in mailboxes:
            while len(mailbox):
                mailbox.take_nowait()
    mine, other = zip(*pairs, strict=True)
    ratio = median_ratio(mine, other)
    measured, against = (f"{statistics.median(it) / number * 1e9:.0f} ns" for it in (mine, other))
    text = f"{theirs.__name__.replace('_', ' ')}: {against}"
    return Figure(what, measured, text, ratio, f"≤ {bar}", ratio <= bar)


def main() -> None:
    gc.disable()
    for pid in pids:
        join("crew", pid)
    figures = [
        compared("publish, each of 10,000", publish_once, send_to_each, MEMBERS, 1.2),
        compared("join and leave", join_and_leave, register_and_unregister, MEMBERS, 4.0),
    ]
    register("member:0", pids[0])
    figures.append(compared("read a group", read_the_group, read_a_name, READS, 1.1))
    ratio = growth_of_joining()
    figures.append(
        Figure("join, with 10,000", "", "with 1,000", ratio, "≤ 1.5", ratio <= 1.5),
    )
    show("groups", figures)


if __name__ == "__main__":
    main()
