"""The groups of a cluster, as a node knows them: who is in one is looked up in a table of its own.

Those of the own node are as they are here, at once; those of the others as their keys tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import final

from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.tell_all import tell_all
from fauxtp.cluster._keys.group_keys import membership, place_of
from fauxtp.cluster._nodes.ends import is_alive_here
from fauxtp.cluster._nodes.node import Node
from fauxtp.cluster._nodes.peers import NO_CONNECTION, Peer
from fauxtp.cluster._nodes.pids import Address, Pids
from fauxtp.registry import PID

__all__ = ["Groups", "There"]


@final
class There:
    """Who of a node is in a group, as of a revision."""

    __slots__ = ("_pids", "numbers", "peer", "revision", "value")

    def __init__(self, peer: Peer, numbers: tuple[int, ...], value: bytes, revision: int) -> None:
        self.peer: Peer = peer
        self.numbers: tuple[int, ...] = numbers
        self.value: bytes = value
        self.revision: int = revision
        self._pids: tuple[PID, ...] | None = None  # until somebody asks

    def members(self, pids: Pids) -> tuple[PID, ...]:
        """Return the PIDs of these, in the order in which they have joined."""
        if self._pids is None:
            node, incarnation = self.peer.node, self.peer.incarnation
            self._pids = tuple(
                [pids.pid_at(Address(node, incarnation, number)) for number in self.numbers]
            )
        return self._pids


@final
class Groups:
    """All groups that there are. Members of who is gone do not count; their keys expire."""

    def __init__(self, node: Node, pids: Pids) -> None:
        self._node = node
        self._pids = pids
        self._table: dict[str, dict[str, There]] = {}
        self.own_keys: dict[str, There] = {}
        self.here: dict[str, dict[PID, None]] = {}  # who of the own node is in which
        self.on_own: Callable[[str], object] = lambda _: None
        self.on_change: list[Callable[[str | None, ExitReason | None], object]] = []
        self.on_come: list[Callable[[str, PID], object]] = []  # of the own node
        self.on_go: list[Callable[[str, PID, ExitReason | None], object]] = []
        node.replica.on_group = self._told
        node.replica.on_groups = self._told_all
        node.peers.on_up.append(lambda _: self._tell(None, None))
        node.peers.on_gone.append(lambda _, reason: self._tell(None, reason))
        node.on_fence.append(lambda: self._tell(None, NO_CONNECTION))

    def own(self) -> list[str]:
        """Return the groups that the own node has a key of, or members."""
        return list({**self.own_keys, **self.here})

    def members_here(self, group: str) -> list[PID]:
        """Return who of the own node is in `group`, in the order in which they have joined."""
        return [pid for pid in self._all_here(group) if is_alive_here(pid)]

    def _all_here(self, group: str) -> list[PID]:
        return [] if self._node.leaves else list(self.here.get(group, ()))

    def elsewhere(self, group: str) -> Iterator[There]:
        """Yield who of the others is in `group`, by the names of their nodes."""
        if self._node.peers.own.is_up:
            for _, there in sorted(self._table.get(group, {}).items()):
                if there.peer.is_up:
                    yield there

    def members(self, group: str) -> tuple[PID, ...]:
        """Return who is in `group`, as far as is known here; first those of the own node."""
        return self._with_others(group, self.members_here(group))

    def not_yet_gone(self, group: str) -> tuple[PID, ...]:
        """Do as `members`, with those of the own node of whose end this has yet to hear."""
        return self._with_others(group, self._all_here(group))

    def _with_others(self, group: str, found: list[PID]) -> tuple[PID, ...]:
        for there in self.elsewhere(group):
            found += there.members(self._pids)
        return tuple(found)

    # What is told

    def _tell(self, group: str | None, reason: ExitReason | None) -> None:
        tell_all(self.on_change, group, reason)

    def _told(self, words: str, value: bytes | None, revision: int) -> None:
        place = self._place(words)
        if place is None:
            return
        group, node = place
        there = None if value is None else self._there(node, words, value, revision)
        if node == self._node.name:
            _set(self.own_keys, group, there)
            self.on_own(group)
            return
        nodes = self._table.setdefault(group, {})
        _set(nodes, node, there)
        if not nodes:
            del self._table[group]
        self._tell(group, None)

    def _told_all(self, keys: dict[str, tuple[bytes, int]]) -> None:
        table: dict[str, dict[str, There]] = {}
        own: dict[str, There] = {}
        for words, (value, revision) in keys.items():
            group, node = self._place(words) or ("", "")
            there = self._there(node, words, value, revision) if node else None
            if there is not None and node == self._node.name:
                own[group] = there
            elif there is not None:
                table.setdefault(group, {})[node] = there
        self._table, self.own_keys = table, own  # others look meanwhile
        self._tell(None, None)
        for group in self.own():
            self.on_own(group)

    def _place(self, words: str) -> tuple[str, str] | None:
        place = place_of(words)
        if place is None:
            self._node.malformed.note(f"the key of a group, {words!r:.80},")
        return place

    def _there(self, node: str, words: str, value: bytes, revision: int) -> There | None:
        known = membership(value)
        if known is None:
            self._node.malformed.note(f"who is in a group, at {words!r:.80},")
            if node != self._node.name:
                return None
            return There(self._node.peers.find(node, 0), (), value, revision)  # to be put right
        return There(
            self._node.peers.find(node, known.incarnation), known.numbers, value, revision
        )


def _set(table: dict[str, There], key: str, there: There | None) -> None:
    if there is None:
        table.pop(key, None)
    else:
        table[key] = there
