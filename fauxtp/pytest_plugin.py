"""The pytest plugin: a registry that each test has for itself.

It is there wherever fauxtp is installed. A test that wants it takes the fixture
`fauxtp_registry`, before any fixture of its own that starts processes: what is set up
earlier is taken down later.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fauxtp.errors import NoProcess
from fauxtp.inspection import process_info, processes
from fauxtp.registry import PID, Registry, default

__all__ = ["fauxtp_registry"]


@pytest.fixture
def fauxtp_registry() -> Iterator[Registry]:
    """The default registry: empty before the test, and what it was after it.

    The test fails if it leaves processes running. Theirs, and those of processes that ran
    before, are the names that stay with who has them; and one that ended during the test
    does not get its names back.
    """
    running = set(processes())
    before = _empty(default)
    yield default
    left = [pid for pid in processes() if pid not in running]
    described = [_describe(pid) for pid in left]
    _empty(default, but_for=running.union(left))
    for name, pid in before:
        try:
            default.register(name, pid)
        except NoProcess:
            pass  # it ended meanwhile
    if left:
        lines = "\n".join(f"  {line}" for line in described)
        pytest.fail(f"the test left processes running:\n{lines}", pytrace=False)


def _empty(
    registry: Registry, but_for: set[PID] | frozenset[PID] = frozenset()
) -> list[tuple[str, PID]]:
    """Free all names, but for those of some processes; return what was freed."""
    freed = []
    for name in registry:
        pid = registry.whereis(name)
        if pid is not None and pid not in but_for and registry.unregister(name, pid):
            freed.append((name, pid))
    return freed


def _describe(pid: PID) -> str:
    try:
        info = process_info(pid)
    except NoProcess:
        return f"{pid!r}, which has ended meanwhile"
    names = "".join(f" {name!r}" for name in info.names)
    return f"{info.actor_class.__qualname__}{names} {pid!r}, {info.phase.value}"
