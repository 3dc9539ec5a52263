"""The names of a cluster, as a node knows them: a look-up is one in a table of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import final

from anyio import sleep_forever

from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.tell_all import tell_all
from fauxtp._core.process import find_process
from fauxtp._loops.current import give_way, seconds
from fauxtp.cluster._engines.engine import Entry
from fauxtp.cluster._keys.name_keys import Holding, check_name, holding, key_of, name_of
from fauxtp.cluster._names.holders import Holder, Holders
from fauxtp.cluster._names.name_reading import NameReading
from fauxtp.cluster._nodes.awaited import Awaited
from fauxtp.cluster._nodes.ends import is_alive_here
from fauxtp.cluster._nodes.node import Node
from fauxtp.cluster._nodes.peers import NO_CONNECTION, Peer, membership
from fauxtp.cluster._nodes.pids import Address, Pids
from fauxtp.cluster._nodes.replica import NAME, NODE
from fauxtp.errors import ReceiveTimeout
from fauxtp.registry import PID, Lookup, quick

__all__ = ["Names"]


@final
class _Finding:
    """Looks whom a name means, whenever it is asked; and keeps that."""

    __slots__ = ("_name", "_names", "_pid")

    def __init__(self, names: Names, name: str) -> None:
        self._names, self._name = names, name
        self._pid: PID | None = None

    def __call__(self) -> bool:
        self._pid = self._names.whereis(self._name)
        return self._pid is not None

    def in_time(self, timeout: float | None) -> PID:
        if self._pid is None:
            raise ReceiveTimeout(f"nobody has registered {self._name!r} within {timeout:g} s")
        return self._pid


@final
@quick
class Names(Lookup):
    """All names that there are. Those of who is gone mean nobody, and are there until swept.

    Who was asked for is remembered, until something changes.
    """

    def __init__(self, node: Node, pids: Pids) -> None:
        self._node = node
        self._pids = pids
        self.holders: Holders = Holders()
        self.known: dict[str, PID] = {}  # without mailboxes of here: their end tells nobody
        super().__init__(self.known, self.look_up)
        self._reading = self._new_reading()
        self._awaited = Awaited(lambda: node.leaves)
        self._lock = threading.RLock()  # of what is remembered, in any thread
        self.on_change: Callable[[str, Holder | None, int], object] = lambda *_: None
        self.on_all: Callable[[], object] = lambda: None
        self.on_meaning: list[Callable[[str | None, ExitReason | None], object]] = []
        node.replica.on_name = self._told
        node.replica.on_some_names = self._told_some
        node.replica.on_names = self._told_all
        node.peers.on_up.append(self._up)
        node.peers.on_gone.insert(0, self._gone)  # before anybody hears of it
        node.peers.on_own_gone.append(self._own_gone)
        node.hub.on_fork.append(self._after_fork)
        node.hub.post(partial(node.hub.start, self._until_left))

    def __len__(self) -> int:
        return len(self.holders)

    @property
    def is_left(self) -> bool:
        """Whether the cluster was left, or is about to be."""
        return self._node.leaves

    def all_of(self, prefix: str) -> list[str]:
        """Return the names that begin with `prefix`, whether or not they mean anybody."""
        return [name for name in self.holders.names() if name.startswith(prefix)]

    def find(self, name: str) -> Holder | None:
        """Return who has `name`, dead or alive."""
        return self.holders.get(name)

    def left(self) -> Iterator[tuple[str, int]]:
        """Yield the keys of names that nodes have left which are gone, and their revisions."""
        holders = self.holders
        for peer in holders.peers():
            for name in [] if peer.is_up else holders.names_of(peer):
                holder = holders.get(name)
                if holder is not None and not holder.peer.is_up:
                    yield key_of(name), holder.revision

    def look_up(self, name: str) -> PID | None:
        """Return the PID that `name` means, or None if that is nobody, as far as is known here."""
        pid = None
        while pid is None:
            holder, own = self.holders.get(name), self._node.peers.own
            if holder is None or not holder.peer.is_up or not own.is_up:
                return None
            pid = self._pids.pid_at(Address(*holder.holding))
            if holder.peer is own and not is_alive_here(pid):
                return None
            if not self._remember(name, pid, holder):
                pid = None  # that has changed meanwhile
        return pid

    async def ask(self, name: str) -> PID | None:
        """Return the PID that `name` means, as who orders the writes knows it."""
        engine = self._node.engine
        entry = await engine.read(key_of(name))
        held = None if entry is None else holding(entry.value)
        if held is None:
            return None
        there = await engine.read(f"{NODE}{held.node}")
        member = None if there is None else membership(there.value)
        if member is None or member.incarnation != held.incarnation:
            return None
        pid = self._pids.pid_at(Address(*held))
        is_own = (held.node, held.incarnation) == self._own_place
        return None if is_own and not is_alive_here(pid) else pid

    @property
    def _own_place(self) -> tuple[str, int]:
        own = self._node.peers.own
        return own.node, own.incarnation

    def _remember(self, name: str, pid: PID, holder: Holder) -> bool:
        """Note that `name` means `pid`, as long as `holder` has it; return whether that is so."""
        with self._lock:
            if self._has(name, holder):
                if holder.peer is not self._node.peers.own or find_process(pid) is not None:
                    self.known[name] = pid
                if self._has(name, holder):  # whatever interrupted that
                    return True
                self._forget(name)
            return False

    def _has(self, name: str, holder: Holder) -> bool:
        is_up = holder.peer.is_up and self._node.peers.own.is_up
        return is_up and self.holders.get(name) == holder

    def _forget(self, name: str) -> None:
        """Remember no more what `name` means; with the lock."""
        self.known.pop(name, None)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()  # who held it is not here
        self._awaited.after_fork()
        self._forget_all()

    def _forget_all(self) -> None:
        with self._lock:
            self.known.clear()

    async def wait_registered(self, name: str, timeout: float | None = None) -> PID:
        """Return the PID that `name` means, as soon as it means one."""
        await give_way()
        limit, found = seconds(timeout), _Finding(self, check_name(name))
        await self.wait_until(name, found, limit)
        return found.in_time(timeout)

    def wait_registered_blocking(self, name: str, timeout: float | None = None) -> PID:
        """Do as `wait_registered`, in a thread that runs no event loop."""
        limit, found = seconds(timeout), _Finding(self, check_name(name))
        self._awaited.until_blocking(name, found, limit)
        return found.in_time(timeout)

    async def wait_until(
        self, name: str, holds: Callable[[], bool], limit: float | None = None
    ) -> None:
        """Wait until `holds` of `name`, or for `limit` seconds; it is asked at each change.

        Raises `NoConnection` if the cluster is left before that.
        """
        await self._awaited.until(name, holds, limit)

    async def wait_free(self, name: str) -> None:
        """Wait until `name` means nobody, and this node can take it.

        Raises `NoConnection` if the cluster is left before that.
        """
        own = self._node.peers
        await self.wait_until(name, lambda: own.own.is_up and self.whereis(name) is None)

    async def _until_left(self) -> None:
        try:
            await sleep_forever()
        finally:
            self._wake_all()  # who waits finds that it was left
            tell_all(self.on_meaning, None, None)

    # What is told

    def _told(self, words: str, value: bytes | None, revision: int) -> None:
        name = self._name(words)
        if name is not None:
            holder = None if value is None else self._holder(words, value, revision)
            self._set(name, holder)
            self.on_change(name, holder, revision)
            self.wake(name)
            tell_all(self.on_meaning, name, None)

    def _new_reading(self) -> NameReading:
        return NameReading(self._node.peers, self._node.malformed, len(NAME))

    def _told_some(self, entries: list[Entry], is_first: bool) -> None:
        if is_first:
            self._reading = self._new_reading()
        self._reading.add(entries)

    def _told_all(self) -> None:
        reading, self._reading = self._reading, self._new_reading()
        with self._lock:  # others look meanwhile
            self.holders = reading.holders
            self._forget_all()
        self.on_all()
        self._wake_all()
        tell_all(self.on_meaning, None, None)

    def _name(self, words: str) -> str | None:
        name = name_of(words)
        if name is None:
            self._node.malformed.note(f"the key of a name, {words!r:.80},")
        return name

    def _held(self, words: str, value: bytes) -> Holding | None:
        held = holding(value)
        if held is None:
            self._node.malformed.note(f"who has a name, at {words!r:.80},")
        return held

    def _holder(self, words: str, value: bytes, revision: int) -> Holder | None:
        held = self._held(words, value)
        if held is None:
            return None
        return Holder(self._node.peers.find(held.node, held.incarnation), held.number, revision)

    def _set(self, name: str, holder: Holder | None) -> None:
        with self._lock:
            if holder is None:
                self.holders.pop(name)
            else:
                self.holders.put(name, *holder)
            self._forget(name)

    def _gone(self, peer: Peer, reason: ExitReason) -> None:
        self._forget_all()
        self._wake_all()
        for name in self.holders.names_of(peer) if self.on_meaning else ():
            tell_all(self.on_meaning, name, reason)

    def _own_gone(self) -> None:
        self._forget_all()
        self._wake_all()
        tell_all(self.on_meaning, None, NO_CONNECTION)

    def _up(self, peer: Peer) -> None:
        self._wake_all()
        if not self.on_meaning:
            return
        for name in [None] if peer is self._node.peers.own else self.holders.names_of(peer):
            tell_all(self.on_meaning, name, None)

    def _wake_all(self) -> None:
        self._awaited.wake_all()

    def wake(self, name: str) -> None:
        """Let who waits for something of `name` look again."""
        self._awaited.wake(name)
