"""Whatever comes in while the runtime is at work harms nobody. See intrusion.py, intruded.py."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hostile import effort
from hostile.intrusion_faults import FAULTS

PATIENCE = str(effort.times(30, 60))  # seconds until one run counts as hung
STRIDE = 1 if effort.MINUTES else 149  # of the places in a scene, one in so many
WIDE = 1 if effort.MINUTES else 331  # the same of places within lines, of which there are more
RUNS = effort.times(2, 150)

WAYS = ["lines", "collections", "finalisers", "signals"]
if effort.MINUTES:
    WAYS.append("opcodes")  # some of these runs take long

pytestmark = pytest.mark.twins

LOOPS = "asyncio", "uvloop", "trio"
BODIES = ("never",) if os.environ.get("FAUXTP_EXTENSIONS") == "never" else ("never", "always")


def intrude(program: str, *arguments: object, body: str = BODIES[-1]) -> tuple[int, str]:
    """Run such a program; return its exit status and what it printed."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-m", f"hostile.{program}", *map(str, arguments)],
        cwd=os.path.dirname(os.path.dirname(__file__)),
        env={**os.environ, "FAUXTP_EXTENSIONS": body},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr[-8000:]


def count_of(output: str) -> int:
    return int(output.split(maxsplit=1)[0])


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("body", BODIES)
def test_whoever_comes_in_at_one_place_harms_nobody(body: str, loop: str) -> None:
    # Each at other places: together they are at more
    first = (effort.SEED + 16 * (LOOPS.index(loop) + 3 * BODIES.index(body))) % STRIDE
    status, output = intrude("intrusion_places", loop, "lines", first, STRIDE, PATIENCE, body=body)
    assert status == 0, output
    effort.report(f"intrusion, {loop}, {body}: {count_of(output):,} places of short scenes")


@pytest.mark.parametrize("loop", LOOPS)
def test_whoever_comes_in_within_a_line_harms_nobody(loop: str) -> None:
    places = effort.SEED % WIDE, WIDE
    status, output = intrude("intrusion_places", loop, "opcodes", *places, PATIENCE, body="never")
    assert status == 0, output
    effort.report(f"intrusion, {loop}: {count_of(output):,} places within lines of short scenes")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("loop", LOOPS)
def test_whoever_comes_in_again_and_again_harms_nobody(loop: str, way: str) -> None:
    body = BODIES[effort.SEED % len(BODIES)]
    status, output = intrude("intrusion", loop, way, effort.SEED, RUNS, PATIENCE, body=body)
    assert status == 0, output
    effort.report(f"intrusion, {loop}, {body}: {count_of(output):,} came in by {way}")


@pytest.mark.once
@pytest.mark.parametrize("fault", FAULTS if effort.MINUTES else list(FAULTS)[:1])
def test_a_fault_is_found(fault: str) -> None:
    status, output = intrude("intrusion_places", "asyncio", "lines", 0, 1, 5, fault)
    assert status != 0, output


@pytest.mark.once
@pytest.mark.skipif(not effort.MINUTES, reason="it takes a minute")
def test_who_disturbs_trio_at_work_is_found() -> None:
    status, output = intrude("intrusion", "trio", "lines", 1, 400, 5, "trio at work")
    assert status != 0, output
