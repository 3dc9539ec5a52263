"""Whatever threads do to a registry at the same time, some order of it explains every answer."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from conftest import PATIENCE, with_plugins

from hostile import broken, effort, programs
from hostile.linear import FREE, Event, NotLinear, after, explain
from hostile.recorder import Recorder, contend, switching

pytestmark = pytest.mark.usefixtures("in_order")

TESTS = Path(__file__).parents[1]
THREADS, OPERATIONS = 4, 50
ROUNDS = effort.times(200, 1_000_000 // (THREADS * OPERATIONS))


@pytest.mark.parametrize("interval", [1e-6, 2e-5])
def test_an_order_explains_what_threads_see(twin: Any, interval: float) -> None:
    seeds = [f"{effort.SEED} {round_}" for round_ in range(ROUNDS // 2)]
    with switching(interval):
        done, met = contend(twin, THREADS, OPERATIONS, seeds)
    effort.report(
        f"threads, {twin.__name__}: {done:,} operations explained, switching every {interval} s;"
        f" {met:,} of those on one name met another"
    )


def in_parallel(*options: str) -> subprocess.CompletedProcess[str]:
    """Run each of the tests in several threads at once; one that hangs says where."""
    pytest.importorskip("pytest_run_parallel")
    hung = ["-o", f"faulthandler_timeout={PATIENCE}", "-o", "faulthandler_exit_on_timeout=true"]
    parallel = ["-p", "run-parallel", "--parallel-threads=4"]
    parallel += with_plugins("run-parallel", "anyio", "fauxtp", "benchmark")
    return subprocess.run(
        [sys.executable, "-m", "pytest", *parallel, *hung, *options],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        timeout=programs.PATIENCE,  # with all of them, on a machine that is busy
        check=False,
    )


def test_the_tests_of_registry_and_identities_pass_in_parallel() -> None:
    done = in_parallel("tests/test_registry.py", "tests/test_identities.py", "-k", "not large")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search("Collected [1-9][0-9]+ items to run in parallel", done.stdout)


# The test of the test: the checker, and registries that it has to see through.


def plain_search(events: Sequence[Event]) -> bool:
    """Say the same as `explain`, by trying all orders."""
    for order in permutations(events):
        state: Any = FREE
        for at, event in enumerate(order):
            if any(later.end < event.begin for later in order[at:]):
                break
            state = after(state, event)
            if state is None:
                break
        else:
            return True
    return False


def random_event(dice: random.Random) -> Event:
    begin = dice.randrange(10)
    operation = dice.choice(["register", "unregister", "whereis", "transfer", "mark", "drop"])
    answer: Any = dice.random() < 0.6
    if operation == "whereis":
        answer = dice.choice([None, 0, 1])
    end = begin + dice.randrange(6)
    return Event(begin, end, operation, dice.randrange(2), dice.randrange(2), answer)


@pytest.mark.once
def test_the_checker_says_what_a_search_of_all_orders_says() -> None:
    dice, found = random.Random(effort.SEED), {True: 0, False: 0}
    for _ in range(effort.times(1000, 10_000)):
        events = [random_event(dice) for _ in range(dice.randrange(1, 6))]
        expected = plain_search(events)
        found[expected] += 1
        if expected:
            explain(events)
        else:
            with pytest.raises(NotLinear):
                explain(events)
    assert min(found.values()) > 50, "both kinds came up"


def both(recorder: Recorder, *dos: tuple[Any, ...]) -> None:
    """Do several things at the same time."""
    with ThreadPoolExecutor(len(dos)) as pool:
        for done in [pool.submit(recorder.do, *do) for do in dos]:
            done.result()


def fight_for_a_name(recorder: Recorder) -> None:
    recorder.registry.between = threading.Barrier(2).wait
    both(recorder, ("register", "kvstore", 0, 0), ("register", "kvstore", 1, 1))


def free_it_twice(recorder: Recorder) -> None:
    recorder.do("register", "kvstore", 0, 0)
    recorder.registry.between = threading.Barrier(2).wait
    both(recorder, ("unregister", "kvstore", 0, 0), ("unregister of", "kvstore", 0, 0))


def look_into_the_gap(recorder: Recorder) -> None:
    recorder.do("register", "kvstore", 0, 0)
    recorder.registry.between = lambda: recorder.do("whereis", "kvstore", 0, 0)
    recorder.do("transfer", "kvstore", 0, 1)


def ask_twice(recorder: Recorder) -> None:
    recorder.do("whereis", "kvstore", 0, 0)
    recorder.do("register", "kvstore", 0, 0)


FIGHTS = [
    (broken.Racy, fight_for_a_name),
    (broken.FreesTwice, free_it_twice),
    (broken.LeavesAGap, look_into_the_gap),
    (broken.Remembers, ask_twice),
]


@pytest.mark.once
@pytest.mark.parametrize(("fault", "fight"), FIGHTS)
def test_a_fault_is_found(fault: type, fight: Any) -> None:
    recorder = Recorder(broken.Broken(fault))
    fight(recorder)
    with pytest.raises(NotLinear):
        recorder.judge()


@pytest.mark.once
def test_a_fault_is_found_by_chance_too() -> None:
    """The storm itself finds it, and would not have to be told where to look."""

    class Slow(broken.Racy):
        def between(self) -> None:
            time.sleep(0)

    seeds = [f"{effort.SEED} {round_}" for round_ in range(1000)]
    with switching(1e-6), pytest.raises(NotLinear):
        contend(broken.Broken(Slow), THREADS, OPERATIONS, seeds)


@pytest.mark.once
def test_a_test_that_fails_in_parallel_is_seen_to_fail() -> None:
    done = in_parallel("tests/hostile/unsafe_in_threads.py")
    assert done.returncode == 1
    assert "PARALLEL FAILED" in done.stdout
