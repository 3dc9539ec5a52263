"""What a cluster asks of whatever carries it: keys that all nodes see, and messages.

There are two engines: `NatsEngine`, and that of `MemoryBroker` for tests. All that is promised
here is promised by both, and held by one table of tests.

Keys. All keys of a cluster lie in one place, with one total order: each write has a revision, and
later ones have higher revisions. A key is taken by `create`, and changed or deleted only by who
names the revision that it has: of two that try, one succeeds. A key with a `ttl` goes away unless
it is written again in time. A write that is acknowledged is in the order; but a server that loses
its disk, or its power before it has written, may come back without the last ones, and then it
gives their revisions out again. What must not be confused needs a random part in its value.

Messages are told at most once, to who listens at that moment; from one engine to one listener in
the order in which they were published. Between messages and keys there is no order.

Errors. What was certainly not done raises `NoConnection`, `Taken`, `Superseded` or `Refused`; of a
`TimeoutError` nobody knows: whoever gets one reads the key and compares.

Threads. An engine belongs to the event loop in which it was opened: all is called in there, and
all callbacks come in there, in no task's name and in the order in which things happened. They are
quick, do not wait and raise nothing; what one raises is logged, and the engine goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from fauxtp._base.errors import FauxtpError
from fauxtp.cluster._engines.checks import check_key, check_token, check_ttl

__all__ = [
    "SHARDS",
    "Change",
    "ConnectionTold",
    "Engine",
    "Entry",
    "Followed",
    "Listening",
    "NoConnection",
    "Part",
    "Received",
    "Refused",
    "Snapshot",
    "Superseded",
    "Taken",
    "check_key",
    "check_token",
    "check_ttl",
]

SHARDS: Final = 1024  # at most; there are fewer where the nodes of a cluster are in memory


class NoConnection(FauxtpError):
    """There is no connection to where it would have to go: nothing was done, and nothing will be.

    `why` tells what is known of it.

    >>> NoConnection("the server is away").why
    'the server is away'
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def _fauxtp_is_untaken(self) -> bool:
        return True


class Refused(FauxtpError):
    """The server will not do it, now or later: it is too old, or set up otherwise, or forbids it.

    `why` tells what it said, or what it lacks.

    >>> Refused("needs NATS 2.11 or newer, got 2.10.4").why
    'needs NATS 2.11 or newer, got 2.10.4'
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Taken(FauxtpError):
    """A key that was to be created is there already. Its name is `key`.

    >>> Taken("name.billing").key
    'name.billing'
    """

    def __init__(self, key: str) -> None:
        super().__init__(f"{key!r} is there already")
        self.key = key


class Superseded(FauxtpError):
    """A key no longer has the revision that was named: somebody has changed it, or it is gone.

    `key` is its name, `revision` what was named.

    >>> print(Superseded("name.billing", 7))
    'name.billing' no longer has revision 7
    """

    def __init__(self, key: str, revision: int) -> None:
        super().__init__(f"{key!r} no longer has revision {revision}")
        self.key = key
        self.revision = revision


class Entry(NamedTuple):
    """What a key holds, and which write put it there."""

    key: str
    value: bytes
    revision: int


class Change(NamedTuple):
    """A key has another value now; None: it is gone, be it deleted or expired."""

    key: str
    value: bytes | None
    revision: int


class Part(NamedTuple):
    """Some keys of a snapshot that is yet to come, as there may be too many for one step.

    Of a key that is told of twice, the later counts; one whose value is empty is gone. The one
    that `is_first` begins anew: what parts told before belongs to a snapshot that never came.
    """

    entries: list[Entry]
    is_first: bool


class Snapshot(NamedTuple):
    """All keys that there are, as of `revision`: every write up to it is in here.

    It takes the place of all that was told before: what it lacks is gone, untold. Where parts have
    told some of it, `entries` is the last of them, and it is not the one that `is_first`.
    """

    entries: list[Entry]
    revision: int
    is_first: bool = True


Followed = Callable[[Part | Snapshot | Change], object]
"""What an engine tells of keys: see `Engine.open`."""

Received = Callable[[str, bytes | None, str | None], object]
"""What a listener is told: the subject, the payload, and the subject for replies, if there is one.

