"""What who looks in may do, where the program allows it. Each of it is logged, with the user."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.logs import logger
from fauxtp._core.calls import Call
from fauxtp._core.control import Control
from fauxtp._core.crash_log import facts, who
from fauxtp._core.ended_loops import living
from fauxtp._core.process import Process
from fauxtp._messaging.call_blocking import call_blocking
from fauxtp._messaging.exits import exit
from fauxtp._supervision.child import Question
from fauxtp._supervision.child_spec import ChildInfo, RestartType
from fauxtp.errors import FauxtpError
from fauxtp.observe.asker import Asker

__all__ = ["ACTIONS", "number_of", "numbered"]

PATIENCE: Final = 5.0  # seconds that a server, or a supervisor, has to do it

Answer = dict[str, Any]


def number_of(pid: object) -> int:
    """Return the number that a PID is shown by."""
    return int(repr(pid)[5:-1])


def numbered(which: int) -> Process:
    """Return the living process whose PID has that number, or raise `ValueError`."""
    if type(which) is not int:
        raise TypeError("expected which to be the number of a PID")
    for process in living():
        if number_of(process.pid) == which:
            return process
    raise ValueError(f"no living process {which!r}")


def _exit(process: Process) -> str:
    exit(process.pid, ExitReason("exit by who looked in", abnormal=True))
    return "asked to end"


def _kill(process: Process) -> str:
    exit(process.pid, "kill")
    return "killed"


def _suspend(process: Process) -> str:
    _control(process, "suspend")
    return "suspended"


def _resume(process: Process) -> str:
    _control(process, "resume")
    return "resumed"


def _control(process: Process, what: str) -> None:
    """Let a server do what is asked of its runtime, when it is at it; or raise `ValueError`."""
    if not process.kind._fauxtp_serves:
        raise ValueError(f"expected a server, got {process.kind.__name__}, which has its own run")
    call = Call(Control(what), process.pid, None)
    call.pass_by()
    done = threading.Event()
    call.wake = done.set
    if not process.mailbox.deliver(call):
        raise ValueError(f"no living process {number_of(process.pid)}")
    if not done.wait(PATIENCE) and call.give_up():
        raise ValueError(f"it has not come to it within {PATIENCE:g} s, and will not {what}")
    call.result()  # raises if it has ended before


def _restart(process: Process) -> str:
    chief = process.supervisor
    if chief is None:
        raise ValueError(f"{who(process)} has no supervisor, which would restart it")
    try:
        children: list[ChildInfo] = call_blocking(chief, Question("which"), PATIENCE)
        found = [child for child in children if child.pid is process.pid]
        if not found or found[0].restart is RestartType.TEMPORARY:
            raise ValueError(f"{who(process)} is no child that its supervisor starts again")
        id_ = found[0].id
        call_blocking(chief, Question("terminate", process.pid), PATIENCE)
        pid = call_blocking(chief, Question("restart", id_), PATIENCE)
    except FauxtpError as error:
        raise ValueError(f"it could not be restarted: {error}") from None
    return f"restarted as {pid!r}"


_DONE: Final[dict[str, Callable[[Process], str]]] = {
    "exit": _exit,
    "kill": _kill,
    "restart": _restart,
    "suspend": _suspend,
    "resume": _resume,
}


def _acting(name: str, act: Callable[[Process], str]) -> Callable[..., Iterator[Answer]]:
    def answer(asker: Asker, which: int) -> Iterator[Answer]:
        process = numbered(which)
        called = who(process)
        logger("fauxtp.observe").warning(
            "%s: asked for by %s, who looks in, for %s",
            name,
            asker,
            called,
            extra=facts(process, action=name, user=asker.user),
        )
        yield {"done": f"{called}: {act(process)}"}

    return answer


ACTIONS: Final = {name: _acting(name, act) for name, act in _DONE.items()}
"""What is answered to who asks for one of them: what was done."""
