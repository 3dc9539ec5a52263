"""Parcels: frames to one node that are there at the same time, and travel as one message.

Whatever is between two nodes costs the same for a message with one frame or with many. The first
frame in a turn of the event loop goes at once, so nobody waits for others; what comes for the
same node in that turn goes after it, together, when the turn is over.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from struct import pack, unpack_from
from typing import TYPE_CHECKING, Any, Final, final

from fauxtp.cluster._engines.engine import NoConnection

if TYPE_CHECKING:
    from fauxtp.cluster._nodes.node import Node
    from fauxtp.cluster._nodes.peers import Peer

    Known = int | tuple[int, Peer, int, Any]
    """The number of a frame; or it, the peer, for whom it is there, and the message itself."""

__all__ = ["Parcels", "frames_in", "parcel"]

HEAD: Final = b"\x01\xff"  # version 1, and what is no kind of frame
MOST: Final = 512  # frames
LARGEST: Final = 65_536  # bytes; what is larger gains nothing by company
KEPT: Final = 256  # last parcels of which is known what was in them, if nobody hears them
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


class _Open:
    """What goes to a peer when the turn is over."""

    __slots__ = ("frames", "known", "room")

    def __init__(self, max_payload: int) -> None:
        self.frames: list[bytes] = []
        self.known: list[Known] = []
        self.room: int = min(LARGEST, max_payload - BEFORE)  # bytes, for frames and their lengths


@final
class Parcels:
    """Those of one node, in its hub's thread. `lost` is told what is known of each not sent."""

    def __init__(self, node: Node, numbers: count[int], lost: Callable[[Known], object]) -> None:
        self._node = node
        self._numbers = numbers
        self._lost = lost
        self._open: dict[Peer, _Open] = {}
        self._sent: dict[int, list[int]] = {}

    def add(self, peer: Peer, frame: bytes, known: Known) -> bool:
        """Let a frame go when this turn is over, if others wait for that and it has room there.

        Nobody asks here whether this node may act: it is asked then, and whenever some are sent.
        """
        waiting = self._open.get(peer)
        size = len(frame) + LENGTH
        if waiting is None or size > waiting.room or len(waiting.frames) == MOST:
            return False
        waiting.frames.append(frame)
        waiting.room -= size
        if known:
            waiting.known.append(known)
        return True

    def send(self, peer: Peer, frame: bytes, known: Known) -> None:
        """Send a frame, at once or when this turn is over.

        Raises `NoConnection` if there is none, and `ValueError` if it is too long.
        """
        waiting = self._open.get(peer)
        if waiting is None:
            is_first = not self._open
            if not peer.is_busy:
                self.send_now(peer, frame, _number(known), at_once=is_first)
            elif not self._node.engine.connected:
                raise NoConnection("the server is away")
            if is_first:
                self._node.hub.home.run_next(self._end_turn)
            # A finaliser may have sent something meanwhile.
            self._open.setdefault(peer, _Open(self._node.engine.max_payload))
            if not peer.is_busy:
                return
        if self.add(peer, frame, known):
            return
        waiting, self._open[peer] = self._open[peer], _Open(self._node.engine.max_payload)
        self._hand_on(peer, waiting)
        if not self.add(peer, frame, known):  # it is too large for company
            self.send_now(peer, frame, _number(known))

    def send_now(
        self, peer: Peer, frame: bytes, number: int = 0, *, at_once: bool = False
    ) -> None:
        """Send a frame before all that waits, if something does."""
        self._node.engine.publish(peer.subject, frame, f"{peer.lost}.{number}", at_once=at_once)

    def contents(self, number: int) -> list[int]:
        """Return the numbers of the frames in a parcel; or that number, if it is none's."""
        return self._sent.pop(number, None) or [number]

    def send_all(self) -> None:
        """Send what waits."""
        waiting, self._open = self._open, {}
        for peer, one in waiting.items():
            self._hand_on(peer, one, at_once=len(waiting) == 1)

    def lose_all(self) -> None:
        """Send nothing of what waits."""
        waiting, self._open = self._open, {}
        for one in waiting.values():
            self._lose(one.known)

    def forget(self) -> None:
        """Know of nothing that waits, as this process is a fork: its parent sends that."""
        self._open.clear()

    def _end_turn(self) -> None:
        if self._node.may_act():
            self.send_all()
        self.lose_all()

    def _hand_on(self, peer: Peer, waiting: _Open, *, at_once: bool = False) -> None:
        frames, known = waiting.frames, waiting.known
        peer.is_busy = len(frames) > (1 if peer.is_busy else 0)
        if not frames:
            return
        try:
            if len(frames) == 1:
                self.send_now(peer, frames[0], _number(known[0]) if known else 0, at_once=at_once)
                return
            number = next(self._numbers)
            self._sent[number] = list(map(_number, known))
            if len(self._sent) > KEPT:
                del self._sent[next(iter(self._sent))]
            self.send_now(peer, parcel(frames), number, at_once=at_once)
        except NoConnection:
            self._lose(known)

    def _lose(self, them: list[Known]) -> None:
        for known in them:
            self._lost(known)


def _number(known: Known) -> int:
    return known if isinstance(known, int) else known[0]
