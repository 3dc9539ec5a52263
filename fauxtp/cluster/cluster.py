"""A cluster, as a program sees it that is one of its nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, final

import anyio

from fauxtp._base.arguments import unexpected
from fauxtp.cluster.checks import check_token, check_ttl
from fauxtp.cluster.hub import Hub, hub_for
from fauxtp.cluster.node import Node
from fauxtp.cluster.subjects import Subjects
from fauxtp.registry import Ref

if TYPE_CHECKING:
    from fauxtp.cluster.engine import Engine

__all__ = ["Cluster"]

USUAL_TTL = 15  # seconds
BEATS = 5  # heartbeats within a time to live


@final
class Cluster:
    """A cluster that this program is a node of: `Cluster.join` makes one.

    All of it may be used in any thread, unless it says otherwise.
    """

    def __init__(self, hub: Hub, node: Node) -> None:
        self._hub = hub
        self._node = node

    @classmethod
    @asynccontextmanager
    async def join(
        cls, engine: Engine, *, cluster: str, node: str, ttl: int = USUAL_TTL
    ) -> AsyncIterator[Cluster]:
        """Be the node `node` of `cluster` meanwhile; at the end, leave it.

        `engine` is what carries it. For `ttl` seconds, at least 2, a node counts as alive of which
        nothing is heard; it gives up itself a little earlier, and joins again as soon as it can,
        as a new incarnation of itself.

        Raises `NodeTaken` if there is a living node of that name, which takes so long to find out;
        `NoConnection`, `Refused` and `TimeoutError` as `Engine.open`; `TypeError` and `ValueError`
        if `cluster` or `node` is no name, or `ttl` no such number.

        >>> from fauxtp.cluster.memory_broker import MemoryBroker
        >>> async def main():
        ...     broker = MemoryBroker("shop")
        ...     async with Cluster.join(broker.engine("a"), cluster="shop", node="a") as cluster:
        ...         print(cluster.node, cluster.nodes())
        >>> anyio.run(main)
        a ['a']
        """
        subjects = Subjects(cluster)
        check_token("node", node)
        seconds = check_ttl(ttl)
        if seconds is None:
            raise unexpected("ttl", "a whole number of seconds", ttl)
        if seconds < 2:
            raise ValueError(f"expected ttl to be at least 2 seconds, got {ttl}")
        async with hub_for(engine.asyncio_only) as hub:
            member = Node(hub, engine, subjects, node, seconds, seconds / BEATS)
            try:
                await hub.ask(member.join)
                yield cls(hub, member)
            finally:
                with anyio.CancelScope(shield=True):
                    await hub.ask(member.leave)

    def __repr__(self) -> str:
        return f"<Cluster {self.name!r}, node {self.node!r}>"

    @property
    def name(self) -> str:
        """The name of the cluster."""
        return self._node.subjects.cluster

    @property
    def node(self) -> str:
        """The name of the own node."""
        return self._node.name

    @property
    def malformed(self) -> int:
        """How many keys and messages came that made no sense, and were dropped."""
        return self._node.malformed.count

    def nodes(self) -> list[str]:
        """Return the names of the nodes that are there, the own one among them, in order."""
        return sorted(self._node.peers.up)

    def monitor_node(self, node: str) -> Ref:
        """Let the calling actor be sent a `NodeUp` or a `NodeDown` when `node` comes or goes.

        Return what those messages have as their `ref`. If it is not there, a `NodeDown` comes at
        once. It ends by `demonitor`, or with the actor.

        Raises `RuntimeError` outside of an actor, and `TypeError` or `ValueError` if `node` is no
        name of one.
        """
        return self._node.monitors.begin(check_token("node", node))
