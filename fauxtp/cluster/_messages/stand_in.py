"""What stands here for a process of another node."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, final

from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.calls import Call, Cast
from fauxtp._core.elsewhere import Elsewhere
from fauxtp._core.queue import no_process
from fauxtp.cluster._engines.engine import NoConnection
from fauxtp.cluster._nodes.peers import Peer
from fauxtp.cluster._wire.frames import packed
from fauxtp.registry import PID, Ref

if TYPE_CHECKING:
    from collections.abc import Callable

    from fauxtp.cluster._messages.ways import Ways

__all__ = ["StandIn"]


@final
class StandIn(Elsewhere):
    """Passes on to a peer what is asked of one of its processes.

    It is there as long as the PID, and so does not keep that.
    """

    __slots__ = ("_cast", "_encode", "_number", "_peer", "_send", "_send_soon", "_ways")

    def __init__(self, ways: Ways, peer: Peer, number: int) -> None:
        self._ways = ways
        self._encode = ways.post.wire.encode
        self._send_soon = ways.post.send_soon
        self._peer = peer
        self._number = number
        self._cast = packed("cast", number, b"")  # what all frames of these begin with
        self._send = packed("send", number, b"")

    @property
    def pid(self) -> PID:  # type: ignore[override]  # nobody sets it
        return self._ways.post.pids.elsewhere(self._peer, self._number)

    @property
    def closed_because(self) -> Callable[[Call], BaseException] | None:  # type: ignore[override]
        return no_process if self._peer.is_gone else None

    def deliver(self, message: Any) -> bool:
        if type(message) is not Cast or self._peer.is_gone:
            return super().deliver(message)
        frame = self._cast + self._encode(message.request)  # as most are
        self._send_soon(self._peer, self._number, frame, message)
        return True

    def pass_on(self, message: Any) -> None:
        head, content = self._send, message
        if type(message) is Cast:
            head, content = self._cast, message.request
        frame = head + self._encode(content)
        self._send_soon(self._peer, self._number, frame, message)

    def pass_on_call(self, call: Call, limit: float | None) -> None:
        content = self._ways.post.pack(call.request)
        call.take()  # nobody here knows whether it is, there
        send = partial(self._ways.calls_out.send, self._peer, self._number, call, limit, content)
        if not self._ways.post.node.hub.post(send):
            call.fail(NoConnection("the cluster was left"))

    def give_up(self, call: Call) -> bool:
        self._ways.post.node.hub.post(partial(self._ways.calls_out.give_up, call))
        return False

    def waited_for(self, call: Call) -> None:
        self._ways.circles.closed_here(call)

    def watch(self, ref: Ref, watcher: Callable[[PID, ExitReason], object]) -> bool:
        return self._ways.watches.begin(self._peer, self._number, self.pid, ref, watcher)

    def unwatch(self, ref: Ref) -> None:
        self._ways.watches.end(ref)

    def request_exit(self, reason: ExitReason) -> bool:
        if self._peer.is_gone:
            return False
        post = self._ways.post
        frame = "exit", self._number, post.packed_reason(reason)
        return post.node.hub.post(partial(post.try_to_send, self._peer, frame))

    def bind(self, process: Any) -> bool:
        return self._ways.links.begin(self._peer, self._number, self.pid, process)

    def unbind(self, process: Any) -> None:
        self._ways.links.end(self._peer, self._number, self.pid, process)
