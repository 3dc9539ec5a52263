"""Attaching to programs that have not prepared for it; and why that cannot be, where it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from agents import PROGRAM, program
from conftest import Run

from fauxtp import __main__ as commands
from fauxtp.observe import attaching
from fauxtp.observe.attaching import attach
from fauxtp.observe.client import Unreachable

CAN = hasattr(sys, "remote_exec")
really = pytest.mark.skipif(not CAN, reason="this interpreter can attach to no other")
Execute = Callable[[int, str], None]


@contextmanager
def other(*command: str, **env: str) -> Iterator[int]:
    """Run something that is no program of fauxtp's."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **env}
    ) as running:
        yield running.pid
        running.kill()


@pytest.fixture
def sleeping() -> Iterator[int]:
    with other("sleep", "1000") as pid:
        yield pid


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def stands_in(monkeypatch: pytest.MonkeyPatch, execute: Execute | None) -> None:
    """Let `execute` stand for what the interpreter can do; None is one that cannot."""
    monkeypatch.setattr(sys, "remote_exec", execute, raising=False)
    monkeypatch.setattr(sys, "is_remote_debug_enabled", lambda: True, raising=False)


def refused(pid: int, **options: Any) -> str:
    with pytest.raises(Unreachable) as caught:
        attach(pid, **options)
    return str(caught.value)


