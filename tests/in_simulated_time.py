"""Time that passes at once, where nothing else is to be done: for what waits long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

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
