"""Lives of actors, one after the other, leave nothing in memory. See runtime_leaks.py."""

from __future__ import annotations

import pytest

from hostile import effort, programs


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_no_life_leaves_memory_behind(backend: str) -> None:
    done = programs.run("runtime_leaks", backend, effort.times(600, 20_000))
    done.check()
    effort.report(f"runtime leaks, {backend}: {done.stdout.strip()}")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_leak_of_the_runtime_is_found(backend: str) -> None:
    done = programs.run("runtime_leaks", backend, 600, "leak")
    assert done.returncode == 1
    assert "Leak: keep" in done.stderr
