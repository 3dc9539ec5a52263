"""The engine that carries a cluster over NATS."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from typing import Any, Final, final

from nats.aio.subscription import Subscription

from fauxtp._base.arguments import expect_callable, expect_seconds
from fauxtp._base.logs import logger, report
from fauxtp.cluster._engines.checks import (
    check_key,
    check_revision,
    check_subject,
    check_token,
    check_ttl,
    check_value,
)
from fauxtp.cluster._engines.engine import (
    SHARDS,
    ConnectionTold,
    Entry,
    Followed,
    NoConnection,
    Received,
    Refused,
)
from fauxtp.cluster._engines.nats_follower import NatsFollower
from fauxtp.cluster._engines.nats_keys import NatsKeys
from fauxtp.cluster._engines.nats_options import check_options, check_servers, insist_on_version
from fauxtp.cluster._engines.nats_session import NatsSession
from fauxtp.cluster._engines.permissions import inbox
from fauxtp.cluster._engines.subjects import Subjects

__all__ = ["NatsEngine"]

BACK: Final = 0.1, 0.5  # seconds after which a lost connection is tried again


@final
class NatsEngine:
    """Carries the node `node` of the cluster `cluster` over NATS, with JetStream: see `Engine`.

    `servers` are one URL or several, of which any answers. `replicas` is how many servers keep
    the keys, if this node is the first and makes their stream: as many as there can be up to
    three, if it is None. An answer may take `timeout` seconds. `options` are those of nats-py
    that say who we are: tls, tls_hostname, tls_handshake_first, user, password, token,
    user_credentials, nkeys_seed, nkeys_seed_str, signature_cb, user_jwt_cb, and
    ws_connection_headers.

    Raises `TypeError` and `ValueError` for what is none of these.

    >>> engine = NatsEngine("nats://127.0.0.1:4222", cluster="shop", node="a")
    >>> engine.prefix, engine.connected
    ('ftp.shop.', False)
    """

    asyncio_only: bool = True
    shards: int = SHARDS
    dropped: int = 0
    """Messages are heard as they are read: a server that waits for that ends the connection."""

    def __init__(
        self,
        servers: str | Sequence[str],
        *,
        cluster: str,
        node: str,
        replicas: int | None = None,
        timeout: float = 5.0,
        **options: Any,
    ) -> None:
        self._servers = check_servers(servers)
        self._subjects = Subjects(cluster)
        self.prefix: str = self._subjects.prefix
        self.node: str = check_token("node", node)
        if replicas is not None and replicas not in {1, 3, 5}:
            raise ValueError(f"expected replicas to be 1, 3, 5 or None, got {replicas!r}")
        self._replicas = replicas
        self._timeout = expect_seconds("timeout", timeout)
        check_options(options)
        self._options = {"name": f"fauxtp {cluster} {node}", **options}
        self._state = "new"
        self._session: NatsSession | None = None
        self._keys: NatsKeys | None = None
        self._listenings: dict[_NatsListening, None] = {}
        self._followed: Followed | None = None
        self._told: ConnectionTold | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self.max_payload: int = 1_048_576

    @property
    def connected(self) -> bool:
        return self._session is not None and self._session.connected

    @property
    def unsent(self) -> int:
        return 0 if self._session is None else self._session.writer.unsent

    async def open(
        self, *, followed: Followed | None = None, connection: ConnectionTold | None = None
    ) -> None:
        for name, callback in (("followed", followed), ("connection", connection)):
            if callback is not None:
                expect_callable(name, callback)
        if self._state != "new":
            raise RuntimeError("an engine is opened once")
        self._state = "open"
        self._followed = None if followed is None else _guarded(followed)
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.get_running_loop().create_task(
            self._serve(opened), name=f"the engine of {self.node}"
        )
        try:
            await opened
            self._told = None if connection is None else _guarded(connection)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        was_open, self._state = self._state == "open", "closed"
        if not was_open:
            return
        self._told = self._followed = None
        for listening in list(self._listenings):
            listening.stop()
        session, self._session = self._session, None
        try:
            if session is not None and session.connected:
                with contextlib.suppress(NoConnection, TimeoutError):
                    await session.flush(min(self._timeout, 2.0))
        finally:
            if self._task is not None:
                self._task.cancel()
            if session is not None:
                await session.close()
            await asyncio.gather(
                *filter(None, [self._task]), *self._closing, return_exceptions=True
            )

    async def create(self, key: str, value: bytes, *, ttl: int | None = None) -> int:
        check_key(key)
        value = check_value(value, self.max_payload)
        check_ttl(ttl)
        return await self._keys_now().create(key, value, ttl)

    async def update(
        self, key: str, value: bytes, revision: int, *, ttl: int | None = None
    ) -> int:
        check_key(key)
        value = check_value(value, self.max_payload)
        check_ttl(ttl)
        return await self._keys_now().update(key, value, check_revision(revision), ttl)

    async def delete(self, key: str, revision: int) -> int:
        check_key(key)
        return await self._keys_now().update(key, b"", check_revision(revision), None)

    async def read(self, key: str) -> Entry | None:
        check_key(key)
        return await self._keys_now().read(key)

    def publish(
        self, subject: str, payload: bytes, reply: str | None = None, *, at_once: bool = False
    ) -> None:
        session = self._session
        if session is None:
            raise self._absent()
        if not at_once or not session.writer.write(subject, payload, reply or ""):
            session.publish(subject, payload, reply or "")

    async def listen(self, subject: str, received: Received) -> _NatsListening:
        check_subject(subject, self.prefix)
        expect_callable("received", received)
        session = self._session_now()
        listening = _NatsListening(self._listenings, subject, received)
        try:
            await listening.begin(session)
            await session.flush(self._timeout)
            refusal = session.refusal(subject)
            if refusal is not None:
                raise Refused(refusal)
        except BaseException:
            listening.stop()
            raise
        return listening

    async def flush(self) -> None:
        await self._session_now().flush(self._timeout)

    # Its connection

    async def _serve(self, opened: asyncio.Future[None]) -> None:
        """Connect, and when the connection is lost, again; the first time tell `opened` of it."""
        until = asyncio.get_running_loop().time() + self._timeout
        while True:
            lost = False
            try:
                session = await self._connect(opened, until)
                lost = True
                await self._live(session, opened)
            except (NoConnection, Refused, TimeoutError) as error:
                if not opened.done():
                    if not isinstance(error, NoConnection) or lost or until < _now():
                        opened.set_exception(error)
                        return
                else:
                    logger().warning("the cluster's server is away: %s", error)
            except Exception as error:
                report("an engine's connection failed")
                if not opened.done():
                    opened.set_exception(error)
                    return
            finally:
                self._lose()
            await asyncio.sleep(random.uniform(*BACK))

    async def _connect(self, opened: asyncio.Future[None], until: float) -> NatsSession:
        """Return a session with the first server that answers."""
        servers, self._servers = self._servers, [*self._servers[1:], self._servers[0]]
        timeout = self._timeout
        if not opened.done():
            timeout = max(0.1, min(timeout, until - _now()))
        session = NatsSession(inbox(self._subjects.cluster, self.node), self._lose)
        await session.connect(servers[0], timeout, self._options)
        try:
            insist_on_version(session)
            self._add_servers(session)
            self.max_payload = session.client.max_payload
            keys = NatsKeys(session, self._subjects, self._timeout)
            await keys.prepare(self._replicas, session.cluster)
            for listening in list(self._listenings):
                await listening.begin(session)
            await session.flush(self._timeout)
        except BaseException:
            await session.close()
            raise
        if session.over.done():
            raise NoConnection("the connection was lost at once")
        self._session, self._keys = session, keys
        return session

    async def _live(self, session: NatsSession, opened: asyncio.Future[None]) -> None:
        """Follow the keys, if that is wanted, until the connection is lost."""
        if self._told is not None:
            self._told(True)
        assert self._keys is not None
        reading: asyncio.Task[None] | None = None
        if self._followed is not None:
            follower = NatsFollower(
                session, self._subjects, self._keys, self._followed, self._timeout
            )
            if not opened.done():
                await follower.read()
            reading = asyncio.get_running_loop().create_task(follower.go_on())
        if not opened.done():
            opened.set_result(None)
        try:
            await asyncio.wait({session.over})
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    def _lose(self) -> None:
        """Note that the connection is lost, and let what is left of it end by itself."""
        session, self._session, self._keys = self._session, None, None
        if session is None:
            return
        closing = asyncio.get_running_loop().create_task(session.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        if self._told is not None:
            self._told(False)

    def _add_servers(self, session: NatsSession) -> None:
        """Take note of servers that the one which answered knows of."""
        for url in session.client.discovered_servers:
            if url.geturl() not in self._servers:
                self._servers.append(url.geturl())

    def _session_now(self) -> NatsSession:
        if self._session is None:
            raise self._absent()
        return self._session

    def _keys_now(self) -> NatsKeys:
        if self._keys is None or self._session is None:
            raise self._absent()
        return self._keys

    def _absent(self) -> NoConnection:
        why = {"new": "the engine is not open yet", "closed": "the engine is closed"}
        return NoConnection(why.get(self._state, "the server is away"))


class _NatsListening:
    """One subject, or a pattern of them, and who is told; it outlasts sessions."""

    def __init__(
        self, among: dict[_NatsListening, None], subject: str, received: Received
    ) -> None:
        self._among = among
        self._subject = subject
        self._received: Received | None = received
        self._session: NatsSession | None = None
        self._subscription: Subscription | None = None

    async def begin(self, session: NatsSession) -> None:
        """Listen in that session, too."""
        self._among[self] = None
        self._session = session
        self._subscription = await session.listen(self._subject, self._tell)

    def stop(self) -> None:
        self._received = None
        if self._among.pop(self, 0) is None and self._session and self._subscription:
            self._session.stop(self._subscription)

    def _tell(self, subject: str, payload: bytes | None, reply: str | None) -> None:
        if self._received is not None:
            self._received(subject, payload, reply)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _guarded(callback: Callable[[Any], object]) -> Callable[[Any], object]:
    """Return what calls `callback`, and logs what it raises."""

    def call(what: Any) -> None:
        try:
            callback(what)
        except Exception:
            report("a callback of an engine failed")

    return call
