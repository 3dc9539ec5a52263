"""Monitors, links and exits: how processes hear of each other's end, and bring it about."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final, final

from fauxtp._base.arguments import unexpected
from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.record import fill, record
from fauxtp._core.ended_loops import meet
from fauxtp._core.mailbox import find_queue
from fauxtp._core.phase import DEAD, Exit, Notice
from fauxtp._core.process import Process, find_process
from fauxtp._core.running_process import current_process
from fauxtp._loops.current import give_way, new_waiter, seconds, turn
from fauxtp._messaging.addresses import find_pid, starting
from fauxtp.errors import NoProcess, ReceiveTimeout
from fauxtp.registry import PID, Ref, retire

__all__ = [
    "Down",
    "Exit",
    "ExitReason",
    "demonitor",
    "exit",
    "is_alive",
    "link",
    "monitor",
    "other_monitors",
    "unlink",
    "wait_exit",
]

USUAL: Final = ExitReason("shutdown", abnormal=True)

other_monitors: list[Callable[[Process, Ref], bool]] = []
"""What ends those that are not of a process, if there are any."""


@final
@record
class Down(Notice):
    """The message that a monitored process has ended.

    `ref` is what `monitor` returned, `pid` the process, `reason` its exit reason; that of a
    process which was gone already is `"noproc"`. `name` is the name that was monitored, or None
    if it was a PID. A name that meant nobody has a `pid` of its own, which was never alive.
    """

    ref: Ref
    pid: PID
    reason: ExitReason
    name: str | None

    def __init__(self, ref: Ref, pid: PID, reason: ExitReason, name: str | None = None) -> None:
        fill(self, ref, pid, reason, name)


def _me(what: str) -> Process:
    process = current_process()
    if process is None:
        raise RuntimeError(f"{what} works for actors; elsewhere, use wait_exit")
    return process


def _process_of(to: PID | str) -> Process | None:
    return meet(find_pid(to))


def _found_or_started(to: PID | str) -> PID | None:
    """Return the PID that `to` is or names; an address that starts what it means does so."""
    address = starting(to)
    if address is None:
        return find_pid(to)
    with suppress(NoProcess):
        return address.reach()[0]
    return None


def monitor(pid: PID | str) -> Ref:
    """Let the calling actor be sent one `Down` when the process `pid` ends.

    If it has ended already, the message comes at once, with the reason `"noproc"`. A second
    monitor of the same process is a monitor of its own.

    Raises `RuntimeError` outside of an actor, and `TypeError` if `pid` is neither a PID nor
    a name.
    """
    me, found, ref = _me("monitor"), _found_or_started(pid), Ref()
    name = None if type(pid) is PID else str(pid)
    watched = meet(found)

    def tell(gone: PID, reason: ExitReason) -> None:
        if me.monitors.pop(ref, None) is not None:
            me.mailbox.deliver(Down(ref, gone, reason, name))

    if watched is not None:
        me.add_monitor(ref, watched.pid)
        if watched.watch(ref, tell):
            return ref
        me.monitors.pop(ref, None)
    me.mailbox.deliver(Down(ref, found or _nobody(), ExitReason("noproc"), name))
    return ref


def _nobody() -> PID:
    """Return a PID that has no process, and never gets a name."""
    pid = PID()
    retire(pid)
    return pid


def demonitor(ref: Ref) -> bool:
    """End the monitor `ref`; return False if it is none, or has told already.

    A `Down` that lies in the mailbox stays there. It ends a monitor of a group as well.

    Raises `RuntimeError` outside of an actor, and `TypeError` if `ref` is no Ref.
    """
    me = _me("demonitor")
    if type(ref) is not Ref:
        raise unexpected("ref", "a Ref", ref)
    pid = me.monitors.pop(ref, None)
    if pid is None:
        return any(end(me, ref) for end in other_monitors)
    watched = find_process(pid)
    if watched is not None:
        watched.watchers.pop(ref, None)
    return True


def link(pid: PID | str) -> None:
    """Bind the life of the calling actor and that of `pid` together.

    If one ends abnormally, by an error or by force, the other is ended too, with the same
    reason; if it traps exits (`trap_exit = True`), it is sent an `Exit` instead, at any end.
    Linking with a process that has ended counts as its abnormal end, with the reason
    `"noproc"`. Linking twice is linking once.

    Raises `RuntimeError` outside of an actor, and `TypeError` if `pid` is neither a PID nor
    a name.
    """
    me, found = _me("link"), _found_or_started(pid)
    other = meet(found)
    if other is me:
        return
    if other is not None:
        me.bind(other)  # first: at its death, the other takes back both
        if find_process(other.pid) is other or other.links.pop(me.pid, None) is None:
            return
        me.links.pop(other.pid, None)
    me.linked_exit(found, ExitReason("noproc", abnormal=True))


def unlink(pid: PID | str) -> None:
    """End the link between the calling actor and `pid`, if there is one.

    Raises `RuntimeError` outside of an actor.
    """
    me, other = _me("unlink"), _process_of(pid)
    if other is not None:
        me.unbind(other)


def exit(pid: PID | str, reason: str = USUAL) -> bool:  # noqa: A001
    """End another process, from any thread; return False if there is none.

    Its `run` is cancelled and its `terminate` runs with `reason`. If it traps exits, it is
    sent an `Exit` and may do as it likes; unless `reason` is `"kill"`, which cannot be
    trapped, and leaves no time: `terminate` is cancelled where it awaits something, also if
    it runs already.

    Raises `TypeError` if `pid` is neither a PID nor a name, or `reason` no str.

    >>> exit("nobody")
    False
    """
    if not isinstance(reason, str):
        raise unexpected("reason", "a str", reason)
    process = find_process(pid) if type(pid) is PID else _process_of(pid)
    if process is None:
        return False
    why = reason if isinstance(reason, ExitReason) else ExitReason(reason, abnormal=True)
    if reason == "kill":
        return process.kill(why)
    actor = process.actor  # as `traps_exits` asks, which takes longer
    if actor is None or not actor.trap_exit:
        return process.request_exit(why)
    if meet(process.pid) is None:
        return False
    process.mailbox.deliver(Exit(None, why))
    return True


def is_alive(pid: PID | str) -> bool:
    """Return whether there is a process, or an open mailbox, behind `pid`.

    Raises `TypeError` if `pid` is neither a PID nor a name.

    >>> is_alive("nobody")
    False
    """
    found = find_pid(pid)
    if found is None:
        return False
    if meet(found) is not None:
        return True
    queue = find_queue(found)
    return queue is not None and queue.closed_because is None


async def wait_exit(pid: PID | str, timeout: float | None = None) -> ExitReason:
    """Wait until the process `pid` has ended, and return its exit reason.

    That of a process which was gone already is `"noproc"`. `timeout` is in seconds.

    Raises `ReceiveTimeout` if it still lives then, and `TypeError` if `pid` is neither a PID
    nor a name.

    >>> import anyio
    >>> anyio.run(wait_exit, "nobody")
    'noproc'
    """
    try:
        limit = None if timeout is None else seconds(timeout)
        process = find_process(pid) if type(pid) is PID else _process_of(pid)
    except Exception:
        await give_way()
        raise
    if process is None:
        await give_way()
        return ExitReason("noproc")
    scope = process.scope
    if process.exit_request is not None and scope is not None and scope.run_last_turn():
        await turn()
    if process.phase is DEAD:
        return process.reason or ExitReason("noproc")
    meet(process.pid)  # or nobody would tell, if its event loop has ended
    ref, waiter = Ref(), new_waiter()
    if process.watch(ref, lambda _, __: waiter.wake()):
        try:
            await waiter.wait(limit)
        finally:
            process.watchers.pop(ref, None)
    else:
        await give_way()
    if process.reason is None:
        raise ReceiveTimeout(f"{pid!r} has not ended within {timeout:g} s")
    return process.reason
