"""The keys of a cluster, as a node has heard of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import anyio

from fauxtp.cluster._engines.engine import Change, Entry, NoConnection, Part, Snapshot
from fauxtp.cluster._nodes.peers import Membership, Peers, membership, node_of

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
        self._keys = _Keys()  # those of a snapshot that is being told
        self.on_name: Callable[[str, bytes | None, int], object] = _nobody
        self.on_some_names: Callable[[list[Entry], bool], object] = _nobody
        self.on_names: Callable[[], object] = _nobody
        self.on_group: Callable[[str, bytes | None, int], object] = _nobody
        self.on_groups: Callable[[dict[str, tuple[bytes, int]]], object] = _nobody
        self.on_shard: Callable[[str, bytes | None, int], object] = _nobody
        self.on_shards: Callable[[dict[str, tuple[bytes, int]]], object] = _nobody

    def followed(self, told: Part | Snapshot | Change) -> None:
        """Hear what an engine tells."""
        if isinstance(told, Part):
            self._some(told.entries, told.is_first)
            return
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

    def _some(self, entries: list[Entry], is_first: bool) -> None:
        """Hear some keys of a snapshot. Names are told on at once, as they may be very many."""
        if is_first:
            self._keys = _Keys()
        names = [entry for entry in entries if entry[0].startswith(NAME)]
        if len(names) < len(entries):
            for key, value, revision in entries:
                self._keys.add(key, value, revision)
        self.on_some_names(names, is_first)

    def _all(self, snapshot: Snapshot) -> None:
        self._some(snapshot.entries, snapshot.is_first)
        keys, self._keys = self._keys, _Keys()
        members: dict[str, Membership] = {}
        for node, (value, _) in keys.of[NODE].items():
            member = self._member(NODE + node, value)
            if member is not None:
                members[node] = member
        self._peers.told_all(members)  # first: or there would be names of nobody
        self.on_names()
        self.on_groups(keys.of[GROUP])
        self.on_shards(keys.of[SHARD])

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


@final
class _Keys:
    """The keys of a snapshot but for names: what they hold, by what follows their first word."""

    def __init__(self) -> None:
        self.of: dict[str, dict[str, tuple[bytes, int]]] = {NODE: {}, GROUP: {}, SHARD: {}}

    def add(self, key: str, value: bytes, revision: int) -> None:
        word, dot, rest = key.partition(".")
        keys = self.of.get(word + dot)
        if keys is not None and value:
            keys[rest] = value, revision
        elif keys is not None:
            keys.pop(rest, None)


def _nobody(*_: Any) -> None:
    """Do nothing, as nobody asked to be told."""
