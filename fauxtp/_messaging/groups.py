"""Groups: any number of processes under one name, who can be told something all at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, final

from fauxtp._base.events import CARRYING, HANDLED, SENT, wanted
from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.carried_messages import with_time
from fauxtp._core.dead_letters import dead_letters
from fauxtp._core.ended_loops import meet
from fauxtp._core.mailbox import find_queue, put_news
from fauxtp._core.phase import DEAD
from fauxtp._core.process import Process, find_process
from fauxtp._core.queue import Queue
from fauxtp._core.running_process import current_process
from fauxtp._messaging.addresses import traced
from fauxtp._messaging.monitors import other_monitors
from fauxtp.registry import PID, News, Ref, default, members

__all__ = [
    "GROUPS",
    "Joined",
    "Left",
    "join",
    "leave",
    "monitor_group",
    "publish",
    "put_in_all",
    "tell",
]

ON_THE_WAY: Final = CARRYING | SENT | HANDLED

GROUPS: Final = Ref()
"""What stands among the watchers of a process for all monitors of groups that end with it."""

_monitors: dict[PID, dict[Ref, _Monitor]] = {}
"""Those of each process that ever had one."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_monitors.clear)  # none of those processes lives there


@final
@dataclass(frozen=True, slots=True)
class Joined:
    """The message that `pid` is in `group` now: see `monitor_group`, which returned `ref`.

    >>> from fauxtp import PID, Ref
    >>> match Joined(Ref(), "room:1", PID()):
    ...     case Joined(group=group):
    ...         print("somebody came into", group)
    somebody came into room:1
    """

    ref: Ref
    group: str
    pid: PID


@final
@dataclass(frozen=True, slots=True)
class Left:
    """The message that `pid` is no longer in `group`: see `monitor_group`, which returned `ref`.

    `reason` is the exit reason of the process, if it has ended, and None if it left by `leave`.
    That of a `Mailbox` which was closed, or dropped, is `"normal"`.

    >>> from fauxtp import PID, Ref
    >>> match Left(Ref(), "room:1", PID(), None):
    ...     case Left(group=group, reason=None):
    ...         print("somebody left", group)
    somebody left room:1
    """

    ref: Ref
    group: str
    pid: PID
    reason: ExitReason | None


def join(group: str, pid: PID | None = None) -> bool:
    """Let `pid`, or the calling process, be in `group`; return False if it is already.

    A process may be in any number of groups, once in each, and leaves them all when it ends. A
    group needs no beginning: there is one as long as somebody is in it. The address of a
    `Mailbox` may be in one, too, until that is closed or dropped. Any thread may do this.

    Raises `TypeError` if `group` is no str or `pid` no PID, `ValueError` if `group` is empty,
    `NoProcess` if the process has ended, and `RuntimeError` without `pid` outside of an actor.

    >>> from fauxtp import Mailbox, members
    >>> mailbox = Mailbox()
    >>> join("news", mailbox.pid), join("news", mailbox.pid)
    (True, False)
    >>> members("news") == (mailbox.pid,), leave("news", mailbox.pid)
    (True, True)
    """
    return default.join(group, _caller("join").pid if pid is None else pid)


def leave(group: str, pid: PID | None = None) -> bool:
    """Let `pid`, or the calling process, be in `group` no longer; return False if it is not.

    Raises `TypeError` if `group` is no str or `pid` no PID, `ValueError` if `group` is empty,
    and `RuntimeError` without `pid` outside of an actor.

    >>> from fauxtp import PID
    >>> leave("news", PID())
    False
    """
    return default.leave(group, _caller("leave").pid if pid is None else pid)


def _caller(what: str) -> Process:
    process = current_process()
    if process is None:
        raise RuntimeError(f"{what} works for actors; elsewhere, it needs a PID")
    return process


def publish(group: str, message: Any) -> int:
    """Send `message` to everybody in `group`, and return into how many mailboxes it was put.

    Any thread may do this, and it waits for nobody: where a bounded mailbox has no room, the
    message is counted in `dead_letters`, with the reason `"mailbox full"`. It goes to who is a
    member as this begins, the sender, too, if it is one.

    Raises `TypeError` if `group` is no str, `ValueError` if it is empty.

    >>> from fauxtp import Mailbox
    >>> mailboxes = [Mailbox(), Mailbox()]
    >>> for mailbox in mailboxes:
    ...     assert join("news", mailbox.pid)
    >>> publish("news", "rain"), [len(mailbox) for mailbox in mailboxes]
    (2, [1, 1])
    >>> for mailbox in mailboxes:
    ...     assert leave("news", mailbox.pid)
    """
    return tell(members(group), message)


