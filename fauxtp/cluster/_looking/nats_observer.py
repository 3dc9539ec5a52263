"""Looking at a cluster over NATS without being a node of it: nothing is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, Self, final

from fauxtp._base.arguments import expect_seconds
from fauxtp.cluster._engines.checks import check_token
from fauxtp.cluster._engines.engine import Change, Entry, NoConnection, Part, Snapshot
from fauxtp.cluster._engines.nats_follower import NatsFollower
from fauxtp.cluster._engines.nats_keys import NatsKeys, Written
from fauxtp.cluster._engines.nats_options import check_options, check_servers, insist_on_version
from fauxtp.cluster._engines.nats_session import NatsSession
from fauxtp.cluster._engines.permissions import inbox
from fauxtp.cluster._engines.subjects import Subjects
from fauxtp.cluster._keys.name_keys import Holding, holding, name_of
from fauxtp.cluster._keys.shard_keys import ShardHolding, place_of, shard_holding
from fauxtp.cluster._nodes.peers import Membership, membership, node_of
from fauxtp.cluster._nodes.replica import NAME, NODE, SHARD

__all__ = ["NatsObserver", "SeenNode"]

AT_ONCE: Final = 64  # keys that are asked for


class SeenNode(NamedTuple):
    """A node, by its key: how many seconds ago it was heard of last, of how many it may not be."""

    node: str
    member: Membership
    heard: float
    ttl: int | None


@final
class NatsObserver:
    """Sees one cluster, in one session: use `connected`."""

    def __init__(self, session: NatsSession, subjects: Subjects, timeout: float) -> None:
        self._session = session
        self._subjects = subjects
        self._timeout = timeout
        self._keys = NatsKeys(session, subjects, timeout)
        self._begun: datetime
        self._at: float

    @classmethod
    @asynccontextmanager
    async def connected(
        cls,
        servers: str | Sequence[str],
        *,
        cluster: str,
        observer: str = "observer",
        timeout: float = 5.0,
        **options: Any,
    ) -> AsyncIterator[Self]:
        """See `cluster` meanwhile, at the first of `servers` that answers in `timeout` seconds.

        `observer` is the name that we have in the server's permissions, and `options` are as those
        of `NatsEngine`.

        Raises `NoConnection` if none answers; `Refused` if it does not let us in or look, is too
        old, has no JetStream, or no such cluster; `TimeoutError` if it does not answer in time;
        `TypeError` and `ValueError` for what is none of these.
        """
        urls, subjects = check_servers(servers), Subjects(cluster)
        seconds = expect_seconds("timeout", timeout)
        check_options(options)
        name = check_token("observer", observer)
        session = await _session(urls, inbox(cluster, name), seconds, options)
        try:
            observing = cls(session, subjects, seconds)
            await observing._begin()
            yield observing
        finally:
            await session.close()

    async def _begin(self) -> None:
        insist_on_version(self._session)
        await self._session.flush(self._timeout)
        self._session.insist_on_answers()
        self._begun = await self._keys.look()
        self._at = asyncio.get_running_loop().time()

    async def nodes(self) -> list[SeenNode]:
        """Return the nodes that are there, in the order of their names."""
        seen = []
        for written in await self._read(f"{NODE}*"):
            node = node_of(written.entry.key[len(NODE) :])
            member = membership(written.entry.value)
            if node is not None and member is not None:
                passed = timedelta(seconds=asyncio.get_running_loop().time() - self._at)
                heard = (self._begun + passed - written.time).total_seconds()
                seen.append(SeenNode(node, member, max(0.0, heard), written.ttl))
        return sorted(seen)

    async def names(self) -> list[tuple[str, Holding]]:
        """Return the names that are taken, in order, and who has them: dead or alive."""
        seen = []
        for written in await self._read(f"{NAME}>"):
            name = name_of(written.entry.key[len(NAME) :])
            held = holding(written.entry.value)
            if name is not None and held is not None:
                seen.append((name, held))
        return sorted(seen)

    async def shards(self) -> list[tuple[str, int, ShardHolding]]:
        """Return the shards that are taken, by prefix and number, and who has them."""
        seen = []
        for written in await self._read(f"{SHARD}>"):
            place = place_of(written.entry.key[len(SHARD) :])
            held = shard_holding(written.entry.value)
            if place is not None and held is not None:
                seen.append((*place, held))
        return sorted(seen)

    async def follow(self, followed: Callable[[Snapshot | Change], object]) -> None:
        """Let `followed` be told of all keys, then of each change.

        Raises `NoConnection` when the connection is lost, and what `connected` does.
        """
        session = self._session

        def told(what: Part | Snapshot | Change) -> None:
            if not isinstance(what, Part):  # as here all comes in one
                followed(what)

        follower = NatsFollower(
            session, self._subjects, self._keys, told, self._timeout, self._all
        )
        await follower.read()
        going_on = asyncio.ensure_future(follower.go_on())
        try:
            await asyncio.wait({going_on, session.over}, return_when=asyncio.FIRST_COMPLETED)
            if going_on.done():
                await going_on
        finally:
            going_on.cancel()
            await asyncio.gather(going_on, return_exceptions=True)
        raise NoConnection("the connection was lost")

    async def _all(self, told: Callable[[list[Entry]], object]) -> None:
        told([written.entry for written in await self._read(">")])

    async def _read(self, pattern: str) -> list[Written]:
        """Return the last write of each key that matches, some of which may be gone."""
        keys = iter(await self._keys.matching(pattern))
        found: list[Written] = []

        async def read() -> None:
            for key in keys:
                written = await self._keys.written(key)
                if written is not None:
                    found.append(written)

        readers = [asyncio.ensure_future(read()) for _ in range(AT_ONCE)]
        try:
            await asyncio.gather(*readers)
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
        return found


async def _session(
    urls: list[str], prefix: str, timeout: float, options: dict[str, Any]
) -> NatsSession:
    """Return a session with the first server that answers."""
    error: NoConnection | None = None
    for url in urls:
        session = NatsSession(prefix, lambda: None)
        try:
            await session.connect(url, timeout, options)
        except NoConnection as failure:
            error = error or failure
        else:
            return session
    assert error is not None
    raise error
