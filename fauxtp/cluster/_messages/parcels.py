"""Parcels: frames to one node that are there at the same time, and travel as one message.

Whatever is between two nodes costs the same for a message with one frame or with many. The first
frame in a turn of the event loop goes at once, so nobody waits for others; what comes for the
same node in that turn goes after it, together, when the turn is over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count
from struct import pack, unpack_from
from typing import TYPE_CHECKING, Any, Final, final

from fauxtp.cluster._engines.engine import NoConnection

if TYPE_CHECKING:
    from fauxtp.cluster._nodes.node import Node
    from fauxtp.cluster._nodes.peers import Peer

    Message = tuple[int, Any]
    """What nobody waits for: for whom it is there, and it."""

__all__ = ["HEAD", "Parcels", "frames_in", "parcel"]

HEAD: Final = b"\x01\xff"  # version 1, and what is no kind of frame
MOST: Final = 512  # frames
LARGEST: Final = 65_536  # bytes; what is larger gains nothing by company
KEPT: Final = 256  # last parcels of which is known what was in them, if nobody hears them
KEPT_MESSAGES: Final = 64  # and so many messages, which are kept for that, or all of one parcel
LENGTH: Final = 4  # bytes that tell how long a frame is
BEFORE: Final = len(HEAD) + 2  # bytes, and then come the lengths


def parcel(frames: list[bytes]) -> bytes:
    """Return what travels in place of these frames: how long they are, and then they.

    >>> frames_in(parcel([b"a frame", b"another"]))
    [b'a frame', b'another']
    """
    count = len(frames)
    return b"".join([HEAD, pack(f"!H{count}I", count, *map(len, frames)), *frames])


def frames_in(payload: bytes) -> list[bytes]:
    """Return the frames that are in a message: itself, if it is no parcel.

    Raises `ValueError` if it is one that is malformed.

    >>> frames_in(b"a frame")
    [b'a frame']
    >>> frames_in(HEAD + b"junk")
    Traceback (most recent call last):
        ...
    ValueError: a parcel of 27253 frames
    """
    if not payload.startswith(HEAD):
        return [payload]
    count = int.from_bytes(payload[len(HEAD) : BEFORE], "big")
    if not 0 < count <= MOST:
        raise ValueError(f"a parcel of {count} frames")
    at = BEFORE + LENGTH * count
    lengths = unpack_from(f"!{count}I", payload, BEFORE) if at <= len(payload) else ()
    if at + sum(lengths) != len(payload):
        raise ValueError("a parcel is as long as none of these frames")
    frames: list[bytes] = []
    for length in lengths:
        frames.append(payload[at : at + length])
        at += length
    return frames


@final
class Parcel:
    """What goes to a peer when the turn is over."""

    __slots__ = ("frames", "messages", "numbers", "peer", "room")

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.frames: list[bytes] = []
        self.numbers: list[int] = []  # of frames of which somebody wants to hear if they are lost
        self.messages: list[Message] = []  # that are in the others
        self.room: int = 0  # bytes, for frames and their lengths

    def add(self, frame: bytes) -> bool:
        """Let a frame go with the others, if it has room among them."""
        room = self.room - len(frame) - LENGTH
        if room < 0 or len(self.frames) == MOST:
            return False
        self.room = room
        self.frames.append(frame)
        return True


@final
class Parcels:
    """Those of one node, in its hub's thread.

    Of what was not sent, `lost` is told the numbers, and `lost_message` the peer, for whom there
    it was, and the message.
    """

    def __init__(
        self,
        node: Node,
        numbers: count[int],
        lost: Callable[[int], object],
        lost_message: Callable[[Peer, int, Any], object],
    ) -> None:
        self._node = node
        self._numbers = numbers
        self._lost = lost
        self._lost_message = lost_message
        self._open: list[Parcel] = []
        self._sent: dict[int, list[int]] = {}
        self._recent: deque[tuple[int, Peer, list[Message]]] = deque()
        self._recently = 0  # messages in these

    def send(
        self, peer: Peer, frame: bytes, number: int = 0, message: Message | None = None
    ) -> None:
        """Send a frame, at once or when this turn is over.

        `number` is that of the frame, if it has one; or else there is a message in it.

        Raises `NoConnection` if there is none, and `ValueError` if it is too long.
        """
        if peer.parcel is None:
            is_first = not self._open
            if not peer.is_busy:
                self._send_one(peer, frame, number, message, at_once=is_first)
            elif not self._node.engine.connected:
                raise NoConnection("the server is away")
            if is_first:
                self._node.hub.home.run_next(self._end_turn)
            begun = self._begin(peer)
            if not peer.is_busy:
                return
        else:
            begun = peer.parcel
        if not begun.add(frame):
            self._hand_on(begun)
            if not begun.add(frame):  # it is too large for company
                self._send_one(peer, frame, number, message)
                return
        if message is not None:
            begun.messages.append(message)
        elif number:
            begun.numbers.append(number)

    def _begin(self, peer: Peer) -> Parcel:
        begun = Parcel(peer)
        begun.room = self._room()
        known: Parcel | None = peer.parcel
        if known is not None:
            return known  # a finaliser has sent something meanwhile
        peer.parcel = begun
        self._open.append(begun)
        return begun

    def _room(self) -> int:
        return min(LARGEST, self._node.engine.max_payload - BEFORE)

    def _send_one(
        self,
        peer: Peer,
        frame: bytes,
        number: int,
        message: Message | None,
        *,
        at_once: bool = False,
    ) -> None:
        if message is not None:
            number = next(self._numbers)
        self.send_now(peer, frame, number, at_once=at_once)
        if message is not None:
            self._keep(number, peer, [message])

    def send_now(
        self, peer: Peer, frame: bytes, number: int = 0, *, at_once: bool = False
    ) -> None:
        """Send a frame before all that waits, if something does."""
        self._node.engine.publish(peer.subject, frame, f"{peer.lost}.{number}", at_once=at_once)

    def nobody(self, number: int) -> None:
        """Hear that nobody has heard what went with that number: all that was in it is lost."""
        for one in self._sent.pop(number, None) or [number]:
            self._lost(one)
        for recent in self._recent:
            if recent[0] == number:
                self._recent.remove(recent)
                self._recently -= len(recent[2])
                self._lose(recent[1], [], recent[2])
                return

    def send_all(self) -> None:
        """Send what waits."""
        waiting = self._take_all()
        for one in waiting:
            self._hand_on(one, at_once=len(waiting) == 1)

    def lose_all(self) -> None:
        """Send nothing of what waits."""
        for one in self._take_all():
            self._lose(one.peer, one.numbers, one.messages)

    def forget(self) -> None:
        """Know of nothing that waits, as this process is a fork: its parent sends that."""
        self._take_all()

    def _take_all(self) -> list[Parcel]:
        waiting, self._open = self._open, []
        for one in waiting:
            one.peer.parcel = None
        return waiting

    def _end_turn(self) -> None:
        if self._node.may_act():
            self.send_all()
        else:
            self.lose_all()

    def _hand_on(self, waiting: Parcel, *, at_once: bool = False) -> None:
        """Send what is in a parcel; it is empty then, and may take more."""
        peer, frames = waiting.peer, waiting.frames
        peer.is_busy = len(frames) > (1 if peer.is_busy else 0)
        if not frames:
            return
        numbers, messages = waiting.numbers, waiting.messages
        waiting.frames, waiting.numbers, waiting.messages = [], [], []
        waiting.room = self._room()
        is_one = len(frames) == 1
        number = numbers.pop() if is_one and numbers else next(self._numbers)
        payload = frames[0] if is_one else parcel(frames)
        try:
            self.send_now(peer, payload, number, at_once=at_once)
        except NoConnection:
            self._lose(peer, numbers or [number], messages)
            return
        if numbers:
            self._sent[number] = numbers
            if len(self._sent) > KEPT:
                del self._sent[next(iter(self._sent))]
        if messages:
            self._keep(number, peer, messages)

    def _keep(self, number: int, peer: Peer, messages: list[Message]) -> None:
        """Know for a while which messages went with that number."""
        self._recent.append((number, peer, messages))
        self._recently += len(messages)
        while self._recently - len(self._recent[0][2]) >= KEPT_MESSAGES:
            self._recently -= len(self._recent.popleft()[2])

    def _lose(self, peer: Peer, numbers: list[int], messages: list[Message]) -> None:
        for number in numbers:
            self._lost(number)
        for to, message in messages:
            self._lost_message(peer, to, message)
