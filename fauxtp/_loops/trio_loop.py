"""Waiting on trio."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from os import getpid
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import current_task, in_trio_task

from fauxtp._base.errors import OUT_OF_MEMORY
from fauxtp._base.stack import TO_WAKE, insist_on_room
from fauxtp._base.tell_all import tell_all
from fauxtp._loops.ends import on_end
from fauxtp._loops.running import is_trio_innermost, running_asyncio_loop, running_trio_token
from fauxtp._loops.trio_alarms import TrioAlarms

if TYPE_CHECKING:
    from fauxtp._loops.alarms import Alarms
    from fauxtp._loops.asyncio_loop import AsyncioHome
    from fauxtp._loops.protocols import Server, Waiter

__all__ = ["TrioHome", "home_of"]

SUCCEEDED, FAILED = trio.lowlevel.Abort  # to look into the class takes memory

_home: trio.lowlevel.RunVar[TrioHome] = trio.lowlevel.RunVar("fauxtp_home")


def home_of(token: trio.lowlevel.TrioToken) -> TrioHome:
    """Return the one home of the loop that runs, whose token this is."""
    try:
        return _home.get()
    except LookupError:
        home = TrioHome(token)
    _home.set(home)
    trio.lowlevel.add_instrument(_End(home))
    loop = running_asyncio_loop()
    if loop is not None:
        from fauxtp._loops.asyncio_loop import home_of as home_of_asyncio  # noqa: PLC0415

        home.host = host = home_of_asyncio(loop)
        host.guests[home] = None
        host.let_tell()
    return home


class _End(trio.abc.Instrument):
    """Hears of the end of a loop, which leaves tasks behind if trio itself has failed."""

    def __init__(self, home: TrioHome) -> None:
        self._home = home

    def after_run(self) -> None:
        self._home.end()


# Where the code of trio comes from; as it says itself, since it may be in a frozen program.
_TRIO = os.path.dirname(os.path.dirname(current_task.__code__.co_filename)) + os.sep


class TrioHome:
    """A trio loop, as the place where something must be done.

    One that runs as the guest of an asyncio loop is given no turn any more when that is closed:
    it has ended, though it could not end its tasks.
    """

    __slots__ = (
        "__weakref__",
        "_clock",
        "_ended",
        "_token",
        "alarms",
        "host",
        "idlers",
        "of_program",
        "timers",
    )
    is_asyncio = False

    def __init__(self, token: trio.lowlevel.TrioToken) -> None:
        self._token = token
        self.of_program: int = getpid()
        self._ended = False
        self._clock = trio.lowlevel.current_clock()
        self.alarms: Alarms = TrioAlarms(self.run, self.is_here)
        self.timers: dict[Any, None] = {}
        self.idlers: dict[float, Any] = {}
        self.host: AsyncioHome | None = None  # whose guest it is

    def is_over(self) -> bool:
        return self._ended or (self.host is not None and self.host.is_over())

    def end(self) -> None:
        if self._ended:
            return
        self._ended = True  # first: who is told may find out, too
        if self.host is not None:
            self.host.guests.pop(self, None)
        tell_all(on_end, self)

    def is_here(self) -> bool:
        return not self._ended and is_trio_innermost() and running_trio_token() is self._token

    def is_free(self) -> bool:
        # A signal handler or a finaliser comes in anywhere: also where trio is asleep, or at
        # work. What it does to tasks there is lost, or breaks something that is half done.
        if running_trio_token() is not self._token or not in_trio_task():
            return False
        root = getattr(current_task().coro, "cr_frame", None)
        frame = sys._getframe(1)
        while frame is not None and not frame.f_code.co_filename.startswith(_TRIO):
            if frame is root:
                return True
            frame = frame.f_back  # type: ignore[assignment]
        return False

    def run(self, function: Callable[[], object]) -> bool:
        if self.is_free():
            function()
            return True
        return self.run_soon(function)

    def run_soon(self, function: Callable[[], object]) -> bool:
        """Call `function` in the loop's thread, soon; return False if the loop has ended."""
        if self.is_over():
            self.end()
            return False
        try:
            self._token.run_sync_soon(function)
        except (trio.RunFinishedError, OSError):  # the latter, if trio itself has failed
            self.end()
            return False
        return True

    def run_next(self, function: Callable[[], object]) -> None:
        self.run_soon(function)

    def time(self) -> float:
        return self._clock.current_time()

    def let_tell(self) -> None:
        """Do nothing: an instrument tells."""

    def running_task(self) -> trio.lowlevel.Task:
        return current_task()

    def runs(self, task: object) -> bool:
        return self.is_here() and current_task() is task

    def new_waiter(self, server: Server | None = None) -> Waiter:
        return _TrioWaiter(self)


class _TrioWaiter:
    __slots__ = ("_ended", "_home", "_task", "woken")

    def __init__(self, home: TrioHome) -> None:
        self._home = home
        self._task: trio.lowlevel.Task | None = None  # that sleeps, or is about to
        self._ended = False
        self.woken = False

    def wake(self) -> bool:
        insist_on_room(TO_WAKE)
        home = self._home
        if home.is_free() and self._task is not current_task():
            self._end()
            return True
        return home.run_soon(self._end)

    def _end(self) -> None:
        self._ended = True
        task, self._task = self._task, None  # in one line: who comes in between finds nobody
        if task is not None:
            try:
                trio.lowlevel.reschedule(task)
            except OUT_OF_MEMORY:
                self._task = task  # for who tries again
                raise
        self.woken = True

    def time(self) -> float:
        return trio.current_time()

    async def wait(self, timeout: float | None, *, common: bool = False) -> bool:
        if timeout is None:
            await self._sleep()
        else:
            with trio.move_on_after(timeout):
                await self._sleep()
        return self._ended

    async def _sleep(self) -> None:
        self._task = current_task()  # first: from now on it is not woken at once
        if self._ended:
            self._task = None
            await trio.lowlevel.checkpoint()
        else:
            await trio.lowlevel.wait_task_rescheduled(self._give_up)

    def _give_up(self, _: object) -> trio.lowlevel.Abort:
        task, self._task = self._task, None
        return FAILED if task is None else SUCCEEDED
