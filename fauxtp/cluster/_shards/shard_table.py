"""Which node has which shard, as a node has heard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import final

from fauxtp.cluster._groups.groups import Groups
from fauxtp.cluster._keys.shard_keys import group_of, key_of, place_of, shard_holding
from fauxtp.cluster._nodes.node import Node
from fauxtp.cluster._nodes.peers import Peer

__all__ = ["Owner", "ShardTable"]


@final
class Owner:
    """Who has a shard, as of a revision."""

    __slots__ = ("peer", "revision")

    def __init__(self, peer: Peer, revision: int) -> None:
        self.peer: Peer = peer
        self.revision: int = revision


@final
class ShardTable:
    """All shards that there are, of whatever prefix; `on_change` is told which has changed."""

    def __init__(self, node: Node, groups: Groups) -> None:
        self._node = node
        self._groups = groups
        self._table: dict[str, dict[int, Owner]] = {}
        self.on_change: Callable[[str, int], object] = lambda *_: None
        self.on_change_of_all: Callable[[], object] = lambda: None
        node.replica.on_shard = self._told
        node.replica.on_shards = self._told_all

    def find(self, prefix: str, number: int) -> Owner | None:
        """Return who has a shard, dead or alive."""
        return self._table.get(prefix, {}).get(number)

    def owner(self, prefix: str, number: int) -> Owner | None:
        """Return who has a shard, if that node is there, as far as is known."""
        owner = self.find(prefix, number)
        return owner if owner is not None and owner.peer.is_up else None

    def left(self) -> Iterator[tuple[str, int]]:
        """Yield the keys of shards that nodes have left which are gone, and their revisions.

        Where there is a host, it takes them itself.
        """
        for prefix, shards in list(self._table.items()):
            if not self._has_hosts(prefix):
                for number, owner in list(shards.items()):
                    if not owner.peer.is_up:
                        yield key_of(prefix, number), owner.revision

    def _has_hosts(self, prefix: str) -> bool:
        group = group_of(prefix)
        return any(self._groups.elsewhere(group)) or bool(self._groups.members_here(group))

    # What is told

    def _told(self, words: str, value: bytes | None, revision: int) -> None:
        place = self._place(words)
        if place is None:
            return
        prefix, number = place
        owner = None if value is None else self._owner(words, value, revision)
        shards = self._table.setdefault(prefix, {})
        if owner is None:
            shards.pop(number, None)
        else:
            shards[number] = owner
        if not shards:
            del self._table[prefix]
        self.on_change(prefix, number)

    def _told_all(self, keys: dict[str, tuple[bytes, int]]) -> None:
        table: dict[str, dict[int, Owner]] = {}
        for words, (value, revision) in keys.items():
            place = self._place(words)
            owner = None if place is None else self._owner(words, value, revision)
            if place is not None and owner is not None:
                table.setdefault(place[0], {})[place[1]] = owner
        self._table = table  # others look meanwhile
        self.on_change_of_all()

    def _place(self, words: str) -> tuple[str, int] | None:
        place = place_of(words)
        if place is None:
            self._node.malformed.note(f"the key of a shard, {words!r:.80},")
        return place

    def _owner(self, words: str, value: bytes, revision: int) -> Owner | None:
        held = shard_holding(value)
        if held is None:
            self._node.malformed.note(f"who has a shard, at {words!r:.80},")
            return None
        return Owner(self._node.peers.find(held.node, held.incarnation), revision)
