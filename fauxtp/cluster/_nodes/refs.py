"""Refs that travel: each is the same one when it comes back."""

from __future__ import annotations

import threading
from itertools import count
from typing import final
from weakref import WeakKeyDictionary, WeakValueDictionary

from fauxtp.cluster._nodes.peers import Peers
from fauxtp.cluster._nodes.pids import Address
from fauxtp.registry import Ref

__all__ = ["Refs"]


@final
class Refs:
    """Which refs a node has told others of, and which of theirs it was told."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._addresses: WeakKeyDictionary[Ref, Address] = WeakKeyDictionary()
        self._refs: WeakValueDictionary[Address, Ref] = WeakValueDictionary()
        self._next = count(1)
        self._lock = threading.RLock()

    def address_of(self, ref: Ref) -> Address:
        """Return what a ref is on the wire."""
        with self._lock:
            address = self._addresses.get(ref)
            if address is None:
                own = self._peers.own
                address = Address(own.node, own.incarnation, next(self._next))
                self._addresses[ref] = address
                self._refs[address] = ref
        return address

    def ref_at(self, address: Address) -> Ref:
        """Return the ref that has that address."""
        with self._lock:
            ref = self._refs.get(address)
            if ref is None:
                ref = Ref()
                self._addresses[ref] = address
                self._refs[address] = ref
        return ref
