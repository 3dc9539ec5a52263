"""The names of a cluster as they are read: what thousands of keys tell, in one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from fauxtp.cluster._engines.engine import Entry
from fauxtp.cluster._keys.name_keys import holding, name_of
from fauxtp.cluster._names.holders import Holders
from fauxtp.cluster._nodes.peers import Peer, Peers, parsed

if TYPE_CHECKING:
    from fauxtp.cluster._wire.malformed import Malformed

__all__ = ["NameReading"]


@final
class NameReading:
    """Makes a table of what keys tell. Most of them tell of few nodes, which are found once."""

    __slots__ = ("_malformed", "_peers", "_places", "_skip", "holders")

    def __init__(self, peers: Peers, malformed: Malformed, skip: int) -> None:
        self.holders: Holders = Holders()
        self._peers = peers
        self._malformed = malformed
        self._skip = skip  # characters of a key before its name
        self._places: dict[bytes, Peer] = {}

    def add(self, entries: list[Entry]) -> None:
        """Hear of some keys; of one whose value is empty, that it is gone."""
        holders, places, skip = self.holders, self._places, self._skip
        for key, value, revision in entries:
            name = name_of(key[skip:])
            if name is None:
                self._malformed.note(f"the key of a name, {key[skip:]!r:.80},")
                continue
            place, _, word = value.rpartition(b" ")
            peer, number = places.get(place), parsed(word)
            if (peer is None or number is None) and value:
                held = holding(value)
                if held is None:
                    self._malformed.note(f"who has a name, at {key[skip:]!r:.80},")
                else:
                    number = held.number
                    places[place] = peer = self._peers.find(held.node, held.incarnation)
            if peer is not None and number is not None:
                holders.put(name, peer, number, revision)
            else:
                holders.pop(name)
