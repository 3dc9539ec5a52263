"""Following the keys of a cluster in a stream of JetStream.

Each write is republished by the server, with its number in the stream, to whoever listens: that
costs the server next to nothing, whoever follows. A consumer is made for the snapshot only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, final

from nats.aio.msg import Msg

from fauxtp._base.logs import logger
from fauxtp.cluster._engines.engine import (
    Change,
    Entry,
    Followed,
    NoConnection,
    Part,
    Refused,
    Snapshot,
)
from fauxtp.cluster._engines.key_feed import KeyFeed
from fauxtp.cluster._engines.nats_keys import NatsKeys
from fauxtp.cluster._engines.nats_reading import Reading
from fauxtp.cluster._engines.nats_session import NatsSession
from fauxtp.cluster._engines.subjects import Subjects

__all__ = ["NatsFollower"]

BATCH: Final = 4_096  # keys that are asked for at a time: a pong comes after them
SOON: Final = 0.005  # seconds
IN_TIME: Final = 1.0  # seconds within which a change comes that was made before
QUIET: Final = (
    5.0  # seconds without a change after which the server is asked whether there is none
)
AGAIN: Final = 0.5  # seconds after which a snapshot that failed is asked for again
PART: Final = 512  # keys that are told in one step, and those that come with the last of them

Told = Callable[[list[Entry]], object]
ReadAll = Callable[[Told], Awaitable[object]]


@final
class NatsFollower:
    """Who follows the keys in one session.

    If `read_all` is given, it reads them in place of that; and they are told in one.
    """

    def __init__(
        self,
        session: NatsSession,
        subjects: Subjects,
        keys: NatsKeys,
        followed: Followed,
        timeout: float,
        read_all: ReadAll | None = None,
    ) -> None:
        self._session = session
        self._subjects = subjects
        self._keys = keys
        self._timeout = timeout
        self._entries: ReadAll = read_all or self._read_all
        self._feed = KeyFeed(followed, self._gap)
        self._part = None if read_all else self._feed.part
        self._is_needed = asyncio.Event()
        self._changes = 0
        self._snapshots = 0
        self._is_begun = False

    async def _begin(self) -> None:
        """Listen to changes. Nothing is told before the first snapshot."""
        await self._session.listen_to_all(self._subjects.seen + ">", self._came)
        await self._session.flush(self._timeout)
        refusal = self._session.refusal(self._subjects.seen + ">")
        if refusal is not None:
            raise Refused(refusal)
        self._is_begun = True

    async def read(self) -> None:
        """Read a snapshot, and have it told.

        Raises `NoConnection`, `Refused`, and `TimeoutError` if it makes no progress.
        """
        if not self._is_begun:
            await self._begin()
        while True:
            self._is_needed.clear()
            self._feed.begin()
            base = await self._keys.last_revision()
            gathered = _Gathered(self._part)
            await self._entries(gathered.add)
            until = await self._keys.last_revision()
            if await self._add_changes(gathered, base, until):
                self._feed.snapshot(gathered.last(until))
            if self._feed.known is not None:
                return

    async def go_on(self) -> None:
        """Read a snapshot whenever changes are missing. It does not end."""
        if not self._is_begun:
            self._is_needed.set()
        while True:
            before = self._changes
            try:
                async with asyncio.timeout(QUIET):
                    await self._is_needed.wait()
            except TimeoutError:
                if self._changes != before or not await self._is_behind():
                    continue
            try:
                await self.read()
            except (NoConnection, Refused, TimeoutError) as error:
                logger().warning("the keys could not be read, and will be again: %s", error)
                self._is_needed.set()
                await asyncio.sleep(AGAIN)

    async def _is_behind(self) -> bool:
        """Return whether the server has changes that did not come."""
        known = self._feed.known
        try:
            last = await self._keys.last_revision()
        except (NoConnection, Refused, TimeoutError):
            return False
        await asyncio.sleep(IN_TIME)
        return known is not None and known == self._feed.known and known != last

    def _gap(self) -> None:
        self._is_needed.set()

    def _came(self, message: Msg) -> None:
        """Take what the server tells of a change; what has no number comes from somebody else."""
        headers = message.headers or {}
        number = headers.get("Nats-Sequence", "")
        seen, stream = self._subjects.seen, self._subjects.stream
        is_one = message.subject.startswith(seen) and headers.get("Nats-Stream") == stream
        if not is_one or not number.isdecimal():
            return
        self._changes += 1
        key = message.subject[len(seen) :]
        self._feed.changed(Change(key, message.data or None, int(number)))

    async def _read_all(self, told: Told) -> None:
        """Tell the last write of each key, where an empty value is one that is gone."""
        self._snapshots += 1
        name, session = f"read-{id(self):x}-{self._snapshots}", self._session
        subjects = self._subjects
        reading = Reading(subjects.keys, subjects.stream, name, BATCH // 4, told)
        inbox = f"{session.inbox}.keys.{name}"
        subscription = await session.listen_to_all(inbox, reading.came)
        try:
            left = await self._keys.consume(name)
            session.client.let_take(reading)
            asked = 0
            while reading.count < left and not reading.is_over:
                if asked - reading.count < BATCH // 2:
                    self._keys.ask_for_more(name, inbox, BATCH)
                    asked = reading.count + BATCH
                await reading.more(self._timeout, session.over)
        finally:
            session.client.let_take(None)
            session.stop(subscription)

    async def _add_changes(self, gathered: _Gathered, base: int, until: int) -> bool:
        """Add all changes after `base` up to `until`; return False if some did not come."""
        wait = IN_TIME
        while until > base and self._feed.last_early < until and wait > 0:
            await asyncio.sleep(SOON)
            wait -= SOON
        expected, early = base, self._feed.early
        for number in range(len(early)):  # others come meanwhile, all of them later
            change = early[number]
            if base < change.revision <= until:
                expected += 1
                if change.revision != expected:
                    return False
                gathered.add([Entry(change.key, change.value or b"", change.revision)])
                if expected % PART == 0:
                    await asyncio.sleep(0)
        return expected == until


@final
class _Gathered:
    """The keys of a snapshot that were read and are yet to be told: by `part`, if it is given."""

    def __init__(self, part: Callable[[Part], object] | None) -> None:
        self._part = part
        self._is_first = True
        self._entries: list[Entry] = []

    def add(self, entries: list[Entry]) -> None:
        if self._part is not None and len(self._entries) >= PART:
            self._part(Part(self._entries, self._is_first))
            self._is_first = False
            self._entries = []
        self._entries += entries

    def last(self, revision: int) -> Snapshot:
        """Return a snapshot of what was not told; if nothing was, without what is gone."""
        if not self._is_first:
            return Snapshot(self._entries, revision, is_first=False)
        entries = {entry.key: entry for entry in self._entries}
        return Snapshot([entry for entry in entries.values() if entry.value], revision)
