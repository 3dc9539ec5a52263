"""Timers: messages that are sent later, once or again and again."""

from __future__ import annotations

import os
from math import inf
from sys import modules
from typing import TYPE_CHECKING, Any, Final, NoReturn, final

from fauxtp._base.arguments import expect_seconds, unexpected
from fauxtp._base.carried import MISSING
from fauxtp._base.events import CARRYING, wanted
from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.stack import TO_WAKE, insist_on_room
from fauxtp._core.calls import Cast
from fauxtp._core.carried_messages import with_none, with_values_later
from fauxtp._core.dead_letters import dead_letters
from fauxtp._core.ended_loops import meet
from fauxtp._core.mailbox import find_queue
from fauxtp._core.phase import DEAD
from fauxtp._core.process import Process, find_process
from fauxtp._core.queue import Queue
from fauxtp._core.running_process import current
from fauxtp._core.wait_for_room import put_later
from fauxtp._loops.alarm_heap import Due
from fauxtp._loops.current import current_home
from fauxtp._loops.ends import on_end
from fauxtp._loops.running import is_trio_innermost
from fauxtp._messaging.addresses import find_pid, mailbox_of, starting
from fauxtp._messaging.delivery import post
from fauxtp.registry import PID, Ref

if TYPE_CHECKING:
    from fauxtp._loops.protocols import Home

__all__ = ["TIMERS", "Timer", "cancel_timer", "cast_after", "send_after", "send_every"]

TIMERS: Final = Ref()
"""What stands among the watchers of a process for all timers that end with it."""

_bound: dict[PID, tuple[dict[Timer, None]]] = {}
"""The timers that end with a process, if it ever had one; as each of them knows it."""

_program = os.getpid()  # which takes a while to ask for


def _after_fork_in_child() -> None:
    global _program
    _program = os.getpid()
    _bound.clear()  # none of those processes lives here


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


