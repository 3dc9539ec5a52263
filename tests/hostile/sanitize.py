"""The compiled modules with AddressSanitizer and UndefinedBehaviorSanitizer: `make sanitize`.

They are built a second time, in a place of their own, so this needs the sources and gcc. Then the
driver of the registry and their tests run with them; and two faults, to see that they are seen.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Attributes as in C23, which the newest compilers assume: nothing may stand before them.
NEWEST_C = "-std=gnu2x -DCYTHON_UNUSED=[[maybe_unused]]"
SANITIZERS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined"
TESTS = [
    f"tests/test_{name}.py"
    for name in (
        "registry",
        "identities",
        "concurrency",
        "cimport",
        "requests",
        "stepping",
        "handoff",
        "starting",
        "ending",
    )
]
FAULTS = {
    "use_after_free(3)": "AddressSanitizer: heap-use-after-free",
    "overflow(2**31 - 1)": "runtime error: signed integer overflow",
}


def library(name: str) -> str:
    """Return where the compiler keeps a library."""
    found = subprocess.run(
        ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


class Place:
    """A copy of the sources, with everything in it built to be watched."""

    def __init__(self, place: Path) -> None:
        self.place = place
        built = shutil.ignore_patterns("*.so", "*.c", "__pycache__")
        for name in ("fauxtp", "tests"):
            shutil.copytree(ROOT / name, place / name, ignore=built)
        for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, place)

    def python(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(self.place), str(self.place / "tests")])
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.place,
            env={**os.environ, "FAUXTP_EXTENSIONS": "always", "PYTHONPATH": path, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def build(self) -> None:
        flags = {
            "CFLAGS": f"{NEWEST_C} {SANITIZERS} -O1 -g -fno-omit-frame-pointer",
            "LDFLAGS": SANITIZERS,
        }
        expect(self.python("setup.py", "-q", "build_ext", "--inplace", **flags), "")
        faulty = "tests/hostile/faulty.pyx"
        expect(self.python("-m", "Cython.Build.Cythonize", "-q", "-i", faulty, **flags), "")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run something that is watched. Python is not, so what it never frees is no matter."""
        return self.python(
            *arguments,
            LD_PRELOAD=library("libasan.so"),
            ASAN_OPTIONS="detect_leaks=0",
            UBSAN_OPTIONS="print_stacktrace=1",
            PYTHONMALLOC="malloc",
        )


def expect(done: subprocess.CompletedProcess[str], words: str, *, well: bool = True) -> None:
    """End the program if that did not go as it should."""
    if (done.returncode == 0) is not well or words not in done.stdout + done.stderr:
        sys.exit(f"{done.args} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        place = Place(Path(scratch) / "sources")
        place.build()
        where = "import fauxtp._registry as it; print(it.__file__)"
        expect(place.run("-c", where), str(place.place))
        for call, words in FAULTS.items():
            expect(place.run("-c", f"from hostile.faulty import *; {call}"), words, well=False)
        expect(place.run("-m", "hostile.driver", "1", "10"), "done")
        expect(place.run("-m", "pytest", "-q", *TESTS), "passed")


if __name__ == "__main__":
    main()
