"""While each operation of the registry runs, each is called. See reentrance.py and ways.py."""

from __future__ import annotations

import json
import re
import signal
import sys
from typing import Any

import pytest

from hostile import effort, programs, reentrance
from hostile.twins import short_name

PATIENCE = effort.times(50, 400)  # seconds until a program counts as hung
GIL = getattr(sys, "_is_gil_enabled", lambda: True)()
ALL_PAIRS = len(reentrance.ALL) ** 2

DENSE = ["tracing", "profiling"]  # every operation is sure to meet every other
BY_CHANCE = ["collections", "signals"]
BY_CALL = ["weak references", "callbacks", "comparisons", "finalisers", "audits"]

Entries = list[dict[str, Any]]


def let_in(twin: Any, steps: int, ways: list[str]) -> Entries:
    done = programs.run("reentrance", short_name(twin), effort.SEED, steps, PATIENCE, *ways)
    done.check()
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    text = ", ".join(f"{entry['entered']:,} by {entry['way']}" for entry in entries)
    effort.report(f"re-entrance, {twin.__name__}: {text}")
    return entries


def test_every_operation_may_be_called_on_every_line_of_every_other(twin: Any) -> None:
    for entry in let_in(twin, effort.times(100, 3000), DENSE):
        assert entry["pairs"] == ALL_PAIRS, entry


def test_any_operation_may_be_called_at_any_allocation_or_signal(twin: Any) -> None:
    ways = BY_CHANCE if hasattr(signal, "setitimer") else BY_CHANCE[:1]
    for entry in let_in(twin, effort.times(3000, 100_000), ways):
        # Without the GIL, collections do not follow each other so closely.
        assert entry["entered"] > 0 or (entry["way"] == "collections" and not GIL), entry


def test_any_operation_may_be_called_by_what_the_registry_calls(twin: Any) -> None:
    for entry in let_in(twin, effort.times(1000, 50_000), BY_CALL):
        assert entry["pairs"] >= len(reentrance.ALL), entry


def test_a_name_is_not_asked_what_it_is_equal_to(twin: Any) -> None:
    (entry,) = let_in(twin, effort.times(1000, 10_000), ["strings"])
    assert entry["entered"] == 0


# The test of the test


@pytest.mark.once
def test_a_lock_that_is_not_reentrant_is_seen_to_hang() -> None:
    done = programs.run("plain_lock")
    assert done.returncode == 1
    assert done.stderr.startswith("Timeout")
    assert "_registry_py.py" in done.stderr


@pytest.mark.once
@pytest.mark.parametrize(
    ("fault", "way", "words"),
    [
        ("TwoSteps", "tracing", "NotLinear|AssertionError|KeyError"),
        ("AsksTheName", "strings", "a name was asked something"),
    ],
)
def test_a_fault_is_found(fault: str, way: str, words: str) -> None:
    done = programs.run("reentrance", fault, effort.SEED, 2000, PATIENCE, way)
    assert done.returncode == 1
    assert re.search(words, done.stderr)
