"""The nodes of a cluster, each in one incarnation."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, final
from weakref import WeakValueDictionary

from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.tell_all import tell_all
from fauxtp.cluster._engines.checks import check_token
from fauxtp.cluster._engines.subjects import Subjects

__all__ = ["LARGEST", "NO_CONNECTION", "Membership", "Peer", "Peers", "membership", "node_of"]

NO_CONNECTION = ExitReason("noconnection", abnormal=True)
"""Why processes of a node have ended, as far as others know, that is gone."""

PROTOCOL = "1"
LARGEST = 2**63
DIGITS = len(str(LARGEST))
KNOWN_AS_GONE = 10_000


class Membership(NamedTuple):
    """What the key of a node holds: its incarnation, and whether it is about to leave."""

    incarnation: int
    leaves: bool

    def packed(self) -> bytes:
        return f"{PROTOCOL} {self.incarnation} {'leaves' if self.leaves else 'lives'}".encode()


def membership(value: bytes) -> Membership | None:
    """Return what a node's key tells, or None if that is of another protocol, or of none.

    >>> membership(Membership(4711, False).packed())
    Membership(incarnation=4711, leaves=False)
    >>> membership(b"junk") is None
    True
    """
    words = value.split(b" ")
    if len(words) != 3 or words[0] != PROTOCOL.encode() or words[2] not in (b"lives", b"leaves"):
        return None
    number = parsed(words[1])
    return None if number is None else Membership(number, words[2] == b"leaves")


def node_of(word: str) -> str | None:
    """Return the node of a key, without its first word, or None if no node can have that name.

    >>> node_of("a"), node_of("a\\x1b[2J")
    ('a', None)
    """
    try:
        return check_token("node", word)
    except ValueError:
        return None


def parsed(word: bytes) -> int | None:
    """Return the number that a word is, as we write those, or None."""
    if not word.isdigit() or len(word) > DIGITS:
        return None
    number = int(word)
    return number if number < LARGEST else None


@final
class Peer:
    """A node in one incarnation, as another sees it; or the node itself."""

    __slots__ = (
        "__weakref__",
        "calls",
        "incarnation",
        "is_busy",
        "is_gone",
        "is_up",
        "links",
        "lost",
        "node",
        "owed",
        "parcel",
        "subject",
        "watches",
    )

    def __init__(self, node: str, incarnation: int, subject: str, lost: str) -> None:
        self.node: str = node
        self.incarnation: int = incarnation
        self.subject: str = subject  # where it hears of us
        self.lost: str = lost  # where we hear that it does not, before a number
        self.is_up: bool = False  # it is known to be a member
        self.is_gone: bool = False  # it was, and will not be again
        self.is_busy: bool = False  # it was told several things in the last turn of the event loop
        self.parcel: Any = None  # that goes to it when this turn is over
        self.calls: dict[int, Any] = {}  # that it has yet to answer
        self.owed: int = 0  # calls of its processes that are yet to be answered here
        self.watches: dict[int, Any] = {}  # of processes there
        self.links: dict[tuple[Any, int], Any] = {}  # with processes there

    def __repr__(self) -> str:
        return f"<Peer {self.node} {self.incarnation}>"


@final
class Peers:
    """Who is in the cluster, as the node that is `me` knows."""

    def __init__(self, subjects: Subjects, me: str) -> None:
        self._subjects = subjects
        self._me = me
        self._all: WeakValueDictionary[tuple[str, int], Peer] = WeakValueDictionary()
        self.own: Peer = self.find(me, 0)
        self.up: dict[str, Peer] = {}
        self.on_up: list[Callable[[Peer], object]] = []
        self.on_gone: list[Callable[[Peer, ExitReason], object]] = []
        self.on_own_gone: list[Callable[[], object]] = []
        self._leaving: set[str] = set()
        self._gone: deque[Peer] = deque(maxlen=KNOWN_AS_GONE)

    def find(self, node: str, incarnation: int) -> Peer:
        """Return that node in that incarnation. One that is not known may yet come."""
        peer = self._all.get((node, incarnation))
        if peer is None:
            peer = Peer(node, incarnation, "", "")
            self._all[node, incarnation] = peer
            self._address(peer)
        return peer

    def _address(self, peer: Peer) -> None:
        own = getattr(self, "own", peer)
        mine, me = str(own.incarnation), self._me
        peer.subject = f"{self._subjects.to(peer.node, str(peer.incarnation), me)}.{mine}"
        peer.lost = f"{self._subjects.to(me, mine, me)}.{peer.incarnation}"

    def begin_as(self, incarnation: int) -> None:
        """Be another one from now on, to all."""
        self.fenced()
        self.own = self.find(self._me, incarnation)
        for peer in list(self._all.values()):
            self._address(peer)

    def fenced(self) -> None:
        """Be nobody any more, until it begins as another one."""
        own = self.own
        own.is_gone, own.is_up = True, False
        if self.up.get(own.node) is own:
            del self.up[own.node]
        tell_all(self.on_own_gone)

    def forget(self) -> None:
        """Know of no node that is there."""
        self.fenced()
        self.up = {}

    def told(self, node: str, member: Membership | None) -> None:
        """Hear what the key of a node holds now; None: it is gone, or makes no sense."""
        known = self.up.get(node)
        if known is not None and (member is None or member.incarnation != known.incarnation):
            self._lose(known)
        if member is None:
            self._leaving.discard(node)
            return
        peer = self.find(node, member.incarnation)
        if member.leaves:
            self._leaving.add(node)
        elif not peer.is_up and not peer.is_gone:
            self.up[node], peer.is_up = peer, True
            tell_all(self.on_up, peer)

    def told_all(self, members: dict[str, Membership]) -> None:
        """Hear of all nodes that there are."""
        for node in self.up.keys() - members.keys():
            self.told(node, None)
        for node, member in members.items():
            self.told(node, member)

    def _lose(self, peer: Peer) -> None:
        del self.up[peer.node]
        peer.is_up, peer.is_gone = False, True
        reason = ExitReason("left") if peer.node in self._leaving else NO_CONNECTION
        self._leaving.discard(peer.node)
        self._gone.append(peer)  # or what it had sent, and comes late, would seem to be of one new
        tell_all(self.on_gone, peer, reason)
