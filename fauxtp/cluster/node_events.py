"""Nodes come and go, and processes are told that."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.record import fill, record
from fauxtp._core.mailbox import put_news
from fauxtp._core.phase import DEAD
from fauxtp._core.process import Process
from fauxtp._core.running_process import caller_of
from fauxtp._messaging.monitors import other_monitors
from fauxtp.registry import PID, Ref

if TYPE_CHECKING:
    from fauxtp.cluster.peers import Peers

__all__ = ["NodeDown", "NodeMonitors", "NodeUp"]


@final
@record
class NodeUp:
    """The message that `node` is in the cluster now: see `Cluster.monitor_node`.

    >>> match NodeUp(Ref(), "b"):
    ...     case NodeUp(node=node):
    ...         print(node, "is up")
    b is up
    """

    ref: Ref
    node: str

    def __init__(self, ref: Ref, node: str) -> None:
        fill(self, ref, node)


@final
@record
class NodeDown:
    """The message that `node` is not in the cluster, or no longer: see `Cluster.monitor_node`.

    `reason` is `"left"` if it said so; `"noconnection"` if nothing is heard of it; `"fenced"` if
    it is the own node, which has lost its lease.

    >>> match NodeDown(Ref(), "b", ExitReason("left")):
    ...     case NodeDown(node=node, reason="left"):
    ...         print(node, "has left")
    b has left
    """

    ref: Ref
    node: str
    reason: ExitReason

    def __init__(self, ref: Ref, node: str, reason: ExitReason) -> None:
        fill(self, ref, node, reason)


@final
class _Begun:
    """What a process has begun; and by which ref its end is told."""

    __slots__ = ("monitors", "watch")

    def __init__(self) -> None:
        self.monitors: dict[Ref, NodeMonitors] = {}
        self.watch: Ref = Ref()


_all: dict[PID, _Begun] = {}
"""What each process has begun, until it ends that, or itself."""


@final
class NodeMonitors:
    """Who is told of which nodes of one cluster."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._told: dict[Ref, tuple[str, Process]] = {}

    def begin(self, node: str) -> Ref:
        """Let the calling process be told of `node`: at once if it is not there, then always."""
        me, ref = caller_of("monitor_node"), Ref()
        mine = _all.get(me.pid)
        if mine is None:
            _all[me.pid] = mine = _Begun()
            me.watch(mine.watch, _end_all)
        mine.monitors[ref] = self
        self._told[ref] = node, me
        if me.phase is DEAD:
            _end_all(me.pid, None)
        elif node not in self._peers.up:
            put_news(me.mailbox, NodeDown(ref, node, ExitReason("noconnection", abnormal=True)))
        return ref

    def end(self, ref: Ref) -> None:
        self._told.pop(ref, None)

    def up(self, node: str) -> None:
        for ref, (name, process) in list(self._told.items()):
            if name == node:
                put_news(process.mailbox, NodeUp(ref, node))

    def down(self, node: str, reason: ExitReason) -> None:
        for ref, (name, process) in list(self._told.items()):
            if name == node:
                put_news(process.mailbox, NodeDown(ref, node, reason))


def _end_one(process: Process, ref: Ref) -> bool:
    mine = _all.get(process.pid)
    if mine is None or ref not in mine.monitors:
        return False
    mine.monitors.pop(ref).end(ref)
    if not mine.monitors:
        del _all[process.pid]
        process.watchers.pop(mine.watch, None)
    return True


def _end_all(pid: PID, _: object) -> None:
    mine = _all.pop(pid, None)
    if mine is not None:
        for ref, monitors in mine.monitors.items():
            monitors.end(ref)


other_monitors.append(_end_one)
