"""Circles of processes that wait for each other, for an answer or for room: for ever."""

from __future__ import annotations

from fauxtp._base.events import note
from fauxtp._core.process import Process, find_process
from fauxtp.errors import CallCycle
from fauxtp.registry import PID

__all__ = ["refuse_circle"]


def refuse_circle(caller: Process | None, target: PID) -> None:
    """Raise if whom `target` waits for, and whom that one waits for, leads back to `caller`."""
    if caller is None:
        return
    circle: dict[PID, None] = {caller.pid: None}  # in order
    pid: PID | None = target
    while pid is not None:
        if pid is caller.pid:
            note(("call_cycle", caller.kind.__name__), pid, {"circle": [*circle, pid]})
            raise CallCycle([*circle, pid])
        if pid in circle:
            return  # a circle of others, who are told themselves
        circle[pid] = None
        process = find_process(pid)
        waiting = None if process is None else process.waiting_for
        if waiting is None or waiting.deferred or waiting.settled:
            return
        pid = waiting.target
