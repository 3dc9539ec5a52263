"""Names of nodes that are gone: one of the others takes them away."""

from __future__ import annotations

from typing import Final, final

import anyio

from fauxtp._base.errors import FauxtpError
from fauxtp._base.exit_reason import ExitReason
from fauxtp.cluster.name_keys import key_of
from fauxtp.cluster.names import Names
from fauxtp.cluster.node import Node
from fauxtp.cluster.peers import Peer

__all__ = ["Sweeper"]

AT_ONCE: Final = 32


@final
class Sweeper:
    """Sweeps as long as its node is the first of those that are there, in order of their names."""

    def __init__(self, node: Node, names: Names) -> None:
        self._node = node
        self._names = names
        self._sweeps = False
        node.on_beat.append(self._look)
        node.peers.on_gone.append(self._gone)

    def _gone(self, peer: Peer, reason: ExitReason) -> None:
        self._look()

    def _look(self) -> None:
        up = self._node.peers.up
        if self._sweeps or not self._node.may_act() or min(up, default=None) != self._node.name:
            return
        if any(not peer.is_up for peer in self._names.holders.peers()):
            self._sweeps = True
            self._node.hub.start(self._sweep)

    async def _sweep(self) -> None:
        try:
            limiter = anyio.CapacityLimiter(AT_ONCE)
            async with anyio.create_task_group() as group:
                holders = self._names.holders
                for peer in holders.peers():
                    for name in [] if peer.is_up else holders.names_of(peer):
                        await limiter.acquire_on_behalf_of(name)
                        group.start_soon(self._sweep_one, limiter, name)
        finally:
            self._sweeps = False

    async def _sweep_one(self, limiter: anyio.CapacityLimiter, name: str) -> None:
        holder = self._names.find(name)
        try:
            if holder is not None and not holder.peer.is_up and self._node.may_act():
                await self._node.engine.delete(key_of(name), holder.revision)
        except (FauxtpError, TimeoutError):
            pass  # somebody has taken it meanwhile, or it is tried again with the next heartbeat
        finally:
            limiter.release_on_behalf_of(name)