@final
class Timer(Due):
    """A message that is to be sent later, once or again and again: see `send_after`.

    >>> import anyio
    >>> async def main():
    ...     print(send_after(60, "nobody", "hello"))
    >>> anyio.run(main)
    <Timer to 'nobody'>
    """

    __slots__ = ("_home", "_interval", "_known_to", "_to")

    # What sets it is all in one place, as each call more would be a twentieth of what it takes.
    def __init__(
        self, after: float, to: PID | str, message: Any, interval: _Interval | None = None
    ) -> None:
        insist_on_room(TO_WAKE)  # or it would be set by half
        self._to: PID | str = to
        self._interval: _Interval | None = interval
        self._known_to: tuple[dict[Timer, None], ...] = ()  # in which it lies until it is over
        self._home: Any = None  # a Home, or None if it is over from the start
        receiver: Process | None = None
        if type(to) is PID:
            receiver = find_process(to)
            if receiver is None and find_queue(to) is None:
                return
        elif type(to) is not str or not to:
            find_pid(to)  # which says what is wrong with it
            if starting(to) is None:
                self._to = str.__str__(to)
        pid = current()
        owner = None if pid is None else receiver if pid is to else find_process(pid)
        # To ask which loop runs here takes longer than whether it is that of the process; but
        # within one of asyncio, one of trio may run.
        at_home = owner is not None and owner.home.is_here()
        at_home = at_home and ("trio" not in modules or not is_trio_innermost())
        here = owner.home if at_home else current_home()  # type: ignore[union-attr]
        self._home = home = _home_of(to, receiver) if here is None else here
        self.keep(with_values_later(message) if wanted(CARRYING) else message)
        try:
            if owner is not None:
                bound = _bound.get(owner.pid)
                if bound is not None:  # as `_end_with` does
                    self._known_to = bound
                    bound[0][self] = None
                if bound is None or owner.phase is DEAD:
                    self._end_with(owner)
            if receiver is not None and receiver is not owner:
                self._end_with_receiver(receiver, owner)
            if here is None:
                self.due: float = home.time() + after
                if not home.run_soon(self._set_alarm):
                    self.end()
                return
            here.alarms.set_in(after, self)
            if self.kept() is MISSING:  # somebody has ended it before all this was done
                self._forget()
        except BaseException:
            self.end()
            raise

    def __repr__(self) -> str:
        return f"<Timer {'that is over, to' if self.kept() is MISSING else 'to'} {self._to!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot pickle or copy a Timer: there is one, in its event loop")

    def _end_with_receiver(self, receiver: Process, owner: Process | None) -> None:
        home = self._home
        if owner is None and receiver.home is not home:
            self._known_to = (home.timers,)
            home.timers[self] = None
            home.let_tell()
        self._end_with(receiver)

    def _end_with(self, process: Process) -> None:
        pid = process.pid
        mine = _bound.get(pid)
        if mine is None:
            process.watch(TIMERS, _end_all)  # first: without it, nobody would end them
            mine = _bound.setdefault(pid, ({},))
        self._known_to = (*self._known_to, *mine) if self._known_to else mine
        mine[0][self] = None
        if process.phase is DEAD:
            _bound.pop(pid, None)
            if mine[0].pop(self, self) is None:
                self.end()  # it came too late for who ends them

    def _set_alarm(self) -> None:
        self._home.alarms.set(self)
        if self.kept() is MISSING:  # somebody has ended it before all this was done
            self._forget()

    def go_off(self) -> None:
        """Send the message, as it is time: whoever runs the alarms calls this."""
        if self._interval is not None:
            self._tick(self._interval)
            return
        message = self.take()
        if message is MISSING:
            return
        self._forget()
        # What it carries was settled when it was set; this context is nobody's.
        full = post(self._to, with_none(message))
        if full is not None:
            if isinstance(full, tuple):
                full, message = full
            meet(full.pid)
            put_later(full, message, self._home)

    def _tick(self, interval: _Interval) -> None:
        to, message = self._to, self.kept()
        if message is MISSING:
            return
        self.due = interval.next_due(self.due, self._home.time())
        self._set_alarm()  # first, whatever becomes of the message
        mailbox = mailbox_of(to)
        if mailbox is None or mailbox.closed_because is not None:
            dead_letters.add(to, message, "noproc")
            if type(to) is PID:
                self.end()  # nobody else will ever have it
        elif not interval.is_unread(mailbox, message) and mailbox.admit(message):
            interval.has_put_in(mailbox)

    def end(self) -> float | None:
        """Do as `cancel_timer` does."""
        if self.take() is MISSING:
            return None
        home: Home = self._home
        if self._known_to:
            known_to, self._known_to = self._known_to, ()  # as `_forget` does
            for timers in known_to:
                timers.pop(self, None)
        if home.of_program != _program:
            return None  # it is the parent's, who sends the message
        left = home.alarms.cancelled_here(self.due)
        if left is None:
            if home.is_over() or not home.run_soon(home.alarms.cancelled):
                return None
            left = self.due - home.time()
        return left if left > 0.0 else 0.0  # noqa: FURB136  (to call `max` takes longer)

    def _forget(self) -> None:
        """Let nobody know it any more, whose end would be its own."""
        known_to, self._known_to = self._known_to, ()
        for timers in known_to:
            timers.pop(self, None)


