"""Attaching to programs that have not prepared for it; and why that cannot be, where it cannot."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from agents import PROGRAM, program, until
from conftest import Run

from fauxtp import __main__ as commands
from fauxtp._commands import attaching
from fauxtp._commands.attaching import attach
from fauxtp._commands.client import Unreachable

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets")

CAN = hasattr(sys, "remote_exec")
really = pytest.mark.skipif(not CAN, reason="this interpreter can attach to no other")
proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="it has no /proc")
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


def test_nothing_is_sent_where_there_are_no_unix_sockets(
    sleeping: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append(number))
    monkeypatch.delattr(socket, "AF_UNIX")
    stands_in(monkeypatch, lambda pid, script: sent.append(-1))
    assert "there are no Unix sockets here" in refused(sleeping)
    assert sent == []


@proc
def test_a_program_with_the_rights_of_another_user_is_told(
    sleeping: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands_in(monkeypatch, lambda pid, script: None)
    user = os.stat(f"/proc/{sleeping}").st_uid
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert "it is another user's" in refused(sleeping)
    assert not [*folder.iterdir()]


@proc
def test_a_program_in_another_container_is_told(
    sleeping: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = os.stat

    def elsewhere(path: Any, **options: Any) -> os.stat_result:
        return stat("/" if str(path).endswith(f"{sleeping}/ns/mnt") else path, **options)

    monkeypatch.setattr(os, "stat", elsewhere)
    assert "it is in another container" in refused(sleeping)


def answer_to(script: str) -> Path:
    """Return where a script is to put its answer."""
    found = re.match(r"PATH = '(.*)'\n", Path(script).read_text())
    assert found is not None
    return Path(found[1])


def answering(write: Callable[[Path], object]) -> Execute:
    def execute(pid: int, script: str) -> None:
        if script != os.devnull:
            write(answer_to(script))

    return execute


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


def test_an_answer_that_is_a_pipe_is_not_waited_for(
    sleeping: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []

    def pipe(path: Path) -> None:
        os.mkfifo(path)
        opened.append(os.open(path, os.O_RDWR))

    stands_in(monkeypatch, answering(pipe))
    try:
        assert "it answers what is not understood here" in refused(sleeping)
    finally:
        os.close(opened[0])
    assert not [*folder.iterdir()]


class Pending:
    """What the interpreter keeps of a program that waits: the path of what it runs next."""

    def __init__(self) -> None:
        self.paths: list[tuple[str, bool]] = []  # and whether something was there

    def execute(self, pid: int, script: str) -> None:
        self.paths.append((script, os.path.exists(script)))


def test_a_program_that_runs_no_code_is_told_and_finds_nothing_to_run_later(
    sleeping: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending = Pending()
    stands_in(monkeypatch, pending.execute)
    monkeypatch.setattr(attaching, "PATIENCE", 0.05)
    assert "--nudge" in refused(sleeping)
    assert [there for _, there in pending.paths] == [True, True]
    assert pending.paths[-1][0] == os.devnull
    assert not [*folder.iterdir()]


def test_who_interrupts_the_command_leaves_nothing_to_run_later(
    sleeping: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[int] = []

    def execute(pid: int, script: str) -> None:
        folders.append(len([*folder.iterdir()]))
        pending.execute(pid, script)

    def interrupts(seconds: float) -> None:
        raise KeyboardInterrupt

    pending = Pending()
    stands_in(monkeypatch, execute)
    monkeypatch.setattr(time, "sleep", interrupts)
    with pytest.raises(KeyboardInterrupt):
        attach(sleeping)
    assert pending.paths[-1][0] == os.devnull
    assert folders == [1, 1]  # nobody else can make that path before
    assert not [*folder.iterdir()]


@pytest.mark.parametrize("error", [ProcessLookupError(3, "gone"), RuntimeError("gone")])
def test_a_program_that_ends_meanwhile_has_nothing_to_be_taken_back(
    error: Exception, sleeping: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def execute(pid: int, script: str) -> None:
        if script == os.devnull:
            raise error

    stands_in(monkeypatch, execute)
    monkeypatch.setattr(attaching, "PATIENCE", 0.05)
    assert "has run no Python code" in refused(sleeping)
    assert not [*folder.iterdir()]


@proc
def test_root_writes_nothing_where_another_user_could_have_put_a_link(
    sleeping: int, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any
) -> None:
    victim = tmp_path_factory.mktemp("roots") / "victim"
    victim.write_text("precious")
    user = os.stat(f"/proc/{sleeping}").st_uid
    given: list[Path] = []
    modes: list[int] = []

    def gives(path: Path, new: int, group: int, **options: Any) -> None:
        assert new == user
        given.append(path)

    def plants(pid: int, script: str) -> None:
        if script == os.devnull:
            return
        modes.extend(stat.S_IMODE(path.stat().st_mode) for path in (*folder.iterdir(), *given))
        assert Path(script).stat().st_mode & stat.S_IROTH
        for path in given:  # which the other user could do there
            assert path.parent != folder
            for name in ("late.py", "script.py", "answer", "answer.new"):
                (path / name).symlink_to(victim)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    if user == 0:  # then it is the program that is made another's
        user = 65534
        status = os.stat

        def anothers(path: Any, **options: Any) -> os.stat_result:
            told = status(path, **options)
            if str(path) != f"/proc/{sleeping}":
                return told
            return os.stat_result([*told[:4], user, *told[5:]])

        monkeypatch.setattr(os, "stat", anothers)
    monkeypatch.setattr(os, "chown", gives)
    stands_in(monkeypatch, plants)
    assert "it answers what is not understood here" in refused(sleeping)
    assert len(given) == 1
    assert modes == [0o711, 0o700]
    assert victim.read_text() == "precious"
    assert not [*folder.iterdir()]


@proc
def test_who_may_give_nothing_to_another_user_is_told(
    sleeping: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gives(path: Path, user: int, group: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    real, status = os.stat(f"/proc/{sleeping}"), os.stat

    def anothers(path: Any, **options: Any) -> os.stat_result:
        if str(path) == f"/proc/{sleeping}":
            return os.stat_result([*real[:4], 65533, *real[5:]])
        return status(path, **options)

    monkeypatch.setattr(os, "stat", anothers)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", gives)
    stands_in(monkeypatch, lambda pid, script: None)
    assert "its user cannot be given a script: [Errno 1]" in refused(sleeping)
    assert not [*folder.iterdir()]


def test_the_script_overwrites_nothing(
    sleeping: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = folder / "victim"
    victim.write_text("precious")

    def execute(pid: int, script: str) -> None:
        if script != os.devnull:
            answer_to(script).with_name("answer.new").symlink_to(victim)
            with pytest.raises(FileExistsError):
                executes(script)

    stands_in(monkeypatch, execute)
    monkeypatch.setattr(attaching, "PATIENCE", 0.05)
    monkeypatch.setitem(sys.modules, "fauxtp", None)
    refused(sleeping)
    assert victim.read_text() == "precious"


def test_a_script_that_nobody_waits_for_any_longer_complains_not(
    sleeping: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts: list[str] = []

    def execute(pid: int, script: str) -> None:
        if script != os.devnull:
            scripts.append(Path(script).read_text())

    stands_in(monkeypatch, execute)
    monkeypatch.setattr(attaching, "PATIENCE", 0.05)
    refused(sleeping)
    monkeypatch.setitem(sys.modules, "fauxtp", None)
    exec(scripts[0], {})
    assert not [*folder.iterdir()]


def sends(monkeypatch: pytest.MonkeyPatch, after: Callable[[int], object]) -> list[int]:
    """Return the signals that will have been sent; something is done after each."""
    sent: list[int] = []
    kill = os.kill

    def noting(pid: int, number: int) -> None:
        kill(pid, number)
        if number != 0:
            sent.append(int(number))
        after(number)

    monkeypatch.setattr(os, "kill", noting)
    monkeypatch.setattr(attaching, "NUDGE", 0.0)
    return sent


def test_a_nudge_stops_a_program_and_lets_it_go_on(
    sleeping: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts: list[str] = []

    def answers(number: int) -> None:
        if number == signal.SIGCONT:
            answer_to(scripts[0]).write_text("{}")

    sent = sends(monkeypatch, answers)
    stands_in(monkeypatch, lambda pid, script: scripts.append(script))
    attach(sleeping, nudge=True)
    assert sent == [signal.SIGSTOP, signal.SIGCONT]
    assert not [*folder.iterdir()]


def test_who_interrupts_a_nudge_leaves_the_program_running(
    sleeping: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupts(number: int) -> None:
        if number == signal.SIGSTOP:
            raise KeyboardInterrupt

    sent = sends(monkeypatch, interrupts)
    stands_in(monkeypatch, lambda pid, script: None)
    with pytest.raises(KeyboardInterrupt):
        attach(sleeping, nudge=True)
    assert sent == [signal.SIGSTOP, signal.SIGCONT]
    assert not [*folder.iterdir()]


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


@proc
def test_a_program_that_is_stopped_stays_so(
    sleeping: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.kill(sleeping, signal.SIGSTOP)
    until(lambda: state_of(sleeping) == "T")
    sent = sends(monkeypatch, lambda number: None)
    stands_in(monkeypatch, lambda pid, script: None)
    monkeypatch.setattr(attaching, "PATIENCE", 0.05)
    assert "it is stopped, and runs nothing until SIGCONT" in refused(sleeping, nudge=True)
    assert sent == []
    assert state_of(sleeping) == "T"


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
from fauxtp._commands.attaching import attach
from fauxtp._commands.client import Unreachable
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


@proc
@really
def test_a_program_runs_nothing_that_is_put_there_when_the_command_has_given_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts: list[str] = []
    execute = sys.remote_exec  # type: ignore[attr-defined]

    def noting(pid: int, script: str) -> None:
        scripts.append(script)
        execute(pid, script)

    monkeypatch.setattr(sys, "remote_exec", noting)
    monkeypatch.setattr(attaching, "PATIENCE", 0.05)
    waits = "import sys\nprint('ready', flush=True)\nsys.stdin.readline()\n"
    command = (sys.executable, "-c", waits + "for _ in range(1_000): pass")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        until(lambda: state_of(running.pid) == "S")
        assert "--nudge" in refused(running.pid)
        planted = Path(scripts[0])
        planted.parent.mkdir()  # which another user can do
        planted.write_text(f"open({str(folder / 'run')!r}, 'x')")
        running.communicate(b"\n")
    assert running.returncode == 0
    assert [path.name for path in folder.iterdir()] == [planted.parent.name]


@really
@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root may")
def test_root_looks_into_the_program_of_another_user() -> None:
    loop = "import time\nprint('ready', flush=True)\nwhile True: time.sleep(0.001)"
    command = [os.path.realpath(sys.executable), "-I", "-c", loop]
    try:
        running = subprocess.Popen(command, stdout=subprocess.PIPE, user=65534, cwd="/")
    except PermissionError:
        pytest.skip("another user cannot run this interpreter")
    with running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        try:
            assert "it does not use fauxtp" in refused(running.pid)
        finally:
            running.kill()


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
