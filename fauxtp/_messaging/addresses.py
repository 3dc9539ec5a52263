"""Whom a message is for: a PID, or the name that means it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from fauxtp._base.arguments import kind_of
from fauxtp._base.carried import Carried
from fauxtp._base.events import GONE
from fauxtp._base.tracing import tracer
from fauxtp._core.carried_messages import with_values
from fauxtp._core.mailbox import find_elsewhere, find_queue
from fauxtp._core.process import Process, find_process
from fauxtp._core.queue import Queue
from fauxtp.errors import NoProcess
from fauxtp.registry import PID, whereis

if TYPE_CHECKING:
    from fauxtp._core.elsewhere import Elsewhere
    from fauxtp._core.succession import Address

__all__ = [
    "class_of",
    "elsewhere",
    "find_pid",
    "found_or_started",
    "mailbox_of",
    "starting",
    "target_of",
    "traced",
]


def find_pid(to: PID | str) -> PID | None:
    """Return the PID that `to` is or names, or None if nobody has that name."""
    if type(to) is PID:
        return to
    if type(to) is str:
        return whereis(to)
    if isinstance(to, str):
        look_up = getattr(to, "_fauxtp_whereis", whereis)  # as a name of elsewhere has it
        return look_up(to)
    raise TypeError(f"expected a PID or a name, got {kind_of(to)}")


def elsewhere(to: PID | str) -> Elsewhere | None:
    """Return what stands here for the process that `to` is or names, if that is not here."""
    pid = find_pid(to)
    return None if pid is None else find_elsewhere(pid)


def found_or_started(to: PID | str) -> PID | None:
    """Return the PID that `to` is or names; an address that starts what it means does so."""
    address = starting(to)
    if address is None:
        return find_pid(to)
    with suppress(NoProcess):
        return address.reach()[0]
    return None


def mailbox_of(to: PID | str) -> Queue | None:
    """Return the mailbox of a living process, or one that stands alone; None if there is none.

    An address that starts what it means does so.
    """
    pid = find_pid(to)
    process = None if pid is None else find_process(pid)
    if process is not None:
        return process.mailbox
    mailbox = None if pid is None else find_queue(pid)
    address = starting(to) if mailbox is None else None
    if address is None:
        return mailbox
    with suppress(NoProcess):
        return address.reach()[2]
    return None


def class_of(pid: PID) -> str:
    """Return the class of who has that PID, for what is counted by classes."""
    process = find_process(pid)
    if process is not None:
        return process.kind.__name__
    return GONE if find_queue(pid) is None else "Mailbox"


def traced(how: str, kind: str, pid: PID | None, message: Any) -> Any:
    """Return `message` with what it carries, which comes of a span of its sending if there is one.

    One that carries something already has been sent before: by a timer, that is.
    """
    traces = None if type(message) is Carried else tracer()
    trace = None if traces is None else traces.send(how, kind, pid, message)
    if trace is None:
        return with_values(message)
    try:
        trace.enter()
        return with_values(message)
    finally:
        trace.leave()
        trace.end(None)


def target_of(to: PID | str, on_the_spot: bool = False) -> tuple[PID, Process | None, Queue]:
    """Return the PID, the process and the mailbox of `to`; one that stands alone has no process.

    An address that starts what it means does so: `on_the_spot` if it can, for the code of a task.

    Raises `NoProcess` if there is nobody.
    """
    pid = find_pid(to)
    if pid is not None:
        process = find_process(pid)
        mailbox = find_queue(pid) if process is None else process.mailbox
        if mailbox is not None:
            return pid, process, mailbox
    address = starting(to)
    if address is None:
        raise NoProcess(to)
    return address.reach(on_the_spot)


def starting(to: PID | str) -> Address | None:
    """Return `to` if it is an address that starts what it means."""
    kind = type(to)
    if kind is PID or kind is str or not issubclass(kind, str):
        return None
    return cast("Address", to) if getattr(kind, "_fauxtp_starts", False) else None
