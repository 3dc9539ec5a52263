"""Two trees of servers in two event loops stand a storm; nothing is lost, nothing is left.

What is done, and what is asked for, tells `chaos`; what may become of a message,
`chaos_letter`. `make torture ONLY=chaos MINUTES=150` makes it an hour.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from conftest import PATIENCE

from hostile import effort, programs
from hostile.chaos_broken import PLANTED

SHARE = 0.4  # of the minutes of torture
ALWAYS_PLANTED = 3  # the first ones; the others in torture only


def run(module: str, *arguments: str, seconds: float = 0.0) -> Any:
    """Run a program of this directory; return what it prints, as JSON."""
    ended = programs.run(module, *arguments, patience=seconds + 2 * PATIENCE)
    assert ended.stdout, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize("other", ["asyncio", "trio", "uvloop"])
def test_nothing_is_lost_and_nothing_left(other: str) -> None:
    if other == "uvloop":
        pytest.importorskip("uvloop")
        if not effort.MINUTES:
            pytest.skip("in torture only")
    seconds = effort.seconds(0.4, SHARE / 3)
    arguments = ("asyncio", other, "--seconds", f"{seconds}", "--seed", f"{effort.SEED}")
    tally = run("chaos", *arguments, seconds=seconds)
    assert tally["faults"] == []
    counts = tally["counts"]
    fates = {fate: counts.get(fate, 0) for fate in ("handled", "dead", "failed")}
    assert sum(fates.values()) == counts["sent"]
    assert min(fates.values()) > 0
    injected = sorted(tally["injected"].items(), key=lambda kind: -kind[1])
    assert tally["injected"]["too many restarts"] >= 2 * counts["seasons"]
    effort.report(
        f"chaos, asyncio and {other}: {counts['seasons']} seasons, {counts['sent']:,} messages:"
        f" {', '.join(f'{count:,} {fate}' for fate, count in fates.items())},"
        f" {counts.get('lost', 0)} lost; longest gap of a name {tally['longest_gap']:.2f} s;"
        f" faults: {', '.join(f'{count:,} {kind}' for kind, count in injected)}"
    )


@pytest.mark.once
def test_it_finds_what_is_planted() -> None:
    names = list(PLANTED) if effort.MINUTES else list(PLANTED)[:ALWAYS_PLANTED]
    for name, faults in run("chaos_broken", *names).items():
        expected = PLANTED[name][1]
        assert any(re.search(expected, fault) for fault in faults), (name, faults)
