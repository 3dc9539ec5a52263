"""Waiting on asyncio, whichever loop it is that runs."""

from __future__ import annotations

import asyncio
import sys
from asyncio import Future, InvalidStateError
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from functools import partial
from os import getpid
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary, ref

from fauxtp._base.stack import TO_WAKE, insist_on_room
from fauxtp._base.tell_all import tell_all
from fauxtp._loops.asyncio_alarms import AsyncioAlarms
from fauxtp._loops.asyncio_internals import current_task, running_loop
from fauxtp._loops.deadlines import Deadlines
from fauxtp._loops.ends import on_end

if TYPE_CHECKING:
    from fauxtp._loops.protocols import Home, Server, Waiter

__all__ = ["AsyncioHome", "AsyncioWaiter", "home_of", "running_loop"]

SOON, LATEST = 0.001, 0.05  # seconds until a server that is stepped is looked at again
TIMEOUTS: Final = 32  # different timeouts on one loop that have a queue of their own

_is_over = Future.done  # itself: see `AsyncioWaiter.done`
_begin = Future.__init__  # to find it takes as long as half of what it does

_homes: WeakValueDictionary[int, AsyncioHome] = WeakValueDictionary()
_latest: Callable[[], AsyncioHome | None] = type(None)  # a reference to the last one asked for


def home_of(loop: asyncio.AbstractEventLoop) -> AsyncioHome:
    """Return the one home that `loop` has while anybody lives in it."""
    global _latest
    home = _latest()
    if home is None or home.loop is not loop:
        home = _homes.get(id(loop))
        if home is None:
            home = _homes[id(loop)] = AsyncioHome(loop)
        _latest = ref(home)
    return home


class AsyncioHome:
    """An asyncio loop, as the place where something must be done."""

    __slots__ = (
        "__weakref__",
        "alarms",
        "deadlines",
        "depth",
        "ending",
        "guests",
        "handled",
        "idlers",
        "is_over",
        "keepers",
        "known",
        "loop",
        "making",
        "of_program",
        "timers",
        "turns",
    )
    is_asyncio = True

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.is_over = loop.is_closed
        self.of_program: int = getpid()
        self.alarms: AsyncioAlarms = AsyncioAlarms(loop)
        self.deadlines: dict[float, Deadlines] = {}  # by timeout
        self.keepers: dict[object, Any] = {}  # by task group: see group_keeper.py
        self.making: object = None  # whose task is made, to begin later
        self.guests: dict[Home, None] = {}  # loops of trio that run in this one
        self.timers: dict[Any, None] = {}
        self.idlers: dict[float, Any] = {}
        self.ending: bool = False  # and everybody is being buried
        self.known: Any = None  # of its tasks: see _direct.pyx
        # Since the event loop had its turn, in a way
        self.handled: int = 0  # calls, on the spot: see direct.py
        self.turns: int = 0  # of tasks, given by other tasks: see turns.py
        self.depth: int = 0  # of those, each in the one before

    def let_tell(self) -> None:
        loop: Any = self.loop
        if not hasattr(loop, "_fauxtp_tells"):
            with suppress(AttributeError):  # of a class that lets nobody do so
                loop._fauxtp_tells = True
                loop.close = _Closing(loop)

    def is_here(self) -> bool:
        return running_loop() is self.loop

    def end(self) -> None:
        if self.ending:
            return  # who is told of one of the ends may find out, too
        self.ending = True
        try:
            tell_all([guest.end for guest in list(self.guests)])
            if self.keepers or self.timers:
                tell_all(on_end, self)
        finally:
            self.ending = False

    is_free = is_here

    def run(self, function: Callable[[], object]) -> bool:
        if running_loop() is self.loop:
            function()
            self.poke()
            return True
        return self.run_soon(function)

    def run_soon(self, function: Callable[[], object]) -> bool:
        """Call `function` in the next turn of the loop; return False if the loop has ended."""
        try:
            self.loop.call_soon_threadsafe(function)
        except RuntimeError:
            if not self.loop.is_closed():
                raise
            self.end()
            return False
        return True

    def run_next(self, function: Callable[[], object]) -> None:
        self.loop.call_soon(function)

    def time(self) -> float:
        return self.loop.time()

    def poke(self) -> None:
        if current_task(self.loop) is None:
            self.run_soon(_nothing)

    def running_task(self) -> asyncio.Task[Any] | None:
        return current_task(self.loop)

    def runs(self, task: object) -> bool:
        return running_loop() is self.loop and current_task(self.loop) is task

    def new_waiter(self, server: Server | None = None) -> Waiter:
        return AsyncioWaiter(self, server)

    def new_deadlines(self, timeout: float) -> Deadlines | None:
        """Return a new queue of the waits that have this timeout, if there can be one."""
        if len(self.deadlines) >= TIMEOUTS:
            return None
        queue = self.deadlines[timeout] = Deadlines(self.loop, timeout)
        return queue


