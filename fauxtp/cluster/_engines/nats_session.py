"""A session: one connection to a NATS server, from its beginning to its loss.

nats-py can connect again by itself; here it does not. What belongs to a lost connection is lost
with it: nothing that was published before comes late, nobody waits for an answer that cannot come.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, final
from uuid import uuid4

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from fauxtp._base.logs import report
from fauxtp.cluster._engines.engine import NoConnection, Received, Refused
from fauxtp.cluster._engines.nats_parser import TakingClient
from fauxtp.cluster._engines.nats_writer import NatsWriter
from fauxtp.cluster._engines.server_urls import without_user

__all__ = ["NatsSession"]

PING: Final = 1  # seconds between two
UNANSWERED: Final = 2  # pings, after which the connection counts as lost
LOOK: Final = 0.25  # seconds between two looks whether the connection is there
TO_CLOSE: Final = 2.0  # seconds
VIOLATION: Final = re.compile(
    r'permissions violation for (publish|subscription) to "([^"]+)"', re.IGNORECASE
)
NOT_LET_IN: Final = re.compile("authorization (violation|failed)", re.IGNORECASE)
STATUS: Final = "Status"
SHOWN_BY: Final = frozenset(
    {"nkeys_seed", "nkeys_seed_str", "signature_cb", "user_credentials", "user_jwt_cb"}
)


@final
class NatsSession:
    """One connection; `lost` is called once, when it is lost. Use `connect`."""

    def __init__(self, prefix: str, lost: Callable[[], object]) -> None:
        self.client: TakingClient = TakingClient()
        self.writer: NatsWriter  # from `connect` on
        self._lost: Callable[[], object] | None = lost
        self.inbox: str = f"{prefix}.{uuid4().hex}"
        self._inbox = f"{self.inbox}.ask."
        self._numbers = itertools.count(1)
        self._waiting: dict[str, tuple[asyncio.Future[Msg], str]] = {}
        self._refused: dict[str, str] = {}
        self._look: asyncio.TimerHandle | None = None
        self._prefix = prefix
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def connect(self, server: str, timeout: float, options: Mapping[str, Any]) -> None:
        """Connect to `server`. Raises `NoConnection`, or `Refused` if it lets nobody of us in."""
        shown = without_user(server)
        try:
            async with asyncio.timeout(timeout):
                await self.client.connect(
                    servers=[server],
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=timeout,  # type: ignore[arg-type]  # it is one for asyncio
                    ping_interval=PING,
                    max_outstanding_pings=UNANSWERED,
                    pending_size=0,
                    inbox_prefix=self._prefix,
                    error_cb=self._failed,
                    disconnected_cb=self._away,
                    closed_cb=self._away,
                    **options,
                )
                self.writer = NatsWriter(self.client)
                await self.listen_to_all(self._inbox + "*", self._answered)
        except ModuleNotFoundError as error:
            await self.close()
            said = f"nkeys and credentials need {error.name}: install nats-py[nkeys]"
            raise Refused(said) from error
        except (OSError, nats.errors.Error, TimeoutError) as error:
            await self.close()
            why = str(error) or "it took too long"
            if NOT_LET_IN.search(why):  # of which nats-py makes errors of several classes
                raise Refused(f"{shown} does not let us in: {why}") from error
            # What led to it may have a part of the password in its words, if the URL is none.
            raise NoConnection(f"no answer from {shown}: {why}") from None
        except Exception as error:
            await self.close()
            if SHOWN_BY.isdisjoint(options):
                raise
            # Whatever nkeys and nats-py stumble over, none of which has a class of its own.
            raise Refused(f"these credentials cannot be used: {type(error).__name__}") from error
        except BaseException:
            await self.close()
            raise
        self._look_again()

    async def close(self) -> None:
        """End it, for a few seconds at most. `lost` is not called any more."""
        self._lost = None
        self._end()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(TO_CLOSE):
                await self.client.close()

    @property
    def cluster(self) -> bool:
        """Whether the server is one of several."""
        return bool(self.client.discovered_servers)

    @property
    def connected(self) -> bool:
        return not self.over.done() and self.client.is_connected

    def publish(
        self, subject: str, payload: bytes, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Send, and do not wait. Raises `NoConnection`, and `ValueError` if it is too long."""
        try:
            # It waits for nobody, as there is no limit to what is pending: so it is over at once.
            for _ in self.client.publish(subject, payload, reply, headers).__await__():
                break
        except nats.errors.MaxPayloadError:
            most = self.client.max_payload
            raise ValueError(f"expected at most {most} bytes, got {len(payload)}") from None
        except nats.errors.BadSubjectError:
            raise ValueError(f"expected a subject, got {subject[:80]!r}") from None
        except (nats.errors.Error, OSError) as error:
            self._look_now()
            raise NoConnection(f"the server is away: {error}") from error

    async def request(
        self,
        subject: str,
        payload: bytes,
        timeout: float,
        headers: dict[str, str] | None = None,
    ) -> Msg:
        """Return the answer to a request.

        Raises `NoConnection` if it was not sent, or nobody is there to take it, `Refused` if it
        may not be sent, `TimeoutError` if there is no answer in time, or the connection is lost.
        """
        if self.over.done():
            raise NoConnection("the server is away")
        loop = asyncio.get_running_loop()
        token = str(next(self._numbers))
        future: asyncio.Future[Msg] = loop.create_future()
        self._waiting[token] = future, subject
        timer = loop.call_later(timeout, _too_late, future, timeout)
        try:
            self.publish(subject, payload, self._inbox + token, headers)
            answer = await future
        finally:
            timer.cancel()
            del self._waiting[token]
        if not answer.data and answer.headers and answer.headers.get(STATUS) == "503":
            raise NoConnection(f"nobody is there to take {subject}")
        return answer

    async def listen(self, subject: str, received: Received) -> Subscription:
        """Let `received` be told of messages; others may be on their way until `flush`."""
        return await self.listen_to_all(subject, _teller(received))

    async def listen_to_all(self, subject: str, told: Callable[[Msg], object]) -> Subscription:
        """Let `told` be called with each message as nats-py has it."""

        try:
            return await self.client.subscribe(subject, future=_Each(told))
        except nats.errors.Error as error:
            raise NoConnection(f"the server is away: {error}") from error

    def stop(self, subscription: Subscription) -> None:
        """Listen no longer."""
        stopping = subscription.unsubscribe()
        try:
            stopping.send(None)
        except (StopIteration, nats.errors.Error, OSError):
            pass
        finally:
            stopping.close()

    async def flush(self, timeout: float) -> None:
        """Return when the server has all that was sent before."""
        if self.over.done():
            raise NoConnection("the server is away")
        flushing = asyncio.ensure_future(self.client.flush(timeout))  # type: ignore[arg-type]
        try:
            await asyncio.wait({flushing, self.over}, return_when=asyncio.FIRST_COMPLETED)
            if not flushing.done():
                raise TimeoutError("the connection was lost before the answer came")
            try:
                flushing.result()
            except (nats.errors.Error, TimeoutError) as error:
                raise TimeoutError(f"no answer within {timeout:g} s") from error
        finally:
            flushing.cancel()

    def insist_on_answers(self) -> None:
        """Raise `Refused` if the server has said that we may not listen to its answers."""
        refusal = self.refusal(self._inbox + "*")
        if refusal is not None:
            raise Refused(refusal)

    def refusal(self, subject: str) -> str | None:
        """Return what the server said if it does not let us listen to `subject`."""
        return self._refused.get(subject.lower())

    # What nats-py tells

    def _answered(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject[len(self._inbox) :])
        if waiting is not None and not waiting[0].done():
            waiting[0].set_result(message)

    async def _failed(self, error: Exception) -> None:
        told = VIOLATION.search(str(error))
        if told is not None:
            self._forbidden(told[1].lower(), told[2], str(error))
        self._look_now()

    def _forbidden(self, what: str, subject: str, text: str) -> None:
        """Tell whoever waits that the server does not let us do that.

        nats-py tells it in small letters: of two subjects that differ in these alone, it is not
        known which is meant.
        """
        if what == "subscription":
            self._refused[subject.lower()] = text
            return
        meant = [
            (future, asked)
            for future, asked in self._waiting.values()
            if asked.lower() == subject.lower() and not future.done()
        ]
        is_known = len({asked for _, asked in meant}) == 1
        for future, _ in meant:
            future.set_exception(Refused(text) if is_known else TimeoutError(text))

    async def _away(self) -> None:
        self._end()

    def _look_now(self) -> None:
        asyncio.get_running_loop().call_soon(self._look_whether_connected)

    def _look_again(self) -> None:
        """Look from time to time: nats-py may fail as it closes, and then tells nobody."""
        if not self.over.done():
            self._look_whether_connected()
            self._look = asyncio.get_running_loop().call_later(LOOK, self._look_again)

    def _look_whether_connected(self) -> None:
        if not self.client.is_connected:
            self._end()

    def _end(self) -> None:
        """Tell whoever waits for an answer that none will come, and who wants to know."""
        if self.over.done():
            return
        self.over.set_result(None)
        if self._look is not None:
            self._look.cancel()
        for future, _ in list(self._waiting.values()):
            if not future.done():
                future.set_exception(
                    TimeoutError("the connection was lost before the answer came")
                )
        if self._lost is not None:
            self._lost()


class _Each(asyncio.Future[Msg]):
    """What nats-py tells of one message after the other, at once: it is done with none of them.

    A callback of nats-py's is called by a task of its own, for which each message lies in a queue.
    """

    def __init__(self, told: Callable[[Msg], object]) -> None:
        super().__init__()
        self._told = told

    def set_result(self, message: Msg) -> None:
        try:
            self._told(message)
        except Exception:
            report("a callback of an engine failed")


def _too_late(future: asyncio.Future[Msg], timeout: float) -> None:
    if not future.done():
        future.set_exception(TimeoutError(f"no answer within {timeout:g} s"))


def _teller(received: Received) -> Callable[[Msg], object]:
    def tell(message: Msg) -> None:
        payload: bytes | None = message.data
        if not payload and message.headers and message.headers.get(STATUS) == "503":
            payload = None
        received(message.subject, payload, message.reply or None)

    return tell
