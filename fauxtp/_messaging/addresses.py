"""Whom a message is for: a PID, or the name that means it."""

from __future__ import annotations

from fauxtp._core.mailbox import find_queue
from fauxtp._core.process import Process, find_process
from fauxtp._core.queue import Queue
from fauxtp.errors import NoProcess
from fauxtp.registry import PID, whereis

__all__ = ["find_pid", "mailbox_of", "target_of"]


def find_pid(to: PID | str) -> PID | None:
    """Return the PID that `to` is or names, or None if nobody has that name."""
    if type(to) is PID:
        return to
    if isinstance(to, str):
        return whereis(to)
    raise TypeError(f"expected a PID or a name, got {type(to).__name__}")


def mailbox_of(to: PID | str) -> Queue | None:
    """Return the mailbox of a living process, or one that stands alone; None if there is none."""
    pid = find_pid(to)
    if pid is None:
        return None
    process = find_process(pid)
    return find_queue(pid) if process is None else process.mailbox


def target_of(to: PID | str) -> tuple[PID, Process | None, Queue]:
    """Return the PID, the process and the mailbox of `to`; one that stands alone has no process.

    Raises `NoProcess` if there is nobody.
    """
    pid = find_pid(to)
    if pid is not None:
        process = find_process(pid)
        mailbox = find_queue(pid) if process is None else process.mailbox
        if mailbox is not None:
            return pid, process, mailbox
    raise NoProcess(to)
