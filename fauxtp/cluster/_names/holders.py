"""Who has which name: a table that takes little room for each, as there may be millions."""

from __future__ import annotations

from typing import Final, NamedTuple, final

from fauxtp.cluster._keys.name_keys import Holding
from fauxtp.cluster._nodes.peers import Peer

__all__ = ["Holder", "Holders"]

BITS: Final = 63  # of a revision
_REVISION: Final = (1 << BITS) - 1


class Holder(NamedTuple):
    """Who has a name, as of a revision."""

    peer: Peer
    number: int
    revision: int

    @property
    def holding(self) -> Holding:
        return Holding(self.peer.node, self.peer.incarnation, self.number)


@final
class Holders:
    """The holders of all names. It is changed in one thread, and read in all, also meanwhile.

    Number and revision are one int, of 40 bytes; whose they are is not said anew for each.
    """

    __slots__ = ("_names", "_peers")

    def __init__(self) -> None:
        self._peers: dict[str, Peer] = {}
        self._names: dict[Peer, dict[str, int]] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def get(self, name: str) -> Holder | None:
        """Return who has `name`, or None."""
        while True:
            peer = self._peers.get(name)
            if peer is None:
                return None
            found = self._names.get(peer, {}).get(name)
            if found is not None:  # else it has just got another one
                return Holder(peer, found >> BITS, found & _REVISION)

    def put(self, name: str, peer: Peer, number: int, revision: int) -> None:
        """Let `name` be that one's, whoever had it before."""
        before = self._peers.get(name)
        names = self._names.get(peer)
        if names is None:
            names = self._names[peer] = {}
        names[name] = number << BITS | revision
        self._peers[name] = peer
        if before is not None and before is not peer:
            self._remove(name, before)

    def pop(self, name: str) -> None:
        """Let nobody have `name`."""
        before = self._peers.pop(name, None)
        if before is not None:
            self._remove(name, before)

    def _remove(self, name: str, peer: Peer) -> None:
        names = self._names[peer]
        del names[name]
        if not names:
            del self._names[peer]

    def names(self) -> list[str]:
        """Return all names."""
        return list(self._peers)

    def peers(self) -> list[Peer]:
        """Return who has names."""
        return list(self._names)

    def names_of(self, peer: Peer) -> list[str]:
        """Return the names that `peer` has."""
        return list(self._names.get(peer, ()))
