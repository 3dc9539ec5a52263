"""The keys of a cluster in a stream of JetStream, asked for by its own requests."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from datetime import datetime
from typing import Any, Final, NamedTuple, final

from fauxtp._base.errors import Travels
from fauxtp.cluster._engines.engine import Entry, NoConnection, Refused, Superseded, Taken
from fauxtp.cluster._engines.nats_session import NatsSession
from fauxtp.cluster._engines.subjects import Subjects

__all__ = ["NatsKeys", "Written"]

MARKER: Final = 900  # seconds that a marker of what is gone stays
NS: Final = 1_000_000_000
PATIENT: Final = 60  # seconds for which the server waits for who reads keys, and stands still
API: Final = "$JS.API."
WRONG_REVISION: Final = {10071, 10164}
NO_MESSAGE: Final = 10037
NO_STREAM: Final = 10059
NO_JETSTREAM: Final = {10039, 10076}
TTL: Final = re.compile(rb"Nats-TTL: *(\d+)s")
NAME_IN_USE: Final = 10058
NOT_NOW: Final = {10005, 10008, 10009, 10074, 10076}  # of servers that are not complete yet
A_WHILE: Final = (
    2.0  # seconds: who leads nobody yet answers nothing, and whoever leads then either
)
AGAIN_IN: Final = 0.1  # seconds
AGAIN: Final = 8  # times that a create may find another marker


class _Problem(Travels, Exception):
    """What the server says is wrong: its code, and its words."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{text} ({code})")
        self.code = code


class Written(NamedTuple):
    """The last write of a key: what it is, when it was, for how many seconds it counts."""

    entry: Entry  # with an empty value if the key is gone
    time: datetime
    ttl: int | None