def tell(pids: Iterable[PID], message: Any) -> int:
    """Send `message` to all of `pids`, and return into how many mailboxes it was put."""
    if wanted(ON_THE_WAY):
        message = with_time(traced("publish", "", None, message))
    return put_in_all(pids, message)


def put_in_all(pids: Iterable[PID], message: Any) -> int:
    """Put what somebody sent into the mailboxes of `pids`; return how many have taken it."""
    taken = 0
    for pid in pids:
        process = find_process(pid)
        mailbox = find_queue(pid) if process is None else process.mailbox
        if mailbox is None:
            dead_letters.add(pid, message, "noproc")
        elif mailbox.max_size:
            taken += _has_room(mailbox, message)
        elif mailbox.deliver(message):
            taken += 1
        else:
            mailbox.refuse(message)
    return taken


def _has_room(mailbox: Queue, message: Any) -> bool:
    """Put `message` into a bounded mailbox, if there is room; else it is a dead letter."""
    if mailbox.closed_because is None and mailbox.admit(message):
        return True
    pid = mailbox.pid
    if mailbox.closed_because is None and (find_process(pid) is None or meet(pid) is not None):
        dead_letters.add(pid, message, "mailbox full")
    else:
        mailbox.refuse(message)
    return False


def monitor_group(group: str) -> Ref:
    """Let the calling actor be sent a `Joined` for each process that is in `group`, now or later.

    Return what those messages have as their `ref`. When one leaves, or ends, it is sent a
    `Left`. The messages come in the order in which that happened, and none is missing, whichever
    threads it happens in. A bounded mailbox takes them, too, if it is full. It ends by
    `demonitor`, or with the actor. A second monitor of the same group is a monitor of its own.

    Raises `RuntimeError` outside of an actor, `TypeError` if `group` is no str, and `ValueError`
    if it is empty.

    >>> monitor_group("news")
    Traceback (most recent call last):
        ...
    RuntimeError: monitor_group works for actors only
    """
    me = current_process()
    if me is None:
        raise RuntimeError("monitor_group works for actors only")
    monitor = _Monitor(me, group)
    mine = _monitors.get(me.pid)
    if mine is None:
        me.watch(GROUPS, _end_all)  # first: without it, nobody would end them
        mine = _monitors.setdefault(me.pid, {})
    mine[monitor.ref] = monitor
    try:
        monitor.begin()
    except BaseException:
        _end_one(me, monitor.ref)
        raise
    if me.phase is DEAD:  # it came too late for who ends them
        monitor.end()
    return monitor.ref


@final
class _Monitor:
    """Passes on the news of a group to one process. It is what listens to the group."""

    __slots__ = ("_group", "_latest", "_process", "_turn", "ref")

    def __init__(self, process: Process, group: str) -> None:
        self.ref: Ref = Ref()
        self._group: str = group
        self._process: Process | None = process  # until it is over
        self._latest: News | None = None  # of what was passed on
        self._turn: threading.Lock = threading.Lock()  # one passes them on, or their order is lost

    def begin(self) -> None:
        with self._turn:
            there, self._latest = default.follow(self._group, self)
            for pid in there:
                self._tell(Joined(self.ref, self._latest.names[0], pid))
        self()

    def __call__(self) -> None:
        """Pass on what has come since. Who finds another thread at it leaves it to that."""
        while self._latest is None or self._latest.next is not None:
            if not self._turn.acquire(blocking=False):
                return  # who has it looks again, when it has let go
            try:
                self._pass_on()
            finally:
                self._turn.release()

    def _pass_on(self) -> None:
        ref, latest = self.ref, self._latest
        while latest is not None and (news := latest.next) is not None:
            if news.came:
                message: Joined | Left = Joined(ref, news.names[0], news.pid)
            else:
                message = Left(ref, news.names[0], news.pid, news.reason)
            self._latest = latest = news
            self._tell(message)

    def _tell(self, message: Joined | Left) -> None:
        process = self._process
        if process is not None:
            put_news(process.mailbox, message)

    def end(self) -> None:
        self._process = None
        default.unfollow(self._group, self)


def _end_one(process: Process, ref: Ref) -> bool:
    monitor = _monitors.get(process.pid, {}).pop(ref, None)
    if monitor is None:
        return False
    monitor.end()
    return True


def _end_all(pid: PID, _: object) -> None:
    mine = _monitors.pop(pid, {})
    while mine:
        try:
            mine.popitem()[1].end()
        except KeyError:
            return  # another thread has ended the last


other_monitors.append(_end_one)
