"""Idleness: servers that end when they have had no message for some time.

A timer that each message sets anew would cost more than most messages. So nobody notes that a
message comes, but what `Process.handled_since` tells: all servers of one event loop that have the
same timeout are looked at when they may be due, and again when they have been busy since. They lie
in slots, by when that is: a sixteenth of the timeout is one slot, so that many servers need
one timer, and each two places in a list.
"""

from __future__ import annotations

import math
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, final

from fauxtp._base import switches
from fauxtp._base.arguments import expect_seconds
from fauxtp._base.exit_reason import AT_REST
from fauxtp._core.crowd import Crowd
from fauxtp._core.phase import DEAD, RUNNING
from fauxtp._core.process import Process, find_process
from fauxtp._loops.alarms import Alarm
from fauxtp.registry import PID

if TYPE_CHECKING:
    from fauxtp._loops.protocols import Home

__all__ = ["end_when_idle", "expect_idle_timeout"]

SLOTS: Final = 16  # in the time of one timeout
BUDGET: Final = 64  # servers that are looked at, before the event loop has a turn
FEW: Final = 256  # dead ones that may lie here, however few live


def expect_idle_timeout(parameter: str, came: object) -> float:
    """Return `came` as so many seconds; raise `TypeError` or `ValueError` if it cannot be that."""
    seconds = expect_seconds(parameter, came)
    if not seconds:
        raise ValueError(f"expected {parameter} to be more than 0, got 0")
    return seconds


def end_when_idle(process: Process, timeout: float) -> None:
    """Let `process`, a server in the running loop, end when it has been idle for so long."""
    home = process.home
    idlers = home.idlers.get(timeout) if type(timeout) is float else None
    if idlers is None:
        seconds = expect_idle_timeout("idle_timeout", timeout)
        idlers = home.idlers.get(seconds)
        if idlers is None:
            idlers = home.idlers[seconds] = Idlers(seconds)
    idlers.add(process)


@final
class Idlers:
    """The servers of one event loop that end when they have been idle for `timeout` seconds."""

    # They are known by their PIDs, as whoever ends otherwise does not say so here: the dead are
    # thrown out when they may be as many as the living.

    __slots__ = ("_count", "_has_alarm", "_most", "_slots", "_timeout", "_width")

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._width = timeout / SLOTS
        # By number, when they are due: a PID, and what its `handled_since` was; and so on
        self._slots: dict[int, list[Any]] = {}
        self._count, self._most = 0, FEW
        self._has_alarm = False

    def add(self, process: Process) -> None:
        """Look at a server when it may have been idle for so long."""
        if self._count >= self._most:
            self._throw_out()
        home = process.home
        due = home.time() + self._timeout
        self._put(process.pid, process.handled_since, due)
        if not self._has_alarm:
            self._set_alarm(home, due)

    def _put(self, pid: PID, handled_since: float | None, due: float) -> None:
        number = math.ceil(due / self._width)
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots.setdefault(number, [])
        slot += (pid, handled_since)
        self._count += 1

    def _throw_out(self) -> None:
        """Forget the dead."""
        for slot in self._slots.values():
            pairs = zip(slot[::2], slot[1::2], strict=True)
            slot[:] = [one for pair in pairs if find_process(pair[0]) is not None for one in pair]
        self._count = sum(map(len, self._slots.values())) // 2
        self._most = max(FEW, 2 * self._count)

    def _set_alarm(self, home: Home, due: float) -> None:
        Alarm(home.alarms, due, partial(self._look, home))
        self._has_alarm = True

    def _look(self, home: Home) -> None:
        """End whoever is due and idle."""
        now, left = home.time(), BUDGET
        at_once = (
            home.is_asyncio
            and switches.hand_off
            and not switches.simulated
            and home.running_task() is None
        )
        try:
            while left and self._slots:
                number = min(self._slots)
                if number * self._width > now:
                    break
                slot = self._slots[number]
                while left and slot:
                    handled_since, pid = slot.pop(), slot.pop()
                    self._count -= 1
                    left -= 1
                    self._look_at(pid, handled_since, now, at_once)
                if not slot:
                    self._slots.pop(number)
        finally:
            self._has_alarm = False  # not before: who ends here may start others
            if self._slots:
                self._set_alarm(home, now if not left else min(self._slots) * self._width)
            else:
                home.idlers.pop(self._timeout, None)

    def _look_at(self, pid: PID, known: float | None, now: float, at_once: bool) -> None:
        process = find_process(pid)
        if process is None or process.phase is not RUNNING:
            return
        since: float | None = process.handled_since
        due = now + self._timeout
        at_rest = _is_at_rest(process)
        ends = at_rest and since is known
        if not at_rest:
            since = None  # it is not known when that ends
        elif known is not None and not ends and not switches.simulated:
            idle = max(0.0, monotonic() - process.handled_since)
            due -= min(self._timeout, idle)
            ends = idle >= self._timeout
        try:
            if ends:
                _end(process, at_once)
        finally:
            if process.phase is not DEAD:
                self._put(pid, since, due)


def _is_at_rest(process: Process) -> bool:
    """Return whether it sleeps, and nobody waits for it to do anything."""
    mailbox = process.mailbox
    return (
        bool(mailbox.waiting)
        and process.handling is None
        and process.handed_over is None
        and not (mailbox.inbox or mailbox.kept)
        and (not process.calls or all(call.settled for call in process.calls))
        and (not mailbox.owed or all(call.settled for call in mailbox.owed))
    )


def _end(process: Process, at_once: bool) -> None:
    """Ask it to end, which it takes back if a message comes before it wakes."""
    if process.exit_request is None:
        process.exit_request = AT_REST
        process.idle = False
        for waiter in process.mailbox.waiting:
            if at_once and type(waiter) is not Crowd:  # which gives nobody a turn
                waiter.wake_at_once()
            else:
                waiter.wake()
