"""A server goes from one state to another only as the table of states tells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hostile import effort

TESTS = Path(__file__).parents[1]


def states(*arguments: str) -> dict[str, list[str]]:
    """Run the scenarios on the twins in Python; return what was against the table, or unused."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "hostile.server_states", *arguments],
        cwd=TESTS,
        env={**os.environ, "FAUXTP_EXTENSIONS": "never", "FAUXTP_HANDOFF": "auto"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.twins
def test_whoever_is_quicker() -> None:
    number = str(round(effort.seconds(0.25, 0.1) * 1000))
    assert states(str(effort.SEED), number) == {"against": [], "unused": []}


@pytest.mark.once
def test_of_the_test_a_server_that_is_stepped_twice_at_a_time_is_found() -> None:
    # Others may follow from it, by seed.
    assert "STEPPED -> IDLE" in states(str(effort.SEED), "20", "fault")["against"]
