"""The lease of a node: that it may act as a member, until so long after its last heartbeat.

A heartbeat writes the node's key anew, with a time to live. It counts from when it was sent, and
for less than that time: so the node knows that its lease is over before others can see it gone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, final

import anyio

from fauxtp.cluster._engines.engine import Engine, NoConnection, Refused, Superseded, Taken
from fauxtp.cluster._nodes.peers import Membership, membership
from fauxtp.cluster.errors import NodeTaken

if TYPE_CHECKING:
    from fauxtp.cluster._nodes.hub import Hub

__all__ = ["Lease"]

SHARE: Final = 0.9  # of the time to live, in which a node may act
TRIES: Final = 3
PATIENCE: Final = 2.0  # seconds beyond its time to live until a key counts as somebody else's


@final
class Lease:
    """The right of one node to act, in one incarnation after the other.

    `ttl` is in whole seconds, `interval` how many seconds lie between two heartbeats.
    """

    def __init__(self, hub: Hub, engine: Engine, node: str, ttl: int, interval: float) -> None:
        self._hub = hub
        self._engine = engine
        self._node = node
        self._key = f"node.{node}"
        self._value = b""
        self._revision = 0
        self.until: float = -math.inf  # when it is over
        self._former: set[int] = set()  # incarnations that this very node has had
        self.ttl = ttl
        self.interval = interval

    @property
    def holds(self) -> bool:
        """Whether the node may act now."""
        return self._hub.time() < self.until

    @property
    def left(self) -> float:
        """How many seconds are left of it."""
        return max(0.0, self.until - self._hub.time())

    def drop(self) -> None:
        """Have it no more."""
        self.until = -math.inf

    async def take(self, incarnation: int, *, patient: bool) -> int:
        """Take the key of the node in a new incarnation, and return the revision.

        Raises `NodeTaken` if another node has it, unless this is `patient`; and what
        `Engine.create` raises. After that, the others may have seen this incarnation come and go:
        it cannot be had again.
        """
        self._former.add(incarnation)
        self._value, self._revision = Membership(incarnation, False).packed(), 0
        since = self._hub.time()
        while True:
            revision = await self._try_to_take()
            if revision is not None:
                return revision
            if not patient and self._hub.time() - since > self.ttl + PATIENCE:
                raise NodeTaken(self._node)
            await anyio.sleep(self.interval / 2)

    async def _try_to_take(self) -> int | None:
        sent = self._hub.time()
        try:
            return self._renewed(
                sent, await self._engine.create(self._key, self._value, ttl=self.ttl)
            )
        except Taken:
            entry = await self._engine.read(self._key)
        except TimeoutError:
            entry = await self._engine.read(self._key)
            if entry is None or entry.value != self._value:
                raise
        if entry is None:
            return None
        member = membership(entry.value)
        if member is None or member.incarnation not in self._former:
            return None
        try:
            return self._renewed(
                sent,
                await self._engine.update(self._key, self._value, entry.revision, ttl=self.ttl),
            )
        except Superseded:
            return None

    def _renewed(self, sent: float, revision: int) -> int:
        self._revision = revision
        self.until = max(self.until, sent + SHARE * self.ttl)
        return revision

    async def beat(self) -> None:
        """Renew it, if that is possible; whoever asks afterwards sees whether it was."""
        sent = self._hub.time()
        try:
            with anyio.move_on_after(self.left):
                revision = await self._engine.update(
                    self._key, self._value, self._revision, ttl=self.ttl
                )
                if self.holds:  # else others may have seen it gone
                    self._renewed(sent, revision)
        except Superseded:
            await self._find_out()
        except TimeoutError:
            await self._find_out()
        except (NoConnection, Refused):
            pass  # there is time for some more, until the lease is over

    async def _find_out(self) -> None:
        """Look whether the key is still ours, as nobody knows of the last heartbeat."""
        try:
            with anyio.move_on_after(self.left):
                entry = await self._engine.read(self._key)
                if entry is None or entry.value != self._value:
                    self.drop()
                else:
                    self._revision = entry.revision
        except (NoConnection, TimeoutError, Refused):
            pass

    async def give_back(self) -> None:
        """Tell all that the node leaves, if it has begun to take its key."""
        member = membership(self._value)
        if member is None:
            return
        leaves = Membership(member.incarnation, True).packed()
        self.drop()
        for _ in range(TRIES):
            try:
                if self._revision:  # else nobody knows whether it was written
                    revision = await self._engine.update(
                        self._key, leaves, self._revision, ttl=self.ttl
                    )
                    await self._engine.delete(self._key, revision)
                    return
            except Superseded:
                pass  # as by a heartbeat that was under way
            entry = await self._engine.read(self._key)
            if entry is None or entry.value not in (self._value, leaves):
                return
            self._revision = entry.revision
