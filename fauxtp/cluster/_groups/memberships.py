"""The groups that processes of a node are in: told to the others, and kept told.

What is true is what is here, and the key of each group is made to say so: at a change, after a
fence, and whenever it is heard to say something else. One writes a key at a time; whoever joins
meanwhile is in the next write, with all others who wait for that.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Final, final

import anyio

from fauxtp._base.errors import FauxtpError
from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.tell_all import tell_all
from fauxtp.cluster._engines.engine import Entry, NoConnection, Superseded, Taken
from fauxtp.cluster._groups.groups import Groups, There
from fauxtp.cluster._keys.group_keys import Membership, key_of
from fauxtp.cluster._nodes.ends import Ends, is_alive_here
from fauxtp.cluster._nodes.key_turns import Turns
from fauxtp.cluster._nodes.node import Node
from fauxtp.cluster._nodes.peers import Peer
from fauxtp.cluster._nodes.pids import Pids
from fauxtp.errors import NoProcess
from fauxtp.registry import PID

__all__ = ["Memberships"]

TTL: Final = 3600  # seconds for which a key outlasts its node, which nobody else may delete
AGAIN: Final = 0.5  # seconds
TRIES: Final = 20  # to write a key that changes meanwhile
AT_ONCE: Final = 32  # keys that are written for nobody who waits


class _Place:
    """One membership: whoever joins later, after a leave, has another."""

    __slots__ = ("relied_on",)

    def __init__(self) -> None:
        self.relied_on: int = 0  # by so many who were told of it, or wait to be told


@final
class _Numbers:
    """Who is in a group, as its key says it."""

    __slots__ = ("size", "text")

    def __init__(self) -> None:
        self.text: bytes | None = b""  # None if it is to be made anew
        self.size: int = 0

    def add(self, number: bytes) -> None:
        self.size += len(number)
        if self.text is not None:
            self.text += number

    def remove(self, number: bytes) -> None:
        self.size -= len(number)
        self.text = None  # made once for all who go until then


@final
class Memberships:
    """What is done about the groups of this node's own processes, in the hub's thread."""

    def __init__(self, node: Node, pids: Pids, groups: Groups) -> None:
        self._node = node
        self._pids = pids
        self._groups = groups
        self._of: dict[PID, dict[str, _Place]] = {}
        self._said: dict[str, _Numbers] = {}
        self._ends = Ends(node.hub, self._forget)
        self._busy = Turns()  # groups whose keys are being written
        self._marked: set[str] = set()  # groups whose keys are about to be
        self._limiter: anyio.CapacityLimiter | None = None  # made in the hub's loop
        self._written: dict[str, float] = {}  # when each key was written last
        groups.on_own = self._look_at
        node.peers.on_up.append(self._up)
        node.on_beat.append(self._reconcile)
        node.farewells.insert(0, self._leave_all)  # the end of a process may take longer

    async def join(self, group: str, pid: PID) -> bool:
        """Let `pid`, of here, be in `group`; return False if it is already."""
        await self._node.leased()
        if not is_alive_here(pid):
            raise NoProcess(pid)
        place = self._of.get(pid, {}).get(group)
        is_new = place is None
        if place is None:
            self._check_room(group, pid)
            place = self._add(group, pid)
        place.relied_on += 1
        try:
            await self._until_written(group)
        except BaseException:
            place.relied_on -= 1
            if not place.relied_on and self._of.get(pid, {}).get(group) is place:
                self._remove(group, pid, None)
            raise
        if not is_alive_here(pid):
            raise NoProcess(pid)
        return is_new

    async def leave(self, group: str, pid: PID) -> bool:
        """Let `pid` be in `group` no longer; return False if it is not."""
        return self._remove(group, pid, None)

    def _check_room(self, group: str, pid: PID) -> None:
        room = self._node.engine.max_payload - 256
        said, there = self._said.get(group), len(self._groups.here.get(group, ()))
        if (0 if said is None else said.size) + len(self._number(pid)) > room:
            raise ValueError(f"expected group {group!r} to have at most {there} members here")

    def _number(self, pid: PID) -> bytes:
        return f" {self._pids.number_of(pid)}".encode()

    def _add(self, group: str, pid: PID) -> _Place:
        groups = self._of.get(pid)
        if groups is None:
            self._of[pid] = groups = {}
            self._ends.watch(pid)
        groups[group] = place = _Place()
        self._groups.here.setdefault(group, {})[pid] = None
        self._said.setdefault(group, _Numbers()).add(self._number(pid))
        tell_all(self._groups.on_come, group, pid)
        if not is_alive_here(pid):
            self._forget(pid, None)
        return place

    def _remove(self, group: str, pid: PID, reason: ExitReason | None) -> bool:
        groups = self._of.get(pid, {})
        if group not in groups:
            return False
        del groups[group]
        if not groups:
            del self._of[pid]
            self._ends.watch_no_more(pid)
        here = self._groups.here[group]
        del here[pid]
        self._said[group].remove(self._number(pid))
        if not here:
            del self._groups.here[group], self._said[group]
        tell_all(self._groups.on_go, group, pid, reason)
        if group not in self._busy and self._node.may_act() and not self._node.leaves:
            self._mark(group)
        return True

    # Ends

    def _forget(self, pid: PID, reason: ExitReason | None) -> None:
        for group in list(self._of.get(pid, ())):
            self._remove(group, pid, reason)

    # Writing

    def _wanted(self, group: str) -> bytes | None:
        """Return what the key of `group` has to say, or None if it is not to be there."""
        said = self._said.get(group)
        if self._node.leaves or said is None:
            return None
        if said.text is None:
            said.text = b"".join(map(self._number, self._groups.here[group]))
        return Membership(self._node.peers.own.incarnation, ()).packed() + said.text

    def _is_right(self, group: str, there: There | Entry | None) -> bool:
        return (None if there is None else there.value) == self._wanted(group)

    def _look_at(self, group: str) -> None:
        """Write the key of `group` if it does not say what it should."""
        if group in self._busy or group in self._marked:
            return
        if not self._node.may_act() or self._node.leaves:
            return
        there = self._groups.own_keys.get(group)
        if not self._is_right(group, there) or (there and self._is_old(group)):
            self._mark(group)

    def _mark(self, group: str) -> None:
        """Let the key of `group` be written: once, whatever changes until then."""
        if group not in self._marked:
            self._marked.add(group)
            self._node.hub.start(partial(self._try_to_write, group))

    def _is_old(self, group: str) -> bool:
        return self._node.hub.time() - self._written.get(group, -TTL) > TTL / 2

    async def _until_written(self, group: str) -> None:
        while True:
            await self._node.leased()
            try:
                await self._in_turn(group)
                return
            except (NoConnection, TimeoutError):
                if self._node.leaves:
                    raise
            await anyio.sleep(AGAIN)

    async def _try_to_write(self, group: str) -> None:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(AT_ONCE)
        try:
            async with self._limiter:
                self._marked.discard(group)
                await self._in_turn(group)
        except (FauxtpError, TimeoutError):
            pass  # it is looked at again with the next heartbeat, or snapshot

    async def _in_turn(self, group: str) -> None:
        async with self._busy.of(group):
            await self._write(group)
        if group not in self._busy:
            self._look_at(group)  # what has changed meanwhile was left to who wrote it

    async def _write(self, group: str) -> None:
        key = key_of(group, self._node.name)
        there: There | Entry | None = self._groups.own_keys.get(group)
        for _ in range(TRIES):
            if not self._node.may_act():
                raise NoConnection("this node has no lease")
            if self._is_right(group, there) and not (there and self._is_old(group)):
                return
            sent = self._node.hub.time()
            try:
                revision = await self._try(key, self._wanted(group), there)
            except (Taken, Superseded, TimeoutError):
                there = await self._node.engine.read(key)
                if there is not None and self._is_right(group, there):
                    self._written[group] = sent  # the answer was lost
                    await self._node.replica.seen(there.revision)
                continue
            self._written[group] = sent
            await self._node.replica.seen(revision)
            return
        raise TimeoutError(f"the key {key!r} changes too quickly")

    async def _try(self, key: str, wanted: bytes | None, there: There | Entry | None) -> int:
        engine = self._node.engine
        if there is None:
            assert wanted is not None  # else it would be right
            return await engine.create(key, wanted, ttl=TTL)
        if wanted is None:
            return await engine.delete(key, there.revision)
        return await engine.update(key, wanted, there.revision, ttl=TTL)

    # Keeping

    def _up(self, peer: Peer) -> None:
        if peer is self._node.peers.own:
            self._node.hub.start(self._begin)

    async def _begin(self) -> None:
        """Tell in which groups this node is as who it is now."""
        with suppress(NoConnection):  # it was left before that
            await self._node.leased()
        for group in self._groups.own():
            self._look_at(group)

    def _reconcile(self) -> None:
        self._ends.look()
        own = self._groups.own()
        for group in own:
            self._look_at(group)
        for group in self._written.keys() - set(own):
            del self._written[group]

    async def _leave_all(self) -> None:
        """Take all keys away, as the node leaves."""
        for pid in list(self._of):
            self._ends.watch_no_more(pid)
        async with anyio.create_task_group() as tasks:
            for group in self._groups.own():
                tasks.start_soon(self._try_to_write, group)
