"""The pytest plugin: a registry that each test has for itself, and processes that end with it.

It is there wherever fauxtp is installed. A test that wants it takes the fixture
`fauxtp_registry`, before any fixture of its own that starts processes: what is set up
earlier is taken down later. `fauxtp_start` brings it along.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import wraps
from typing import Any

import pytest

from fauxtp.registry import Registry, default
from fauxtp.testing.hosting import Hosting
from fauxtp.testing.isolation import empty_registry, left_running

__all__ = ["fauxtp_registry", "fauxtp_start"]


@pytest.fixture
def fauxtp_registry() -> Iterator[Registry]:
    """The default registry: empty before the test, and what it was after it.

    The test fails if it leaves processes running. Theirs, and those of processes that ran
    before, are the names that stay with who has them; and one that ended during the test
    does not get its names back.
    """
    with empty_registry() as running:
        yield default
        left = left_running(running)
    if left:
        lines = "\n".join(f"  {line}" for line in left)
        pytest.fail(f"the test left processes running:\n{lines}", pytrace=False)


@pytest.fixture
def fauxtp_start(request: pytest.FixtureRequest, fauxtp_registry: Registry) -> Iterator[Hosting]:
    """What starts processes that live as long as the test: `await fauxtp_start(Application)`.

    They start as by `fauxtp.running`, each in turn, and end in order when the test does, the
    last one first. One that gives up makes the test fail. Whichever plugin runs it: that of
    anyio, or pytest-asyncio. A fixture that starts processes by it runs in the test's event loop.
    """
    test = request.node
    before = test.obj
    if not inspect.iscoroutinefunction(before):
        raise pytest.UsageError("fauxtp_start is for tests that are async functions")
    hosting = Hosting()

    @wraps(before)
    async def hosted(*args: Any, **kwargs: Any) -> Any:
        async with hosting:
            return await before(*args, **kwargs)

    test.obj = hosted  # now, as the plugin that runs it looks for it later
    try:
        yield hosting
    finally:
        test.obj = before
