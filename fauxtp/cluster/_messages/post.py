"""The way of frames from one node to another."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from threading import get_ident
from typing import Any, Final, final
from weakref import WeakValueDictionary

from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.logs import report
from fauxtp._core.dead_letters import dead_letters
from fauxtp._core.ended_loops import meet
from fauxtp._core.mailbox import find_queue
from fauxtp._core.process import Process, find_process
from fauxtp._core.queue import Queue
from fauxtp.cluster._engines.engine import Listening, NoConnection
from fauxtp.cluster._messages.parcels import HEAD, Parcels, frames_in
from fauxtp.cluster._nodes.node import Node
from fauxtp.cluster._nodes.peers import NO_CONNECTION, Peer, parsed
from fauxtp.cluster._nodes.pids import Pids
from fauxtp.cluster._wire.frames import in_rows, packed, unpacked
from fauxtp.cluster._wire.wire import Wire
from fauxtp.registry import PID

__all__ = ["Found", "Post"]

NOTHING: Final = b""
AROUND: Final = 256  # bytes at most that stand around what travels
WORDS: Final = 7  # of the subject of who speaks

Found = tuple[PID, Process | None, Queue]


@final
class Post:
    """Sends frames to peers, and hears theirs.

    `handlers` are told what comes, by kind: the peer, then the parts of the frame; and
    `fenced_handlers`, if there is one, without a lease. Those of messages are told several at a
    time, if they are for the same process: they look at the lease again. `on_nobody` is told of a
    frame by its number, if nobody was there to hear it.
    """

    def __init__(self, node: Node, pids: Pids, wire: Wire) -> None:
        self.node: Node = node
        self.pids: Pids = pids
        self.wire: Wire = wire
        self.handlers: dict[str, Callable[..., object]] = {}
        self.fenced_handlers: dict[str, Callable[..., object]] = {}
        self.on_nobody: list[Callable[[int], bool]] = []
        self.numbers: count[int] = count(1)
        self.is_alone: bool = False  # the frame that is heard now, in its message
        self._thread = node.hub.thread
        self._listening: Listening | None = None
        self._parcels = Parcels(node, self.numbers, self._lost, self._lose)
        self._senders: WeakValueDictionary[str, Peer] = WeakValueDictionary()
        node.farewells.append(self._hand_on)
        node.on_fence.append(self._fenced)
        node.hub.on_fork.append(self._parcels.forget)

    # Here

    async def listen(self) -> None:
        """Hear what is told the node in the incarnation that begins."""
        if self._listening is not None:
            self._listening.stop()
        own = self.node.peers.own
        subject = self.node.subjects.of(own.node, str(own.incarnation))
        self._listening = await self.node.engine.listen(subject, self._received)

    def stop(self) -> None:
        """Hear nothing any more."""
        if self._listening is not None:
            self._listening.stop()

    def _received(self, subject: str, payload: bytes | None, reply: str | None) -> None:
        if payload is None:
            self._nobody(subject)
            return
        peer = self._senders.get(subject) or self._sender(subject)
        if peer is None:
            self.node.malformed.note(f"the subject {subject!r}")
            return
        self.is_alone = is_alone = not payload.startswith(HEAD)
        if is_alone:
            self._hear(peer, payload)
        else:
            self._hear_all(peer, payload)

    def _hear_all(self, peer: Peer, payload: bytes) -> None:
        try:
            frames = frames_in(payload)
        except ValueError as error:
            self.node.malformed.note(f"what node {peer.node!r} has sent ({error})")
            return
        for kind, to, row in in_rows(frames):
            if not kind:
                for frame in row:
                    self._hear(peer, frame)
            elif not peer.is_gone and self.node.may_act():
                try:
                    self.handlers[kind](peer, to, *row)
                except Exception:
                    report("messages could not be handled")

    def _hear(self, peer: Peer, frame: bytes) -> None:
        try:
            kind, rest = unpacked(frame)
        except ValueError as error:
            self.node.malformed.note(f"a frame of node {peer.node!r} ({error})")
            return
        if peer.is_gone:
            return  # it was away for too long, and does not know it yet
        try:
            if self.node.may_act():
                self.handlers[kind](peer, *rest)
            elif kind in self.fenced_handlers:
                self.fenced_handlers[kind](peer, *rest)
        except Exception:
            report("a frame could not be handled")

    def tell_fenced(self, peer: Peer, which: int) -> None:
        """Answer a call, without a lease, that it was not taken up."""
        with suppress(NoConnection):
            self._parcels.send_now(peer, packed("answer", which, "fenced", False, NOTHING))

    def _sender(self, subject: str) -> Peer | None:
        """Return who speaks in messages to that subject, or None if it is none of ours."""
        words = subject.split(".")
        incarnation = parsed(words[6].encode()) if len(words) == WORDS else None
        if incarnation is None:
            return None
        peer = self._senders[subject] = self.node.peers.find(words[5], incarnation)
        return peer

    def _nobody(self, subject: str) -> None:
        """Hear that nobody listens to what was sent, of which `subject` tells the number."""
        words = subject.split(".")
        numbers = [parsed(word.encode()) for word in words[6:]]
        if len(numbers) == 2 and numbers[1] is not None and words[5] == self.node.name:
            self._parcels.nobody(numbers[1])
        else:  # of another node: it cannot know who listens
            self.node.malformed.note(f"the subject {subject!r}")

    def _lost(self, number: int) -> None:
        any(tell(number) for tell in self.on_nobody)

    async def _hand_on(self) -> None:
        self._parcels.send_all()

    def _fenced(self) -> None:
        if self.node.leaves:
            self._parcels.send_all()
        else:
            self._parcels.lose_all()

    def find(self, number: int) -> Found | None:
        """Return who of here is known by `number`, and lives: a process, or a mailbox alone."""
        pid = self.pids.here(number)
        if pid is None:
            return None
        process = find_process(pid)
        if process is not None and process.home is not self.node.hub.home:
            process = meet(pid)  # as its event loop may have ended
        mailbox = find_queue(pid) if process is None else process.mailbox
        if mailbox is None or mailbox.closed_because is not None:
            return None
        return pid, process, mailbox

    # Elsewhere

    def pack(self, value: Any, beside: int = 0) -> bytes:
        """Return `value` as it travels, with `beside` bytes more that go with it.

        Raises `TypeError` if it cannot, and `ValueError` if it is too large.
        """
        data = self.wire.encode(value)
        self._insist_on_room(len(data), beside)
        return data

    def _insist_on_room(self, size: int, beside: int) -> None:
        room = self.node.engine.max_payload - beside - AROUND
        if size > room:
            raise ValueError(f"expected a message of at most {room} bytes, got {size}")

    def send(self, peer: Peer, frame: tuple[Any, ...], number: int = 0) -> None:
        """Send a frame, in the hub's thread.

        Raises `NoConnection` if that cannot be done now.
        """
        self._parcels.send(peer, packed(*frame), number)

    def try_to_send(self, peer: Peer, frame: tuple[Any, ...], number: int = 0) -> bool:
        """Send a frame if that can be done now; from any thread it is done soon."""
        try:
            self.send(peer, frame, number)
        except NoConnection:
            return False
        return True

    def send_soon(self, peer: Peer, to: int, frame: bytes, message: Any) -> bool:
        """Send what nobody waits for, from any thread; if that cannot be, it is a dead letter.

        It is for the process that `peer` knows by `to`. Return False if this node was left.
        """
        if get_ident() == self._thread:
            parcel = peer.parcel
            if parcel is not None and parcel.add(frame):
                parcel.messages.append((to, message))
                return True
        self._insist_on_room(len(frame), 0)
        if self.node.hub.post(partial(self._send_now, peer, frame, (to, message))):
            return True
        self._lose(peer, to, message)
        return False

    def _send_now(self, peer: Peer, frame: bytes, message: tuple[int, Any]) -> None:
        if self.node.may_act():
            try:
                self._parcels.send(peer, frame, message=message)
                return
            except NoConnection:
                pass
        self._lose(peer, *message)

    def _lose(self, peer: Peer, to: int, message: Any) -> None:
        dead_letters.add(self.pids.elsewhere(peer, to), message, "noconnection")

    def reason(self, content: bytes) -> ExitReason:
        """Return the exit reason that came; or, if it makes no sense, `noconnection`."""
        try:
            reason = self.wire.decode(content)
        except Exception:
            reason = None
        if isinstance(reason, ExitReason):
            return reason
        self.node.malformed.note("an exit reason")
        return NO_CONNECTION

    def packed_reason(self, reason: ExitReason) -> bytes:
        """Return an exit reason as it travels; without its error if that cannot."""
        try:
            return self.pack(reason)
        except (TypeError, ValueError):
            return self.pack(ExitReason(str(reason)[:1000], abnormal=reason.abnormal))

    def packed_error(self, error: Exception) -> bytes:
        """Return an error as it travels, or what it is called if it cannot."""
        try:
            return self.pack(error)
        except Exception:
            return self.pack(RuntimeError(f"{type(error).__name__}, which cannot travel"))
