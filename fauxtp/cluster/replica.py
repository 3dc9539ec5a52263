"""The keys of a cluster, as a node has heard of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import anyio

from fauxtp.cluster.engine import Change, Entry, NoConnection, Snapshot
from fauxtp.cluster.peers import Membership, Peers, membership, node_of

__all__ = ["Replica"]

NODE, NAME, GROUP, SHARD = "node.", "name.", "group.", "shard."


@final
class Replica:
    """What an engine tells of keys, told on to the peers, the names, the groups and the shards."""

    def __init__(self, peers: Peers, malformed: Callable[[str], object]) -> None:
        self._peers = peers
        self._malformed = malformed
        self._awaited: list[tuple[int, anyio.Event]] = []
        self.revision: int = 0
        self._is_over = False
        self.on_name: Callable[[str, bytes | None, int], object] = _nobody
        self.on_names: Callable[[list[Entry]], object] = _nobody
        self.on_group: Callable[[str, bytes | None, int], object] = _nobody
        self.on_groups: Callable[[dict[str, tuple[bytes, int]]], object] = _nobody
        self.on_shard: Callable[[str, bytes | None, int], object] = _nobody
        self.on_shards: Callable[[dict[str, tuple[bytes, int]]], object] = _nobody

    def followed(self, told: Snapshot | Change) -> None:
        """Hear what an engine tells."""
        if isinstance(told, Snapshot):
            self._all(told)
        elif told.key.startswith(NODE):
            self._peers.told(told.key[len(NODE) :], self._member(told.key, told.value))
        elif told.key.startswith(NAME):
            self.on_name(told.key[len(NAME) :], told.value, told.revision)
        elif told.key.startswith(GROUP):
            self.on_group(told.key[len(GROUP) :], told.value, told.revision)
        elif told.key.startswith(SHARD):
            self.on_shard(told.key[len(SHARD) :], told.value, told.revision)
        self.revision = told.revision
        for one in [one for one in self._awaited if one[0] <= told.revision]:
            self._awaited.remove(one)
            one[1].set()

    def _all(self, snapshot: Snapshot) -> None:
        members: dict[str, Membership] = {}
        names: list[Entry] = []
        groups: dict[str, tuple[bytes, int]] = {}
        shards: dict[str, tuple[bytes, int]] = {}
        for entry in snapshot.entries:
            key, value, revision = entry
            if key.startswith(NAME):
                names.append(entry)
            elif key.startswith(NODE):
                member = self._member(key, value)
                if member is not None:
                    members[key[len(NODE) :]] = member
            elif key.startswith(GROUP):
                groups[key[len(GROUP) :]] = value, revision
            elif key.startswith(SHARD):
                shards[key[len(SHARD) :]] = value, revision
        self._peers.told_all(members)  # first: or there would be names of nobody
        self.on_names(names)
        self.on_groups(groups)
        self.on_shards(shards)

    def _member(self, key: str, value: bytes | None) -> Membership | None:
        is_of_a_node = node_of(key[len(NODE) :]) is not None
        member = membership(value) if value is not None and is_of_a_node else None
        if value is not None and member is None:
            self._malformed(f"the key {key!r}")
        return member

    async def seen(self, revision: int) -> None:
        """Wait until what was written with `revision` is known here.

        Raises `NoConnection` if the cluster is left before it is.
        """
        if self.revision < revision and not self._is_over:
            event = anyio.Event()
            self._awaited.append((revision, event))
            await event.wait()
        if self.revision < revision:
            raise NoConnection("the cluster was left")

    def end(self) -> None:
        """Hear nothing any more: let nobody wait for it."""
        self._is_over = True
        awaited, self._awaited = self._awaited, []
        for _, event in awaited:
            event.set()


def _nobody(*_: Any) -> None:
    """Do nothing, as nobody asked to be told."""
