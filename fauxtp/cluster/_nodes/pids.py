"""PIDs that travel: the numbers of those of here, and those of processes elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from typing import Final, NamedTuple, final
from weakref import WeakKeyDictionary, WeakValueDictionary

from fauxtp._core.elsewhere import Elsewhere
from fauxtp._core.mailbox import places
from fauxtp.cluster._engines.checks import check_token
from fauxtp.cluster._nodes.peers import LARGEST, Peer, Peers
from fauxtp.registry import PID

__all__ = ["Address", "Pids", "Place", "address"]


def address(came: object) -> Address:
    """Return the address that came. Raises `ValueError` if it is none."""
    if type(came) is not list or len(came) != len(Address._fields):
        raise ValueError("expected an address")
    node, incarnation, number = came
    check_token("node", node)
    for part in (incarnation, number):
        if type(part) is not int or not 0 <= part < LARGEST:
            raise ValueError("expected an address to have numbers")
    return Address(node, incarnation, number)


StandsIn = Callable[[Peer, int], Elsewhere]


class Address(NamedTuple):
    """What a PID is on the wire: a node, its incarnation, a number there."""

    node: str
    incarnation: int
    number: int


@final
class Place:
    """Where the process of a PID is: at a peer, which knows it by a number."""

    __slots__ = ("_stand_in", "number", "peer", "pids")

    def __init__(self, pids: Pids, peer: Peer, number: int) -> None:
        self.pids: Final = pids
        self.peer: Final = peer
        self.number: Final = number
        self._stand_in: Elsewhere | None = None  # once somebody has asked for it

    def stand_in(self, pid: PID) -> Elsewhere:
        found = self._stand_in
        if found is None:
            found = self._stand_in = self.pids.stand_in(self.peer, self.number)
        return found


@final
class Pids:
    """Which PIDs a node has told others of, and which of theirs it was told.

    A PID of elsewhere is one object as long as anybody refers to it. The first time that one of
    here travels it gets a number: who never heard of it cannot guess what to address.
    """

    def __init__(self, peers: Peers, stand_in: StandsIn) -> None:
        self._peers = peers
        self.stand_in: StandsIn = stand_in
        self._numbers: WeakKeyDictionary[PID, int] = WeakKeyDictionary()
        self._here: WeakValueDictionary[int, PID] = WeakValueDictionary()
        self.here: Callable[[int], PID | None] = self._here.get
        """Returns the PID of here that others know by a number, if it still means anything."""
        self._there: WeakValueDictionary[Address, PID] = WeakValueDictionary()
        self._next = count(1)
        self._lock = threading.RLock()

    def after_fork(self) -> None:
        self._lock = threading.RLock()  # who held it is not here

    def number_of(self, pid: PID) -> int:
        """Return the number by which others know a PID of here."""
        number = self._numbers.get(pid)
        if number is None:
            with self._lock:
                number = self._numbers.get(pid)
                if number is None:
                    number = next(self._next)
                    self._numbers[pid] = number
                    self._here[number] = pid
        return number

    def address_of(self, pid: PID) -> Address:
        """Return what a PID is on the wire.

        Raises `TypeError` if it is one of another cluster.
        """
        place = places.get(pid)
        if place is None:
            own = self._peers.own
            return Address(own.node, own.incarnation, self.number_of(pid))
        if not isinstance(place, Place) or place.pids is not self:
            raise TypeError(f"expected a PID of this cluster, got {pid!r} of another")
        return Address(place.peer.node, place.peer.incarnation, place.number)

    def pid_at(self, address: Address) -> PID:
        """Return the PID that has that address: it may mean nobody any more."""
        own = self._peers.own
        if (address.node, address.incarnation) == (own.node, own.incarnation):
            pid = self._here.get(address.number)
            if pid is not None:
                return pid
        return self.elsewhere(self._peers.find(address.node, address.incarnation), address.number)

    def elsewhere(self, peer: Peer, number: int) -> PID:
        """Return the PID of a process at `peer`."""
        address = Address(peer.node, peer.incarnation, number)
        pid = self._there.get(address)
        if pid is None:
            with self._lock:
                new = PID()
                places[new] = Place(self, peer, number)
                pid = self._there.get(address)  # whoever came in meanwhile
                if pid is None:
                    self._there[address] = pid = new
        return pid
