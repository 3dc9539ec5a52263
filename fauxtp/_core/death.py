"""Death: one step, in an order that others rely on.

The mailbox is closed and the names are released first; then callers fail, then monitors and links
are told, then those who follow a group. Whoever hears of a death can take the name at once.

Nobody is left out for lack of memory: what fails for that is done once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from functools import partial
from typing import TYPE_CHECKING

from anyio import get_cancelled_exc_class

from fauxtp._base.errors import OUT_OF_MEMORY
from fauxtp._base.events import note_end
from fauxtp._base.tell_all import drain, tell_all
from fauxtp._core.calls import Call
from fauxtp._core.mailbox import find_elsewhere
from fauxtp._core.phase import DEAD, STARTING
from fauxtp._core.process import find_process, forget
from fauxtp.errors import ProcessExited
from fauxtp.registry import withdraw

if TYPE_CHECKING:
    from fauxtp._base.exit_reason import ExitReason
    from fauxtp._core.process import Process
    from fauxtp.registry import PID, Ref

__all__ = ["bury", "ended", "stop_watching"]

Why = Callable[..., BaseException]
Told = tuple[Callable[[], object], ...]


def bury(process: Process, reason: ExitReason, because: Why | None = None) -> None:
    """Let a process die, but once.

    Its mailbox is closed `because` of that, where what comes too late goes to a successor.
    """
    if process.phase is DEAD:
        return
    process.reason = reason
    why: Why | None = None
    told: Told | None = None
    has_lived, has_failed = process.phase is not STARTING, False
    while True:
        try:
            why = why or because or partial(_exited, process.pid, reason)
            if process.source is not None and because is None:
                process.source.bury(process, reason, why)
                return
            if told is None:  # before anybody hears of it: callers do as the mailbox is closed
                told = withdraw(process.pid, reason)
            try:
                process.mailbox.shut(why)
            finally:  # whatever somebody raises who hears of it
                try:
                    _let_die(process, reason, has_lived)
                finally:
                    _tell_of_it(process, reason, why, told)
            return
        except OUT_OF_MEMORY:
            if has_failed:
                raise
            has_failed = True


def _let_die(process: Process, reason: ExitReason, has_lived: bool) -> None:
    """Note that a process is dead, whose `init` was over before if it `has_lived`."""
    process.phase = DEAD
    # Once, whoever comes in between; and none that was never to begin.
    if forget(process) and (has_lived or process.scope is not None):
        handled, killed, asked = process.handled, process.killed, process.exit_request
        note_end(process.kind, process.pid, reason, handled, killed, asked, has_lived)


def _tell_of_it(process: Process, reason: ExitReason, why: Why, told: Told) -> None:
    """Tell whom that concerns; the second time, who is left."""
    if process.monitors:
        _end_monitors(process)
    if (
        process.starters is not None
        or process.handling is not None
        or process.calls
        or process.watchers
        or process.links
        or told
    ):
        tell_all(_tellings(process, reason, why, told))


def _tellings(
    process: Process, reason: ExitReason, why: Why, told: Told
) -> Iterator[Callable[[], object]]:
    """Yield them in one row: what one of them raises keeps nobody after it from being told."""
    if process.starters is not None:
        yield partial(process.started, DEAD)
    yield from _failures(process, why)
    process.handling = process.calls = None
    yield from _while(process.watchers, partial(_tell_one, process, reason))
    yield from _while(process.links, partial(_end_link, process, reason))
    yield from told


def _exited(pid: PID, reason: ExitReason, call: Call, taken_up: bool = False) -> ProcessExited:
    error = ProcessExited(pid, reason, taken_up=taken_up or call.taken)
    error.__cause__ = reason.exception
    return error


def _end_monitors(process: Process) -> None:
    for ref, pid in drain(process.monitors):
        stop_watching(pid, ref)


def stop_watching(pid: PID, ref: Ref) -> None:
    """Let nobody hear of the end of `pid` who was to hear of it by `ref`."""
    watched = find_process(pid)
    if watched is not None:
        watched.watchers.pop(ref, None)
    elif (there := find_elsewhere(pid)) is not None:
        there.unwatch(ref)


def _failures(process: Process, why: Why) -> Iterator[Callable[[], object]]:
    """Yield what fails the calls that it has taken up, and not answered."""
    for call in process.calls or ():
        yield partial(_fail, call, why)
    if type(process.handling) is Call:
        yield partial(_fail, process.handling, why)


def _fail(call: Call, why: Why) -> None:
    call.fail(why(call, True))


def _while(some: Sized, tell_one: Callable[[], object]) -> Iterator[Callable[[], object]]:
    while some:
        yield tell_one


def _tell_one(process: Process, reason: ExitReason) -> None:
    try:
        _, tell = process.watchers.popitem()
    except KeyError:
        return  # somebody has just stopped watching
    try:
        tell(process.pid, reason)
    except OUT_OF_MEMORY:
        tell(process.pid, reason)


def _end_link(process: Process, reason: ExitReason) -> None:
    try:
        _, other = process.links.popitem()
    except KeyError:
        return  # somebody has just ended it
    other.links.pop(process.pid, None)
    try:
        other.linked_exit(process.pid, reason)
    except OUT_OF_MEMORY:
        other.linked_exit(process.pid, reason)


def ended(pid: PID, reason: ExitReason) -> BaseException:
    """Return what to raise at those who wanted something of a process that has ended.

    A cancellation of it must not be taken for one of theirs.
    """
    error = reason.exception
    if error is not None and not isinstance(error, get_cancelled_exc_class()):
        return error
    exited = ProcessExited(pid, reason)
    exited.__cause__ = error
    return exited
