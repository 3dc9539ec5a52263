"""A cluster as somebody sees it who is no node of it: who is there, who has which name."""

from __future__ import annotations

from typing import NamedTuple, final

from fauxtp.cluster.engine import Change, Snapshot
from fauxtp.cluster.name_keys import Holding, holding, name_of
from fauxtp.cluster.peers import Membership, membership, node_of
from fauxtp.cluster.replica import NAME, NODE

__all__ = ["Happening", "Overview"]


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


@final
class Overview:
    """Who is there, and who has which name, by what an engine tells of the keys.

    >>> overview = Overview()
    >>> overview.followed(Change("node.a", b"1 4711 lives", 1))
    [Happening(kind='up', node='a', incarnation=4711, name=None, number=None, reason=None)]
    >>> overview.followed(Change("name.dGlsbA", b"a 4711 3", 2))
    [Happening(kind='taken', node='a', incarnation=4711, name='till', number=3, reason=None)]
    """

    def __init__(self) -> None:
        self.nodes: dict[str, Membership] = {}
        self.names: dict[str, Holding] = {}

    def followed(self, told: Snapshot | Change) -> list[Happening]:
        """Hear what an engine tells; return what has happened by that."""
        if isinstance(told, Snapshot):
            return self._all(told)
        if told.key.startswith(NODE):
            node = node_of(told.key[len(NODE) :])
            member = None if told.value is None else membership(told.value)
            return [] if node is None else self._node(node, member)
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
        for key, value, _ in snapshot.entries:
            if key.startswith(NODE):
                if (node := node_of(key[len(NODE) :])) is not None:
                    nodes[node] = membership(value)
            elif key.startswith(NAME) and (name := name_of(key[len(NAME) :])) is not None:
                names[name] = holding(value)
        told = [it for node, member in nodes.items() for it in self._node(node, member)]
        return told + [it for name, held in names.items() for it in self._name(name, held)]

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
