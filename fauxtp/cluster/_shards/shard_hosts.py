"""Hosts: the nodes on which processes of one kind can be started, and which of them has what.

A node is a host as long as the supervisor lives there under which they are started. That is in a
group of the cluster, which has the prefix in its name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Self, final

import anyio

from fauxtp._base.errors import FauxtpError
from fauxtp._core.ended_loops import meet
from fauxtp._loops.current import give_way
from fauxtp._messaging.exits import wait_exit
from fauxtp._messaging.wait_registered import wait_registered
from fauxtp.cluster._groups.groups import Groups
from fauxtp.cluster._groups.memberships import Memberships
from fauxtp.cluster._keys.shard_keys import group_of, rank
from fauxtp.cluster._nodes.awaited import Awaited
from fauxtp.cluster._nodes.node import Node
from fauxtp.errors import ReceiveTimeout
from fauxtp.registry import PID

__all__ = ["Hosts", "keep_host"]

AGAIN: Final = 0.5  # seconds


@final
class AnyHost(str):
    """The name of a supervisor, on whichever node it is."""

    __slots__ = ("_awaited", "_is_there")
    _awaited: Awaited
    _is_there: Callable[[], bool]

    @classmethod
    def of(cls, name: str, is_there: Callable[[], bool], awaited: Awaited) -> Self:
        """Return the name of a supervisor that `is_there` tells of; `awaited` are the changes."""
        self = cls(name)
        self._is_there, self._awaited = is_there, awaited
        return self

    async def _fauxtp_wait_registered(self, _: str, timeout: float | None) -> None:
        await give_way()
        self._in_time(await self._awaited.until("", self._is_there, timeout), timeout)

    def _fauxtp_wait_registered_blocking(self, _: str, timeout: float | None) -> None:
        self._in_time(self._awaited.until_blocking("", self._is_there, timeout), timeout)

    def _in_time(self, is_there: bool, timeout: float | None) -> None:
        if not is_there:
            name = str.__str__(self)
            raise ReceiveTimeout(f"no node has had a supervisor {name!r} within {timeout:g} s")


@final
class Hosts:
    """The hosts of one kind, as a node knows."""

    def __init__(self, node: Node, groups: Groups, prefix: str) -> None:
        self.group: str = group_of(prefix)
        self.nodes: tuple[str, ...] = ()
        self._groups = groups
        self._me = node.name
        self._awaited = Awaited(lambda: node.leaves)
        node.hub.on_fork.append(self._awaited.after_fork)
        self._shards = node.engine.shards
        self._plan: list[str] = []

    def refresh(self) -> bool:
        """Look who is a host now; return False if nothing has changed."""
        nodes = [there.peer.node for there in self._groups.elsewhere(self.group)]
        if self._groups.members_here(self.group):
            nodes.append(self._me)
        before, self.nodes = self.nodes, tuple(sorted(nodes))
        if self.nodes == before:
            return False
        self._plan = _plan(self.nodes, self._shards)
        self.wake()
        return True

    def wake(self) -> None:
        """Let who waits for a host look again."""
        self._awaited.wake_all()

    def any(self, name: str) -> AnyHost:
        """Return what is waited for by who wants a host; `name` is what it is called."""
        return AnyHost.of(name, self.nodes_are_there, self._awaited)

    def nodes_are_there(self) -> bool:
        """Return whether there is a host."""
        return bool(self.nodes)

    @property
    def share(self) -> int:
        """How many shards this node is to have."""
        return self._plan.count(self._me)

    def wanted(self, shard: int) -> str | None:
        """Return the node that is to have `shard`, or None if there is no host."""
        return self._plan[shard] if self._plan else None


def _plan(nodes: tuple[str, ...], shards: int) -> list[str]:
    if not nodes:
        return []
    best, plan = list(rank(nodes[0], shards)), [nodes[0]] * shards
    for node in nodes[1:]:
        for shard, value in enumerate(rank(node, shards)):
            if value > best[shard]:
                best[shard], plan[shard] = value, node
    return plan


async def keep_host(memberships: Memberships, group: str, supervisor: PID | str) -> None:
    """Let this node be a host while `supervisor` lives, and whenever it does again; for ever."""
    while True:
        pid = supervisor if isinstance(supervisor, PID) else await wait_registered(supervisor)
        if meet(pid) is not None:
            try:
                await memberships.join(group, pid)
            except (FauxtpError, TimeoutError):
                pass  # it has ended meanwhile, or is asked for again
            else:
                await wait_exit(pid)
                continue
        elif isinstance(supervisor, PID):
            return
        await anyio.sleep(AGAIN)
