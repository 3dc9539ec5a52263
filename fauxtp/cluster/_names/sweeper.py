"""Keys of nodes that are gone: one of the others takes them away."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, final

import anyio

from fauxtp._base.errors import FauxtpError
from fauxtp._base.exit_reason import ExitReason
from fauxtp.cluster._nodes.node import Node
from fauxtp.cluster._nodes.peers import Peer

__all__ = ["Left", "Sweeper"]

AT_ONCE: Final = 32

Left = Callable[[], Iterable[tuple[str, int]]]
"""Tells the keys that nodes have left which are gone, with the revisions they have."""


@final
class Sweeper:
    """Sweeps as long as its node is the first of those that are there, in order of their names."""

    def __init__(self, node: Node, *those: Left) -> None:
        self._node = node
        self._those = those
        self._sweeps = False
        node.on_beat.append(self._look)
        node.peers.on_gone.append(self._gone)

    def _gone(self, peer: Peer, reason: ExitReason) -> None:
        self._look()

    def _look(self) -> None:
        up = self._node.peers.up
        if self._sweeps or not self._node.may_act() or min(up, default=None) != self._node.name:
            return
        if any(True for left in self._those for _ in left()):
            self._sweeps = True
            self._node.hub.start(self._sweep)

    async def _sweep(self) -> None:
        try:
            limiter = anyio.CapacityLimiter(AT_ONCE)
            async with anyio.create_task_group() as group:
                for left in self._those:
                    for key, revision in left():
                        await limiter.acquire_on_behalf_of(key)
                        group.start_soon(self._sweep_one, limiter, key, revision)
        finally:
            self._sweeps = False

    async def _sweep_one(self, limiter: anyio.CapacityLimiter, key: str, revision: int) -> None:
        try:
            if self._node.may_act():
                await self._node.engine.delete(key, revision)
        except (FauxtpError, TimeoutError):
            pass  # somebody has taken it meanwhile, or it is tried again with the next heartbeat
        finally:
            limiter.release_on_behalf_of(key)
