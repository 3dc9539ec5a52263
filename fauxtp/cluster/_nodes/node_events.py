"""Nodes come and go, and processes are told that."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.record import fill, record
from fauxtp._core.mailbox import put_news
from fauxtp._core.process import Process
from fauxtp._core.running_process import caller_of
from fauxtp.cluster._nodes.begun import begun
from fauxtp.registry import Ref

if TYPE_CHECKING:
    from fauxtp.cluster._nodes.peers import Peers

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
class NodeMonitors:
    """Who is told of which nodes of one cluster."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._told: dict[Ref, tuple[str, Process]] = {}

    def begin(self, node: str) -> Ref:
        """Let the calling process be told of `node`: at once if it is not there, then always."""
        me, ref = caller_of("monitor_node"), Ref()
        self._told[ref] = node, me
        if begun(me, ref, self) and node not in self._peers.up:
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
