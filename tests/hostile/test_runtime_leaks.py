"""Lives of actors, one after the other, leave nothing in memory. See runtime_leaks.py.

`make torture ONLY=leaks MINUTES=150` makes it a million of each on asyncio.
"""

from __future__ import annotations

import pytest

from hostile import effort, programs
from hostile.leaks import STATM

PATIENCE = effort.seconds(300, 0.3)  # three times what it takes


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_no_life_leaves_memory_behind(backend: str) -> None:
    done = programs.run("runtime_leaks", backend, patience=PATIENCE)
    done.check()
    effort.report(f"runtime leaks, {backend}: {done.stdout.strip()}")


@pytest.mark.once
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(("fault", "found"), [("keeps", "blocks"), ("hoards", "bytes")])
def test_a_leak_of_the_runtime_is_found(backend: str, fault: str, found: str) -> None:
    if found == "bytes" and not STATM.exists():
        pytest.skip("this platform does not tell how much memory a process has")
    done = programs.run("runtime_leaks", backend, fault)
    assert done.returncode == 1
    assert f"Leak: {fault}" in done.stderr
    assert f"too many {found}" in done.stderr
