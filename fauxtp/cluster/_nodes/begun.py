"""Monitors of nodes and of groups, which end with the process that began them."""

from __future__ import annotations

from typing import Protocol, final

from fauxtp._core.phase import DEAD
from fauxtp._core.process import Process
from fauxtp._messaging.monitors import other_monitors
from fauxtp.registry import PID, Ref

__all__ = ["begun"]


class Monitors(Protocol):
    """What ends one of its monitors by the ref that it returned for it."""

    def end(self, ref: Ref) -> None: ...


@final
class _Begun:
    """What a process has begun; and by which ref its end is told."""

    __slots__ = ("monitors", "watch")

    def __init__(self) -> None:
        self.monitors: dict[Ref, Monitors] = {}
        self.watch: Ref = Ref()


_all: dict[PID, _Begun] = {}
"""What each process has begun, until it ends that, or itself."""


def begun(process: Process, ref: Ref, monitors: Monitors) -> bool:
    """Note what `process` has begun, which `monitors` knows; return False if it ended at once."""
    mine = _all.get(process.pid)
    if mine is None:
        _all[process.pid] = mine = _Begun()
        process.watch(mine.watch, _end_all)
    mine.monitors[ref] = monitors
    if process.phase is DEAD:
        _end_all(process.pid, None)
        return False
    return True


def _end_one(process: Process, ref: Ref) -> bool:
    mine = _all.get(process.pid)
    if mine is None or ref not in mine.monitors:
        return False
    mine.monitors.pop(ref).end(ref)
    if not mine.monitors:
        del _all[process.pid]
        process.watchers.pop(mine.watch, None)
    return True


def _end_all(pid: PID, _: object) -> None:
    mine = _all.pop(pid, None)
    if mine is not None:
        for ref, monitors in mine.monitors.items():
            monitors.end(ref)


other_monitors.append(_end_one)
