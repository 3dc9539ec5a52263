"""Links: two processes whose lives are bound together."""

from __future__ import annotations

from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.ended_loops import meet
from fauxtp._core.process import find_process
from fauxtp._core.running_process import caller_of
from fauxtp._messaging.addresses import find_pid, found_or_started
from fauxtp.registry import PID

__all__ = ["link", "unlink"]


def link(pid: PID | str) -> None:
    """Bind the life of the calling actor and that of `pid` together.

    If one ends abnormally, by an error or by force, the other is ended too, with the same
    reason; if it traps exits (`trap_exit = True`), it is sent an `Exit` instead, at any end.
    Linking with a process that has ended counts as its abnormal end, with the reason
    `"noproc"`. Linking twice is linking once.

    Raises `RuntimeError` outside of an actor, and `TypeError` if `pid` is neither a PID nor
    a name.
    """
    me, found = caller_of("link"), found_or_started(pid)
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
    me, other = caller_of("unlink"), meet(find_pid(pid))
    if other is not None:
        me.unbind(other)
