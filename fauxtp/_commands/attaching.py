"""Attaching: a program that has not prepared for it lets itself be looked into all the same.

CPython 3.14 and later run a script in another program of the same version, if the system lets who
asks for it look into that program's memory. The script is one of fauxtp's, and starts the agent.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Final

from fauxtp._commands.client import Unreachable

__all__ = ["attach"]

PATIENCE: Final = 10.0  # seconds until the script has been run
NUDGE: Final = 0.3  # seconds, after which a program that waits is woken
LONGEST: Final = 4096  # bytes of an answer
BREATH: Final = 0.01  # seconds between two looks

PREPARED: Final = "let it call fauxtp.observe.serve(), or run it with FAUXTP_OBSERVE=look"

SCRIPT: Final = """
def look_in():
    import json, os, sys

    try:
        fauxtp = sys.modules.get("fauxtp")
        if fauxtp is None:
            answer = {"error": "it does not use fauxtp"}
        else:
            version = getattr(fauxtp, "__version__", "of an unknown version")
            try:
                from fauxtp.observe import serve
            except ImportError:
                answer = {"error": "its fauxtp cannot be looked into: it is " + version}
            else:
                serve()
                answer = {}
    except BaseException as error:
        answer = {"error": type(error).__name__ + ": " + str(error)}
    try:
        with open(PATH + ".new", "x") as file:
            json.dump(answer, file)
        os.rename(PATH + ".new", PATH)
    except FileNotFoundError:
        pass  # who has asked is gone

