"""Circles of processes that wait for each other, for an answer or for room: for ever."""

from __future__ import annotations

from fauxtp._base.events import note
from fauxtp._core.calls import Call
from fauxtp._core.mailbox import find_elsewhere
from fauxtp._core.process import Process, find_process
from fauxtp.errors import CallCycle
from fauxtp.registry import PID

__all__ = ["refuse_circle"]


def _look_elsewhere(call: Call | None, pid: PID) -> None:
    """Let it be found out whether whoever is elsewhere waits for who has just called."""
    there = find_elsewhere(pid)
    if there is not None and call is not None:
        there.waited_for(call)


def refuse_circle(caller: Process | None, target: PID, *, is_late: bool = False) -> None:
    """Raise if whom `target` waits for, and whom that one waits for, leads back to `caller`.

    Where it leads to another node, that is found out there, and the call fails soon. It `is_late`
    if the call was there before: else whoever it comes to on another node looks for that.
    """
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
        if process is None and (is_late or pid is not target):
            _look_elsewhere(caller.waiting_for, pid)
        waiting = None if process is None else process.waiting_for
        if waiting is None or waiting.deferred or waiting.settled:
            return
        pid = waiting.target