A payload of None tells that nobody listens: see `Engine.publish`.
"""

ConnectionTold = Callable[[bool], object]
"""What an engine tells of its connection: see `Engine.open`."""


class Listening(Protocol):
    """That somebody listens to a subject: see `Engine.listen`."""

    def stop(self) -> None:
        """Listen no longer. Nothing is told after it; a second time nothing happens."""
        ...


class Engine(Protocol):
    """One node's way to the others. It is made anywhere, opened once, and closed once.

    Keys are `check_key`'s: words of letters, digits and `_=/-`, with dots between them. Values
    are bytes, at least one and at most `max_payload`. `ttl` is a whole number of seconds, from 1;
    a key goes away at that time after its last write or up to a second later, and never before.

    A subject is words with dots between them, as keys are, and begins with `prefix`. Where it is
    listened to, a word may be `*`, which stands for any one, and the last `>`, which stands for
    one or more.

    What is called before `open` or after `close` raises `NoConnection`.
    """

    @property
    def prefix(self) -> str:
        """What all subjects of the messages of this cluster begin with, its last dot included.

        By it the messages of several clusters on one server do not meet.
        """
        ...

    @property
    def max_payload(self) -> int:
        """How many bytes a message or a value may have. It is known when the engine is open."""
        ...

    @property
    def shards(self) -> int:
        """In how many shards the keys of processes are: as many for all nodes of a cluster."""
        ...

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        ...

    @property
    def unsent(self) -> int:
        """How many bytes were published, and wait to be handed to the network.

        Who publishes faster than the network takes it sees this grow, and waits by `flush`.
        """
        ...

    @property
    def dropped(self) -> int:
        """How many messages to listeners here are known to be lost, as they came too fast."""
        ...

    @property
    def asyncio_only(self) -> bool:
        """Whether it needs an event loop of asyncio, and on trio therefore another thread."""
        ...

    async def open(
        self,
        *,
        followed: Followed | None = None,
        connection: ConnectionTold | None = None,
    ) -> None:
        """Connect, and follow the keys, in the running event loop.

        `followed` is told a `Snapshot` first, before this returns, and before it `Part`s if there
        are many keys; then each `Change`, in order and without gaps, those by this engine's own
        writes among them. Whenever changes may have
        been missed, as after the connection was away, a new `Snapshot` comes in place of them: as
        soon as it can be read. A change that the snapshot before it has already is not told. With
        None, nothing is followed, which costs nobody anything.

        `connection` is told False when the connection goes away, and True when it is back: all
        who listened listen by then, while the new snapshot is yet to come. It is not told of the
        first connection, nor of `close`. Whoever was cut off without a word is noticed in a few
        seconds.

        Raises `NoConnection` if nobody answers in time, `Refused` if the server is none that can
        do this, and `TimeoutError` if it is, but the keys cannot be read in time. After an error
        the engine is closed.
        """
        ...

    async def close(self) -> None:
        """Hand on what was published, and leave. Callbacks are told nothing after it.

        It raises nothing, and takes a few seconds at most. What waits elsewhere for an answer
        raises: `TimeoutError` for writes whose fate is not known.
        """
        ...

    async def create(self, key: str, value: bytes, *, ttl: int | None = None) -> int:
        """Take `key`, which must not be there, and return the revision.

        A key that is deleted or expired is not there.

        Raises `Taken` if it is there, `NoConnection` at once where there is no connection or
        nobody who orders the writes, `Refused` if the server will not have it (as for want of
        permission or space), `TimeoutError` if it is not known whether it was done, `TypeError`
        and `ValueError` for what is no key, value or `ttl`, in seconds.
        """
        ...

    async def update(
        self, key: str, value: bytes, revision: int, *, ttl: int | None = None
    ) -> int:
        """Write `key`, which must have `revision`, and return the new revision.

        The new `ttl` counts, in seconds from now; without one, the key stays.

        Raises `Superseded` if it has another revision or is gone; else as `create`.
        """
        ...

    async def delete(self, key: str, revision: int) -> int:
        """Delete `key`, which must have `revision`, and return the revision of the deletion.

        Raises `Superseded` if it has another revision or is gone; else as `create`.
        """
        ...

    async def read(self, key: str) -> Entry | None:
        """Return what `key` holds, or None if it is not there.

        It is asked of who orders the writes: each write that was acknowledged before is seen.

        Raises `NoConnection` and `Refused` as `create`, and `TimeoutError` if nobody answered.
        """
        ...

    def publish(
        self, subject: str, payload: bytes, reply: str | None = None, *, at_once: bool = False
    ) -> None:
        """Send `payload` to all who listen to `subject`, and do not wait.

        If `reply` is given, they are told it; and if nobody listens to `subject`, then this
        engine's listeners to `reply` are told so, within milliseconds: with `reply` as the
        subject, and None as the payload.

        `at_once` says that nothing else is about to be sent, and so this need not wait for that.
        Messages go in the order in which they were sent all the same.

        Raises `NoConnection` at once where there is no connection: it is not sent later either.
        What was sent just before the connection was lost may be lost with it, untold. Raises
        `ValueError` if it is longer than `max_payload`. Whether `subject` and `reply` are
        subjects is not looked at: this is called for each message.
        """
        ...

    async def listen(self, subject: str, received: Received) -> Listening:
        """Let `received` be told of each message to `subject`, until it is stopped.

        When this returns, the server knows of it, and messages from anywhere in a cluster of
        servers come within milliseconds. It outlasts the loss of the connection.

        Raises `NoConnection`, `Refused` if the server forbids it, `TimeoutError` if it does not
        answer: then nothing is listened to. `ValueError` if `subject` does not begin with
        `prefix` or is none.
        """
        ...

    async def flush(self) -> None:
        """Return when the server has all that was published before.

        Raises `NoConnection`, and `TimeoutError` if it does not answer.
        """
        ...
