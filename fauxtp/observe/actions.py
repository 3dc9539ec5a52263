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
from fauxtp._core.process import Process, find_process
from fauxtp._messaging.call_blocking import call_blocking
from fauxtp._messaging.exits import exit
from fauxtp._supervision.child import Question
from fauxtp._supervision.child_spec import ChildInfo, RestartType
from fauxtp._supervision.dynamic_supervisor import DynamicSupervisor
from fauxtp.errors import AlreadyStarted
from fauxtp.observe.asker import Asker

__all__ = ["ACTIONS", "number_of", "numbered"]

PATIENCE: Final = 5.0  # seconds that a server, or a supervisor, has to do it

_BY_HAND: Final = ExitReason("exit by who looked in", abnormal=True)

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
    exit(process.pid, _BY_HAND)
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
    done = _posted(call, process)
    if not done.wait(PATIENCE) and call.give_up():
        raise ValueError(f"it has not come to it within {PATIENCE:g} s, and will not {what}")
    try:
        call.result()  # of errors the type is told: a text may have secrets in it
    except Exception as error:
        raise ValueError(f"it has ended before: {type(error).__name__}") from None


def _posted(call: Call, process: Process) -> threading.Event:
    """Put a call into the mailbox of a process; return what is set when it has its outcome."""
    done = threading.Event()
    call.wake = done.set
    if not process.mailbox.deliver(call):
        raise ValueError(f"no living process {number_of(process.pid)}")
    return done


def _restart(process: Process) -> str:
    chief = None if process.supervisor is None else find_process(process.supervisor)
    if chief is None:
        raise ValueError(f"{who(process)} has no supervisor, which would restart it")
    id_ = _id_of(process, chief)
    if issubclass(chief.kind, DynamicSupervisor):
        exit(process.pid, _BY_HAND)  # it starts nobody again who is terminated
        return "asked to end, after which its supervisor starts another"
    # Both are asked for at once: who needs long to end is started again even so.
    _posted(Call(Question("terminate", process.pid), chief.pid, None), chief)
    call = Call(Question("restart", id_), chief.pid, None)
    if not _posted(call, chief).wait(PATIENCE):
        return "has yet to end, or to start: its supervisor starts it again when it has ended"
    try:
        return f"restarted as {call.result()!r}"
    except AlreadyStarted as error:  # it has crashed just before
        return f"has ended before, and was restarted as {error.pid!r}"
    except Exception as error:
        raise ValueError(
            f"it was ended, but could not be restarted: {type(error).__name__}"
        ) from None


def _id_of(process: Process, chief: Process) -> str:
    """Return the id of a child that its supervisor would start again, or raise `ValueError`."""
    try:
        children: list[ChildInfo] = call_blocking(chief.pid, Question("which"), PATIENCE / 2)
    except Exception as error:
        raise ValueError(f"its supervisor could not be asked: {type(error).__name__}") from None
    for child in children:
        if child.pid is process.pid and child.restart is not RestartType.TEMPORARY:
            return child.id
    raise ValueError(f"{who(process)} is no child that its supervisor starts again")


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
