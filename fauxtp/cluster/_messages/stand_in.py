"""What stands here for a process of another node."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, final

from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.calls import Call, Cast
from fauxtp._core.dead_letters import dead_letters
from fauxtp._core.elsewhere import Elsewhere
from fauxtp._core.queue import no_process
from fauxtp.cluster._engines.engine import NoConnection
from fauxtp.cluster._nodes.peers import Peer
from fauxtp.registry import PID, Ref

if TYPE_CHECKING:
    from collections.abc import Callable

    from fauxtp.cluster._messages.ways import Ways

__all__ = ["StandIn"]


@final
class StandIn(Elsewhere):
    """Passes on to a peer what is asked of one of its processes. It is made anew each time."""

    __slots__ = ("_number", "_peer", "_ways")

    def __init__(self, pid: PID, ways: Ways, peer: Peer, number: int) -> None:
        super().__init__(pid)
        self._ways = ways
        self._peer = peer
        self._number = number
        if peer.is_gone:
            self.closed_because: Callable[[Call], BaseException] | None = no_process

    def pass_on(self, message: Any) -> None:
        post = self._ways.post
        kind, content = ("cast", message.request) if type(message) is Cast else ("send", message)
        frame = kind, self._number, post.pack(content)
        send = partial(post.send_message, self.pid, self._peer, frame, message)
        if not post.node.hub.post(send):
            dead_letters.add(self.pid, message, "noconnection")

    def pass_on_call(self, call: Call, limit: float | None) -> None:
        content = self._ways.post.pack(call.request)
        call.take()  # nobody here knows whether it is, there
        send = partial(self._ways.calls_out.send, self._peer, self._number, call, limit, content)
        if not self._ways.post.node.hub.post(send):
            call.fail(NoConnection("the cluster was left"))

    def give_up(self, call: Call) -> bool:
        self._ways.post.node.hub.post(partial(self._ways.calls_out.give_up, call))
        return False

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
