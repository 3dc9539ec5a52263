"""Keys taken out of what a server sends, beside messages that nats-py reads."""

from __future__ import annotations

from typing import Any, cast

import pytest

pytest.importorskip("nats")

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.protocol.parser import Parser

from fauxtp.cluster._engines.engine import Entry
from fauxtp.cluster._engines.nats_parser import TakingParser
from fauxtp.cluster._engines.nats_reading import Reading

pytestmark = pytest.mark.anyio

KEYS, STREAM, CONSUMER = "ftp.shop.key.", "ftp_shop", "read-7f-1"
ACK = f"$JS.ACK.{STREAM}.{CONSUMER}"
HEADERS = b"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: 0\r\n\r\n"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Heard:
    """What a parser tells of, as a client of nats-py hears it."""

    def __init__(self) -> None:
        self.all: list[Any] = []

    async def _process_msg(self, *message: object) -> None:
        self.all.append(message)

    async def _process_ping(self) -> None:
        self.all.append("ping")

    async def _process_pong(self) -> None:
        self.all.append("pong")

    async def _process_info(self, info: object) -> None:
        self.all.append(info)


def message(subject: str, reply: str, payload: bytes, headers: bytes = b"") -> bytes:
    size = f"{len(headers)} {len(headers) + len(payload)}" if headers else f"{len(payload)}"
    line = f"{'HMSG' if headers else 'MSG'} {subject} 3 {reply + ' ' if reply else ''}{size}\r\n"
    return line.encode() + headers + payload + b"\r\n"


OTHERS = [
    b"PING\r\n",
    message("ftp.shop.to.a", "", b"MSG a 1 2\r\nno\r\n"),
    message("ftp.shop.to.a", "inbox.1", b"", HEADERS),
    b"+OK\r\n",
    message("ftp.shop.seen.x", "", b"\r\n", HEADERS),
    message("inbox.keys", "", b"", b"NATS/1.0 404 No Messages\r\n\r\n"),
    message(f"{KEYS}x", f"$JS.ACK.{STREAM}.another.1.2.3.4.5", b"of another"),
    b'INFO {"a": 1}\r\n',
    b"PONG\r\n",
]
TAKEN = [
    message(f"{KEYS}name.a", f"{ACK}.1.17.1.1760000000000000000.5", b"a 1 2"),
    message(f"{KEYS}name.b", f"{ACK}.1.18.2.1760000000000000000.4", b"b\r\n1 2", HEADERS),
    message(f"{KEYS}name.c", f"{ACK}.1.19.3.1760000000000000000.3", b""),
    message(f"{KEYS}d.e", f"$JS.ACK.hub.x7.{STREAM}.{CONSUMER}.1.20.4.17.2", b"d"),
    message(f"{KEYS}d.f", f"$JS.ACK.hub.x7.{STREAM}.{CONSUMER}.1.21.5.17.0.rand", b"d"),
]
ENTRIES = [
    Entry("name.a", b"a 1 2", 17),
    Entry("name.b", b"b\r\n1 2", 18),
    Entry("name.c", b"", 19),
    Entry("d.e", b"d", 20),
    Entry("d.f", b"d", 21),
]
MIXED = [*OTHERS[:3], *TAKEN[:2], *OTHERS[3:5], TAKEN[2], *OTHERS[5:8], *TAKEN[3:], OTHERS[8]]


async def parsed(parser: Parser, pieces: list[bytes]) -> None:
    for piece in pieces:
        await parser.parse(piece)


async def heard_by_nats_py() -> list[Any]:
    heard = Heard()
    await parsed(Parser(heard), OTHERS)
    return heard.all


def split(data: bytes, size: int) -> list[bytes]:
    return [data[first : first + size] for first in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 97, 300, 10_000])
async def test_keys_are_taken_and_all_else_is_parsed_however_it_comes(size: int) -> None:
    heard, entries = Heard(), list[Entry]()
    parser = TakingParser(cast("Client", heard))
    reading = Reading(KEYS, STREAM, CONSUMER, 2, entries.extend)
    parser.takes = reading
    await parsed(parser, split(b"".join(MIXED), size))
    assert entries == ENTRIES
    assert heard.all == await heard_by_nats_py()
    assert (reading.count, reading.is_over) == (5, True)


@pytest.mark.parametrize("at", range(0, len(b"".join(MIXED)), 5))
async def test_it_may_begin_and_end_at_any_time(at: int) -> None:
    data, heard, entries = b"".join(MIXED), Heard(), list[Entry]()
    parser = TakingParser(cast("Client", heard))
    reading = Reading(KEYS, STREAM, CONSUMER, 2, entries.extend)
    await parser.parse(data[:at])
    parser.takes = reading
    await parser.parse(data[at : at + 200])
    parser.takes = None
    await parsed(parser, [b"", data[at + 200 :]])
    others = await heard_by_nats_py()
    assert [one for one in heard.all if not is_a_key(one)] == others
    assert len(entries) + sum(map(is_a_key, heard.all)) == len(ENTRIES)


def is_a_key(heard: Any) -> bool:
    return isinstance(heard, tuple) and CONSUMER.encode() in heard[2]


async def test_who_stops_to_take_as_it_takes_leaves_the_rest() -> None:
    heard, entries = Heard(), list[Entry]()
    parser = TakingParser(cast("Client", heard))

    def told(some: list[Entry]) -> None:
        entries.extend(some)
        parser.takes = None

    parser.takes = Reading(KEYS, STREAM, CONSUMER, 2, told)
    await parser.parse(b"".join([*TAKEN[:2], OTHERS[0], TAKEN[2], OTHERS[1]]))
    assert entries == ENTRIES[:2]
    assert heard.all[0] == "ping"
    assert [is_a_key(one) for one in heard.all] == [False, True, False]


@pytest.mark.parametrize("number", range(len(TAKEN)))
async def test_what_nats_py_hands_on_is_the_same(number: int) -> None:
    words = TAKEN[number].partition(b"\r\n")[0].decode().split(" ")
    payload = ENTRIES[number].value
    entries: list[Entry] = []
    reading = Reading(KEYS, STREAM, CONSUMER, 2, entries.extend)
    reading.came(Msg(cast("Client", None), subject=words[1], reply=words[3], data=payload))
    assert entries == [ENTRIES[number]]
    assert reading.is_over is (number == len(TAKEN) - 1)
