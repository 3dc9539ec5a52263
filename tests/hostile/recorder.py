"""Threads that use one registry, and note when each operation began, ended, and its answer."""

from __future__ import annotations

import itertools
import random
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

from fauxtp.errors import NoProcess
from hostile.linear import Event, NotLinear, explain
from hostile.operations import names_told

NAMES = ["kvstore", "shard:1", "shard:2"]
PIDS = 4
SEVERAL = ("release", "names", "registered", "in order")  # whose answer concerns every name
OPERATIONS = [
    *["join"] * 3,
    *["leave"] * 2,
    "members",
    *["register"] * 5,
    *["whereis"] * 4,
    *["transfer"] * 3,
    *["unregister of"] * 2,
    "unregister",
    "release",
    "names",
    "registered",
    "in order",
]


_recorders = itertools.count()  # every second one follows the names


def member(group: str, pid: int) -> str:
    """Return under what it is noted that a PID is in a group."""
    return f"{group} {pid}"


class Recorder:
    """A registry, the few PIDs that fight for its few names, and what was seen of each name.

    Who is in a group called as a name is seen for each PID, as a name that only it can have.
    """

    def __init__(self, twin: Any) -> None:
        self.registry = twin.Registry()
        self.spell: Callable[[str], str] = str
        self.pids = [twin.PID() for _ in range(PIDS)]
        self.seen: dict[str, list[Event]] = {name: [] for name in NAMES}
        self.seen |= {member(name, pid): [] for name in NAMES for pid in range(PIDS)}
        one = self.registry
        self.news = one.follow_names("shard:", bool) if next(_recorders) % 2 else None
        self.calls: dict[str, Callable[[str, Any, Any], Any]] = {
            "register": lambda name, pid, _: one.register(name, pid),
            "unregister": lambda name, pid, _: one.unregister(name),
            "unregister of": lambda name, pid, _: one.unregister(name, pid),
            "transfer": one.transfer,
            "whereis": lambda name, pid, _: one.whereis(name),
            "registered": lambda name, pid, _: one.registered(),
            "in order": lambda name, pid, _: one.registered("k") + one.registered("shard:"),
            "names": lambda name, pid, _: one.names(pid),
            "release": lambda name, pid, _: one.release(pid),
            "retire": lambda name, pid, _: twin.retire(pid),
            "join": lambda name, pid, _: one.join(name, pid),
            "leave": lambda name, pid, _: one.leave(name, pid),
            "members": lambda name, pid, _: one.members(name),
        }

    def do(self, operation: str, name: str, pid: int, other: int) -> None:
        """Do it, and note it for each name that it concerns."""
        call, in_group = self.calls[operation], operation in ("join", "leave")
        operation_on_a_name = {"join": "register", "leave": "unregister of"}
        begin = time.perf_counter_ns()
        try:
            answer = call(self.spell(name), self.pids[pid], self.pids[other])
        except NoProcess as error:
            operation, pid, answer = "refused", self.number(error.to), None
        end = time.perf_counter_ns()
        operation = operation_on_a_name.get(operation, operation)
        for number in range(PIDS) if operation == "members" else ():
            is_there = answer is not None and self.pids[number] in answer
            seen = Event(begin, end, "registered", number, None, is_there)
            self.seen[member(name, number)].append(seen)
        if operation == "in order":
            operation = "registered"
        for each in NAMES if operation in SEVERAL else ():
            self.seen[each].append(Event(begin, end, operation, pid, None, each in answer))
        for each in self.seen if operation == "retire" else ():
            for step in ("mark", "drop"):
                self.seen[each].append(Event(begin, end, step, pid, None, None))
        if operation in (*SEVERAL, "members", "retire"):
            return
        if operation == "whereis":
            answer = None if answer is None else self.number(answer)
        key = member(name, pid) if in_group else name
        self.seen[key].append(Event(begin, end, operation, pid, other, answer))

    def number(self, pid: Any) -> int:
        return self.pids.index(pid)

    def judge(self) -> None:
        """Raise `NotLinear` if no order explains it all, or if table and PIDs differ by now."""
        for name in NAMES:
            self.do("whereis", name, 0, 0)
            self.do("members", name, 0, 0)
        for seen in self.seen.values():
            explain(seen)
        held = {name: self.registry.whereis(name) for name in self.registry}
        known = {name: pid for pid in self.pids for name in self.registry.names(pid)}
        if held != known:
            raise NotLinear(f"the table says {held}, the PIDs say {known}")
        heard = held if self.news is None else names_told({}, self.news)
        if held != heard:
            raise NotLinear(f"the table says {held}, the news say {heard}")

    def meetings(self) -> int:
        """Return how many operations on the first name began before another had ended."""
        events = [event for event in self.seen[NAMES[0]] if event.operation != "drop"]
        events.sort(key=lambda event: event.begin)  # "drop" is of one `retire` with "mark"
        ends = accumulate((event.end for event in events), max)
        return sum(event.begin < end for event, end in zip(events[1:], ends, strict=False))


def storm(recorder: Recorder, start: threading.Barrier, dice: random.Random, count: int) -> None:
    """Do something at random, `count` times. Each of the threads does this."""
    start.wait()
    for _ in range(count):
        recorder.do(
            dice.choice(OPERATIONS), dice.choice(NAMES), dice.randrange(PIDS), dice.randrange(PIDS)
        )
    if dice.random() < 0.5:
        recorder.do("retire", NAMES[0], dice.randrange(PIDS), 0)


@contextmanager
def switching(interval: float) -> Iterator[None]:
    """Let the interpreter switch threads that often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(interval)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def contend(twin: Any, threads: int, count: int, seeds: Iterable[str]) -> tuple[int, int]:
    """For each seed, let threads storm a registry, each with `count` operations, and judge it.

    Return how many operations it were, and how many met another on the first name.
    """
    done = met = 0
    with ThreadPoolExecutor(threads) as pool:
        for seed in seeds:
            recorder, start = Recorder(twin), threading.Barrier(threads)
            storms = [
                pool.submit(storm, recorder, start, random.Random(f"{seed} {number}"), count)
                for number in range(threads)
            ]
            for one in storms:
                one.result()
            recorder.judge()
            done, met = done + threads * count, met + recorder.meetings()
    return done, met
