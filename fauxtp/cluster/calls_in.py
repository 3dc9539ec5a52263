"""Calls from processes of other nodes, until they are answered or given up."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, final

from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.calls import Call
from fauxtp._messaging.outcome import withdraw
from fauxtp.cluster.deliver import deliver
from fauxtp.cluster.peers import Peer
from fauxtp.cluster.post import NOTHING, Post
from fauxtp.errors import NoProcess, ProcessExited

__all__ = ["CallsIn"]


@final
class CallsIn:
    """Those of peers that processes of here have yet to answer."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._known: dict[tuple[Peer, int], tuple[Call, float]] = {}
        post.handlers["call"] = self._call
        post.handlers["cancel"] = self._cancel
        post.node.peers.on_gone.append(self._gone)
        post.node.on_beat.append(self._look_at_time)

    def _call(
        self, peer: Peer, number: int, which: int, limit: float | None, by: int, content: bytes
    ) -> None:
        found = self._post.find(number)
        if found is None:
            self._post.try_to_send(peer, ("answer", which, "noproc", False, NOTHING))
            return
        pid, process, mailbox = found
        try:
            request = self._post.wire.decode(content)
        except Exception as error:
            self._post.try_to_send(peer, ("answer", which, "error", False, self._error(error)))
            return
        caller = self._post.pids.elsewhere(peer, by) if by else None
        call = Call(request, pid, caller)
        call.wake = partial(self._answered, peer, which, call)
        due = math.inf if limit is None else self._post.node.hub.time() + limit
        self._known[peer, which] = call, due
        deliver(call, process, mailbox, self._post)

    def _answered(self, peer: Peer, which: int, call: Call) -> None:
        """Pack the answer, in the thread of who gave it, and send it."""
        frame = ("answer", which, *self._outcome(call))
        self._post.node.hub.post(partial(self._send, peer, which, frame))

    def _send(self, peer: Peer, which: int, frame: tuple[Any, ...]) -> None:
        if self._known.pop((peer, which), None) is not None:
            self._post.try_to_send(peer, frame)

    def _outcome(self, call: Call) -> tuple[str, bool, bytes]:
        try:
            return "ok", True, self._post.pack(call.result())
        except BaseException as error:
            if isinstance(error, NoProcess) and error.to is call.target:
                return "noproc", False, NOTHING
            if isinstance(error, ProcessExited) and error.pid is call.target:
                return "exited", error.taken_up, self._post.packed_reason(error.reason)
            if isinstance(error, Exception):
                return "error", True, self._error(error)
            return "exited", True, self._post.packed_reason(ExitReason.error(error))

    def _error(self, error: Exception) -> bytes:
        try:
            return self._post.pack(error)
        except Exception:
            return self._post.pack(RuntimeError(f"{type(error).__name__}, which cannot travel"))

    def _cancel(self, peer: Peer, which: int) -> None:
        known = self._known.pop((peer, which), None)
        if known is not None and known[0].give_up():
            withdraw(known[0])

    def _gone(self, peer: Peer, reason: ExitReason) -> None:
        for known, which in [key for key in self._known if key[0] is peer]:
            self._cancel(known, which)

    def _look_at_time(self) -> None:
        """Give up what nobody waits for any more, should that not have been told."""
        now = self._post.node.hub.time()
        for (peer, which), (_, due) in list(self._known.items()):
            if due <= now:
                self._cancel(peer, which)
