"""Calls from processes of other nodes, until they are answered or given up."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Final, final

from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.logs import logger
from fauxtp._base.texts import label
from fauxtp._core.calls import Call
from fauxtp._core.crash_log import who
from fauxtp._core.process import find_process
from fauxtp._core.wait_for_room import LeftInLine
from fauxtp._messaging.outcome import withdraw
from fauxtp.cluster._messages.deliver import deliver
from fauxtp.cluster._messages.on_the_spot import handle
from fauxtp.cluster._messages.post import NOTHING, Found, Post
from fauxtp.cluster._messages.shard_address import Moved
from fauxtp.cluster._nodes.peers import NO_CONNECTION, Peer
from fauxtp.errors import NoProcess, ProcessExited

__all__ = ["CallsIn"]


MOST_OWED: Final = 100_000  # calls of one node that wait for answers
_Outcome = tuple[str, bool, bytes]  # as in the frame of an answer


@final
class _Known:
    """A call that is yet to be answered; and who waits for its answer, as far as it knows."""

    __slots__ = ("call", "calls_in", "due", "peer", "place", "which")

    def __init__(self, calls_in: CallsIn, peer: Peer, which: int, call: Call, due: float) -> None:
        self.calls_in: CallsIn = calls_in
        self.peer: Peer = peer
        self.which: int = which
        self.call: Call = call
        self.due: float = due  # when nobody waits any more
        self.place: LeftInLine | None = None  # if there was no room in the mailbox

    def wake(self) -> None:
        self.calls_in.answered(self)

    wake_at_once = wake  # as it gives no turn


@final
class CallsIn:
    """Those of peers that processes of here have yet to answer."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._known: dict[tuple[Peer, int], _Known] = {}
        self._unsent: dict[tuple[Peer, int], _Outcome] = {}  # as the connection was away
        self.on_blocked: Callable[[Peer, int], object] = lambda *_: None
        """Called with what comes from a process to one that waits for somebody."""
        post.handlers.update(call=self._call, cancel=self._cancel, asked=self._asked)
        post.fenced_handlers["call"] = self._call_of_fenced
        post.node.peers.on_gone.append(self._gone)
        post.node.on_beat.append(self._look_at_time)
        post.node.on_snapshot.append(self._send_unsent)
        post.node.on_fence.append(self._fenced)

    def _call(self, peer: Peer, number: int, which: int, *rest: Any) -> None:
        found = self._post.find(number)
        if found is None:
            self._answer(peer, which, ("noproc", False, NOTHING))
        else:
            self.take(peer, found, which, *rest)

    def take(
        self, peer: Peer, found: Found, which: int, limit: float | None, by: int, content: bytes
    ) -> None:
        """Put a call into the mailbox of who was found for it, and see to its answer."""
        if peer.owed >= MOST_OWED or (peer, which) in self._known:
            self._answer(peer, which, ("full", False, NOTHING))
            return
        pid, process, mailbox = found
        try:
            request = self._post.wire.decode(content)
        except Exception as error:
            self._answer(peer, which, ("error", False, self._post.packed_error(error)))
            return
        caller = self._post.pids.elsewhere(peer, by) if by else None
        call = Call(request, pid, caller)
        due = math.inf if limit is None else self._post.node.hub.time() + limit
        self._known[peer, which] = known = _Known(self, peer, which, call, due)
        call.wake = known.wake
        peer.owed += 1
        if process is None or not self._post.is_alone or not handle(process, call):
            known.place = deliver(call, process, mailbox, self._post)
            if process is not None and process.waiting_for is not None and by:
                self.on_blocked(peer, which)
        elif call.settled:
            self.answered(known)  # else it is told when it is

    def _call_of_fenced(self, peer: Peer, _: int, which: int, *__: object) -> None:
        self._post.tell_fenced(peer, which)

    def answered(self, known: _Known) -> None:
        """Pack the answer, in the thread of who gave it, and send it."""
        if known.place is not None:
            known.place.leave()  # if it has failed there
        outcome = self._outcome(known.call)
        self._post.node.hub.post(partial(self._settle, known.peer, known.which, outcome))

    def _settle(self, peer: Peer, which: int, outcome: _Outcome) -> None:
        if self._forget(peer, which) is not None and self._post.node.may_act():
            self._answer(peer, which, outcome)

    def _forget(self, peer: Peer, which: int) -> _Known | None:
        known = self._known.pop((peer, which), None)
        if known is not None:
            peer.owed -= 1
        return known

    def _answer(self, peer: Peer, which: int, outcome: _Outcome) -> None:
        if not self._post.try_to_send(peer, ("answer", which, *outcome)):
            self._unsent[peer, which] = outcome

    def _send_unsent(self) -> None:
        """Send what could not be sent, as the connection is back."""
        unsent, self._unsent = self._unsent, {}
        for (peer, which), outcome in unsent.items():
            self._answer(peer, which, outcome)

    def _asked(self, peer: Peer, which: int) -> None:
        """Tell whose answer was lost, or whose call, that nobody knows what became of it."""
        if (peer, which) not in self._known and (peer, which) not in self._unsent:
            reason = self._post.packed_reason(NO_CONNECTION)
            self._answer(peer, which, ("exited", True, reason))

    def _outcome(self, call: Call) -> _Outcome:
        try:
            answer = call.result()
        except Moved:
            return "moved", False, NOTHING
        except BaseException as error:
            if isinstance(error, NoProcess) and error.to is call.target:
                return "noproc", False, NOTHING
            if isinstance(error, ProcessExited) and error.pid is call.target:
                return "exited", error.taken_up, self._post.packed_reason(error.reason)
            if isinstance(error, Exception):
                return "error", True, self._post.packed_error(error)
            return "exited", True, self._post.packed_reason(ExitReason.error(error))
        return self._packed(call, answer)

    def _packed(self, call: Call, answer: Any) -> _Outcome:
        """Return an answer as it travels; else an error that its caller takes for no own one."""
        try:
            return "ok", True, self._post.pack(answer)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            process, request = find_process(call.target), label(call.request)
            called = repr(call.target) if process is None else who(process)
            logger().warning("an answer of %s, to %s, cannot be sent: %s", called, request, error)
            text = f"the request was done, and its answer cannot be sent: {error}"
            return "error", True, self._post.packed_error(kind(text))

    def owed(self, peer: Peer, which: int) -> Call | None:
        """Return that call of a peer, if it is yet to be answered."""
        known = self._known.get((peer, which))
        return None if known is None else known.call

    def all_owed(self) -> list[tuple[Peer, int]]:
        """Return which calls of peers are yet to be answered."""
        return list(self._known)

    def is_theirs(self, call: Call) -> bool:
        """Return whether a call is of a peer."""
        known = getattr(call.wake, "__self__", None)
        return type(known) is _Known and known.calls_in is self

    def _cancel(self, peer: Peer, which: int) -> None:
        self._unsent.pop((peer, which), None)
        known = self._forget(peer, which)
        if (
            known is not None
            and known.call.give_up()
            and (known.place is None or not known.place.leave())
        ):
            withdraw(known.call)

    def _gone(self, peer: Peer, reason: ExitReason) -> None:
        for of, which in [key for key in (*self._known, *self._unsent) if key[0] is peer]:
            self._cancel(of, which)

    def _fenced(self) -> None:
        """Give up all: their callers take this node for gone, or will."""
        for peer, which in (*self._known, *self._unsent):
            self._cancel(peer, which)

    def _look_at_time(self) -> None:
        """Give up what nobody waits for any more, should that not have been told."""
        now = self._post.node.hub.time()
        for (peer, which), known in list(self._known.items()):
            if known.due <= now:
                self._cancel(peer, which)