@final
class _Interval:
    """When a timer goes off again, and where the message lies that it has sent last."""

    __slots__ = ("_mailbox", "_place", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds: float = seconds
        self._mailbox: PID | None = None
        self._place: int = -1

    def next_due(self, due: float, now: float) -> float:
        """Return when it is due after `due`; what would be over `now` is left out."""
        late = now - due
        if late < self.seconds:
            return due + self.seconds
        return now - late % self.seconds + self.seconds

    def is_unread(self, mailbox: Queue, message: Any) -> bool:
        """Return whether what was sent last still lies there."""
        if self._mailbox is not mailbox.pid:
            return False
        self._place = mailbox.place_of(message, self._place)
        return self._place >= 0

    def has_put_in(self, mailbox: Queue) -> None:
        self._mailbox = mailbox.pid
        self._place = len(mailbox.kept) + len(mailbox.inbox) - 1


def _end_all(pid: PID, _: ExitReason) -> None:
    """End the timers that a process has made, and those to it."""
    bound = _bound.pop(pid, None)
    if bound is not None:
        _end_each(*bound)


def _end_all_in(home: Home) -> None:
    """End the timers of an event loop that somebody outside of it knows."""
    _end_each(home.timers)


def _end_each(timers: dict[Timer, None]) -> None:
    while timers:
        try:
            timer, _ = timers.popitem()
        except KeyError:
            return  # another thread was quicker
        timer.end()


on_end.append(_end_all_in)


def send_after(seconds: float, to: PID | str, message: Any) -> Timer:
    """Send `message` to a process or a mailbox in so many seconds; return what cancels it.

    A name is looked up then, and a message to nobody is a dead letter. A full mailbox makes
    the message wait for room, as `send` does; nobody waits with it.

    A timer that a process sets ends with that process, and one to the PID of a process ends
    with that one, without a message; one to a PID that nobody has any more is over at once.
    Outside of any process, it ends with its event loop: that which runs in this thread; where
    none does, the one in which the process `to` lives.

    What `carry` has named goes with it as it is now, and not as it will be then.

    Raises `RuntimeError` where no event loop runs and `to` is not the PID of a process;
    `TypeError` if `seconds` is no number or `to` neither a PID nor a name, and `ValueError` if
    `seconds` is negative or not finite.

    >>> import anyio
    >>> from fauxtp import ANY, Mailbox
    >>> async def main():
    ...     mailbox = Mailbox()
    ...     send_after(0.01, mailbox.pid, "hello")
    ...     print(await mailbox.receive((ANY, str)))
    >>> anyio.run(main)
    hello
    """
    if type(seconds) is not float or not (seconds >= 0.0 and seconds < inf):
        seconds = expect_seconds("seconds", seconds)
    return Timer(seconds, to, message)


def cast_after(seconds: float, to: PID | str, request: Any) -> Timer:
    """Hand `request` to a server's `handle_cast` in so many `seconds`; return what cancels it.

    `to` is a PID or a name. It ends as `send_after` tells.

    Raises what `send_after` raises.

    >>> import anyio
    >>> async def main():
    ...     timer = cast_after(60, "nobody", "reset")
    ...     print(cancel_timer(timer) > 59, cancel_timer(timer))
    >>> anyio.run(main)
    True None
    """
    return Timer(expect_seconds("seconds", seconds), to, Cast(request))


def send_every(
    seconds: float, to: PID | str, message: Any, *, first: float | None = None
) -> Timer:
    """Send `message` every so many `seconds`, and the first time after `first`.

    Return what cancels it; `to`, and when it ends, are as with `send_after`. Each time lies
    `seconds` after the last one on the clock of the event loop, however late that was noticed;
    times that were missed meanwhile are left out. So are those at which the mailbox is full, or
    at which the last message of this timer, the very object, still lies in it unread. (The same
    object that somebody else has sent may be taken for it.)

    One to a PID ends when nobody has it any more, with a dead letter if it was a mailbox's.

    Raises what `send_after` raises, and `ValueError` if `seconds` is 0.

    >>> import anyio
    >>> from fauxtp import ANY, Mailbox
    >>> async def main():
    ...     mailbox = Mailbox()
    ...     timer = send_every(0.01, mailbox.pid, "tick", first=0)
    ...     for _ in range(3):
    ...         print(await mailbox.receive((ANY, str)))
    ...     cancel_timer(timer)
    >>> anyio.run(main)  # doctest: +ELLIPSIS
    tick
    tick
    tick
    """
    every = expect_seconds("seconds", seconds)
    if not every:
        raise ValueError("expected seconds to be more than 0, got 0")
    after = every if first is None else expect_seconds("first", first)
    return Timer(after, to, message, _Interval(every))


def cancel_timer(timer: Timer) -> float | None:
    """Let `timer` send nothing more, from any thread; return how many seconds were left.

    That is None if it is over: it has sent its message, was cancelled before, or has ended
    with a process or its event loop; so it is in a forked process if it was set before.
    Of two who cancel it, one is told the time.

    Raises `TypeError` if `timer` is no Timer.

    >>> import anyio
    >>> async def main():
    ...     timer = send_after(60, "nobody", "hello")
    ...     print(cancel_timer(timer) > 59, cancel_timer(timer))
    >>> anyio.run(main)
    True None
    """
    if type(timer) is not Timer:
        raise unexpected("timer", "a Timer", timer)
    insist_on_room(TO_WAKE)
    return timer.end()


def _home_of(to: PID | str, receiver: Process | None) -> Home:
    """Return where a timer is to go off that is set where no event loop runs."""
    if receiver is None:
        raise RuntimeError(
            "expected an event loop in this thread, or the PID of a process, which has one;"
            f" got {'a name' if isinstance(to, str) else 'the PID of a mailbox'}"
        )
    return receiver.home
