"""Attaching: a program that has not prepared for it lets itself be looked into all the same.

CPython 3.14 and later run a script in another program of the same version, if the system lets who
asks for it look into that program's memory. The script is one of fauxtp's, and starts the agent.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Final

from fauxtp.observe.client import Unreachable

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
    with open(PATH + ".new", "w") as file:
        json.dump(answer, file)
    os.rename(PATH + ".new", PATH)

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
    folder = Path(mkdtemp(prefix="fauxtp-attach-"))
    told: dict[str, Any] | None = {}
    try:
        told = _told(pid, folder, user, execute, nudge)
    finally:
        if told is not None:
            rmtree(folder, ignore_errors=True)
    if told is None:
        raise _refused(
            pid,
            f"its main thread has run no Python code for {PATIENCE:g} s, as one does that waits;"
            " --nudge stops it for a moment, which wakes it",
        )
    if "error" in told:
        raise _refused(pid, str(told["error"]))


def _told(
    pid: int, folder: Path, user: int | None, execute: Callable[[int, str], None], nudge: bool
) -> dict[str, Any] | None:
    """Have the script run that lies in a folder; return its answer, None if there is none in time.

    Then it stays there, and does nothing: the program would complain that it is not there.
    """
    script, answer = folder / "script.py", folder / "answer"
    script.write_text(f"PATH = {str(answer)!r}\n{SCRIPT}", "utf-8")
    script.chmod(0o644)
    if user is not None and user != os.geteuid():
        os.chown(folder, user, -1)  # this is root, and the answer is written by that user
    try:
        execute(pid, str(script))
    except (OSError, RuntimeError) as error:
        raise _refused(pid, _reason(error)) from None
    told = _answer(pid, answer, nudge)
    if told is None:
        (folder / "late.py").write_text("# too late\n", "utf-8")
        (folder / "late.py").rename(script)
    return told


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
    try:
        os.kill(pid, 0)
    except PermissionError:
        raise _refused(pid, "it is another user's") from None
    except (ProcessLookupError, OverflowError):
        raise Unreachable(f"there is no program {pid}") from None
    user: int | None = None
    with suppress(OSError):  # where there is no such folder
        user = os.stat(f"/proc/{pid}").st_uid
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
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                os.kill(pid, signal.SIGCONT)
        time.sleep(BREATH)
    return None


def _read(pid: int, path: Path) -> dict[str, Any]:
    """Return an answer, which another user may have written: whatever that is, it is no harm."""
    answer: object = None
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            answer = json.loads(file.read(LONGEST))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError):
        pass
    if not isinstance(answer, dict):
        raise _refused(pid, "it answers what is not understood here")
    return answer
