"""All that a node has of shards: what is spread over several nodes by keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, final

from anyio import sleep_forever

from fauxtp._supervision.on_demand_source import Supervised
from fauxtp.cluster._groups.grouped import Grouped
from fauxtp.cluster._keys.shard_keys import check_prefix
from fauxtp.cluster._messages.messenger import Messenger
from fauxtp.cluster._names.sweeper import Left
from fauxtp.cluster._nodes.node import Node
from fauxtp.cluster._shards.shard_claims import ShardClaims
from fauxtp.cluster._shards.shard_frames import ShardFrames
from fauxtp.cluster._shards.shard_hosts import Hosts, keep_host
from fauxtp.cluster._shards.shard_kind import Kind
from fauxtp.cluster._shards.shard_post import ShardPost
from fauxtp.cluster._shards.shard_table import ShardTable

__all__ = ["Sharding"]

TO_GO: Final = 5.0  # seconds to give all shards back, beside those that a process has to end


@final
class Sharding:
    """Which kinds of processes are spread over the nodes, and how their messages get there."""

    def __init__(self, node: Node, messenger: Messenger, grouped: Grouped) -> None:
        self._node = node
        self._grouped = grouped
        table = ShardTable(node, grouped.groups)
        self.left: Left = table.left
        self._post = ShardPost(messenger.ways, messenger.calls_in, table)
        ShardFrames(messenger.post, messenger.calls_in, self._post)
        self._claims = ShardClaims(node, table, self._post, grouped.groups)
        node.hub.post(partial(node.hub.start, self._until_left))

    def addresses_of(self, supervised: Supervised) -> Callable[[str], str]:
        """Return what makes addresses, by names, of those that are to be spread over the nodes.

        Raises `ValueError` if there are some whose prefix begins it, or the other way round; or if
        nothing can have it.
        """
        for other, taken in list(self._post.kinds.items()):
            if other.startswith(supervised.prefix) or supervised.prefix.startswith(other):
                expected = "expected a prefix that begins no other in this cluster, nor with one"
                by = taken.supervised.spec.id
                raise ValueError(f"{expected}, got {supervised.prefix!r} beside {other!r} of {by}")
        hosts = Hosts(self._node, self._grouped.groups, check_prefix(supervised.prefix))
        kind = Kind(supervised, self._node, hosts, self._post)
        self._post.kinds[kind.prefix] = kind
        self._node.hub.post(partial(self._begin, kind))
        return kind.address_by

    def _begin(self, kind: Kind) -> None:
        supervisor = kind.supervised.supervisor
        memberships = self._grouped.memberships
        self._node.hub.start(partial(keep_host, memberships, kind.hosts.group, supervisor))
        self._node.farewell = max(self._node.farewell, kind.supervised.spec.shutdown + TO_GO)
        kind.hosts.refresh()
        self._claims.look(kind)

    async def _until_left(self) -> None:
        try:
            await sleep_forever()
        finally:
            self._post.end()
            for kind in list(self._post.kinds.values()):
                kind.hosts.wake()  # who waits finds that it was left
