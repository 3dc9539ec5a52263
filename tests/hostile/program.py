"""Modules of the tests that run as programs of their own, since they may hang or crash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
PATIENCE = 900.0  # seconds; the programs have watchdogs of their own, which are quicker


def run_module(
    module: str, *arguments: object, before: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a module of the tests; return how it ended. `before` is what runs the interpreter."""
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [*before, sys.executable, "-W", "error", "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, "PYTHONPATH": path, **environment},
        check=False,
    )
