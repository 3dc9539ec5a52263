"""Processes of one kind that are spread over nodes: what one node knows of them, and starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol, final
from weakref import WeakValueDictionary

from fauxtp._base.exit_reason import CANCELLED, ExitReason
from fauxtp._core.calls import Call
from fauxtp._core.ended_loops import meet
from fauxtp._core.mailbox import places
from fauxtp._core.process import Process
from fauxtp._core.succession import bury_in_line, in_line
from fauxtp._messaging.addresses import find_pid
from fauxtp._supervision.on_demand_source import Supervised
from fauxtp.cluster._keys.shard_keys import shard_of
from fauxtp.cluster._messages.shard_address import Found, Moved, ShardedAddress
from fauxtp.cluster._nodes.node import Node
from fauxtp.cluster._nodes.peers import Peers
from fauxtp.cluster._shards.shard_hosts import Hosts
from fauxtp.cluster._shards.shard_waiting import Waiting
from fauxtp.errors import NoProcess, ProcessExited
from fauxtp.registry import PID, whereis

if TYPE_CHECKING:
    from fauxtp._core.elsewhere import Elsewhere

__all__ = ["Kind", "Way"]


LONGEST_KEY: Final = 1_000  # characters


class Way(Protocol):
    """How a message gets to where an address belongs."""

    def stand_in(self, pid: PID, address: ShardedAddress, /) -> Elsewhere: ...
    def hand_on(self, address: ShardedAddress, messages: list[Any], /) -> None: ...


@final
class Place:
    """Where the process is that an address means: on whichever node has its shard."""

    __slots__ = ("_address", "_way")

    def __init__(self, way: Way, address: ShardedAddress) -> None:
        self._way = way
        self._address = address

    def stand_in(self, pid: PID) -> Elsewhere:
        return self._way.stand_in(pid, self._address)


@final
class Kind:
    """All whose names begin with one prefix: the `Source` of those that are of this node.

    A shard of them is `had` by this node, or it `yields` as those in it are being ended, or it is
    neither. `opening` is one that is about to be had, for which messages wait: these come first.
    What decides whether somebody may be started changes in line only.
    """

    def __init__(self, supervised: Supervised, node: Node, hosts: Hosts, way: Way) -> None:
        self.supervised: Supervised = supervised
        self.prefix: str = supervised.prefix
        self.hosts: Hosts = hosts
        self.address: type[ShardedAddress] = type(
            "Address", (ShardedAddress,), {"__slots__": (), "source": self}
        )
        self._end: str = f"@{node.name}.{node.subjects.cluster}"  # of their names on this node
        self.shards: range = range(node.engine.shards)
        self.had: set[int] = set()
        self.yields: set[int] = set()
        self.opening: int | None = None
        self.waiting: Waiting = Waiting()  # this and the next in the hub's thread
        self.handed: Waiting = Waiting()  # to this node, for shards that it is to have
        self._peers: Peers = node.peers
        self._way = way
        self._running: dict[int, dict[PID, None]] = {}
        self._shards: dict[PID, int] = {}  # of those that run
        self._pids: WeakValueDictionary[str, PID] = WeakValueDictionary()

    def __repr__(self) -> str:
        return f"<Kind {self.prefix!r}: {len(self.had)} shards>"

    @property
    def supervisor(self) -> str:
        return self.hosts.any(str(self.supervised.supervisor))

    @property
    def is_hosted_here(self) -> bool:
        """Whether those of here can be started: their supervisor lives, and is to live on."""
        chief = meet(find_pid(self.supervised.supervisor))
        return chief is not None and chief.exit_request is None

    def address_of(self, key: str) -> ShardedAddress:
        """Return the address for `key`."""
        return self.address_by(self.prefix + key)

    def address_by(self, name: str) -> ShardedAddress:
        """Return the address for a prefix and a key.

        Raises `ValueError` if the key is too long.
        """
        if len(name) - len(self.prefix) > LONGEST_KEY:
            length = len(name) - len(self.prefix)
            raise ValueError(f"expected key to be at most {LONGEST_KEY} characters, got {length}")
        return self.address(name + self._end)

    def key_of(self, name: str, /) -> str:
        """Return for which key an address of that `name` is."""
        return name[len(self.prefix) : -len(self._end)]

    def shard_of(self, name: str) -> int:
        """Return in which shard the process is that an address of that `name` means."""
        return shard_of(self.key_of(name), len(self.shards))

    def is_running(self, shard: int) -> bool:
        """Return whether any of here are in a shard, though they may be about to end."""
        return shard in self._running

    def running(self, shards: Iterable[int]) -> list[PID]:
        """Return those of here that are in one of `shards`."""
        return [pid for shard in shards for pid in list(self._running.get(shard, ()))]

    # As a source

    def find(self, name: str, /) -> PID | None:
        pid = whereis(name)
        if pid is None or self._shards.get(pid) not in self.had or not self._peers.own.is_up:
            return None
        return pid

    def has(self, name: str, /) -> bool:
        return self._peers.own.is_up and self.shard_of(name) in self.had

    def may_start(self, name: str, /) -> bool:
        shard = self.shard_of(name)
        return (shard in self.had or shard == self.opening) and self.is_hosted_here

    def new_process(self, name: str, /) -> Process:
        if not self.may_start(name):
            raise Moved
        process = self.supervised.expected(self)
        shard = self.shard_of(name)
        self._running.setdefault(shard, {})[process.pid] = None
        self._shards[process.pid] = shard
        return process

    def drop(self, process: Process, /) -> None:
        shard = self._shards.pop(process.pid, None)
        if shard is not None:
            those = self._running[shard]
            del those[process.pid]
            if not those:
                del self._running[shard]

    def start(self, process: Process, name: str, on_the_spot: bool, /) -> None:
        self.supervised.start_for(self.key_of(name), process, name, on_the_spot)

    def bury(
        self, process: Process, reason: ExitReason, why: Callable[[Call], BaseException], /
    ) -> None:
        with in_line():
            moves = self._moves(process, reason)
            self.drop(process)
            bury_in_line(process, reason, why, self.address, moves=moves)

    def _moves(self, process: Process, reason: ExitReason) -> bool:
        """Return whether what lies in the mailbox of one that ends goes to another node."""
        why = process.exit_request if reason is process.killed else reason
        if process.actor is None and isinstance(reason.exception, NoProcess | ProcessExited):
            return True  # its supervisor has ended before it began with it
        stays = self._shards.get(process.pid) in self.had and self.is_hosted_here
        return not stays and (why is None or why is CANCELLED or not why.abnormal)

    def elsewhere(self, address: ShardedAddress, /) -> Found:
        name = address.name
        pid = self._pids.get(name)
        if pid is None:
            new = PID()
            places[new] = Place(self._way, address)
            pid = self._pids.setdefault(name, new)
        return pid, None, self._way.stand_in(pid, address)

    def hand_on(self, address: ShardedAddress, messages: list[Any], /) -> None:
        self._way.hand_on(address, messages)
