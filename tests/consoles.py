"""The console sessions on the pages, and how they are played again.

A block of `console` is a row of commands, each behind `$ `, and what it prints. One with `&` goes
on: what it prints until it is ready stands below it, `kill` ends it, and what it prints then
stands below that. The programs of the page lie in the folder in which the commands run.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from conftest import PATIENCE, with_plugins

BLOCK = re.compile(r"^```console\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
SIGNALS = {"-TERM": signal.SIGTERM, "-INT": signal.SIGINT, "-KILL": signal.SIGKILL}


class Command(NamedTuple):
    """A line that is typed, and what it prints."""

    line: str
    output: str


def commands_of(text: str) -> list[Command]:
    """Return the commands on a page, in order."""
    blocks = "".join(block for block in BLOCK.findall(text))
    return [Command(*found) for found in COMMAND.findall(blocks)]


def looks_like(shown: str) -> str:
    """Return a pattern of what was printed: `…` is what differs each time, or whole lines."""
    return "".join(
        r"(?:[^\n]*\n)*?" if line.strip() == "…" else re.escape(line).replace("…", r"[^\n]*?")
        for line in shown.splitlines(keepends=True)
    )


def without_figures(text: str) -> str:
    """Return `text` with each number as `#`, and a column's spaces as one: they differ."""
    figures = re.sub(r"(^ +)?\d+(?:\.\d+)?", "#", text, flags=re.MULTILINE)
    return re.sub(r"(?<=\S) +", " ", figures).replace(" \n", "\n")


def agrees(shown: str, printed: str) -> bool:
    """Return whether a page shows what was printed, but for figures and `…`."""
    return bool(re.fullmatch(looks_like(without_figures(shown)), without_figures(printed)))


class Console:
    """A terminal in a folder of its own, with programs that go on behind it."""

    def __init__(self, place: Path) -> None:
        self._place = place
        # Where programs say that they can be looked into: a socket may have no long path
        self._sockets = TemporaryDirectory(prefix="f")
        self._environment = {
            **{name: value for name, value in os.environ.items() if name != "FAUXTP_OBSERVE"},
            "COLUMNS": "140",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTEST_ADDOPTS": shlex.join(with_plugins("anyio", "fauxtp")),
            "PYTHONIOENCODING": "utf-8",
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": self._sockets.name,
        }
        self._behind: list[subprocess.Popen[str]] = []

    def type(self, command: Command) -> str:
        """Do what `command` says, and return what is printed."""
        if command.line.endswith(" &"):
            return self._begin(command)
        if command.line.startswith("kill "):
            return self._end(command.line.split()[1])
        with self._started(command.line) as process:
            return process.communicate(timeout=PATIENCE)[0]

    def _started(self, line: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-c", line],
            cwd=self._place,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _begin(self, command: Command) -> str:
        process = self._started(command.line.removesuffix(" &"))
        self._behind.append(process)
        assert process.stdout is not None
        lines = command.output.count("\n")
        return "".join(process.stdout.readline() for _ in range(lines))

    def _end(self, how: str) -> str:
        process = self._behind.pop()
        os.killpg(process.pid, SIGNALS[how])
        with process:
            return process.communicate(timeout=PATIENCE)[0]

    def close(self) -> None:
        """End what still goes on."""
        while self._behind:
            self._end("-KILL")
        self._sockets.cleanup()


@contextmanager
def console(place: Path) -> Iterator[Console]:
    """Have a terminal in `place` for as long as the block."""
    one = Console(place)
    try:
        yield one
    finally:
        one.close()


can_be_played = shutil.which("bash") is not None and sys.platform != "win32"
