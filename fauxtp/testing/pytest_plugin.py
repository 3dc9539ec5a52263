"""The pytest plugin: a registry that each test has for itself.

It is there wherever fauxtp is installed. A test that wants it takes the fixture
`fauxtp_registry`, before any fixture of its own that starts processes: what is set up
earlier is taken down later.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fauxtp.registry import Registry, default
from fauxtp.testing.isolation import empty_registry, left_running

__all__ = ["fauxtp_registry"]


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
