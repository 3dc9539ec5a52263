"""Links: two processes whose lives are bound together."""

from __future__ import annotations

from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.ended_loops import meet
from fauxtp._core.mailbox import find_elsewhere
from fauxtp._core.process import find_process
from fauxtp._core.running_process import caller_of
from fauxtp._messaging.addresses import elsewhere, find_pid, found_or_started
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

    >>> import anyio
    >>> from fauxtp import GenServer, exit, wait_exit
    >>> class Partner(GenServer):
    ...     def __init__(self, other):
    ...         self.other = other
    ...     async def init(self):
    ...         link(self.other)
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         one = await GenServer.start(task_group=task_group)
    ...         other = await Partner.start(one, task_group=task_group)
    ...         exit(one, "an accident")
    ...         print(await wait_exit(other))
    >>> anyio.run(main)
    an accident
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
    there = None if other is not None or found is None else find_elsewhere(found)
    if there is None or not there.bind(me):
        me.linked_exit(found, ExitReason("noproc", abnormal=True))


def unlink(pid: PID | str) -> None:
    """End the link between the calling actor and `pid`, if there is one.

    Raises `RuntimeError` outside of an actor, and `TypeError` if `pid` is neither a PID nor
    a name.

    >>> import anyio
    >>> from fauxtp import GenServer, exit, is_alive, wait_exit
    >>> class Loner(GenServer):
    ...     async def init(self):
    ...         link("somebody")
    ...         unlink("somebody")
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         other = await GenServer.start(task_group=task_group, register_as="somebody")
    ...         loner = await Loner.start(task_group=task_group)
    ...         exit(other)
    ...         await wait_exit(other)
    ...         print(is_alive(loner), exit(loner))
    >>> anyio.run(main)
    True True
    """
    me, other = caller_of("unlink"), meet(find_pid(pid))
    if other is not None:
        me.unbind(other)
    elif (there := elsewhere(pid)) is not None:
        there.unbind(me)
