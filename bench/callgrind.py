"""What callgrind counts: the instructions of a whole process, the same on a busy machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

OPTIONS = ["--tool=callgrind", "--callgrind-out-file=/dev/null"]


def valgrind() -> str:
    """Return where valgrind is; without it there is nothing to do."""
    found = shutil.which("valgrind")
    if found is None:
        sys.exit("instructions are counted by valgrind, which is not installed here")
    return found


def instructions(program: str, *arguments: str, **environment: str) -> int:
    """Return how many instructions a process takes that runs `program`."""
    child = subprocess.run(
        [valgrind(), *OPTIONS, sys.executable, "-P", "-c", program, *arguments],
        env={**os.environ, "PYTHONHASHSEED": "0", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    counted = re.search(r"Collected : (\d+)", child.stderr)
    if child.returncode or counted is None:
        sys.exit(f"{child.stderr}\nnot counted, exit status {child.returncode}:\n{program}")
    return int(counted[1])
