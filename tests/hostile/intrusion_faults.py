"""Faults to be planted: what the runtime would do if it forgot that anything may come in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fauxtp._actors.state_machine_events import Machine
from fauxtp._base.carried import MISSING
from fauxtp._base.exit_reason import ExitReason
from fauxtp._core import queue
from fauxtp._core.death import bury
from fauxtp._core.process import _NONE, Process
from fauxtp._core.queue import Queue
from fauxtp._hosting.asyncio_scope import AsyncioScope
from fauxtp._loops.asyncio_loop import AsyncioWaiter
from fauxtp._messaging.delivery import post
from fauxtp._messaging.pending_call import PendingCall
from fauxtp._messaging.timers import Timer
from fauxtp._supervision.on_demand_source import Supervised


def _look_first(waiter: AsyncioWaiter, woken: bool) -> None:
    waiter.set_result(woken)
    waiter._plan_turn()


def _plan_again(waiter: AsyncioWaiter) -> None:
    waiter._planned = None
    _plan_turn(waiter)


_plan_turn = AsyncioWaiter._plan_turn


def _open_slowly(box: Queue) -> None:
    if box.inbox is queue.NOTHING:
        box.inbox = deque()


def _bind_one_first(process: Process, other: Process) -> None:
    if process.links is _NONE:
        process.links = {}
    if other.links is _NONE:
        other.links = {}
    process.links[other.pid] = other
    other.links[process.pid] = process


def _send_what_is_there(timer: Timer) -> None:
    message = timer.kept()
    if message is not MISSING:
        timer._forget()
        post(timer._to, message)
    timer.take()


def _give_up_alone(pending: PendingCall[Any], how: str) -> bool:
    if pending._call.settled:
        return False
    pending._gave_up = how
    return pending._call.give_up()


def _bury_without_successor(_: Any, process: Process, reason: ExitReason, __: Any) -> None:
    bury(process, reason)


def _where_a_task_runs(home: Any) -> bool:
    from trio.lowlevel import in_trio_task  # noqa: PLC0415

    return home.is_here() and in_trio_task()


FAULTS: dict[str, tuple[Any, str, Any]] = {
    "waits although it is to end": (AsyncioScope, "cancel", lambda _: None),
    "looks first": (AsyncioWaiter, "_end", _look_first),
    "plans again": (AsyncioWaiter, "_plan_turn", _plan_again),
    "opens slowly": (Queue, "_open_inbox", _open_slowly),
    "binds one first": (Process, "bind", _bind_one_first),
    "sends though it is cancelled": (Timer, "go_off", _send_what_is_there),
    "tells nobody who awaits": (PendingCall, "_give_up", _give_up_alone),
    "forgets what it has postponed": (Machine, "_give_up_events", lambda _: None),
    "has no successor": (Supervised, "bury", _bury_without_successor),
}
SCENES = {
    "sends though it is cancelled": "wait_a_while",
    "tells nobody who awaits": "ask_later",
    "forgets what it has postponed": "change",
    "has no successor": "come_and_go",
}
"""In which scene some of them are found; the others in the first ones."""


@contextmanager
def planted(fault: str) -> Iterator[None]:
    """Plant the fault of that name, if it is one."""
    if fault == "trio at work":
        from fauxtp._loops.trio_loop import TrioHome  # noqa: PLC0415

        owner, name, broken = TrioHome, "is_free", _where_a_task_runs
    elif fault:
        owner, name, broken = FAULTS[fault]
    else:
        yield
        return
    whole = owner.__dict__[name]
    setattr(owner, name, broken)
    try:
        yield
    finally:
        setattr(owner, name, whole)
