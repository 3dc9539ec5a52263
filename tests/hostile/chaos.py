"""Chaos: two trees of supervised servers in two event loops, under load, under attack.

It goes in seasons. In each one, two trees grow, tasks of both event loops and plain threads
send letters to everybody, and for a while servers and branches are made to crash, hang, stop
and start. After the storm everybody has to be back; one branch is made to give up; then the
trees are felled, mostly while the callers still call. At the end nothing may be left of any
of it, and each letter must have met one of the fates that `chaos_letter` tells.

    python -m hostile.chaos asyncio trio --seconds 60 --seed 1

prints what was done, and what was wrong, as JSON. The faults follow from the seed; how
threads and event loops take turns does not, so a run cannot be replayed to the letter.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import itertools
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import ExitStack
from dataclasses import dataclass
from random import Random
from typing import Any

from fauxtp import groups, processes, registered, tree
from hostile.chaos_faults import Injector, end_the_hung
from hostile.chaos_ledger import Ledger
from hostile.chaos_load import Caller
from hostile.chaos_lookers import looked_into
from hostile.chaos_postbox import Postbox
from hostile.chaos_side import Felling, Side
from hostile.chaos_tree import lay_out
from hostile.chaos_visitors import Host
from hostile.chaos_watch import Watch
from hostile.chaos_world import World

__all__ = ["Season", "Tally", "run"]

TASKS, THREADS = 6, 4  # of callers; the tasks in each event loop
TURNS = (1e-3, 1e-4, 1e-5)  # seconds that a thread has the GIL, by season
LONG = 5.0  # seconds of a storm
BOUND = 15.0  # seconds until somebody counts as lost: a server, or who waits for one
BOUND_OF_ALL = 60.0  # … and the program, beyond the time that it has


class Tally(Counter[str]):
    """What was done in all seasons, and what was wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.longest_gap = 0.0
        self.faults: list[str] = []
        self.injected: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()

    def as_json(self) -> str:
        return json.dumps(
            {
                "counts": dict(self),
                "injected": dict(self.injected),
                "ends": dict(self.ends),
                "longest_gap": self.longest_gap,
                "faults": self.faults,
            }
        )


