"""Interpreters beside the main one: one of them has the compiled registry, none crashes."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections import Counter

import pytest
from conftest import unmeasured
from twins_of import FORMS

from hostile import effort, programs

CHOICES = ["never", "always", "auto"] if len(FORMS) > 1 else ["never"]
CASES = list(itertools.product(("main", "sub"), ("legacy", "isolated"), CHOICES))


def expected(first: str, kind: str, choice: str, times: int) -> Counter[str]:
    """Return which lines the program says how often."""
    subs, mains = times + 3, times + 2 + (first == "main")
    if choice == "never":
        return Counter({"sub: python": subs, "main: python": mains})
    other = "python" if choice == "auto" else "none"
    alone = kind == "isolated" and sys.version_info >= (3, 12)
    if first == "main" or alone:
        return Counter({f"sub: {other}": subs, "main: cython": mains})
    return Counter({"sub: cython": 1, f"sub: {other}": subs - 1, f"main: {other}": mains})


@unmeasured
@pytest.mark.twins
@pytest.mark.parametrize("number", range(2))
def test_one_interpreter_has_the_compiled_registry_and_all_work(number: int) -> None:
    if not any(map(importlib.util.find_spec, ("_interpreters", "_xxsubinterpreters"))):
        pytest.skip("no other interpreters here")
    turns, times = effort.times(1, len(CASES)), effort.times(1, 5)
    for turn in range(turns):
        first, kind, choice = CASES[(effort.SEED + number * len(CASES) // 2 + turn) % len(CASES)]
        done = programs.run("interpreters", first, kind, times, FAUXTP_EXTENSIONS=choice)
        said = Counter(done.check().stdout.splitlines())
        assert said == expected(first, kind, choice, times), (first, kind, choice)
    effort.report(f"sub-interpreters: {turns * (times + 3)}, none crashes, all work as it says")
