"""Measure what importing fauxtp costs, and what it brings in.

python -m bench.imports
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import fauxtp
from bench.figures import Figure, show

TURNS = 21
TIME_BAR = 0.010  # seconds
TWINS = {"compiled": "always", "pure": "never"}  # what FAUXTP_EXTENSIONS must say

# What a source imports on its own account, when it is loaded.
IMPORT = re.compile(r"^(?:import|from) +(\w+)", re.MULTILINE)

ANYIO_MODULES = """
import sys
import fauxtp
print(*(name for name in sys.modules if name.partition(".")[0] == "anyio"))
"""

IMPORT_TIME = """
import sys
import time
for name in sys.argv[1:]:
    __import__(name)
start = time.perf_counter()
import fauxtp
print(time.perf_counter() - start)
"""

EVENT_LOOPS = """
import sys
import fauxtp
print(*sorted({"asyncio", "trio"}.intersection(sys.modules)))
"""

# Without `fauxtp/__init__.py`, which imports the rest of the package.
REGISTRY_MODULES = """
import sys
package = type(sys)("fauxtp")
package.__path__ = [sys.argv[1]]
sys.modules["fauxtp"] = package
before = set(sys.modules)
import fauxtp.registry
print(*sorted(set(sys.modules) - before))
"""


def run(twin: str, *arguments: str, **environment: str) -> str:
    """Return what a fresh interpreter prints in which that twin of the registry is in use."""
    child = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "FAUXTP_EXTENSIONS": TWINS[twin], **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return child.stdout.strip()


def import_times() -> list[Figure]:
    """Time `import fauxtp` where what it uses of anyio is there already, the twins in turns."""
    anyio = run("compiled", "-c", ANYIO_MODULES).split()
    times: dict[str, list[float]] = {twin: [] for twin in TWINS}
    with TemporaryDirectory() as cache:
        # As after an installation, there is bytecode: the first turn compiles it.
        bytecode = {"PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
        for _ in range(1 + TURNS):
            for twin, seen in times.items():
                seen.append(float(run(twin, "-c", IMPORT_TIME, *anyio, **bytecode)))
    medians = {twin: statistics.median(seen[1:]) for twin, seen in times.items()}
    return [
        Figure(
            f"import fauxtp after anyio, {twin}",
            f"{median * 1e3:.1f} ms",
            bar=f"≤ {TIME_BAR * 1e3:.0f} ms",
            met=median <= TIME_BAR,
        )
        for twin, median in medians.items()
    ]


def event_loops(twin: str) -> Figure:
    found = run(twin, "-c", EVENT_LOOPS)
    return Figure(f"event loops imported, {twin}", found or "none", bar="none", met=not found)


def registry_modules(twin: str) -> list[str]:
    """Return all modules that are loaded because of the registry, be it through others."""
    # Without `site`, which would load some of them beforehand.
    return run(twin, "-I", "-S", "-c", REGISTRY_MODULES, fauxtp.__path__[0]).split()


def standard(modules: Iterable[str]) -> list[str]:
    return sorted(name for name in modules if name.partition(".")[0] in sys.stdlib_module_names)


def imported_by_name(modules: list[str]) -> set[str]:
    """Return what fauxtp's own among `modules` import in so many words."""
    named: set[str] = set()
    for name in modules:
        if name.startswith("fauxtp."):
            source = Path(fauxtp.__path__[0], *name.split(".")[1:])
            places = source.with_suffix(".pyx"), source.with_suffix(".py"), source / "__init__.py"
            path = next(path for path in places if path.exists())
            named.update(IMPORT.findall(path.read_text(encoding="utf-8")))
    return named - {"__future__"}


def main() -> None:
    loaded = {twin: registry_modules(twin) for twin in TWINS}
    lists = {
        f"stdlib modules named by the registry, {twin}": standard(imported_by_name(loaded[twin]))
        for twin in TWINS
    }
    lists |= {
        f"stdlib modules loaded by the registry, {twin}": standard(loaded[twin]) for twin in TWINS
    }
    counts = [Figure(what, str(len(modules))) for what, modules in lists.items()]
    show("imports", [*import_times(), *map(event_loops, TWINS), *counts])
    for what, modules in lists.items():
        print(f"{what}: {' '.join(modules)}")
    print()


if __name__ == "__main__":
    main()
