"""A cluster as somebody sees it who is no node of it: who is there, who has what."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, final

from fauxtp.cluster._engines.engine import Change, Snapshot
from fauxtp.cluster._keys.name_keys import Holding, holding, name_of
from fauxtp.cluster._keys.shard_keys import place_of, shard_holding
from fauxtp.cluster._nodes.peers import Membership, membership, node_of
from fauxtp.cluster._nodes.replica import NAME, NODE, SHARD

__all__ = ["Happening", "Overview", "ShardsMoved"]


class Happening(NamedTuple):
    """What has happened: a node is `up` or `down`, a name `taken` or `released`.

    `incarnation` is that of the node, `number` that of the process there that has the name.
    `reason` is that of `down`: `"left"` or `"noconnection"`.
    """

    kind: str
    node: str
    incarnation: int
    name: str | None = None
    number: int | None = None
    reason: str | None = None


class ShardsMoved(NamedTuple):
    """That so many shards of a prefix are another node's now: of nobody's, if it is None."""

    prefix: str
    giver: str | None
    taker: str | None
    shards: int


@final
class Overview:
    """Who is there, who has which name and which shard, by what an engine tells of the keys.

    >>> overview = Overview()
    >>> overview.followed(Change("node.a", b"1 4711 lives", 1))
    [Happening(kind='up', node='a', incarnation=4711, name=None, number=None, reason=None)]
    >>> overview.followed(Change("name.dGlsbA", b"a 4711 3", 2))
    [Happening(kind='taken', node='a', incarnation=4711, name='till', number=3, reason=None)]
    """

    def __init__(self) -> None:
        self.nodes: dict[str, Membership] = {}
        self.names: dict[str, Holding] = {}
        self._shards: dict[tuple[str, int], str] = {}
        self._before: dict[tuple[str, int], str | None] = {}  # of those that have changed

    @property
    def moves(self) -> bool:
        """Whether shards have changed since `moved` was asked last."""
        return bool(self._before)

    def moved(self) -> list[ShardsMoved]:
        """Return what has become of shards since this was asked last: by then, most have settled.

        >>> overview = Overview()
        >>> for number in range(3):
        ...     _ = overview.followed(Change(f"shard.c2Vzc2lvbjo.{number}", b"a 4711", 1 + number))
        >>> overview.moved()
        [ShardsMoved(prefix='session:', giver=None, taker='a', shards=3)]
        """
        changed, self._before = self._before, {}
        counts = Counter(
            (place[0], before, self._shards.get(place)) for place, before in changed.items()
        )
        moves = [ShardsMoved(*which, count) for which, count in counts.items()]
        return sorted((it for it in moves if it.giver != it.taker), key=str)

    def followed(self, told: Snapshot | Change) -> list[Happening]:
        """Hear what an engine tells; return what has happened by that."""
        if isinstance(told, Snapshot):
            return self._all(told)
        if told.key.startswith(NODE):
            node = node_of(told.key[len(NODE) :])
            member = None if told.value is None else membership(told.value)
            return [] if node is None else self._node(node, member)
        if told.key.startswith(SHARD):
            self._shard(told.key[len(SHARD) :], told.value)
        name = name_of(told.key[len(NAME) :]) if told.key.startswith(NAME) else None
        if name is None:
            return []
        return self._name(name, None if told.value is None else holding(told.value))

    def holds(self, held: Holding) -> bool:
        """Return whether the node is there, in that incarnation, that has a name."""
        member = self.nodes.get(held.node)
        return member is not None and member.incarnation == held.incarnation

    def _all(self, snapshot: Snapshot) -> list[Happening]:
        nodes: dict[str, Membership | None] = dict.fromkeys(self.nodes)
        names: dict[str, Holding | None] = dict.fromkeys(self.names)
        shards = {key: value for key, value, _ in snapshot.entries if key.startswith(SHARD)}
        there = {place_of(key[len(SHARD) :]) for key in shards}
        for place in [place for place in self._shards if place not in there]:
            self._set(place, None)
        for key, value in shards.items():
            self._shard(key[len(SHARD) :], value)
        for key, value, _ in snapshot.entries:
            if key.startswith(NODE):
                if (node := node_of(key[len(NODE) :])) is not None:
                    nodes[node] = membership(value)
            elif key.startswith(NAME) and (name := name_of(key[len(NAME) :])) is not None:
                names[name] = holding(value)
        told = [it for node, member in nodes.items() for it in self._node(node, member)]
        return told + [it for name, held in names.items() for it in self._name(name, held)]

    def _shard(self, words: str, value: bytes | None) -> None:
        place = place_of(words)
        held = None if value is None else shard_holding(value)
        if place is not None:
            self._set(place, None if held is None else held.node)

    def _set(self, place: tuple[str, int], node: str | None) -> None:
        before = self._shards.pop(place, None)
        if node is not None:
            self._shards[place] = node
        if before != node:
            self._before.setdefault(place, before)

    def _node(self, node: str, member: Membership | None) -> list[Happening]:
        before = self.nodes.pop(node, None)
        if member is not None:
            self.nodes[node] = member
        told: list[Happening] = []
        if before is not None and (member is None or member.incarnation != before.incarnation):
            reason = "left" if before.leaves else "noconnection"
            told.append(Happening("down", node, before.incarnation, reason=reason))
        if member is not None and (before is None or member.incarnation != before.incarnation):
            told.append(Happening("up", node, member.incarnation))
        return told

    def _name(self, name: str, held: Holding | None) -> list[Happening]:
        before = self.names.pop(name, None)
        if held is not None:
            self.names[name] = held
        if before == held:
            return []
        told: list[Happening] = []
        if before is not None:
            told.append(Happening("released", before[0], before[1], name, before[2]))
        if held is not None:
            told.append(Happening("taken", held[0], held[1], name, held[2]))
        return told
