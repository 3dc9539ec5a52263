"""The names that processes of a node have: taken, kept, lost and given back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple, final

import anyio

from fauxtp._base.errors import FauxtpError
from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.logs import logger
from fauxtp._core.ended_loops import meet
from fauxtp._core.process import Process
from fauxtp._messaging.exits import wait_exit
from fauxtp.cluster._engines.engine import Entry, NoConnection
from fauxtp.cluster._keys.name_keys import Holding, holding, key_of
from fauxtp.cluster._names.holders import Holder
from fauxtp.cluster._names.names import Names
from fauxtp.cluster._nodes.ends import Ends, is_alive_here
from fauxtp.cluster._nodes.key_owning import TRIES, give_back, take
from fauxtp.cluster._nodes.key_turns import Turns
from fauxtp.cluster._nodes.node import FENCED, Node
from fauxtp.cluster._nodes.pids import Pids
from fauxtp.errors import NoProcess
from fauxtp.registry import PID

__all__ = ["Claims", "was_ended"]

LEFT: Final = ExitReason("left")
NAME_LOST: Final = ExitReason("name lost", abnormal=True)
AGAIN: Final = 0.5  # seconds


def was_ended(process: Process) -> bool:
    """Return whether a process has ended as its name was lost, whatever others call their reasons.

    One that was killed as that took too long is one of them, too.
    """
    reason = process.exit_request if process.reason is process.killed else process.reason
    return any(reason is why for why in (FENCED, LEFT, NAME_LOST))


class _Owned(NamedTuple):
    pid: PID
    held: Holding
    revision: int


@final
class Claims:
    """What is done about the names of this node's own processes, in the hub's thread."""

    def __init__(self, node: Node, pids: Pids, names: Names) -> None:
        self._node = node
        self._pids = pids
        self._names = names
        self._owned: dict[str, _Owned] = {}
        self._of: dict[PID, set[str]] = {}
        self._ends = Ends(node.hub, self._has_ended)
        self._busy = Turns()  # names that are being taken or given back
        self._again: set[str] = set()  # names that are being taken once more
        self._strays: set[str] = set()  # names of this node, perhaps, that nobody here has
        names.on_change = self._changed
        names.on_all = self._look_at_all
        node.on_fence.append(self._fenced)
        node.on_beat.append(self._reconcile)
        node.on_snapshot.append(self._reconcile_all)
        node.farewells.append(self._release_all)

    # Taking

    async def register(self, name: str, pid: PID) -> bool:
        """Take `name` for `pid`, of here; return False if somebody has it."""
        return await self._busy_with(name, partial(self._register, name, pid))

    async def claim(self, name: str, pid: PID) -> bool:
        """Do as `register`; while there is no connection, wait."""
        while True:
            try:
                return await self.register(name, pid)
            except (NoConnection, TimeoutError):
                if self._node.leaves:
                    raise
            await anyio.sleep(AGAIN)

    async def _busy_with(self, name: str, do: Callable[[], Awaitable[bool]]) -> bool:
        look_at: Callable[[str], None] = self._look_at
        try:
            async with self._busy.of(name):
                return await do()
        except BaseException:
            look_at = self._strays.add  # at the next heartbeat: at once it would fail again
            raise
        finally:
            if name not in self._busy:
                self._changed(name, self._names.find(name), 0)  # what came meanwhile
                look_at(name)

    async def _register(self, name: str, pid: PID) -> bool:
        for _ in range(TRIES):
            await self._node.leased()
            if not is_alive_here(pid):
                raise NoProcess(pid)
            owned = self._owned.get(name)
            if owned is not None and owned.pid is not pid and is_alive_here(owned.pid):
                return False  # even if a server has lost that: it is about to be taken again
            own = self._node.peers.own
            held = Holding(own.node, own.incarnation, self._pids.number_of(pid))
            revision = await take(self._node.engine, key_of(name), held.packed(), self._is_live)
            if revision is None:
                return False
            if not revision:
                continue  # somebody was quicker, and may have let go of it
            await self._node.replica.seen(revision)
            found = self._names.find(name)
            if found is not None and found.holding == held and self._is_own(found):
                self._own(name, _Owned(pid, held, found.revision))
                return True
        raise TimeoutError(f"{name!r} changes hands too quickly")

    def _is_own(self, holder: Holder) -> bool:
        """Return whether it is of this node as it is now: it may have been fenced meanwhile."""
        return self._node.may_act() and holder.peer is self._node.peers.own

    async def _is_live(self, entry: Entry) -> bool:
        await self._node.replica.seen(entry.revision)  # by then, who holds it is known
        held = holding(entry.value)
        if held is None:
            return False
        peer = self._node.peers.find(held.node, held.incarnation)
        if peer is not self._node.peers.own:
            return peer.is_up
        pid = self._pids.here(held.number)
        return pid is not None and is_alive_here(pid)

    def _own(self, name: str, owned: _Owned) -> None:
        self._disown(name)
        self._owned[name] = owned
        names = self._of.get(owned.pid)
        if names is None:
            self._of[owned.pid] = names = set()
            self._ends.watch(owned.pid)
        names.add(name)
        if not is_alive_here(owned.pid):
            self._forget(owned.pid)

    # Giving back

    async def unregister(self, name: str) -> bool:
        """Give `name` back; return False if no process of here has it."""
        if name not in self._owned:
            return False
        return await self._busy_with(name, partial(self._unregister, name))

    async def _unregister(self, name: str) -> bool:
        owned = self._disown(name)
        return owned is not None and await self._release(name, owned)

    def _disown(self, name: str) -> _Owned | None:
        owned = self._owned.pop(name, None)
        if owned is not None:
            names = self._of.get(owned.pid, set())
            names.discard(name)
            if not names:
                self._of.pop(owned.pid, None)
                self._ends.watch_no_more(owned.pid)
        return owned

    async def _release(self, name: str, owned: _Owned) -> bool:
        if name in self._owned:
            return False  # it was taken again meanwhile
        await give_back(self._node, key_of(name), owned.held.packed(), owned.revision)
        return True

    def _has_ended(self, pid: PID, _: ExitReason | None) -> None:
        self._forget(pid)

    def _forget(self, pid: PID) -> None:
        for name in self._of.pop(pid, ()):
            self._disown(name)
            self._look_at(name)

    async def _release_all(self) -> None:
        """End who has a name, and give it back when that has ended: others can take it then."""
        for owned in list(self._owned.values()):
            self._end(owned.pid, LEFT)
        for name in list(self._owned):
            self._names.wake(name)  # whoever sees to it that its end takes no longer than it may
        async with anyio.create_task_group() as group:
            for name, owned in list(self._owned.items()):
                group.start_soon(self._release_when_ended, name, owned)

    async def _release_when_ended(self, name: str, owned: _Owned) -> None:
        if owned.pid is not self._node.leaver:  # who leaves there cannot end before it has left
            await wait_exit(owned.pid)
        self._disown(name)
        await self._try_to_release(name, owned)

    async def token(self, name: str) -> int | None:
        """Return the revision by which a process of here has `name`, as the server has it."""
        owned = self._owned.get(name)
        if owned is None:
            return None
        entry = await self._node.engine.read(key_of(name))
        if entry is None or entry.value != owned.held.packed() or not self._node.may_act():
            return None
        return entry.revision

    async def _try_to_release(self, name: str, owned: _Owned) -> None:
        with suppress(FauxtpError, TimeoutError):  # it is tried again, or ends with the lease
            await self._busy_with(name, partial(self._release, name, owned))

    # Keeping

    def _look_at_all(self) -> None:
        """Hear that all names were told anew."""
        for name in list(self._owned):
            holder = self._names.find(name)
            self._changed(name, holder, 0 if holder is None else holder.revision)

    def _changed(self, name: str, holder: Holder | None, revision: int) -> None:
        """Hear that somebody else has a name now, or nobody."""
        owned = self._owned.get(name)
        if name in self._busy:
            return
        if owned is None:
            if holder is not None and holder.peer is self._node.peers.own:
                self._strays.add(name)
            return
        if holder is not None and holder.holding == owned.held:
            self._owned[name] = owned._replace(revision=holder.revision)
        elif holder is not None and holder.peer.is_up:
            self._lose(name, owned, NAME_LOST)
        elif name not in self._again:
            self._again.add(name)
            self._node.hub.start(partial(self._claim_again, name, owned))

    async def _claim_again(self, name: str, owned: _Owned) -> None:
        """Take a name that was lost on the way, as a server may lose writes; or lose it."""
        try:
            while self._owned.get(name) == owned and not self._node.leaves:
                try:
                    await self._busy_with(name, partial(self._retake, name, owned))
                    return
                except NoProcess:
                    return
                except (FauxtpError, TimeoutError):
                    await anyio.sleep(AGAIN)
        finally:
            self._again.discard(name)

    async def _retake(self, name: str, owned: _Owned) -> bool:
        if self._owned.get(name) != owned:
            return False  # it was given back meanwhile, or is another's
        if await self._register(name, owned.pid):
            return True
        if self._owned.get(name) == owned:
            self._lose(name, owned, NAME_LOST)
        return False

    def _lose(self, name: str, owned: _Owned, reason: ExitReason) -> None:
        """End a process whose name is another's now: it must not go on as if it had it."""
        self._disown(name)
        if self._end(owned.pid, reason):
            logger().warning("%r has lost the name %r, and is ended", owned.pid, name)
            self._names.wake(name)

    def _end(self, pid: PID, reason: ExitReason) -> bool:
        process = meet(pid)
        return process is not None and process.request_exit(reason)

    def _fenced(self) -> None:
        for name, owned in list(self._owned.items()):
            self._lose(name, owned, FENCED)

    def _reconcile(self) -> None:
        """Give back what nobody here has any more, should that have failed."""
        self._ends.look()
        strays, self._strays = self._strays, set()
        for name in strays:
            self._look_at(name)

    def _reconcile_all(self) -> None:
        """Do so, as all names were told anew."""
        names = self._names.holders.names_of(self._node.peers.own)
        self._strays.update(name for name in names if name not in self._owned)
        self._reconcile()

    def _look_at(self, name: str) -> None:
        """Give `name` back if the table has it for this node, and no process of here does."""
        holder, own = self._names.find(name), self._node.peers.own
        if holder is None or holder.peer is not own or name in self._owned or name in self._busy:
            return  # who is busy with it looks at it in the end
        pid = self._pids.here(holder.number) or PID()
        owned = _Owned(pid, holder.holding, holder.revision)
        self._node.hub.start(partial(self._try_to_release, name, owned))