@dataclass
class Season:
    """From the growth of two trees to their end."""

    backends: list[str]
    seconds: float
    seed: str
    bound: float = BOUND

    def pass_by(self, tally: Tally) -> None:
        threads = set(threading.enumerate())
        world = World(self.seed)
        lay_out(world, *"ab")
        ledger = Ledger(world)
        with world.observed(), ledger.kept():
            with looked_into(world):
                self._live(world)
            world.let_go()
            gc.collect()  # postboxes that nobody knows any more: what is in them is dead, too
            fates = world.verdict()
        for fate, count in fates.items():
            tally[fate.value] += count
        tally["sent"] += len(world.letters)
        tally["seasons"] += 1
        tally.update(world.counted)
        tally.injected.update(world.injected)
        tally.ends.update(world.ends)
        tally.longest_gap = max(tally.longest_gap, world.longest_gap)
        nothing_left(world, threads)
        tally.faults += world.shown_faults()

    def _live(self, world: World) -> None:
        random = Random(self.seed)
        sys.setswitchinterval(random.choice(TURNS))
        with ExitStack() as stack:
            sides = [
                stack.enter_context(Side(world, name, backend, self.bound))
                for name, backend in zip("ab", self.backends, strict=True)
            ]
            watch = Watch(world, self.bound)
            watch.start()
            callers = self._callers(world, sides)
            self._storm(world, sides)
            self._calm(world, sides)
            if random.random() < 0.3:
                self._silence(world, callers)
            watch.expect_no_more()
            world.close()
            for side in random.sample(sides, 2):
                side.fell(random.choice(list(Felling)))
            self._silence(world, callers)
            watch.end()

    def _callers(self, world: World, sides: list[Side]) -> list[Future[Any]]:
        """Start those who send letters, in tasks of both event loops and in threads."""
        callers = (Caller(world, number) for number in itertools.count())
        tasks = [side.start(next(callers).call_from_task) for side in sides for _ in range(TASKS)]
        for number, side in enumerate(sides):
            tasks.append(side.start(Host(world, number).receive_visitors))
            tasks.append(side.start(Postbox(world, number).stand))
        return tasks + [in_thread(next(callers).call_from_thread) for _ in range(THREADS)]

    def _storm(self, world: World, sides: list[Side]) -> None:
        world.stormy = True
        injectors = [
            side.start(Injector(world, number).inject) for number, side in enumerate(sides)
        ]
        time.sleep(self.seconds)
        world.stormy = False
        self._see_the_end_of(injectors, world)

    def _calm(self, world: World, sides: list[Side]) -> None:
        """See everybody back, also after a branch of each side has given up."""
        one, other = sides
        steps = [(side, Side.see_one_give_up) for side in sides]
        for side, step in [(one, Side.see_them_back), *steps, (other, Side.see_them_back)]:
            self._see_the_end_of([side.start(step, side)], world)
        for account in world.wardens:
            self._see_the_end_of([one.start(account, self.bound)], world)

    def _silence(self, world: World, callers: list[Future[Any]]) -> None:
        """Let the callers come to their end: each of them must hear of its letter."""
        world.calling = False
        self._see_the_end_of(callers, world)

    def _see_the_end_of(self, tasks: list[Future[Any]], world: World) -> None:
        deadline = time.monotonic() + 2 * self.bound  # for their own bounds to come first
        while wait(tasks, 0.02).not_done and time.monotonic() < deadline:
            end_the_hung(world, 0.0)  # an order to hang may still have been on its way
        if not all(task.done() for task in tasks):
            world.fault(f"somebody waits for ever; who is there:\n{tree()}")
        for task in tasks:
            if not task.done():
                task.cancel()
            elif not task.cancelled() and task.exception() is not None:
                world.fault(f"somebody failed: {task.exception()!r}")


def in_thread(function: Callable[[], object]) -> Future[Any]:
    """Run a function in a thread of its own, that is not waited for at exit."""
    future: Future[Any] = Future()

    def work() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    future.set_running_or_notify_cancel()
    threading.Thread(target=work, daemon=True).start()
    return future


def nothing_left(world: World, threads: set[threading.Thread]) -> None:
    """Note whatever is still there of a season."""
    if processes():
        world.fault(f"processes are left: {processes()}")
    if registered():
        world.fault(f"names are left: {registered()}")
    if groups():
        world.fault(f"groups are left: {groups()}")
    for thread in set(threading.enumerate()) - threads:
        thread.join(1.0)  # those that have said that they are done
        if thread.is_alive():
            world.fault(f"a thread is left: {thread}")
    gc.collect()
    left = Counter(kind for kind, reference in world.witnesses if reference() is not None)
    if left:
        world.fault(f"somebody holds the dead: {dict(left)}")


def run(
    backends: list[str], seconds: float, seed: str, storm: float = LONG, bound: float = BOUND
) -> Tally:
    """Let seasons pass for so many seconds, or until something is wrong."""
    tally, end = Tally(), time.monotonic() + seconds
    for number in itertools.count():
        length = min(storm, end - time.monotonic())
        if tally.faults or (number and length <= 0):
            break
        Season(backends, max(length, 0.1), f"{seed} season {number}", bound).pass_by(tally)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description="let two trees stand a storm")
    parser.add_argument("backends", nargs=2, help="asyncio, uvloop or trio, for each loop")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", default="0")
    arguments = parser.parse_args()
    faulthandler.dump_traceback_later(arguments.seconds + BOUND_OF_ALL, exit=True)
    tally = run(arguments.backends, arguments.seconds, arguments.seed)
    print(tally.as_json(), flush=True)  # noqa: T201
    faulthandler.cancel_dump_traceback_later()
    if tally.faults:
        os._exit(1)  # some thread may wait for ever


if __name__ == "__main__":
    main()
