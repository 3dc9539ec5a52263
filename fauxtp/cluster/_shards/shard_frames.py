"""What nodes tell each other's processes by their keys: read, and passed to who has the shard."""

from __future__ import annotations

from typing import Any, Final, final

from fauxtp._core.calls import Cast
from fauxtp._core.dead_letters import dead_letters
from fauxtp.cluster._messages.calls_in import CallsIn
from fauxtp.cluster._messages.deliver import deliver
from fauxtp.cluster._messages.post import NOTHING, Post
from fauxtp.cluster._messages.shard_address import Found, Moved, ShardedAddress
from fauxtp.cluster._messages.shard_letter import HANDED_OVER, Letter
from fauxtp.cluster._nodes.peers import Peer
from fauxtp.cluster._shards.shard_post import ShardPost
from fauxtp.cluster._wire.frames import unpacked
from fauxtp.errors import NoProcess

__all__ = ["ShardFrames"]

KINDS: Final = frozenset({"call", "send", "cast", "watch"})
MOST_HOPS: Final = 8
NOBODY: Final = 0  # no process is known by that number
NOTHING_READ: Final = object()


@final
class ShardFrames:
    """Hears what peers tell by keys, and tells it on as what they tell by numbers."""

    def __init__(self, post: Post, calls_in: CallsIn, shard_post: ShardPost) -> None:
        self._post = post
        self._calls_in = calls_in
        self._shard_post = shard_post
        post.handlers["keyed"] = self._keyed
        post.fenced_handlers["keyed"] = self._keyed_of_fenced

    def _keyed(self, peer: Peer, hops: int, first: int, second: int, content: bytes) -> None:
        read = self._read(peer, first, second, content)
        if read is None:
            return
        address, what, parts = read
        try:
            found = self._found(address)
        except Moved:
            self._not_here(peer, what, parts, address, hops)
        except Exception as error:  # nobody can be started, as something is not as it should be
            self._failed(peer, what, parts, address, error)
        else:
            self._tell(peer, what, parts, found)

    def _keyed_of_fenced(self, peer: Peer, _: int, *keyed: Any) -> None:
        read = self._read(peer, *keyed)
        if read is not None and read[1] == "call":
            self._post.tell_fenced(peer, read[2][1])

    def _read(
        self, peer: Peer, first: int, second: int, content: bytes
    ) -> tuple[ShardedAddress | None, str, tuple[Any, ...]] | None:
        """Return for whom a frame is, if that is known here, and what it says, if it is right."""
        end = first + second
        try:
            prefix = content[:first].decode("utf-8", "surrogatepass")
            key = content[first:end].decode("utf-8", "surrogatepass")
            what, parts = unpacked(content[end:])
            if what not in KINDS or not key:
                raise ValueError(f"no {what!r} is for a key")
            kind = self._shard_post.kinds.get(prefix)
            return None if kind is None else kind.address_of(key), what, parts
        except ValueError as error:
            self._post.node.malformed.note(f"a frame of node {peer.node!r} ({error})")
            return None

    def _found(self, address: ShardedAddress | None) -> Found | None:
        """Return who has an address, and is started if need be; None if nobody can be."""
        if address is None:
            raise Moved
        try:
            return address.reach_here()
        except NoProcess:
            return None

    def _tell(self, peer: Peer, what: str, parts: tuple[Any, ...], found: Found | None) -> None:
        if found is None or what == "watch":
            number = NOBODY if found is None else self._post.pids.number_of(found[0])
            self._post.handlers[what](peer, number, *parts[1:])
        elif what == "call":
            self._calls_in.take(peer, found, *parts[1:])
        else:
            message = self._message(peer, what, parts[1])
            if message is not NOTHING_READ:
                deliver(message, found[1], found[2], self._post)

    def _message(self, peer: Peer, what: str, content: bytes) -> Any:
        """Return what was sent or cast, or `NOTHING_READ` if it makes no sense."""
        try:
            message = self._post.wire.decode(content)
        except Exception as error:
            self._post.node.malformed.note(f"a message of node {peer.node!r} ({error})")
            return NOTHING_READ
        return Cast(message) if what == "cast" else message

    def _failed(
        self,
        peer: Peer,
        what: str,
        parts: tuple[Any, ...],
        address: ShardedAddress | None,
        error: Exception,
    ) -> None:
        if what == "call":
            content = self._post.packed_error(error)
            self._post.try_to_send(peer, ("answer", parts[1], "error", False, content))
        elif what == "watch":
            self._post.handlers[what](peer, NOBODY, *parts[1:])
        else:
            dead_letters.add(None if address is None else address.name, parts[1], "noproc")

    def _not_here(
        self,
        peer: Peer,
        what: str,
        parts: tuple[Any, ...],
        address: ShardedAddress | None,
        hops: int,
    ) -> None:
        if what == "call":
            self._post.try_to_send(peer, ("answer", parts[1], "moved", False, NOTHING))
        elif what == "watch":
            self._post.handlers[what](peer, NOBODY, *parts[1:])
        else:
            self._forward(peer, what, parts[1], address, hops)

    def _forward(
        self, peer: Peer, what: str, content: bytes, address: ShardedAddress | None, hops: int
    ) -> None:
        message = self._message(peer, what, content)
        if message is NOTHING_READ:
            return
        if address is None or hops % HANDED_OVER >= MOST_HOPS:
            dead_letters.add(None if address is None else address.name, message, "noproc")
            return
        kind: Any = address.source
        shard = kind.shard_of(address.name)
        letter = Letter(address, shard, message, content, hops=hops % HANDED_OVER + 1)
        if not (hops >= HANDED_OVER and self._shard_post.take_over(letter)):
            self._shard_post.dispatch(letter)