class _Closing:
    """In place of the `close` of a loop: tells its home, too, if it has one by then."""

    __slots__ = ("_before", "_close", "_loop")

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._close = close = loop.close
        # Somebody else's, perhaps; not looked up in the dict of the loop, see turns.py
        self._before = None if close == type(loop).close.__get__(loop) else close

    def __call__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        loop = self._loop
        try:
            self._close()
        finally:
            if loop.is_closed() and not is_finalizing():
                if loop.close is self:
                    del loop.close  # which refers back to the loop
                    if self._before is not None:
                        loop.close = self._before
                home = _homes.get(id(loop))
                if home is not None and home.loop is loop:
                    home.end()


def _nothing() -> None:
    pass


class AsyncioWaiter(Future[Any]):
    """What wakes a task, and what the task waits for, in one.

    While a server's task waits for messages, others may run as that task: see handover.py. Then
    it counts as running, for whoever cancels it.

    A plain future has the event loop give its task a turn. This one knows which turn that will
    be, so somebody who waits for what the task is to do can give it one at once: see
    `fauxtp._hosting.turns`.
    """

    # A signal handler or a finaliser may end the wait on any line here. So who ends it tries,
    # and does not look first; and the turn is planned by whoever is first to say that it is.

    __slots__ = ("_context", "_ends", "_home", "_next", "_planned", "_turn", "server", "woken")

    def __init__(self, home: AsyncioHome, server: Server | None = None) -> None:
        _begin(self, loop=home.loop)
        self._home = home
        self._turn: Callable[[AsyncioWaiter], object] | None = None  # the task's own function
        self._context: Context | None = None
        self._next: asyncio.Handle | None = None  # the turn that the event loop is to give
        self._planned: Callable[[AsyncioWaiter], object] | None = None  # what is to be called
        self._ends: dict[AsyncioWaiter, float] | asyncio.TimerHandle | None = None  # in time
        self.server: Server | None = server  # whose task waits for messages
        self.woken: bool = False

    @property
    def waits(self) -> bool:
        """Whether nothing has ended the wait so far."""
        return not _is_over(self)

    def done(self) -> bool:
        """Tell a cancel scope whether the task is about to go on, and not to be cancelled yet."""
        server = self.server
        if server is None or server.handling is None:
            return _is_over(self)
        rest = server.handed_over
        if rest is None:
            return False
        return _is_over(self) if rest.is_over else rest.can_go_on

    def time(self) -> float:
        return self._home.loop.time()

    def wait(self, timeout: float | None, *, common: bool = False) -> Awaitable[bool]:
        if timeout is not None:
            home = self._home
            queue = None
            if common:
                queue = home.deadlines.get(timeout) or home.new_deadlines(timeout)
            if queue is not None:
                self._ends = queue.add(self)
            else:
                self._ends = home.loop.call_later(timeout, self.expire, context=Context())
        return self

    def add_done_callback(
        self, fn: Callable[[Any], object], /, *, context: Context | None = None
    ) -> None:
        """Learn from the task that waits how to give it a turn; nobody else is told."""
        self._turn = None  # the new one has its context from the start
        self._context, self._turn = context, fn
        if _is_over(self):
            self._plan_turn()

    def wake(self) -> bool:
        if running_loop() is not self._home.loop:
            return self._home.run_soon(self.wake)
        if not _is_over(self):
            insist_on_room(TO_WAKE)
            try:  # as `_end` does
                self.set_result(True)
            except InvalidStateError:
                pass
            else:
                self._plan_turn()
        elif not self.woken:
            self._plan_turn()  # who has ended the wait may have had no memory for that
        self.woken = True
        return True

    def expire(self) -> None:
        """End the wait, as its time is over."""
        if not _is_over(self):
            self._end(False)

    def _end(self, woken: bool) -> None:
        try:
            self.set_result(woken)
        except InvalidStateError:
            return  # somebody has come in between, and been quicker
        self._plan_turn()

    def cancel(self, msg: Any | None = None) -> bool:
        if self.server is not None and self._is_for(self.server):
            return False
        if not super().cancel(msg):
            return False
        self._plan_turn()
        return True

    def _is_for(self, server: Server) -> bool:
        """Let nobody step the server that is cancelled; return whether somebody does so now.

        Then its task notes that it is to be cancelled where it waits next, as it would if it
        ran itself; and takes it back if it is told to. It has its turn soon, in either case.
        """
        server.idle = False
        if not _is_stepped(server):
            return False
        server.interrupted = True
        self.expire()
        return True

    def _plan_turn(self) -> None:
        if self._ends is not None:
            self._forget_time()
        turn, context = self._turn, self._context
        planned, self._planned = self._planned, turn  # in one line: see above
        if turn is not planned and turn is not None:
            loop, server = self._home.loop, self.server
            try:
                if server is not None and server.handling is not None and _is_stepped(server):
                    turn, context = partial(self._turn_if_free, turn, SOON), Context()
                # Where no task runs, it may be a signal handler that does, and the loop be asleep.
                if current_task(loop) is None and not self._home.alarms.go_off:
                    self._next = loop.call_soon_threadsafe(turn, self, context=context)
                else:
                    self._next = loop.call_soon(turn, self, context=context)
            except BaseException:
                self._planned = planned  # the next who wakes it tries again
                raise

    def _turn_if_free(
        self, turn: Callable[[AsyncioWaiter], object], delay: float, _: AsyncioWaiter
    ) -> None:
        """Give the turn if nobody runs as the server any more; else look again after `delay`.

        It is over by now, unless a handler runs the event loop anew, as `nest_asyncio` lets it.
        A turn that is given within that fails to enter the context of the server, and is lost.
        """
        if self._turn is not turn:
            return
        if self.server is not None and _is_stepped(self.server):
            again = partial(self._turn_if_free, turn, min(2 * delay, LATEST), self)
            self._next = self._home.loop.call_later(delay, again, context=Context())
        else:
            self._turn_now()

    def shows(self, name: str) -> Any:
        """Return an attribute of the handler that waits while the task of the server sleeps."""
        rest = None if self.server is None else self.server.handed_over
        if rest is None:
            raise AttributeError(name)
        return rest.shows(name)

    def _forget_time(self) -> None:
        ends, self._ends = self._ends, None
        if isinstance(ends, dict):
            ends.pop(self, None)
        elif ends is not None:
            ends.cancel()

    def result(self) -> Any:
        """Tell the task that has its turn how the wait ended."""
        self._turn = self._planned = self._next = None  # as `had_turn` does
        return Future.result(self)

    def had_turn(self) -> None:
        """Forget what gives it, and may refer to this: a collection would have to free the two."""
        self._turn = self._planned = self._next = None

    def take_turn(self) -> Callable[[], object] | None:
        """Return what gives the task the turn that is planned, and no more is; or None."""
        if self._next is None:
            return None
        turn = self._turn_now  # first: there may be no memory for it
        self._next.cancel()
        self._next = None
        return turn

    def plan_again(self) -> None:
        """Let the event loop give the turn that was taken, and could not be given."""
        self._planned = None
        self._plan_turn()

    def wake_at_once(self) -> None:
        """Do as `wake`, and give the task its turn now, where no other task has one."""
        if _is_over(self) or self._turn is None:
            self.wake()
            return
        try:
            self.set_result(True)
        except InvalidStateError:
            return  # it will have its turn, from whoever was quicker
        self.woken = True
        if self._ends is not None:
            self._forget_time()
        assert self._context is not None
        self._context.run(self._turn, self)

    def _turn_now(self) -> None:
        assert self._turn is not None
        assert self._context is not None
        self._context.run(self._turn, self)


def _is_stepped(server: Server) -> bool:
    """Return whether somebody runs as the task of `server` now, which waits for messages."""
    return server.handling is not None and server.handed_over is None
