"""Fork in the middle of everything, children of all kinds, and the end of the interpreter."""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import unmeasured
from twins_of import FORMS

from hostile import effort, programs

GIL: bool = getattr(sys, "_is_gil_enabled", lambda: True)()

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
needs_gil = pytest.mark.skipif(
    not GIL, reason="without the GIL, another thread may have locked any dict in a child"
)

# Forking beside threads, which Python 3.12 warns of, is the point.
QUIETLY = ("-W", "ignore::DeprecationWarning")
PATIENCE = 30.0  # with a child or a program that ends in no time
HUNG = 5.0  # with one that is known to hang: more than any other takes, on a busy machine

CHOICES = ["never", "always"][: len(FORMS)]  # of the registry
pytestmark = pytest.mark.twins


def variants(number: int, short: int, long: int) -> Iterator[tuple[str, str]]:
    """Yield which registry and which event loop to take; `number` tells tests apart."""
    for turn in range(effort.SEED + number, effort.SEED + number + effort.times(short, long)):
        yield CHOICES[turn % len(CHOICES)], ("asyncio", "trio")[turn // 2 % 2]


def storm(forks: int, choice: str, *fault: str, patience: float = PATIENCE) -> programs.Ended:
    return programs.run(
        "fork_storm",
        forks,
        effort.SEED,
        patience,
        *fault,
        options=QUIETLY,
        patience=PATIENCE + forks,
        FAUXTP_EXTENSIONS=choice,
    )


@unmeasured
@needs_fork
@needs_gil
def test_every_child_of_a_storm_works(twin: Any) -> None:
    forks, choice = effort.times(25, 1500), programs.extensions(twin)
    storm(forks, choice).check()
    effort.report(f"fork in a storm, extensions {choice}: {forks} children, all work")


@pytest.mark.once
@needs_fork
@needs_gil
@pytest.mark.parametrize(
    ("fault", "where"), [("lock", "_registry_py.py"), ("letters", "dead_letters.py")]
)
def test_of_the_test_a_lock_that_the_child_keeps_is_found(fault: str, where: str) -> None:
    done = storm(1000, "never", fault, patience=HUNG)
    assert done.returncode == 1
    assert re.search(r"child \d+ hangs\n", done.stderr)
    assert where in done.stderr  # it says where


@pytest.mark.once
@needs_fork
def test_of_the_test_a_table_that_is_half_changed_is_found() -> None:
    done = storm(1, "never", "table")
    assert done.returncode == 1
    assert "AssertionError" in done.stderr


METHODS = ["fork", "spawn", "forkserver"]


@pytest.mark.parametrize("method", METHODS)
def test_children_by_multiprocessing_work(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this platform")
    children = 0
    for choice, backend in variants(METHODS.index(method), 1, 12):
        done = programs.run(
            "multiprocesses", method, backend, options=QUIETLY, FAUXTP_EXTENSIONS=choice
        )
        done.check()
        children += 2
    effort.report(f"multiprocessing by {method}: {children} children, all work")


WAYS: dict[str, tuple[int, str]] = {
    "returning": (0, ""),
    "raising": (1, "RuntimeError: as planned"),
    "exiting": (3, ""),
    "calling": (0, ""),
    "interrupted": (0, ""),
    "keeping": (0, ""),
    "at_exit": (0, ""),
    "finalised": (0, ""),
    "storming": (0, ""),
}


def end(
    way: str, backend: str = "asyncio", choice: str = "never", patience: float = PATIENCE
) -> programs.Ended:
    return programs.run("exits", way, backend, patience=patience, FAUXTP_EXTENSIONS=choice)


def check_end(way: str, done: programs.Ended) -> None:
    """Raise unless the program ended as it should, at once, and without a word too much."""
    code, last = WAYS.get(way, (0, ""))
    if last and re.fullmatch(
        rf"Traceback \(most recent call last\):\n(  .*\n)+{last}\n", done.stderr
    ):
        done.check(code, done.stderr)
    else:
        done.check(code)


def test_programs_end_quietly_while_actors_live() -> None:
    ends = 0
    for number, way in enumerate(WAYS):
        for choice, backend in variants(number, 1, 30):
            check_end(way, end(way, backend, choice))
            ends += 1
    effort.report(f"programs that end while actors live: {ends}, all at once and quietly")


@pytest.mark.once
def test_of_the_test_noise_at_the_end_is_found() -> None:
    with pytest.raises(AssertionError, match="noise on stderr:\nRuntimeError"):
        check_end("noisy", end("noisy"))


@pytest.mark.once
def test_of_the_test_a_crash_is_found() -> None:
    with pytest.raises(AssertionError, match="Fatal Python error: Aborted"):
        check_end("crashing", end("crashing"))


@pytest.mark.once
def test_of_the_test_a_program_that_does_not_end_is_found() -> None:
    with pytest.raises(AssertionError, match="hangs"):
        check_end("stuck", end("stuck", patience=1.0))