def test_an_older_interpreter_says_what_to_do(
    sleeping: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands_in(monkeypatch, None)
    told = refused(sleeping)
    assert "needs Python 3.14 or later" in told
    assert "fauxtp.observe.serve()" in told
    assert "FAUXTP_OBSERVE=look" in told


def test_a_command_without_remote_debugging_says_so(
    sleeping: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands_in(monkeypatch, lambda pid, script: None)
    monkeypatch.setattr(sys, "is_remote_debug_enabled", lambda: False, raising=False)
    assert "this command has PYTHON_DISABLE_REMOTE_DEBUG" in refused(sleeping)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PermissionError(1, "no"), "the system does not let this user look into its memory"),
        (RuntimeError("PyRuntime address lookup failed during debug offsets"), "it is no Python"),
        (RuntimeError("Remote debugging is not enabled in"), "it has PYTHON_DISABLE_REMOTE_DEBUG"),
        (RuntimeError("Can't send commands from a Python 3.14 process to"), "Can't send commands"),
        (OSError(3, "No such process"), "No such process"),
    ],
)
def test_what_the_system_refuses_is_told(
    error: Exception, told: str, sleeping: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(pid: int, script: str) -> None:
        raise error

    stands_in(monkeypatch, fails)
    assert f"program {sleeping} cannot be attached to: {told}" in refused(sleeping)
    assert not [*folder.iterdir()]


@pytest.mark.parametrize("pid", [0, -1, 2**31 - 1, 2**80])
def test_a_program_that_is_not_there_is_told(pid: int) -> None:
    assert refused(pid) == f"there is no program {pid}"


def test_neither_the_command_itself_nor_others_programs_are_attached_to(
    sleeping: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "that is this command itself" in refused(os.getpid())

    def kill(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", kill)
    assert "it is another user's" in refused(sleeping)


def test_a_program_in_another_container_is_told(
    sleeping: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = os.stat

    def elsewhere(path: Any, **options: Any) -> os.stat_result:
        return stat("/" if str(path).endswith(f"{sleeping}/ns/mnt") else path, **options)

    monkeypatch.setattr(os, "stat", elsewhere)
    assert "it is in another container" in refused(sleeping)


def answering(write: Callable[[Path], object]) -> Execute:
    return lambda pid, script: write(Path(script).with_name("answer"))  # type: ignore[return-value]


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text("{"),
        lambda path: path.write_text("[]"),
        lambda path: path.write_text(json.dumps({"a": "x" * attaching.LONGEST})),
        lambda path: path.write_bytes(b"\xff"),
    ],
    ids=["cut off", "no answer", "too long", "bytes"],
)
def test_an_odd_answer_is_told(
    write: Callable[[Path], object],
    sleeping: int,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stands_in(monkeypatch, answering(write))
    assert "it answers what is not understood here" in refused(sleeping)
    assert not [*folder.iterdir()]


def test_an_answer_that_leads_elsewhere_is_not_read(
    sleeping: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands_in(monkeypatch, answering(lambda path: path.symlink_to("/etc/passwd")))
    assert "it answers what is not understood here" in refused(sleeping)
    assert not [*folder.iterdir()]


def test_a_program_that_runs_no_code_is_told_and_finds_a_script_that_does_nothing(
    sleeping: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts: list[str] = []
    stands_in(monkeypatch, lambda pid, script: scripts.append(script))
    monkeypatch.setattr(attaching, "PATIENCE", 0.05)
    assert "--nudge" in refused(sleeping)
    assert Path(scripts[0]).read_text() == "# too late\n"


def test_a_nudge_stops_a_program_and_lets_it_go_on(
    sleeping: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, int]] = []
    kill, scripts = os.kill, list[str]()

    def noting(pid: int, number: int) -> None:
        sent.append((pid, number))
        kill(pid, number)
        if len(sent) == 3:
            Path(scripts[0]).with_name("answer").write_text("{}")

    monkeypatch.setattr(os, "kill", noting)
    monkeypatch.setattr(attaching, "NUDGE", 0.0)
    stands_in(monkeypatch, lambda pid, script: scripts.append(script))
    attach(sleeping, nudge=True)
    signals = [number for pid, number in sent if pid == sleeping]
    assert [signal.real for signal in signals] == [0, 19, 18]
    assert not [*folder.iterdir()]


def executes(script: str) -> None:
    exec(compile(Path(script).read_text(), script, "exec"), {})


@pytest.mark.parametrize(
    ("modules", "told"),
    [
        ({"fauxtp": None}, "it does not use fauxtp"),
        ({"fauxtp.observe": None}, "its fauxtp cannot be looked into: it is "),
    ],
)
def test_the_script_says_why_there_is_nothing_to_look_into(
    modules: dict[str, Any],
    told: str,
    sleeping: int,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def execute(pid: int, script: str) -> None:
        with monkeypatch.context() as patches:
            for name, module in modules.items():
                patches.setitem(sys.modules, name, module)
            executes(script)

    stands_in(monkeypatch, execute)
    assert told in refused(sleeping)
    assert not [*folder.iterdir()]


def test_the_script_starts_the_agent_once(run: Run) -> None:
    program = """
import os, sys
from fauxtp.observe import agent
from fauxtp.observe.attaching import attach
from fauxtp.observe.client import Unreachable
sys.remote_exec = lambda pid, script: exec(open(script).read(), {})
sys.is_remote_debug_enabled = lambda: True
attach(os.getppid())
assert agent._agent.path.exists()
try:
    attach(os.getppid())
except Unreachable as error:
    print(error)
"""
    done = run(program)
    assert done.stderr == ""
    assert "others can look in already" in done.stdout


# With an interpreter that can


def listed(capsys: pytest.CaptureFixture[str], pid: int, *words: str) -> str:
    commands.main(("ps", "--pid", str(pid), *words))
    return capsys.readouterr().out


@really
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_idle_program_is_nudged_and_can_be_looked_into(
    backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with program(backend, switch="") as pid:
        for words in (("--nudge",), ()):  # the second time it can be looked into already
            told = listed(capsys, pid, *words)
            assert [line.split()[0] for line in told.splitlines()] == ["PID", str(pid)]
        commands.main(("tree", "--pid", str(pid)))
        assert "Application 'app'" in capsys.readouterr().out


@really
def test_a_busy_program_needs_no_nudge(capsys: pytest.CaptureFixture[str]) -> None:
    turns = """
import select
async def turns():
    while not select.select([sys.stdin], [], [], 0)[0]:
        await anyio.sleep(0)

async def main"""
    busy = PROGRAM.replace("async def main", turns.lstrip())
    busy = busy.replace("anyio.to_thread.run_sync(sys.stdin.readline)", "turns()")
    with program(switch="", source=busy) as pid:
        assert str(pid) in listed(capsys, pid)


@really
@pytest.mark.parametrize(
    ("command", "env", "told"),
    [
        (("sleep", "1000"), {}, "it is no Python"),
        ((sys.executable, "-c", "LOOP"), {}, "it does not use fauxtp"),
        (
            (sys.executable, "-c", "LOOP"),
            {"PYTHON_DISABLE_REMOTE_DEBUG": "1"},
            "PYTHON_DISABLE_REMOTE_DEBUG",
        ),
    ],
)
def test_what_is_no_program_of_fauxtps_is_told(
    command: tuple[str, ...],
    env: dict[str, str],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    loop = "import time\nprint('ready', flush=True)\nwhile True: time.sleep(0.001)"
    words = [loop if word == "LOOP" else word for word in command]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, env={**os.environ, **env}, text=True
    ) as running:
        assert running.stdout is not None
        if words[-1] == loop:
            assert running.stdout.readline() == "ready\n"
        with pytest.raises(SystemExit):
            listed(capsys, running.pid)
        assert told in capsys.readouterr().err
        running.kill()


def test_the_command_says_why_it_cannot_be(
    sleeping: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stands_in(monkeypatch, None)
    with pytest.raises(SystemExit) as ended:
        listed(capsys, sleeping)
    assert ended.value.code == 1
    assert f"program {sleeping} cannot be looked into as it is" in capsys.readouterr().err
