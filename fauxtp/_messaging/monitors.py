"""Monitors: a process is told of the end of another."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, final

from fauxtp._base.arguments import unexpected
from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.record import fill, record
from fauxtp._core.death import stop_watching
from fauxtp._core.ended_loops import meet
from fauxtp._core.mailbox import find_elsewhere, put_news
from fauxtp._core.phase import Notice
from fauxtp._core.running_process import caller_of
from fauxtp._messaging.addresses import found_or_started
from fauxtp.registry import PID, Ref, retire

if TYPE_CHECKING:
    from fauxtp._core.elsewhere import Elsewhere
    from fauxtp._core.process import Process

__all__ = ["Down", "demonitor", "monitor", "other_monitors"]

other_monitors: list[Callable[[Process, Ref], bool]] = []
"""What ends those that are not of a process, if there are any."""


@final
@record
class Down(Notice):
    """The message that a monitored process has ended.

    `ref` is what `monitor` returned, `pid` the process, `reason` its exit reason; that of a
    process which was gone already is `"noproc"`. `name` is the name that was monitored, or None
    if it was a PID. A name that meant nobody has a `pid` of its own, which was never alive.

    >>> match Down(Ref(), PID(), ExitReason("logged out")):
    ...     case Down(reason=why):
    ...         print(why)
    logged out
    """

    ref: Ref
    pid: PID
    reason: ExitReason
    name: str | None

    def __init__(self, ref: Ref, pid: PID, reason: ExitReason, name: str | None = None) -> None:
        fill(self, ref, pid, reason, name)


def monitor(pid: PID | str) -> Ref:
    """Let the calling actor be sent one `Down` when the process `pid` ends.

    Return what that `Down` has as its `ref`. If the process has ended already, the message comes
    at once, with the reason `"noproc"`. A second monitor of the same process is a monitor of its
    own.

    Raises `RuntimeError` outside of an actor, and `TypeError` if `pid` is neither a PID nor
    a name.

    >>> import anyio
    >>> from fauxtp import GenServer
    >>> class Watcher(GenServer):
    ...     async def init(self):
    ...         return monitor("nobody")
    ...     async def handle_info(self, message, ref):
    ...         match message:
    ...             case Down(reason=reason):
    ...                 print(message.ref is ref, reason)
    ...                 self.stop()
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         await Watcher.start(task_group=task_group)
    >>> anyio.run(main)
    True noproc
    """
    me, found, ref = caller_of("monitor"), found_or_started(pid), Ref()
    name = None if type(pid) is PID else str(pid)
    watched: Process | Elsewhere | None = meet(found)
    if watched is None and found is not None:
        watched = find_elsewhere(found)

    def tell(gone: PID, reason: ExitReason) -> None:
        down = Down(ref, gone, reason, name)  # first, as there may be no memory for it
        if me.monitors.pop(ref, None) is not None:
            put_news(me.mailbox, down)

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

    >>> import anyio
    >>> from fauxtp import GenServer, exit
    >>> class Watcher(GenServer):
    ...     async def init(self):
    ...         ref = monitor(self.pid)
    ...         print(demonitor(ref), demonitor(ref))
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         exit(await Watcher.start(task_group=task_group))
    >>> anyio.run(main)
    True False
    """
    me = caller_of("demonitor")
    if type(ref) is not Ref:
        raise unexpected("ref", "a Ref", ref)
    pid = me.monitors.pop(ref, None)
    if pid is None:
        return any(end(me, ref) for end in other_monitors)
    stop_watching(pid, ref)
    return True