look_in()
"""


def attach(pid: int, *, nudge: bool = False) -> None:
    """Let the program with that PID be looked into.

    Its main thread does so as soon as it runs Python code. One that waits for an event does not,
    until that comes; with `nudge` it is stopped for a moment, by which it is woken.

    Raises `Unreachable`, with why that cannot be.
    """
    execute: Callable[[int, str], None] | None = getattr(sys, "remote_exec", None)
    user = _user_of(pid)
    if execute is None:
        here = ".".join(map(str, sys.version_info[:2]))
        raise Unreachable(
            f"program {pid} cannot be looked into as it is: that needs Python 3.14 or later, here"
            f" and there, and this is {here}; {PREPARED}"
        )
    if not sys.is_remote_debug_enabled():  # type: ignore[attr-defined]
        raise _refused(pid, "this command has PYTHON_DISABLE_REMOTE_DEBUG")
    told = _told(pid, user, execute, nudge)
    if told is None and _is_stopped(pid):
        raise _refused(pid, "it is stopped, and runs nothing until SIGCONT lets it go on")
    if told is None:
        raise _refused(
            pid,
            f"its main thread has run no Python code for {PATIENCE:g} s, as one does that waits;"
            " --nudge stops it for a moment, which wakes it",
        )
    if "error" in told:
        raise _refused(pid, str(told["error"]))


def _told(
    pid: int, user: int | None, execute: Callable[[int, str], None], nudge: bool
) -> dict[str, Any] | None:
    """Have the script run; return its answer, None if there is none in time.

    A program that has not run it yet would later run whatever lies there then, whoever has put it
    there: before the script is removed, it gets another path to run, at which there is nothing.
    """
    told: dict[str, Any] | None = None
    folder = Path(mkdtemp(prefix="fauxtp-attach-"))
    script = folder / "script.py"
    try:
        answer = _prepared(pid, folder, script, user)
        try:
            execute(pid, str(script))
        except (OSError, RuntimeError) as error:
            raise _refused(pid, _reason(error)) from None
        told = _answer(pid, answer, nudge)
    finally:
        if told is None:
            with suppress(OSError, RuntimeError):
                execute(pid, os.devnull)
        rmtree(folder, ignore_errors=True)  # not if that was interrupted: the path stays taken
    return told


def _prepared(pid: int, folder: Path, script: Path, user: int | None) -> Path:
    """Write the script for a program of that user; return where it is to put its answer.

    Another user can read the script, and write nowhere but beside the answer: nothing is written
    there by this one, who may be root, and what is read may be anything.
    """
    answers = folder / "answers"
    try:
        answers.mkdir(0o700)
        script.write_text(f"PATH = {str(answers / 'answer')!r}\n{SCRIPT}", "utf-8")
        script.chmod(0o644)
        if user is not None and user != os.geteuid():
            os.chown(answers, user, -1)
            folder.chmod(0o711)
    except OSError as error:
        raise _refused(pid, f"its user cannot be given a script: {error}") from None
    return answers / "answer"


def _refused(pid: int, why: str) -> Unreachable:
    return Unreachable(f"program {pid} cannot be attached to: {why}")


def _user_of(pid: int) -> int | None:
    """Return the number of the user of a program, None where that is not known.

    Raises `Unreachable` if there is none, or it is not this user's to look into.
    """
    if pid <= 0:  # which means several to the system
        raise Unreachable(f"there is no program {pid}")
    if pid == os.getpid():
        raise _refused(pid, "that is this command itself")
    if not hasattr(socket, "AF_UNIX"):  # on Windows, where os.kill() would end the program, too
        raise _refused(pid, "there are no Unix sockets here, by which programs are looked into")
    try:
        os.kill(pid, 0)
    except PermissionError:
        raise _refused(pid, "it is another user's") from None
    except (ProcessLookupError, OverflowError):
        raise Unreachable(f"there is no program {pid}") from None
    user: int | None = None
    with suppress(OSError):  # where there is no such folder
        user = os.stat(f"/proc/{pid}").st_uid
        if os.geteuid() not in {0, user}:  # who may have started it, as a setuid program
            raise _refused(pid, "it is another user's")
        if os.stat(f"/proc/{pid}/ns/mnt").st_ino != os.stat("/proc/self/ns/mnt").st_ino:
            raise _refused(pid, "it is in another container: run this command there")
    return user


def _reason(error: Exception) -> str:
    """Return why Python could not do it, in words of ours where it is known."""
    if isinstance(error, PermissionError):
        return (
            "the system does not let this user look into its memory: root may, and who has"
            " CAP_SYS_PTRACE (see /proc/sys/kernel/yama/ptrace_scope)"
        )
    text = str(getattr(error, "strerror", None) or error)
    if "PyRuntime" in text or "debug offsets" in text:
        return f"it is no Python, or one before 3.14; {PREPARED}"
    if "not enabled" in text:
        return f"it has PYTHON_DISABLE_REMOTE_DEBUG, or was built so; {PREPARED}"
    return text


def _answer(pid: int, path: Path, nudge: bool) -> dict[str, Any] | None:
    """Return what the script has answered; None if nothing, in time."""
    began = time.monotonic()
    while (waited := time.monotonic() - began) < PATIENCE:
        with suppress(FileNotFoundError):
            return _read(pid, path)
        if nudge and waited > NUDGE:
            nudge = False
            _nudge(pid)
        time.sleep(BREATH)
    return None


def _nudge(pid: int) -> None:
    """Stop a program for a moment; not one that somebody has stopped, who wants it so."""
    if _is_stopped(pid):
        return
    with suppress(OSError):  # it has ended
        try:
            os.kill(pid, signal.SIGSTOP)
        finally:
            os.kill(pid, signal.SIGCONT)


def _is_stopped(pid: int) -> bool:
    """Return whether a program is stopped; False where that is not known."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return state.rpartition(b") ")[2][:1] in {b"T", b"t"}  # its name may have brackets, too


def _read(pid: int, path: Path) -> dict[str, Any]:
    """Return an answer, which another user may have written: whatever that is, it is no harm."""
    answer: object = None
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            answer = json.loads(file.read(LONGEST) or b"")  # None of a pipe
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError):
        pass
    if not isinstance(answer, dict):
        raise _refused(pid, "it answers what is not understood here")
    return answer
