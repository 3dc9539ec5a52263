"""Calls to processes of other nodes: each has one outcome, and is sent at most once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, final

from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.calls import Call
from fauxtp.cluster._engines.engine import NoConnection
from fauxtp.cluster._messages.on_the_spot import resume
from fauxtp.cluster._messages.post import Post
from fauxtp.cluster._messages.shard_letter import Letter
from fauxtp.cluster._nodes.peers import NO_CONNECTION, Peer
from fauxtp.errors import FauxtpError, NoProcess, ProcessExited
from fauxtp.registry import PID

__all__ = ["CallsOut"]


@final
class CallsOut:
    """Those that wait for the answer of a peer. All of it is in the hub's thread."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._known: dict[int, tuple[Peer, Call]] = {}
        self._numbers: dict[Call, int] = {}
        self._letters: dict[int, tuple[Letter, Callable[[Letter], object]]] = {}
        post.handlers["answer"] = self._answer
        post.on_nobody.append(self._nobody)
        post.node.peers.on_gone.append(self._gone)
        post.node.on_fence.append(self._fenced)

    def send(
        self, peer: Peer, number: int, call: Call, limit: float | None, content: bytes
    ) -> None:
        """Send a call to the process that `peer` knows by `number`, or let it fail."""
        if call.settled:
            return  # its caller has given up meanwhile
        if not self._post.node.may_act():  # which may fence it, and so fail all that are known
            call.fail(NoConnection("this node has no lease"))
            return
        if peer.is_gone:  # since it was looked up; it may not know it yet
            call.fail(NoProcess(call.target))
            return
        which = self._note(peer, call)
        self._try(peer, which, ("call", number, which, limit, self._number_of(call), content))

    def send_letter(
        self, peer: Peer, prefix: str, letter: Letter, again: Callable[[Letter], object]
    ) -> None:
        """Send the call that a letter is to whoever has its key there.

        `again` is told of it if it is certain that nobody has taken it up there.
        """
        call, limit = letter.message, letter.due - self._post.node.hub.time()
        if limit <= 0 or not call.take():
            return  # its caller has given up, or is about to
        which = self._note(peer, call)
        self._letters[which] = letter, again
        left = None if limit == math.inf else limit
        frame = "call", 0, which, left, self._number_of(call), letter.content
        self._try(peer, which, letter.frame(prefix, frame))

    def _note(self, peer: Peer, call: Call) -> int:
        which = next(self._post.numbers)
        self._known[which] = peer, call
        self._numbers[call] = which
        peer.calls[which] = call
        return which

    def _number_of(self, call: Call) -> int:
        return 0 if call.caller is None else self._post.pids.number_of(call.caller)

    def _try(self, peer: Peer, which: int, frame: tuple[Any, ...]) -> None:
        try:
            self._post.send(peer, frame, which)
        except NoConnection as error:
            self._fail(which, NoConnection(error.why))
        except ValueError as error:  # it is too large, as it came from elsewhere
            self._fail(which, error)

    def give_up(self, call: Call) -> None:
        """Tell that nobody waits for `call` any more."""
        which = self._numbers.get(call)
        if which is not None:
            peer, _ = self._forget(which)
            self._post.try_to_send(peer, ("cancel", which))

    def sent(self, call: Call) -> tuple[Peer, int] | None:
        """Return to whom a call was sent, and by which number, if it is yet to be answered."""
        which = self._numbers.get(call)
        return None if which is None else (self._known[which][0], which)

    def ask_again(self, peer: Peer) -> None:
        """Ask for all that is yet to be answered there, as the answer may have been lost."""
        for which in list(peer.calls):
            self._post.try_to_send(peer, ("asked", which))

    def _forget(self, which: int) -> tuple[Peer, Call]:
        peer, call = self._known.pop(which)
        del self._numbers[call]
        self._letters.pop(which, None)
        peer.calls.pop(which, None)
        return peer, call

    def _fail(self, which: int, error: BaseException) -> None:
        _, call = self._forget(which)
        call.fail(error)

    def _not_taken_up(self, which: int, why: str) -> None:
        """Let a call fail that nobody has seen; one by a key is sent to who has that."""
        letter, again = self._letters.get(which, (None, None))
        if letter is None or again is None:
            self._fail(which, NoConnection(why))
        else:
            self._forget(which)
            again(letter)

    def _nobody(self, which: int) -> bool:
        if which not in self._known:
            return False
        peer, _ = self._known[which]
        self._not_taken_up(which, f"node {peer.node!r} does not listen")
        return True

    def _gone(self, peer: Peer, reason: ExitReason) -> None:
        for which, call in list(peer.calls.items()):
            self._fail(which, ProcessExited(call.target, NO_CONNECTION, taken_up=True))

    def _fenced(self) -> None:
        for peer, _ in list(self._known.values()):
            self._gone(peer, NO_CONNECTION)

    def _answer(self, peer: Peer, which: int, status: str, taken_up: bool, content: bytes) -> None:
        if which not in peer.calls:
            return  # its caller has given up
        if status in {"fenced", "moved"}:
            lost = f"node {peer.node!r} has lost {'its lease' if status == 'fenced' else 'that'}"
            self._not_taken_up(which, lost)
            return
        _, call = self._forget(which)
        if status in {"ok", "error"}:
            value, error = self._read(content, status)
            if not self._post.is_alone:
                call.answer(value, error)
            elif call.has_answered(value, error):
                resume(call, self._post.node.hub.home)
        elif status == "noproc":
            call.fail(NoProcess(call.target))
        elif status == "full":
            call.fail(NoConnection(f"node {peer.node!r} owes this one too many answers"))
        else:
            call.fail(self._exited(call.target, self._post.reason(content), taken_up))

    def _read(self, content: bytes, status: str) -> tuple[Any, BaseException | None]:
        try:
            value = self._post.wire.decode(content)
        except Exception as error:
            return None, error
        if status == "ok":
            return value, None
        if isinstance(value, FauxtpError):
            value._fauxtp_is_answer = True
        if isinstance(value, Exception):
            return None, value
        return None, TypeError(f"expected an error, got {type(value).__name__}")

    def _exited(self, target: PID, reason: ExitReason, taken_up: bool) -> ProcessExited:
        exited = ProcessExited(target, reason, taken_up=taken_up)
        exited.__cause__ = reason.exception
        return exited
