"""Random programs for processes: the same comes of each in every configuration."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from hostile import differ, effort, stage_faults
from hostile.differ import Stage
from hostile.plays import play_of


def seeds(until: float, at_least: int) -> Iterator[int]:
    count = 0
    while count < at_least or time.monotonic() < until:
        yield effort.SEED + count
        count += 1


@pytest.mark.twins
def test_the_same_comes_of_a_play_in_every_configuration() -> None:
    performed = 0
    with differ.staged(differ.all_stages()) as stages:
        for seed in seeds(time.monotonic() + effort.seconds(2, 0.05), at_least=20):
            found = differ.found_by(stages, seed)
            assert not found, found
            performed += 1
    effort.report(f"plays: the same came of {performed:,} on {len(stages)} stages")


@pytest.mark.once
@pytest.mark.parametrize("fault", stage_faults.FAULTS)
def test_a_stage_with_this_fault_is_found_out(fault: str) -> None:
    standard = Stage("as it should be", "asyncio", FAUXTP_HANDOFF="never")
    faulty = Stage(fault, "asyncio", fault, FAUXTP_EXTENSIONS="never", FAUXTP_HANDOFF="auto")
    with differ.staged([standard, faulty]) as stages:
        for seed in range(effort.SEED, effort.SEED + 2000):
            if found := differ.differences(stages, play_of(seed)):
                break
    assert found
    effort.report(f"plays: {fault} is found by seed {seed - effort.SEED + 1}")
