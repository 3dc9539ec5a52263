"""The way of messages to whoever has a key, on whichever node that is.

A message waits here while nobody has its shard, as that is moving. Who gets one for a shard that
is not his answers that it has moved, before anybody has seen it: so what is sent again was never
taken up.
"""

from __future__ import annotations

import math
from collections import deque
from functools import partial
from typing import Any, Final, final

import anyio

from fauxtp._base.carried import bare
from fauxtp._core.calls import Call, Cast
from fauxtp._core.dead_letters import dead_letters
from fauxtp.cluster._engines.engine import NoConnection
from fauxtp.cluster._messages.calls_in import CallsIn
from fauxtp.cluster._messages.post import Post
from fauxtp.cluster._messages.shard_address import Moved, ShardedAddress
from fauxtp.cluster._messages.shard_letter import HANDED_OVER, Letter
from fauxtp.cluster._messages.ways import Ways
from fauxtp.cluster._nodes.peers import Peer
from fauxtp.cluster._shards.shard_kind import Kind
from fauxtp.cluster._shards.shard_stand_in import ShardStandIn
from fauxtp.cluster._shards.shard_table import Owner, ShardTable
from fauxtp.cluster._shards.shard_waiting import Waiting
from fauxtp.errors import NoProcess
from fauxtp.registry import PID

__all__ = ["ShardPost"]

MOST_WAITING: Final = 10_000  # messages of one kind
KEPT: Final = 1024  # last messages that are sent again if nobody hears them
PORTION: Final = 256  # messages handed over, before it is heard whether somebody hears them
AGAIN: Final = 0.05  # seconds, where a node has yet to hear that a shard is its own
SELDOM: Final = 2.0  # seconds, where it says so again and again