@final
class NatsKeys:
    """The keys of one cluster, asked for in one session."""

    def __init__(self, session: NatsSession, subjects: Subjects, timeout: float) -> None:
        self._session = session
        self._subjects = subjects
        self._timeout = timeout

    # The stream

    def config(self, replicas: int) -> dict[str, Any]:
        """Return how the stream of the cluster is to be."""
        subjects = self._subjects
        return {
            "name": subjects.stream,
            "subjects": [subjects.keys + ">"],
            "max_msgs_per_subject": 1,
            "discard": "new",
            "storage": "file",
            "retention": "limits",
            "num_replicas": replicas,
            "allow_direct": False,
            "allow_msg_ttl": True,
            "subject_delete_marker_ttl": MARKER * NS,
            "republish": {"src": subjects.keys + ">", "dest": subjects.seen + ">"},
        }

    async def prepare(self, replicas: int | None, in_a_cluster: bool) -> None:
        """See that the stream is there, as it must be, and make it if there is none.

        Raises `Refused` if there is one that is otherwise, or none can be made.
        """
        until = asyncio.get_running_loop().time() + self._timeout
        patience, self._timeout = self._timeout, min(self._timeout, A_WHILE)
        try:
            while True:
                try:
                    return await self._prepare(replicas, in_a_cluster)
                except (NoConnection, TimeoutError):
                    over = self._session.over.done()
                    if over or asyncio.get_running_loop().time() > until:
                        raise
                await asyncio.sleep(AGAIN_IN)
        finally:
            self._timeout = patience

    async def _prepare(self, replicas: int | None, in_a_cluster: bool) -> None:
        try:
            info = await self.info()
        except _Problem as problem:
            if problem.code != NO_STREAM:
                raise _outcome(problem) from None
            info = await self._make(replicas, in_a_cluster)
        config = info["config"]
        wrong = [
            f"{name}: {config.get(name)!r}"
            for name, value in self.config(1).items()
            if name not in {"num_replicas", "subject_delete_marker_ttl", "storage", "republish"}
            and (config.get(name) or False) != value
        ]
        if config.get("republish", {}).get("dest") != self._subjects.seen + ">":
            wrong.append("republish")
        if not config.get("subject_delete_marker_ttl", 0) >= 600 * NS:
            wrong.append("subject_delete_marker_ttl")
        if wrong:
            raise Refused(f"the stream {self._subjects.stream} is set up otherwise: {wrong}")

    async def _make(self, replicas: int | None, in_a_cluster: bool) -> dict[str, Any]:
        wanted = replicas or (3 if in_a_cluster else 1)
        subject = f"{API}STREAM.CREATE.{self._subjects.stream}"
        try:
            return await self._ask(subject, self.config(wanted))
        except _Problem as problem:
            if problem.code == NAME_IN_USE:  # somebody else was quicker
                return await self.info()
            raise _outcome(problem) from None

    async def look(self) -> datetime:
        """See that the stream is there, and return what time it is at the server.

        Raises `Refused` if there is none, or nobody there has streams at all.
        """
        try:
            info = await self.info()
        except NoConnection as error:
            raise Refused(f"no JetStream: {error}") from None
        except _Problem as problem:
            if problem.code == NO_STREAM:
                raise Refused(f"no cluster {self._subjects.cluster!r} is there") from None
            if problem.code in NO_JETSTREAM:
                raise Refused(f"no JetStream: {problem}") from None
            raise _outcome(problem) from None
        return datetime.fromisoformat(info["ts"])

    async def info(self) -> dict[str, Any]:
        """Return how the stream is, and what is in it."""
        return await self._ask(f"{API}STREAM.INFO.{self._subjects.stream}", {})

    async def last_revision(self) -> int:
        """Return the revision of the last write."""
        try:
            return int((await self.info())["state"]["last_seq"])
        except _Problem as problem:
            raise _outcome(problem) from None

    # Keys

    async def create(self, key: str, value: bytes, ttl: int | None) -> int:
        """Write a key that is not there, or of which there is but a marker."""
        expected = 0
        for _ in range(AGAIN):
            try:
                return await self._write(key, value, expected, ttl)
            except _Problem as problem:
                if problem.code not in WRONG_REVISION:
                    raise _outcome(problem) from None
            revision, there = await self._last(key)
            if there:
                raise Taken(key)
            expected = revision
        raise Taken(key)  # it comes and goes as quickly as it is tried

    async def update(self, key: str, value: bytes, revision: int, ttl: int | None) -> int:
        """Write a key that has that revision; an empty value deletes it."""
        try:
            return await self._write(key, value, revision, ttl)
        except _Problem as problem:
            if problem.code in WRONG_REVISION:
                raise Superseded(key, revision) from None
            raise _outcome(problem) from None

    async def read(self, key: str) -> Entry | None:
        """Return what a key holds, or None if it is not there."""
        revision, value = await self._last(key)
        return Entry(key, value, revision) if value else None

    async def matching(self, pattern: str) -> list[str]:
        """Return the keys that match a pattern, also those of which there is but a marker."""
        subject, skip = f"{API}STREAM.INFO.{self._subjects.stream}", len(self._subjects.keys)
        found: list[str] = []
        while True:
            asked = {"subjects_filter": self._subjects.keys + pattern, "offset": len(found)}
            answer = await self._told(subject, asked)
            there = answer["state"].get("subjects") or {}
            found += [each[skip:] for each in there]
            if not there or len(found) >= answer.get("total", 0):
                return found

    async def written(self, key: str) -> Written | None:
        """Return what was written last to a key, and when; None: nothing is known of it."""
        message = await self._message(key)
        if message is None:
            return None
        ttl = TTL.search(base64.b64decode(message.get("hdrs") or ""))
        return Written(
            Entry(key, base64.b64decode(message.get("data") or ""), int(message["seq"])),
            datetime.fromisoformat(message["time"]),
            None if ttl is None else int(ttl[1]),
        )

    async def consume(self, name: str) -> int:
        """Make a consumer for the last write of each key; return how many there are."""
        keys = self._subjects.keys + ">"
        made = await self._told(
            f"{API}CONSUMER.CREATE.{self._subjects.stream}.{name}.{keys}",
            {
                "stream_name": self._subjects.stream,
                "config": {
                    "name": name,
                    "filter_subject": keys,
                    "deliver_policy": "last_per_subject",
                    "ack_policy": "none",
                    "replay_policy": "instant",
                    "mem_storage": True,
                    "num_replicas": 1,
                    "inactive_threshold": PATIENT * NS,
                    "max_waiting": 16,
                },
                "action": "create",
            },
        )
        return int(made["num_pending"])

    def ask_for_more(self, name: str, deliver: str, count: int) -> None:
        """Have the next messages sent."""
        subject = f"{API}CONSUMER.MSG.NEXT.{self._subjects.stream}.{name}"
        asked = {"batch": count, "expires": PATIENT * NS}
        self._session.publish(subject, json.dumps(asked).encode(), deliver)

    async def _last(self, key: str) -> tuple[int, bytes]:
        """Return the revision and the value that were written last; empty: it is gone."""
        message = await self._message(key)
        if message is None:
            return 0, b""
        return int(message["seq"]), base64.b64decode(message.get("data") or "")

    async def _message(self, key: str) -> dict[str, Any] | None:
        asked = {"last_by_subj": self._subjects.keys + key}
        try:
            found = await self._ask(f"{API}STREAM.MSG.GET.{self._subjects.stream}", asked)
        except _Problem as problem:
            if problem.code == NO_MESSAGE:
                return None
            raise _outcome(problem) from None
        message: dict[str, Any] = found["message"]
        return message

    async def _write(self, key: str, value: bytes, revision: int, ttl: int | None) -> int:
        headers = {"Nats-Expected-Last-Subject-Sequence": str(revision)}
        if not value:
            headers["KV-Operation"] = "PURGE"
            ttl = MARKER
        if ttl is not None:
            headers["Nats-TTL"] = f"{ttl}s"
        answer = await self._session.request(
            self._subjects.keys + key, value, self._timeout, headers
        )
        return int(_answer(answer.data)["seq"])

    async def _told(self, subject: str, asked: dict[str, Any]) -> dict[str, Any]:
        try:
            return await self._ask(subject, asked)
        except _Problem as problem:
            raise _outcome(problem) from None

    async def _ask(self, subject: str, asked: dict[str, Any]) -> dict[str, Any]:
        payload = json.dumps(asked).encode() if asked else b""
        answer = await self._session.request(subject, payload, self._timeout)
        return _answer(answer.data)


def _answer(data: bytes) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(data)
        error = answer.get("error")
        if error:
            raise _Problem(int(error.get("err_code", 0)), str(error.get("description")))
    except (ValueError, AttributeError, TypeError) as error:
        raise TimeoutError(f"the server's answer makes no sense: {data[:80]!r}") from error
    return answer


def _outcome(problem: _Problem) -> Exception:
    """Return what to raise for a problem: it was not done, now or ever."""
    return NoConnection(str(problem)) if problem.code in NOT_NOW else Refused(str(problem))
