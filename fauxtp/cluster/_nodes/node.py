"""A node of a cluster: how it comes in, stays, is fenced, comes in again, and leaves."""

from __future__ import annotations

import random
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, final

import anyio

from fauxtp._base import switches
from fauxtp._base.errors import FauxtpError
from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.logs import logger
from fauxtp._base.tell_all import tell_all
from fauxtp.cluster._engines.engine import Change, Engine, NoConnection, Part, Snapshot
from fauxtp.cluster._engines.subjects import Subjects
from fauxtp.cluster._nodes.hub import Hub
from fauxtp.cluster._nodes.lease import Lease
from fauxtp.cluster._nodes.node_events import NodeMonitors
from fauxtp.cluster._nodes.peers import Peer, Peers
from fauxtp.cluster._nodes.replica import Replica
from fauxtp.cluster._wire.malformed import Malformed
from fauxtp.registry import PID

__all__ = ["FENCED", "Node"]

FENCED: Final = ExitReason("fenced", abnormal=True)
BITS: Final = 63  # of an incarnation, which is random: the engine's revisions are used again
FAREWELL: Final = 5.0  # seconds, at most, to tell the others that a node leaves


@final
class Node:
    """One member of a cluster, in the event loop of its hub.

    Whatever else there is to a member listens here: `on_begin` is awaited before it begins in an
    incarnation, `on_fence` is told at once when it may act no more, `on_beat` after each
    heartbeat, `on_snapshot` when all keys were read anew. `farewells` are awaited before it
    leaves.
    """

    def __init__(
        self, hub: Hub, engine: Engine, subjects: Subjects, name: str, ttl: int, interval: float
    ) -> None:
        self.name: str = name
        self.hub: Hub = hub
        self.engine: Engine = engine
        self.subjects: Subjects = subjects
        self.malformed: Malformed = Malformed(hub.time)
        self.peers: Peers = Peers(subjects, name)
        self.replica: Replica = Replica(self.peers, self.malformed.note)
        self.lease: Lease = Lease(hub, engine, name, ttl, interval)
        self.monitors: NodeMonitors = NodeMonitors(self.peers)
        self.on_fence: list[Callable[[], object]] = []
        self.on_begin: list[Callable[[], Awaitable[object]]] = []
        self.on_beat: list[Callable[[], object]] = []
        self.on_snapshot: list[Callable[[], object]] = []
        self._has_lease: anyio.Event  # of the hub's loop
        self.farewell: float = FAREWELL
        self.farewells: list[Callable[[], Awaitable[object]]] = []
        self.leaves: bool = False
        self.leaver: PID | None = None  # the process that leaves, if one does
        self._says_farewell = False
        self._is_open = False
        self._acts = False
        self._coming: anyio.CancelScope
        hub.on_fork.append(self.peers.forget)
        self.peers.on_up.append(self._peer_up)
        self.peers.on_gone.append(self._peer_gone)

    async def join(self) -> None:
        """Open the engine, and be a member from now on."""
        self._has_lease, self._coming = anyio.Event(), anyio.CancelScope()
        await self.engine.open(followed=self._followed, connection=self._connection)
        self._is_open = True  # else it is closed, or that of another node
        await self._begin(patient=False)
        self.hub.start(self._live)

    async def _begin(self, *, patient: bool) -> None:
        number = random.getrandbits(BITS) if switches.simulated else secrets.randbits(BITS)
        self.peers.begin_as(number)
        for begin in self.on_begin:
            await begin()
        revision = await self.lease.take(number, patient=patient)
        with anyio.move_on_after(self.lease.left):
            await self.replica.seen(revision)
        if not self.peers.own.is_up:
            self.lease.drop()  # the others have seen it come and go, or will
        if self.lease.holds and not self.leaves:
            self._acts = True
            self._has_lease.set()
            logger().info("node %r is in cluster %r", self.name, self.subjects.cluster)

    def may_act(self) -> bool:
        """Return whether this is a member now; if it is one no more, it is fenced by this."""
        if self._acts:
            if self.hub.time() < self.lease.until:  # it holds, and this is asked of each message
                return True
            self.fence()
        return False

    @property
    def is_member(self) -> bool:
        """Whether this is a member now; in any thread, and nothing comes of it."""
        return self._acts and self.hub.time() < self.lease.until

    async def leased(self) -> None:
        """Wait until this is a member."""
        while self.leaves or not self.may_act():
            if self.leaves:
                raise NoConnection("the cluster was left")
            await self._has_lease.wait()

    def fence(self) -> None:
        """Act no more, as others may take it for gone: it will come in again, as another."""
        self._stop_acting()
        logger().warning(
            "node %r has lost its lease in cluster %r, and joins again",
            self.name,
            self.subjects.cluster,
        )
        self.monitors.down(self.name, FENCED)

    def _stop_acting(self) -> None:
        self._acts = False
        self.lease.drop()
        self._has_lease = anyio.Event()
        self.peers.fenced()
        tell_all(self.on_fence)

    async def _live(self) -> None:
        while not self.leaves or self._says_farewell:
            try:
                await self._live_on()
            except Exception:  # of an engine that breaks its promises: a node goes on
                logger().exception("node %r has failed to keep its lease", self.name)
                await anyio.sleep(self.lease.interval)

    async def _live_on(self) -> None:
        if not self.may_act() and not self.leaves:
            await self._come_again()
            return
        await anyio.sleep(min(self.lease.interval, self.lease.left) or self.lease.interval)
        if self.may_act() and (not self.leaves or self._says_farewell):
            await self.lease.beat()
            tell_all(self.on_beat)

    async def _come_again(self) -> None:
        try:
            with anyio.CancelScope() as self._coming:
                await self._begin(patient=True)
        except (FauxtpError, TimeoutError) as error:
            logger().warning("node %r has yet to join again: %s", self.name, error)
        if not self.lease.holds and not self.leaves:
            await anyio.sleep(self.lease.interval)

    async def leave(self, leaver: PID | None = None) -> None:
        """Tell the others, and close the engine. It raises nothing, and takes a few seconds.

        `leaver` is the process that does so: nobody waits for the end of that.
        """
        self.leaver, self.leaves, self._says_farewell = leaver, True, True
        self._coming.cancel()
        with anyio.CancelScope(shield=True):
            try:
                await self._say_farewell()
            finally:  # a task of asyncio can be cancelled all the same
                if self._acts:
                    self._stop_acting()
                self.peers.forget()
                self._has_lease.set()  # who waits for it finds that it was left
                self.replica.end()
                if self._is_open:
                    await self.engine.close()

    async def _say_farewell(self) -> None:
        with anyio.move_on_after(self.farewell), suppress(FauxtpError, TimeoutError):
            try:
                if self._acts and self.lease.holds:
                    for farewell in self.farewells:
                        await farewell()
            finally:
                self._says_farewell = False
            if self._acts:
                self._stop_acting()
            await self.lease.give_back()

    # What is told

    def _followed(self, told: Part | Snapshot | Change) -> None:
        self.replica.followed(told)
        if isinstance(told, Snapshot):
            tell_all(self.on_snapshot)

    def _connection(self, is_there: bool) -> None:
        if not is_there:
            self.replica.revision = 0  # a server that has lost writes uses revisions again
        logger().info("node %r: its connection is %s", self.name, "back" if is_there else "away")

    def _peer_up(self, peer: Peer) -> None:
        if peer.node != self.name:
            logger().info("node %r: %r is up", self.name, peer.node)
        self.monitors.up(peer.node)

    def _peer_gone(self, peer: Peer, reason: ExitReason) -> None:
        if peer.node != self.name:
            logger().info("node %r: %r is down: %s", self.name, peer.node, reason)
            self.monitors.down(peer.node, reason)
        elif peer is self.peers.own and self._acts:
            self.fence()  # somebody has deleted its key