@final
class ShardPost:
    """What is told to those of all kinds, by their addresses. But for two, in the hub's thread."""

    def __init__(self, ways: Ways, calls_in: CallsIn, table: ShardTable) -> None:
        self.kinds: dict[str, Kind] = {}
        self._ways = ways
        self._post: Post = ways.post
        self._calls_in = calls_in
        self._table = table
        self._sent: dict[int, Letter] = {}
        self._swept = -math.inf  # when who waits was looked through last
        self._retries: set[tuple[str, int]] = set()
        self._pauses: dict[tuple[str, int], float] = {}  # before each further one
        self._post.on_nobody.append(self._nobody)

    # In any thread

    def stand_in(self, pid: PID, address: ShardedAddress, /) -> ShardStandIn:
        """Return what stands here for whoever `address` means."""
        return ShardStandIn(pid, self, self._ways, self._table, address)

    def send(
        self, address: ShardedAddress, message: Any, content: Any, limit: float | None = None
    ) -> None:
        """Send `message`, of which `content` travels; a caller waits for `limit` seconds.

        Raises what `Post.pack` raises.
        """
        due = math.inf if limit is None else self._post.node.hub.time() + limit
        self._send_letter(address, message, content, due, is_new=True)

    def hand_on(self, address: ShardedAddress, messages: list[Any], /) -> None:
        """Send messages to where the address belongs: they were for one who has moved."""
        for message in messages:
            plain = bare(message)
            is_call = type(plain) is Call
            if is_call and self._calls_in.is_theirs(plain):
                plain.fail(Moved())  # its caller sends it again, and this node may leave
                continue
            if is_call:
                plain.target = self._kind(address).elsewhere(address)[0]  # so it can be given up
            try:
                content = plain.request if is_call or type(plain) is Cast else plain
                self._send_letter(address, message, content, math.inf, is_new=False)
            except Exception as error:  # it cannot travel
                if is_call:
                    plain.fail(error)
                else:
                    dead_letters.add(address.name, plain, "noproc")

    def _send_letter(
        self, address: ShardedAddress, message: Any, content: Any, due: float, *, is_new: bool
    ) -> None:
        packed = self._post.pack(content, beside=4 * len(address))  # bytes, of its name, at most
        shard = self._kind(address).shard_of(address.name)
        letter = Letter(address, shard, message, packed, due, is_new=is_new)
        if not self._post.node.hub.post(partial(self.dispatch, letter)):
            letter.fail(NoConnection("the cluster was left"))

    def _kind(self, address: ShardedAddress) -> Kind:
        kind: Any = address.source
        return kind  # type: ignore[no-any-return]

    # In the hub's thread

    def dispatch(self, letter: Letter) -> None:
        """Send a letter, put it into a mailbox of here, or let it wait behind others."""
        kind = self._kind(letter.address)
        if letter.shard in kind.waiting:
            self._wait(kind, letter)
        else:
            self._pass_on(kind, letter)

    def flush(self, kind: Kind, shard: int) -> None:
        """Try again what waits for a shard, in order; first, what others have handed over.

        That is kept while who has done so has yet to give the shard back.
        """
        handed = [] if self._is_to_come(kind, shard) else kind.handed.take(shard)
        for letter in handed + kind.waiting.take(shard):
            self.dispatch(letter)

    def _is_to_come(self, kind: Kind, shard: int) -> bool:
        is_wanted = kind.hosts.wanted(shard) == self._post.node.name
        return is_wanted and self._is_of_another(kind, shard)

    def _is_of_another(self, kind: Kind, shard: int) -> bool:
        owner = self._table.owner(kind.prefix, shard)
        return owner is not None and owner.peer is not self._post.node.peers.own

    def _pass_on(self, kind: Kind, letter: Letter) -> None:
        if letter.is_over:
            return
        if not self._post.node.may_act():
            letter.fail(NoConnection("this node has no lease"))
            return
        if not kind.hosts.nodes and not kind.is_hosted_here:
            letter.fail(NoProcess(letter.address.name))
            return
        owner = self._table.owner(kind.prefix, letter.shard)
        if owner is None:
            self._wait(kind, letter)
        elif owner.peer is self._post.node.peers.own:
            if not letter.address.put_here(letter.message):
                self._wait(kind, letter)
        elif owner.revision == letter.refused:
            self._wait(kind, letter)
            self._retry_soon(kind, letter.shard)
        else:
            self._send(kind, letter, owner)

    def _send(self, kind: Kind, letter: Letter, owner: Owner) -> None:
        letter.sent_by = owner.revision
        if type(letter.message) is Call:
            self._ways.calls_out.send_letter(owner.peer, kind.prefix, letter, self.again)
        else:
            self._send_message(kind, letter, owner.peer)

    def _send_message(self, kind: Kind, letter: Letter, peer: Peer) -> None:
        number = next(self._post.numbers)
        self._sent[number] = letter
        if len(self._sent) > KEPT:
            del self._sent[next(iter(self._sent))]
        try:
            self._post.send(peer, letter.message_frame(kind.prefix), number)
        except (NoConnection, ValueError) as error:  # too large, if it was passed on
            letter.fail(error)

    def again(self, letter: Letter) -> None:
        """Send a letter once more, as it is certain that nobody has taken it."""
        letter.refused = letter.sent_by
        self.dispatch(letter)

    def _nobody(self, number: int) -> bool:
        letter = self._sent.pop(number, None)
        if letter is not None:
            self.again(letter)
        return letter is not None

    # Moving

    async def hand_over(self, kind: Kind, shard: int) -> None:
        """Send the messages that wait to the node that is to have their shard next.

        So it has them by the time when it has that, and they are the first there.
        """
        peer = self._post.node.peers.up.get(kind.hosts.wanted(shard) or "")
        if peer is None or peer is self._post.node.peers.own:
            return
        waiting = kind.waiting.take(shard)
        messages = deque(letter for letter in waiting if type(letter.message) is not Call)
        for letter in waiting:
            if type(letter.message) is Call:
                self._wait(kind, letter)
        try:
            while messages:
                for _ in range(min(PORTION, len(messages))):
                    letter = messages.popleft()
                    letter.hops = HANDED_OVER
                    self._send_message(kind, letter, peer)
                await self._post.node.engine.flush()
        finally:  # the connection may go away, or there may be no more time
            for letter in messages:
                self._wait(kind, letter)

    def take_over(self, letter: Letter) -> bool:
        """Keep a message for a shard that this node is to have, until it has that.

        Return False if it is to have it no more. That it is to have it may be heard later.
        """
        kind = self._kind(letter.address)
        is_wanted = kind.hosts.wanted(letter.shard) == self._post.node.name
        if not (is_wanted or self._is_of_another(kind, letter.shard)):
            return False
        self._wait(kind, letter, kind.handed)
        return True

    # Waiting

    def _wait(self, kind: Kind, letter: Letter, among: Waiting | None = None) -> None:
        now = self._post.node.hub.time()
        if letter.is_new and len(kind.waiting) >= MOST_WAITING and now - self._swept > 1:
            self._swept = now
            kind.waiting.drop_over()
        if letter.is_new and len(kind.waiting) >= MOST_WAITING:
            letter.fail(NoConnection(f"{MOST_WAITING} messages wait for shards that move"))
        else:
            (kind.waiting if among is None else among).add(letter)

    def changed(self, kind: Kind, shard: int) -> None:
        """Hear that a shard is another's now: who waits for it need be patient no longer."""
        self._pauses.pop((kind.prefix, shard), None)

    def _retry_soon(self, kind: Kind, shard: int) -> None:
        place = kind.prefix, shard
        if place not in self._retries:
            self._retries.add(place)
            self._post.node.hub.start(partial(self._retry, kind, shard))

    async def _retry(self, kind: Kind, shard: int) -> None:
        """Try again who waits for a shard: less and less often, until that changes."""
        place = kind.prefix, shard
        pause = self._pauses.get(place, AGAIN)
        self._pauses[place] = min(2 * pause, SELDOM)
        try:
            await anyio.sleep(pause)
        finally:
            self._retries.discard(place)
        self._retry_all(kind, shard)

    def _retry_all(self, kind: Kind, shard: int) -> None:
        letters = kind.waiting.take(shard)
        for letter in letters:
            letter.refused = 0
            self.dispatch(letter)

    def end(self) -> None:
        """Let nothing wait any more, as the cluster was left."""
        for kind in list(self.kinds.values()):
            for waiting in (kind.handed, kind.waiting):
                for letter in [letter for shard in waiting for letter in waiting.take(shard)]:
                    letter.fail(NoConnection("the cluster was left"))
