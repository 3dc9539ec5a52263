"""The engine of one node at a broker in memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, final

from fauxtp._base.arguments import expect_callable
from fauxtp._base.logs import report
from fauxtp._loops.alarms import Alarm
from fauxtp._loops.current import new_waiter
from fauxtp.cluster._engines.checks import (
    check_key,
    check_revision,
    check_subject,
    check_ttl,
    check_value,
)
from fauxtp.cluster._engines.engine import (
    Change,
    ConnectionTold,
    Entry,
    Followed,
    NoConnection,
    Part,
    Received,
    Snapshot,
)
from fauxtp.cluster._engines.key_feed import KeyFeed
from fauxtp.cluster._engines.memory_keys import MemoryKeys
from fauxtp.cluster._engines.memory_listening import MemoryListening
from fauxtp.cluster._engines.pipe import Pipe

if TYPE_CHECKING:
    from fauxtp._loops.protocols import Home, Waiter

__all__ = ["MemoryEngine"]

T = TypeVar("T")

MAX_PAYLOAD: Final = 1_048_576
SHARDS: Final = 16  # as simulated machines take longer for 1,024 than a lease lasts
PART: Final = 256  # keys that are told at a time
NOTICES: Final = 3.0  # seconds after which a connection counts as lost on which nothing comes
BACK: Final = 0.1, 0.5  # seconds after which a lost connection is tried again
AGAIN: Final = 0.5  # seconds after which a snapshot that was refused is asked for again


class Broker(Protocol):
    """What an engine asks of the broker."""

    keys: MemoryKeys
    random: Random

    def enter(self, engine: MemoryEngine) -> Home: ...
    def leave(self, engine: MemoryEngine) -> None: ...
    def reaches(self, node: str) -> bool: ...
    def takes(self) -> float: ...
    def loses_answer(self, node: str) -> bool: ...
    def route(self, subject: str, payload: bytes, reply: str | None) -> bool: ...


class _Request:
    """A question to the broker, and what came of it."""

    __slots__ = ("answer", "error", "waiter")

    def __init__(self, waiter: Waiter) -> None:
        self.waiter = waiter
        self.answer: Any = None
        self.error: Exception | None = None

    def settle(self, answer: object, error: Exception | None) -> None:
        self.answer, self.error = answer, error
        self.waiter.wake()


@final
class MemoryEngine:
    """See `MemoryBroker.engine`, and `Engine` for what it promises."""

    asyncio_only: bool = False
    max_payload: int = MAX_PAYLOAD
    shards: int = SHARDS

    def __init__(self, broker: Broker, prefix: str, node: str, timeout: float) -> None:
        self.prefix: str = prefix
        self.node: str = node
        self.connected: bool = False
        self.dropped: int = 0
        self.losing: int = 0
        """Messages and changes that will be lost, as if they came too fast."""
        self.listenings: dict[MemoryListening, None] = {}
        self._broker = broker
        self._timeout = timeout
        self._state = "new"
        self._told: ConnectionTold | None = None
        self._feed: KeyFeed | None = None
        self._opening: Waiter | None = None
        self._requests: dict[_Request, None] = {}
        self._connection = 0  # its number: what belongs to an earlier one is void
        self._holds = 0  # how often it was held or healed: what notices a hold is for one of them
        self._home: Home
        self._up: Pipe
        self._down: Pipe

    @property
    def unsent(self) -> int:
        return self._up.size if self._state == "open" and self._up.held else 0

    async def open(
        self, *, followed: Followed | None = None, connection: ConnectionTold | None = None
    ) -> None:
        for name, callback in (("followed", followed), ("connection", connection)):
            if callback is not None:
                expect_callable(name, callback)
        if self._state != "new":
            raise RuntimeError("an engine is opened once")
        self._home = home = self._broker.enter(self)
        self._state = "open"
        self._told = connection
        self._up, self._down = Pipe(home, self._broker.takes), Pipe(home, self._broker.takes)
        if followed is not None:
            self._feed = KeyFeed(self._first_told(followed), self._ask_for_keys)
        self._opening = waiter = new_waiter()
        self._try_to_connect()
        try:
            done = await waiter.wait(self._timeout)
            self._opening = None
            if done:
                return
            if not self.connected:
                raise NoConnection(f"no broker for {self.node!r} within {self._timeout:g} s")
            raise TimeoutError(f"the keys were not read within {self._timeout:g} s")
        except BaseException:
            self._leave()
            raise

    async def close(self) -> None:
        if self._state == "open":
            try:
                if self.connected:
                    await self.flush()
            except (NoConnection, TimeoutError):
                pass
            finally:
                self._leave()
        self._state = "closed"

    async def create(self, key: str, value: bytes, *, ttl: int | None = None) -> int:
        return await self._write(key, check_value(value, MAX_PAYLOAD), 0, ttl)

    async def update(
        self, key: str, value: bytes, revision: int, *, ttl: int | None = None
    ) -> int:
        checked = check_value(value, MAX_PAYLOAD)
        return await self._write(key, checked, check_revision(revision), ttl)

    async def delete(self, key: str, revision: int) -> int:
        return await self._write(key, None, check_revision(revision), None)

    async def read(self, key: str) -> Entry | None:
        check_key(key)
        return await self._ask(lambda: self._broker.keys.read(key))

    def publish(
        self, subject: str, payload: bytes, reply: str | None = None, *, at_once: bool = False
    ) -> None:
        self._insist_on_connection()
        if len(payload) > MAX_PAYLOAD:
            raise ValueError(f"expected at most {MAX_PAYLOAD} bytes, got {len(payload)}")
        copy = bytes(payload)
        self._up.put(lambda: self._publish(subject, copy, reply), len(copy))

    async def listen(self, subject: str, received: Received) -> MemoryListening:
        check_subject(subject, self.prefix)
        expect_callable("received", received)
        self._insist_on_connection()
        listening = MemoryListening(self.listenings, subject, received)
        try:
            await self._ask(listening.begin)
        except BaseException:
            listening.stop()
            raise
        return listening

    async def flush(self) -> None:
        await self._ask(lambda: None)

    # For the broker

    def tell(self, change: Change) -> None:
        """Tell who follows of a change; it is on its way."""
        if self.connected and self._feed is not None and not self._is_lost():
            self._put_down(lambda: self._changed(change))

    def deliver(self, subject: str, payload: bytes | None, reply: str | None) -> bool:
        """Send a message on its way to who listens here; return whether anybody does."""
        if not self.connected:
            return False
        told = [one for one in self.listenings if one.is_meant(subject)]
        for one in told:
            if self._is_lost():
                self.dropped += 1
            else:
                self._put_down(lambda one=one: self._received(one, subject, payload, reply))  # type: ignore[misc]
        return bool(told)

    def hold(self, *, notices: bool) -> None:
        """Let nothing through, either way."""
        self._up.hold(True)
        self._down.hold(True)
        self._holds += 1
        if notices:
            self._later(NOTICES, partial(self._notice, self._holds))

    def lose_connection(self, *, with_what_was_sent: bool = True) -> None:
        """Know that the connection is lost."""
        if with_what_was_sent:
            self._up.cut()
        self._down.cut()
        self._connection += 1
        if self._feed is not None:
            self._feed.begin()
        was_connected, self.connected = self.connected, False
        requests, self._requests = self._requests, {}
        for request in requests:
            request.settle(None, TimeoutError("the connection was lost before the answer came"))
        if was_connected and self._opening is None:
            self._call(self._told, False)
        self._connect_later()

    def heal(self) -> None:
        """Let all through that waited, and connect again if the connection was lost."""
        self._up.hold(False)
        self._down.hold(False)
        self._holds += 1

    # Its connection

    def _connect_later(self) -> None:
        self._later(self._broker.random.uniform(*BACK), self._try_to_connect)

    def _try_to_connect(self) -> None:
        if self.connected:
            return
        if not self._broker.reaches(self.node) or self._down.held:
            self._connect_later()
            return
        self._connection += 1
        self.connected = True
        if self._opening is None:
            self._call(self._told, True)
        elif self._feed is None:
            self._opening.wake()
        if self._feed is not None:
            self._ask_for_keys()

    def _notice(self, hold: int) -> None:
        if hold == self._holds and self.connected:
            self.lose_connection(with_what_was_sent=False)

    def _leave(self) -> None:
        self._state = "closed"
        self._told = self._feed = self._opening = None
        self.listenings.clear()
        if self.connected:
            self.connected = False
            for request in list(self._requests):
                request.settle(None, TimeoutError("the engine was closed"))
            self._requests.clear()
        self._connection += 1
        self._down.cut()
        self._broker.leave(self)

    def _later(self, seconds: float, function: Callable[[], object]) -> None:
        """Call `function` then, unless the connection is another one by then."""
        number = self._connection

        def in_time() -> None:
            if number == self._connection:
                function()

        Alarm(self._home.alarms, self._home.time() + seconds, in_time)

    def _insist_on_connection(self) -> None:
        if self._state != "open":
            raise NoConnection(
                f"the engine is {'not open yet' if self._state == 'new' else 'closed'}"
            )
        if not self.connected:
            raise NoConnection("the broker is away")

    # What goes up

    async def _write(self, key: str, value: bytes | None, revision: int, ttl: int | None) -> int:
        check_key(key)
        check_ttl(ttl)
        return await self._ask(
            lambda: self._broker.keys.write(key, value, revision, ttl), is_write=True
        )

    async def _ask(self, act: Callable[[], T], *, is_write: bool = False) -> T:
        self._insist_on_connection()
        request = _Request(self._home.new_waiter())
        number = self._connection
        self._requests[request] = None
        self._up.put(lambda: self._answer(number, request, act, is_write))
        try:
            if not await request.waiter.wait(self._timeout):
                raise TimeoutError(f"no answer within {self._timeout:g} s")
        finally:
            self._requests.pop(request, None)
        if request.error is not None:
            raise request.error
        return request.answer  # type: ignore[no-any-return]

    def _answer(
        self, number: int, request: _Request, act: Callable[[], T], is_write: bool
    ) -> None:
        """Do what was asked for, at the broker, and send the answer on its way."""
        answer: Any = None
        error: Exception | None = None
        try:
            answer = act()
        except Exception as problem:
            error = problem
        lost = is_write and error is None and self._broker.loses_answer(self.node)
        if number == self._connection and not lost:
            self._put_down(lambda: request.settle(answer, error))

    def _publish(self, subject: str, payload: bytes, reply: str | None) -> None:
        if not self._broker.route(subject, payload, reply) and reply is not None:
            self.deliver(reply, None, None)

    def _ask_for_keys(self) -> None:
        number = self._connection
        self._up.put(lambda: self._answer_with_keys(number))

    def _answer_with_keys(self, number: int) -> None:
        if number != self._connection or self._feed is None:
            return
        try:
            snapshot = self._broker.keys.snapshot()
        except NoConnection:
            self._later(AGAIN, self._ask_for_keys)
        else:
            entries = snapshot.entries
            last = max(0, len(entries) - 1) // PART * PART
            for first in range(0, last, PART):
                self._put_down(partial(self._told_part, entries[first : first + PART], not first))
            rest = Snapshot(entries[last:], snapshot.revision, is_first=not last)
            self._put_down(lambda: self._answered_with_keys(rest))

    # What comes down

    def _put_down(self, item: Callable[[], object]) -> None:
        number = self._connection
        self._down.put(lambda: number == self._connection and item())

    def _is_lost(self) -> bool:
        lost = self.losing > 0
        self.losing -= lost
        return lost

    def _told_part(self, entries: list[Entry], is_first: bool) -> None:
        if self._feed is not None:
            self._feed.part(Part(entries, is_first))

    def _answered_with_keys(self, snapshot: Snapshot) -> None:
        if self._feed is not None:
            self._feed.snapshot(snapshot)

    def _changed(self, change: Change) -> None:
        if self._feed is not None:
            self._feed.changed(change)

    def _received(
        self, one: MemoryListening, subject: str, payload: bytes | None, reply: str | None
    ) -> None:
        if one in self.listenings:
            self._call(one.received, subject, payload, reply)

    def _first_told(self, followed: Followed) -> Followed:
        def told(what: Part | Snapshot | Change) -> None:
            self._call(followed, what)
            if self._opening is not None and not isinstance(what, Part):
                self._opening.wake()

        return told

    def _call(self, callback: Callable[..., object] | None, *arguments: object) -> None:
        if callback is None:
            return
        try:
            callback(*arguments)
        except Exception:
            report("a callback of an engine failed")
