"""A client of NATS that reads very many messages of one kind in a tenth of the time.

nats-py makes an object of each message, and takes two coroutines to hand it on, which is more than
all that is done about a key. So whoever reads all keys takes their messages out of what comes from
the server, as bytes; all else is left to nats-py, in its order. What is not taken comes as it
would: if a nats-py of another version has no use for this, then it is as slow as it was.
"""

from __future__ import annotations

from typing import Final, Protocol, final

from nats.aio.client import Client
from nats.protocol.parser import AWAITING_MSG_PAYLOAD, Parser

__all__ = ["Takes", "TakingClient"]

LINE_END: Final = b"\r\n"


class Takes(Protocol):
    """What takes messages of one kind."""

    def take(self, data: bytes, begin: int, /) -> int:
        """Take all that follow each other in `data` from `begin` on; return where they end."""
        ...


@final
class TakingClient(Client):
    """A client of which somebody may take messages, by `takes`."""

    def __init__(self) -> None:
        super().__init__()
        self._parser = TakingParser(self)
        self._ps = self._parser

    def let_take(self, takes: Takes | None) -> None:
        """Let that one take messages before anybody else, or None nobody."""
        self._parser.takes = takes


@final
class TakingParser(Parser):
    """Parses what comes, but for what is taken."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.takes: Takes | None = None

    async def parse(self, data: bytes = b"") -> None:
        if self.takes is not None:
            data = await self._parse_rest(data)
        if data:
            await super().parse(data)

    async def _parse_rest(self, data: bytes) -> bytes:
        """Parse `data` but for what is taken; return what is left when nobody takes any more."""
        if self.state == AWAITING_MSG_PAYLOAD:
            missing = self.needed + len(LINE_END) - len(self.buf)
            await super().parse(data[:missing])
            data = data[missing:]
        else:
            data = bytes(self.buf) + data
            self.buf.clear()
        begin = 0
        while self.takes is not None:
            begin = self.takes.take(data, begin)
            end = _end(data, begin)
            if not end:
                self.buf.extend(data[begin:])
                return b""
            await super().parse(data[begin:end])
            begin = end
        return data[begin:]


def _end(data: bytes, begin: int) -> int:
    """Return where what begins there ends, or 0 if that has yet to come."""
    line = data.find(LINE_END, begin)
    if line < 0:
        return 0
    end = line + len(LINE_END)
    word, _, rest = data[begin:line].partition(b" ")
    if word in {b"MSG", b"HMSG"}:
        end += int(rest.rpartition(b" ")[2]) + len(LINE_END)
    return end if end <= len(data) else 0
