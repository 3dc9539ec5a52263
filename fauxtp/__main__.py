"""`python -m fauxtp`: what is in use here, and what a look-up costs."""

from __future__ import annotations

import asyncio
import platform
import statistics
import sys
import timeit
from pathlib import Path

from fauxtp import __version__, registry
from fauxtp._loops.asyncio_examination import broken, examine

NAMES = 1_000
LOOPS = 50_000
ROUNDS = 9


def look_up_costs() -> tuple[float, float]:
    """Return what a look-up by `whereis` and by `dict.get` takes, in nanoseconds.

    Both are timed in turns, so that whatever else the machine does slows both.
    """
    table = registry.Registry()
    for number in range(NAMES):
        table.register(f"pipeline:processor:{number}", registry.PID())
    plain = {name: table.whereis(name) for name in table}
    scope = {"whereis": table.whereis, "plain": plain, "name": f"pipeline:processor:{NAMES // 2}"}
    ours = timeit.Timer("whereis(name)", globals=scope)
    theirs = timeit.Timer("plain.get(name)", globals=scope)
    times = [(ours.timeit(LOOPS), theirs.timeit(LOOPS)) for _ in range(ROUNDS)]
    ours_ns, theirs_ns = (
        statistics.median(column) / LOOPS * 1e9 for column in zip(*times, strict=True)
    )
    return ours_ns, theirs_ns


async def done_without() -> list[str]:
    """Return what asyncio and anyio do not have here, or not as it is known, and what is done."""
    examine(asyncio.get_running_loop())
    return [f"{internal}: {internal.otherwise}" for internal in broken()]


def main() -> None:
    ours, theirs = look_up_costs()
    # In a checkout, Python finds that one, whatever else is installed.
    print(f"fauxtp {__version__} in {Path(registry.__file__).parent}")
    print(f"{platform.python_implementation()} {sys.version.split()[0]} on {platform.platform()}")
    print(f"registry: {registry.implementation} ({registry.reason})")
    for line in asyncio.run(done_without()):
        print(f"done without {line}")
    print(f"a look-up by name: {ours:.0f} ns; by dict.get: {theirs:.0f} ns")


if __name__ == "__main__":
    main()
