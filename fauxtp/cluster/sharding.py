"""All that a node has of shards: what is spread over several nodes by keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import final

from anyio import sleep_forever

from fauxtp._supervision.on_demand_source import Supervised
from fauxtp.cluster.grouped import Grouped
from fauxtp.cluster.messenger import Messenger
from fauxtp.cluster.node import Node
from fauxtp.cluster.shard_claims import ShardClaims
from fauxtp.cluster.shard_frames import ShardFrames
from fauxtp.cluster.shard_hosts import Hosts, keep_host
from fauxtp.cluster.shard_keys import check_prefix
from fauxtp.cluster.shard_kind import Kind
from fauxtp.cluster.shard_post import ShardPost
from fauxtp.cluster.shard_table import ShardTable

__all__ = ["Sharding"]


@final
class Sharding:
    """Which kinds of processes are spread over the nodes, and how their messages get there."""

    def __init__(self, node: Node, messenger: Messenger, grouped: Grouped) -> None:
        self._node = node
        self._grouped = grouped
        table = ShardTable(node)
        self._post = ShardPost(messenger.ways, messenger.calls_in, table)
        ShardFrames(messenger.post, self._post)
        self._claims = ShardClaims(node, table, self._post, grouped.groups)
        node.hub.post(partial(node.hub.start, self._until_left))

    def addresses_of(self, supervised: Supervised) -> Callable[[str], str]:
        """Return what makes addresses, by names, of those that are to be spread over the nodes.

        Raises `ValueError` if there are some of that prefix, or nothing can have it.
        """
        hosts = Hosts(self._node, self._grouped.groups, check_prefix(supervised.prefix))
        kind = Kind(supervised, self._node.peers, hosts, self._post)
        if self._post.kinds.setdefault(supervised.prefix, kind) is not kind:
            other = self._post.kinds[supervised.prefix].supervised.spec.id
            expected = "expected a prefix that no other has in this cluster"
            raise ValueError(f"{expected}, got {supervised.prefix!r}, which is that of {other}")
        self._node.hub.post(partial(self._begin, kind))
        return kind.address_by

    def _begin(self, kind: Kind) -> None:
        supervisor = kind.supervised.supervisor
        memberships = self._grouped.memberships
        self._node.hub.start(partial(keep_host, memberships, kind.hosts.group, supervisor))
        kind.hosts.refresh()
        self._claims.look(kind)

    async def _until_left(self) -> None:
        try:
            await sleep_forever()
        finally:
            self._post.end()
            for kind in self._post.kinds.values():
                kind.hosts.wake()  # who waits finds that it was left
