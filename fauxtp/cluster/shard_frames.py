"""What nodes tell each other's processes by their keys: read, and passed to who has the shard."""

from __future__ import annotations

from typing import Any, Final, final

from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.calls import Cast
from fauxtp._core.dead_letters import dead_letters
from fauxtp.cluster.frames import unpacked
from fauxtp.cluster.peers import Peer
from fauxtp.cluster.post import NOTHING, Post
from fauxtp.cluster.shard_address import Moved, ShardedAddress
from fauxtp.cluster.shard_letter import HANDED_OVER, Letter
from fauxtp.cluster.shard_post import ShardPost
from fauxtp.errors import NoProcess

__all__ = ["ShardFrames"]

KINDS: Final = frozenset({"call", "send", "cast", "watch"})
MOST_HOPS: Final = 8
NOBODY: Final = 0  # no process is known by that number


@final
class ShardFrames:
    """Hears what peers tell by keys, and tells it on as what they tell by numbers."""

    def __init__(self, post: Post, shard_post: ShardPost) -> None:
        self._post = post
        self._shard_post = shard_post
        post.handlers["keyed"] = self._keyed

    def _keyed(self, peer: Peer, hops: int, first: int, second: int, content: bytes) -> None:
        end = first + second
        try:
            prefix = content[:first].decode("utf-8", "surrogatepass")
            key = content[first:end].decode("utf-8", "surrogatepass")
            what, parts = unpacked(content[end:])
            if what not in KINDS or not key:
                raise ValueError(f"no {what!r} is for a key")
            kind = self._shard_post.kinds.get(prefix)
            address = None if kind is None else kind.address_of(key)
        except ValueError as error:
            self._post.node.malformed.note(f"a frame of node {peer.node!r} ({error})")
            return
        try:
            number = self._number(address)
        except Moved:
            self._not_here(peer, what, parts, address, hops)
        else:
            self._post.handlers[what](peer, number, *parts[1:])

    def _number(self, address: ShardedAddress | None) -> int:
        if address is None:
            raise Moved
        try:
            return self._post.pids.number_of(address.reach_here()[0])
        except NoProcess:
            return NOBODY

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
            content = self._post.packed_reason(ExitReason("noproc"))
            self._post.try_to_send(peer, ("down", parts[1], content))
        else:
            self._forward(peer, what, parts[1], address, hops + 1)

    def _forward(
        self, peer: Peer, what: str, content: bytes, address: ShardedAddress | None, hops: int
    ) -> None:
        try:
            message = self._post.wire.decode(content)
        except Exception as error:
            self._post.node.malformed.note(f"a message of node {peer.node!r} ({error})")
            return
        message = Cast(message) if what == "cast" else message
        if address is None or hops % HANDED_OVER > MOST_HOPS:
            dead_letters.add(None if address is None else address.name, message, "noproc")
            return
        kind: Any = address.source
        is_handed_over = hops > HANDED_OVER
        shard, hops = kind.shard_of(address.name), hops % HANDED_OVER
        letter = Letter(address, shard, message, content, hops=hops)
        if not (is_handed_over and self._shard_post.take_over(letter)):
            self._shard_post.dispatch(letter)
