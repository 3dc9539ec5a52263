"""A program that PyInstaller has frozen is complete, without a hook: `pip install pyinstaller`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PATIENCE

import fauxtp

pytest.importorskip("PyInstaller", reason="PyInstaller is not installed: `make lint` installs it")
if sys.platform == "linux" and shutil.which("objdump") is None:
    pytest.skip("PyInstaller needs objdump, of binutils", allow_module_level=True)

PROGRAM = """
import sys
import anyio
import fauxtp
from fauxtp import ChildSpec, GenServer, Supervisor, call, exit, registry, tree, wait_exit

class Echo(GenServer):
    async def handle_call(self, request, from_, state):
        return request, state

class App(Supervisor):
    def child_specs(self):
        return [ChildSpec("echo", Echo, register_as="echo")]

async def main():
    async with anyio.create_task_group() as group:
        app = await App.start(task_group=group)
        print(await call("echo", "hello"), len(tree().splitlines()))
        exit(app)
        await wait_exit(app)

anyio.run(main)
print(registry.implementation, fauxtp.__version__, hasattr(sys, "frozen"))
compiled = {name for name in sys.modules if name.startswith("fauxtp._")}
assert ("fauxtp._base._native" in compiled) is (registry.implementation == "cython"), compiled
"""


# What this program has no use for, and takes most of the time: anyio has a plugin for pytest, as
# we have; OpenTelemetry brings along all that has plugins for it, and so a web framework.
LEFT_OUT = (
    *("tkinter", "pytest", "_pytest", "hypothesis", "pygments", "setuptools"),
    *("opentelemetry", "prometheus_client"),
)


def run(place: Path, *command: str | Path) -> str:
    """Run a program there; return what it has printed."""
    done = subprocess.run(
        command,
        cwd=place,
        env={**os.environ, "PYTHONWARNINGS": ""},  # PyInstaller's own are not ours
        capture_output=True,
        text=True,
        timeout=5 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_frozen_program_runs_on_what_it_was_frozen_with(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    where = str(Path(fauxtp.__file__).parents[1])  # an editable installation is not on the path
    options = ["--noconfirm", "--log-level=WARN", "--paths", where]
    options += [f"--exclude-module={name}" for name in LEFT_OUT]
    run(tmp_path, sys.executable, "-m", "PyInstaller", *options, "program.py")
    printed = run(tmp_path, tmp_path / "dist" / "program" / "program").split("\n")
    assert printed[0] == "hello 2"
    assert printed[1] == f"{fauxtp.registry.implementation} {fauxtp.__version__} True"
