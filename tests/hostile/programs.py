"""Modules of the tests that run as programs of their own, since they may hang or crash.

Each runs to its end, or to the end of our patience. A warning is an error there, too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from hostile import effort

TESTS = Path(__file__).parent.parent
PATIENCE = effort.seconds(300, 1.5)  # until a program counts as hung; many know it much earlier


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended; `hung` if it had to be ended, and says by itself where it hung."""

    returncode: int
    stdout: str
    stderr: str
    hung: bool = False

    def check(self, returncode: int = 0, stderr: str = "") -> Ended:
        """Raise unless the program ended as it should, and made no noise."""
        assert not self.hung, f"the program hangs:\n{self.stdout}\n{self.stderr}"
        assert self.returncode == returncode, f"{self.returncode}:\n{self.stdout}\n{self.stderr}"
        assert self.stderr == stderr, f"noise on stderr:\n{self.stderr}"
        return self


def extensions(twin: object) -> str:
    """Return which FAUXTP_EXTENSIONS makes a program use that twin."""
    return "never" if getattr(twin, "__name__", "").endswith("_py") else "always"


Program = subprocess.Popen[str]


def start(
    module: str,
    *arguments: object,
    before: tuple[str, ...] = (),
    options: tuple[str, ...] = (),
    stdin: int = subprocess.DEVNULL,
    **environment: str,
) -> Program:
    """Start `python -m hostile.<module>` beside the test.

    `before` is what runs the interpreter, and `options` are the interpreter's. `stdin` is what
    `subprocess.Popen` takes.
    """
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    python = [*before, sys.executable, "-W", "error", *options]
    return subprocess.Popen(
        [*python, "-m", f"hostile.{module}", *map(str, arguments)],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONFAULTHANDLER": "1", "PYTHONPATH": path, **environment},
        start_new_session=True,  # so that its children, too, can be ended
    )


def end_of(program: Program, patience: float) -> Ended:
    """Wait for the end of a program; after `patience` seconds, end it and its children."""
    try:
        out, err = program.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        if os.name == "posix":
            os.killpg(program.pid, signal.SIGABRT)  # each says where it hangs, and ends
        else:
            program.kill()
        out, err = program.communicate()
        return Ended(program.returncode, out, err, hung=True)
    return Ended(program.returncode, out, err)


def run(
    module: str,
    *arguments: object,
    before: tuple[str, ...] = (),
    options: tuple[str, ...] = (),
    patience: float = PATIENCE,
    **environment: str,
) -> Ended:
    """Run `python -m hostile.<module>` to its end."""
    program = start(
        module,
        *arguments,
        before=before,
        options=options,
        stdin=subprocess.DEVNULL,
        **environment,
    )
    return end_of(program, patience)
