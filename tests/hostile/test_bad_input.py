"""Bad input to every public call: a clear error, nobody harmed, and no noise."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, seed, settings

import fauxtp
from hostile import effort, fuzz
from hostile.junk import coroutine_function
from hostile.rules import ANYTHING, NAME, RULES, Rule, every_rule, public_names
from hostile.world import World

EVERY = every_rule()
BACKENDS = ["asyncio", "trio"]


def test_there_are_rules_for_all_that_is_public() -> None:
    assert set(RULES) == public_names()


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_piece_of_junk_in_each_place(backend: str) -> None:
    tries = list(fuzz.sweep(EVERY))
    some = effort.one_in(4 if backend == "trio" else 1, tries)  # it takes longer there
    count = anyio.run(fuzz.all_of, some, backend=backend)
    effort.report(f"bad input on {backend}: {count} calls, each with one piece of junk")


@pytest.mark.parametrize("backend", BACKENDS)
def test_any_junk_in_any_places(backend: str) -> None:
    count = 0

    @seed(effort.SEED)
    @settings(
        max_examples=effort.times(10, 400),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(fuzz.attempts(EVERY))
    def fuzzed(tries: list[fuzz.Attempt]) -> None:
        nonlocal count
        count += anyio.run(fuzz.all_of, tries, backend=backend)

    fuzzed()
    effort.report(f"bad input on {backend}: {count} calls, with junk in any place")


# Calls that no checker must let pass


def careless(world: World, name: Any) -> bool:
    return bool(name) or True


def blind(world: World, name: Any) -> Any:
    return name.upper() and name.startswith("a")


def vague(world: World, name: Any) -> None:
    if not isinstance(name, str):
        raise TypeError("bad argument")


async def patient(world: World, name: Any) -> None:
    if not isinstance(name, str):
        await anyio.sleep_forever()


def deadly(world: World, value: Any) -> None:
    if value == 10**30:
        fauxtp.exit(world.server, "kill")


def greedy(world: World, value: Any) -> None:
    if value is None:
        fauxtp.unregister("server")


def noisy(world: World, value: Any) -> None:
    if value is False:
        logging.getLogger("fauxtp").error("something failed")


def forgetful(world: World, value: Any) -> None:
    if value is False:
        _ = coroutine_function()


@pytest.mark.once
@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (careless, "was accepted"),
        (blind, "raises an error of the wrong kind: AttributeError"),
        (vague, "raises an unclear error: TypeError bad argument"),
        (patient, "was accepted: 'it waits'"),
    ],
)
def test_of_the_test_an_unclear_error_or_none_is_found(call: Any, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        asyncio.run(fuzz.all_of(fuzz.sweep([Rule(call, (NAME,))])))


@pytest.mark.once
@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (deadly, "does harm"),
        (greedy, "does harm: AssertionError the registry has changed"),
        (noisy, "makes noise"),
        (forgetful, "never awaited"),
    ],
)
def test_of_the_test_harm_and_noise_are_found(call: Any, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        asyncio.run(fuzz.all_of(fuzz.sweep([Rule(call, (ANYTHING,))])))
