"""Time that passes at once, where nothing else is to be done: for what waits long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import Any

import pytest

from fauxtp.testing import explore

Scenario = Callable[[], Awaitable[object]]


def on_asyncio(scenario: Scenario) -> None:
    """Run `scenario` on a simulated event loop of asyncio."""
    explore(scenario, seeds=[1])


def on_trio(scenario: Scenario) -> None:
    """Run `scenario` by trio's clock for tests."""
    trio = pytest.importorskip("trio")
    testing = pytest.importorskip("trio.testing")
    trio.run(scenario, clock=testing.MockClock(autojump_threshold=0))


each_loop = pytest.mark.parametrize("simulated", [on_asyncio, on_trio])


def explored(seeds: int) -> Callable[[Callable[..., Awaitable[object]]], Callable[..., None]]:
    """Return what makes a test of a coroutine function: it is tried by so many schedules."""

    def as_test(scenario: Callable[..., Awaitable[object]]) -> Callable[..., None]:
        @wraps(scenario)
        def test(**fixtures: Any) -> None:
            explore(partial(scenario, **fixtures), seeds=seeds)

        return test

    return as_test
