"""The shards of a node: taken when they are its own, and given up when they are another's.

Each is a key that is taken by a create, and given back by a delete that names its revision. Before
that, all that run in it have ended. So nobody is run by two nodes; but while a node whose lease is
over has yet to notice that: then it is in the middle of a message, at most.
"""

from __future__ import annotations

from functools import partial
from typing import Final, final

import anyio

from fauxtp._base.errors import FauxtpError
from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.logs import logger
from fauxtp._core.ended_loops import meet
from fauxtp._core.process import find_process
from fauxtp._core.succession import in_line
from fauxtp._messaging.exits import wait_exit
from fauxtp._supervision.children import SHUTDOWN, stop_all
from fauxtp.cluster._engines.engine import Entry
from fauxtp.cluster._groups.groups import Groups
from fauxtp.cluster._keys.shard_keys import ShardHolding, key_of, shard_holding
from fauxtp.cluster._nodes.key_owning import give_back, take
from fauxtp.cluster._nodes.node import FENCED, Node
from fauxtp.cluster._nodes.workers import Workers
from fauxtp.cluster._shards.shard_kind import Kind
from fauxtp.cluster._shards.shard_post import ShardPost
from fauxtp.cluster._shards.shard_table import ShardTable
from fauxtp.registry import PID

__all__ = ["ShardClaims"]

TAKEN_AT_ONCE: Final = 32
MOVED_AT_ONCE: Final = 8
AGAIN: Final = 0.5  # seconds
TO_BE_KILLED: Final = 1.0  # seconds, after which one that was killed holds up no other shard
TO_HAND_ON: Final = 1.0  # seconds, as a node leaves, for what waits until others have its shards
TO_HEAR: Final = 0.1  # seconds, as a node leaves, for what others had sent by then
SHARD_LOST: Final = ExitReason("shard lost", abnormal=True)

Shard = tuple[Kind, int]


