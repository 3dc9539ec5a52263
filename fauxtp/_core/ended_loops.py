"""Processes whose event loop has ended: they are dead, and buried by whoever meets them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fauxtp._base.exit_reason import LOOP_ENDED
from fauxtp._base.tell_all import tell_all
from fauxtp._core.crash_log import lost
from fauxtp._core.death import bury
from fauxtp._core.phase import DEAD
from fauxtp._core.process import Process, everybody, find_process
from fauxtp._loops.ends import on_end
from fauxtp.registry import PID

if TYPE_CHECKING:
    from fauxtp._loops.protocols import Home

__all__ = ["living", "meet"]


def meet(pid: PID | None) -> Process | None:
    """Do as `find_process` does, for whoever will not notice that an event loop has ended.

    A process of such a loop is dead, and buried here, if it is not yet.
    """
    process = None if pid is None else find_process(pid)
    if process is None or not process.home.is_over():
        return process
    process.home.end()  # that of the others, too
    _lose(process)
    return None


def living() -> list[Process]:
    """Return all living processes, the oldest first."""
    everyone = everybody()
    if not any(home.is_over() for home in {process.home for process in everyone}):
        return everyone
    return [process for process in everyone if meet(process.pid) is not None]


def _lose(process: Process) -> None:
    """Bury it, if nobody has done so: its event loop has ended, and it can do nothing more."""
    if process.phase is DEAD:
        return
    try:
        lost(process)
    finally:
        process.mailbox.forget_receivers()
        bury(process, LOOP_ENDED)


def _lose_all_in(home: Home) -> None:
    tell_all([partial(_lose, process) for process in everybody() if process.home is home])


on_end.append(_lose_all_in)
