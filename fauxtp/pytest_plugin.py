"""The pytest plugin: a registry that each test has for itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fauxtp.inspection import processes, tree
from fauxtp.registry import Registry, default


@pytest.fixture
def fauxtp_registry() -> Iterator[Registry]:
    """The default registry: empty before the test, and what it was after it.

    The test fails if it leaves processes running.
    """
    running = set(processes())
    before = [(name, default.whereis(name)) for name in default]
    for name in default:
        default.unregister(name)
    yield default
    for name in default:
        default.unregister(name)
    for name, pid in before:
        if pid is not None:
            default.register(name, pid)
    left = [pid for pid in processes() if pid not in running]
    if left:
        pytest.fail(f"the test left processes running: {left}\n{tree()}", pytrace=False)