@final
class ShardClaims:
    """What is done about the shards of one node, in the hub's thread."""

    def __init__(self, node: Node, table: ShardTable, post: ShardPost, groups: Groups) -> None:
        self._node = node
        self._table = table
        self._post = post
        self._busy: set[Shard] = set()
        self._moved: dict[Kind, list[int]] = {}  # how many were taken and given since it was told
        self._takers: Workers[Shard] = Workers(node.hub, TAKEN_AT_ONCE, self._take, self._tell)
        self._givers: Workers[Shard] = Workers(node.hub, MOVED_AT_ONCE, self._give, self._tell)
        table.on_change, table.on_change_of_all = self._changed, self._look_at_all
        node.on_beat.append(self._look_at_all)
        node.on_fence.append(self._fenced)
        node.farewells.append(self._give_all)
        groups.on_change.append(self._hosts_changed)
        groups.on_come.append(lambda group, _: self._hosts_changed(group, None))
        groups.on_go.append(lambda group, _, reason: self._hosts_changed(group, reason))

    # What is to be done

    def _hosts_changed(self, group: str | None, reason: ExitReason | None) -> None:
        for kind in list(self._post.kinds.values()):
            if group in {None, kind.hosts.group} and kind.hosts.refresh():
                self.look(kind)

    def _look_at_all(self) -> None:
        for kind in list(self._post.kinds.values()):
            self.look(kind)

    def look(self, kind: Kind) -> None:
        """Look at all shards of a kind, and at all that waits for them."""
        for shard in kind.shards:
            self._look_at(kind, shard)
        for shard in [*kind.handed, *kind.waiting]:
            self._post.flush(kind, shard)

    def _changed(self, prefix: str, shard: int) -> None:
        kind = self._post.kinds.get(prefix)
        if kind is not None:
            self._post.changed(kind, shard)
            owner = self._table.owner(prefix, shard)
            if owner is not None and owner.peer is not self._node.peers.own:
                self._lose(kind, shard)
            elif owner is not None:
                self._open(kind, shard)
            self._look_at(kind, shard)
            self._post.flush(kind, shard)

    def _look_at(self, kind: Kind, shard: int) -> None:
        """Let a shard be taken or given up, if it is not as it should be."""
        if (kind, shard) in self._busy or self._node.leaves or not self._node.may_act():
            return
        is_wanted = kind.hosts.wanted(shard) == self._node.name
        owner = self._table.owner(kind.prefix, shard)
        is_own = owner is not None and owner.peer is self._node.peers.own
        if shard in kind.had and owner is not None and not is_own:
            self._lose(kind, shard)
        elif is_wanted and shard not in kind.had and (owner is None or is_own):
            if not kind.is_running(shard):  # else they have yet to end, as they were lost
                self._takers.add((kind, shard))
        elif is_wanted and shard in kind.had and owner is None:
            self._takers.add((kind, shard))  # a server has lost that
        elif not is_wanted and (shard in kind.had or is_own):
            self._givers.add((kind, shard))

    # Taking

    async def _take(self, place: Shard) -> None:
        kind, shard = place
        self._busy.add(place)
        revision: int | None = 0
        try:
            if kind.hosts.wanted(shard) == self._node.name:
                key, value = key_of(kind.prefix, shard), self._value()
                revision = await take(self._node.engine, key, value, self._is_live)
                if revision:
                    await self._node.replica.seen(revision)
                    self._open(kind, shard)
        except (FauxtpError, TimeoutError):
            await anyio.sleep(AGAIN)
        finally:
            self._busy.discard(place)
        self._look_at(kind, shard)
        self._post.flush(kind, shard)

    def _value(self) -> bytes:
        own = self._node.peers.own
        return ShardHolding(own.node, own.incarnation).packed()

    async def _is_live(self, entry: Entry) -> bool:
        await self._node.replica.seen(entry.revision)  # by then, who holds it is known
        held = shard_holding(entry.value)
        return held is not None and self._node.peers.find(held.node, held.incarnation).is_up

    def _open(self, kind: Kind, shard: int) -> None:
        """Have a shard, if the table says so: first, what waits for it is delivered."""
        owner = self._table.owner(kind.prefix, shard)
        is_own = owner is not None and owner.peer is self._node.peers.own
        if shard in kind.had or shard in kind.yields or not is_own or not self._node.may_act():
            return
        if kind.is_running(shard):
            return
        if self._node.leaves or kind.hosts.wanted(shard) != self._node.name:
            return
        with in_line():
            kind.opening = shard
            try:
                self._post.flush(kind, shard)
            finally:
                kind.had.add(shard)
                kind.opening = None
        self._count(kind, 0)

    # Giving up

    async def _give(self, place: Shard) -> None:
        kind, shard = place
        if kind.hosts.wanted(shard) == self._node.name and shard in kind.had:
            return  # it was wanted elsewhere for a moment
        self._busy.add(place)
        try:
            await self._end(kind, shard)
        except BaseException:  # then it is given up anew, with the next heartbeat
            kind.yields.discard(shard)
            self._busy.discard(place)
            raise
        if kind.is_running(shard):  # one that cannot be killed: no other shard waits for it
            self._node.hub.start(partial(self._give_late, place))
        else:
            await self._release(place)

    async def _give_late(self, place: Shard) -> None:
        kind, shard = place
        while pids := self._to_end(kind, shard):
            for pid in pids:
                await wait_exit(pid)
        await self._release(place)

    async def _release(self, place: Shard) -> None:
        """Give a shard back in which nobody runs any more."""
        kind, shard = place
        try:
            await self._post.hand_over(kind, shard)
            await self._give_back(place)
        except (FauxtpError, TimeoutError):
            await anyio.sleep(AGAIN)
        finally:
            kind.yields.discard(shard)
            self._busy.discard(place)
        self._look_at(kind, shard)
        self._post.flush(kind, shard)

    async def _end(self, kind: Kind, shard: int) -> None:
        """Let nobody be started in a shard, and end who runs there, or kill them in the end."""
        with in_line():
            if shard in kind.had:
                self._count(kind, 1)
            kind.yields.add(shard)
            kind.had.discard(shard)
        with anyio.move_on_after(kind.supervised.spec.shutdown + TO_BE_KILLED):
            while pids := self._to_end(kind, shard):
                await self._stop(kind, pids)

    def _to_end(self, kind: Kind, shard: int) -> list[PID]:
        return [pid for pid in kind.running([shard]) if pid is not self._node.leaver]

    async def _stop(self, kind: Kind, pids: list[PID]) -> None:
        """End processes, as their supervisor does, and wait for that."""
        those = [process for process in map(find_process, pids) if process is not None]
        chiefs = [meet(process.supervisor) for process in those]
        chief = next((chief for chief in chiefs if chief is not None), None)
        if chief is not None:
            await stop_all(chief, dict.fromkeys(pids, kind.supervised.spec))
        for process in those:
            process.request_exit(SHUTDOWN)  # if there is no supervisor any more
            await wait_exit(process.pid)

    async def _give_back(self, place: Shard) -> None:
        kind, shard = place
        owner = self._table.find(kind.prefix, shard)
        if owner is not None and owner.peer is self._node.peers.own and self._node.may_act():
            await give_back(self._node, key_of(kind.prefix, shard), self._value(), owner.revision)

    def _lose(self, kind: Kind, shard: int) -> None:
        """End who runs in a shard that is another's now: they must not go on."""
        if shard not in kind.had:
            return
        with in_line():
            kind.had.discard(shard)
        logger().warning("node %r has lost shard %d of %r", self._node.name, shard, kind.prefix)
        self._end_at_once(kind, kind.running([shard]), SHARD_LOST)

    def _fenced(self) -> None:
        for kind in list(self._post.kinds.values()):
            with in_line():
                kind.had.clear()
            self._end_at_once(kind, kind.running(kind.shards), FENCED)

    def _end_at_once(self, kind: Kind, pids: list[PID], reason: ExitReason) -> None:
        """Ask for the end of those who may go on no longer, and kill them if that takes long."""
        for pid in pids:
            process = find_process(pid)
            if process is not None:
                process.request_exit(reason)
        if pids:
            self._node.hub.start(partial(self._see_out, kind, pids))

    async def _see_out(self, kind: Kind, pids: list[PID]) -> None:
        await self._stop(kind, pids)
        self.look(kind)  # as their shards can be had again

    async def _give_all(self) -> None:
        """End who runs in shards, and give those back, as the node leaves."""
        limiter = anyio.CapacityLimiter(TAKEN_AT_ONCE)
        kinds = list(self._post.kinds.values())
        async with anyio.create_task_group() as tasks:
            for kind in kinds:
                for shard in list(kind.had):
                    tasks.start_soon(self._leave_one, limiter, (kind, shard))
        while any(kind.yields for kind in kinds):
            await anyio.sleep(0.01)  # which were being given up by then
        with anyio.move_on_after(TO_HAND_ON):
            while any(len(kind.waiting) or len(kind.handed) for kind in kinds):
                await anyio.sleep(0.01)  # until another has what they are for
        if any(len(kind.hosts.nodes) for kind in kinds):
            await anyio.sleep(TO_HEAR)

    async def _leave_one(self, limiter: anyio.CapacityLimiter, place: Shard) -> None:
        kind, shard = place
        await self._end(kind, shard)
        try:
            async with limiter:
                await self._post.hand_over(kind, shard)
                await self._give_back(place)
        except (FauxtpError, TimeoutError):
            pass  # it ends with the lease
        finally:
            kind.yields.discard(shard)
            self._post.flush(kind, shard)

    # Telling

    def _count(self, kind: Kind, which: int) -> None:
        self._moved.setdefault(kind, [0, 0])[which] += 1

    def _tell(self) -> None:
        if not (self._takers.is_idle and self._givers.is_idle):
            return
        settled = [kind for kind in self._moved if len(kind.had) == kind.hosts.share]
        for kind in settled:
            taken, given = self._moved.pop(kind)
            logger().info(
                "node %r has %d of %d shards of %r: %d taken, %d given up",
                self._node.name,
                len(kind.had),
                len(kind.shards),
                kind.prefix,
                taken,
                given,
            )
