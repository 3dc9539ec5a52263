"""What a node hears from others, and tells them: messages, calls, ends."""

from __future__ import annotations

from functools import partial
from typing import Any, final

from fauxtp._core.calls import Cast
from fauxtp._core.dead_letters import dead_letters
from fauxtp._messaging.exits import exit as exit_
from fauxtp.cluster._messages.calls_in import CallsIn
from fauxtp.cluster._messages.calls_out import CallsOut
from fauxtp.cluster._messages.circles import Circles
from fauxtp.cluster._messages.deliver import deliver_all
from fauxtp.cluster._messages.links import Links
from fauxtp.cluster._messages.post import Post
from fauxtp.cluster._messages.stand_in import StandIn
from fauxtp.cluster._messages.watches import Watches
from fauxtp.cluster._messages.ways import Ways
from fauxtp.cluster._nodes.node import Node
from fauxtp.cluster._nodes.peers import Peer
from fauxtp.cluster._nodes.pids import Pids, address
from fauxtp.cluster._nodes.refs import Refs
from fauxtp.cluster._wire.wire import Wire

__all__ = ["Messenger"]


@final
class Messenger:
    """All that passes between the processes of a node and those of its peers."""

    def __init__(self, node: Node) -> None:
        self.pids: Pids = Pids(node.peers, self._stand_in)
        refs = Refs(node.peers)
        wire = Wire(
            pack_pid=lambda pid: list(self.pids.address_of(pid)),
            unpack_pid=lambda came: self.pids.pid_at(address(came)),
            pack_ref=lambda ref: list(refs.address_of(ref)),
            unpack_ref=lambda came: refs.ref_at(address(came)),
        )
        self.post: Post = Post(node, self.pids, wire)
        self.calls_out: CallsOut = CallsOut(self.post)
        self.calls_in: CallsIn = CallsIn(self.post)
        self.watches: Watches = Watches(self.post)
        self.links: Links = Links(self.post)
        circles = Circles(self.post, self.calls_in, self.calls_out)
        self.ways: Ways = Ways(self.post, self.calls_out, self.watches, self.links, circles)
        self._dropped = 0
        self.post.handlers.update(
            send=partial(self._deliver, False),
            cast=partial(self._deliver, True),
            exit=self._exit,
            ask=self._ask,
        )
        node.on_begin.append(self.post.listen)
        node.hub.on_fork.append(self.pids.after_fork)
        node.on_snapshot.append(self._ask_all)
        node.on_beat.append(self._look_at_losses)

    def _stand_in(self, peer: Peer, number: int) -> StandIn:
        return StandIn(self.ways, peer, number)

    # Of theirs

    def _deliver(self, as_cast: bool, peer: Peer, number: int, *row: bytes) -> None:
        decode = self.post.wire.decode
        messages: list[Any] = []
        for content in row:
            try:
                message = decode(content)
            except Exception as error:
                self.post.node.malformed.note(f"a message of node {peer.node!r} ({error})")
            else:
                messages.append(Cast(message) if as_cast else message)
        if len(messages) > 1 and not self.post.node.may_act():  # any more, as that took a while
            return
        found = self.post.find(number)
        if found is not None:
            deliver_all(messages, found[1], found[2], self.post)
            return
        for message in messages:
            dead_letters.add(self.pids.here(number), message, "noproc")

    def _exit(self, peer: Peer, number: int, content: bytes) -> None:
        pid = self.pids.here(number)
        if pid is not None:
            exit_(pid, self.post.reason(content))

    # Of what may have been lost

    def _ask(self, peer: Peer) -> None:
        self.calls_out.ask_again(peer)
        self.watches.ask_again(peer)
        self.links.ask_again(peer)
        self.ways.circles.look_again()

    def _ask_all(self) -> None:
        """Ask for answers and ends anew, and let the others do so: the connection was away."""
        if self.post.node.may_act():
            for peer in list(self.post.node.peers.up.values()):
                if peer is not self.post.node.peers.own:
                    self._ask(peer)
                    self.post.try_to_send(peer, ("ask",))

    def _look_at_losses(self) -> None:
        dropped = self.post.node.engine.dropped
        if dropped != self._dropped:
            self._dropped = dropped
            self._ask_all()
