"""Which process the running code works for: the context tells."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

from fauxtp._core.process import Process, find_process
from fauxtp.registry import PID

__all__ = ["caller_of", "current", "current_process", "enter"]

_current: ContextVar[PID | None] = ContextVar("fauxtp_process", default=None)


def enter(process: Process) -> None:
    """Make `process` the one that the running task, and what it starts, works for."""
    process.task = process.home.running_task()
    _current.set(process.pid)
    if process.step is not None and process.context.get(_current) is not process.pid:  # type: ignore[union-attr]
        process.step = None  # a task factory has made another context for it, not known here


current: Callable[[], PID | None] = _current.get
"""Return the PID that the context belongs to, or None; it may be dead, and the task another's."""


def current_process(*, own_task: bool = False) -> Process | None:
    """Return the process that the running task works for, or None.

    With `own_task`, only if it is the process's own task, and not one that it started.
    """
    pid = current()
    process = None if pid is None else find_process(pid)
    if process is None:
        return None
    if own_task and not process.home.runs(process.task):
        return None
    return process


def caller_of(what: str) -> Process:
    """Return the process that the running task works for, which `what` is for alone."""
    process = current_process()
    if process is None:
        raise RuntimeError(f"{what} works for actors; elsewhere, use wait_exit")
    return process
