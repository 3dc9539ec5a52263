"""The keys of a stream as they come, when all of them are read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import final

from nats.aio.msg import Msg

from fauxtp.cluster._engines.engine import Entry

__all__ = ["Reading"]

V1_WORDS, V2_WORDS = 9, 11  # of a subject for replies; where it is of a domain, it has more


@final
class Reading:
    """What a consumer tells of keys, told on by `told`; `keys` is what their subjects begin with.

    An event is set whenever `often` more have come, and when all have.
    """

    def __init__(
        self,
        keys: str,
        stream: str,
        consumer: str,
        often: int,
        told: Callable[[list[Entry]], object],
    ) -> None:
        self.count = 0
        self.is_over = False
        self._told = told
        self._skip = len(keys)
        self._often = often
        self._event = asyncio.Event()
        reply = rb"\$JS\.ACK\.(?:[^ ]+\.)?%b\.%b\.\d+\.(\d+)\.\d+\.\d+\.(\d+)(?:\.[^ ]*)?"
        of_it = reply % (re.escape(stream.encode()), re.escape(consumer.encode()))
        self._pattern = re.compile(
            rb"H?MSG %b([^ ]+) \d+ %b (?:(\d+) )?(\d+)\r\n" % (re.escape(keys.encode()), of_it)
        )

    def take(self, data: bytes, begin: int, /) -> int:
        """Take all keys that follow each other in `data` from `begin`; return where they end."""
        match, entries, left, there = self._pattern.match, list[Entry](), b"", len(data)
        while found := match(data, begin):
            key, number, pending, head, size = found.groups()
            value, end = found.end(), found.end() + int(size)
            if end + 2 > there:
                break
            if head is not None:
                value += int(head)
            entries.append(Entry(key.decode(), data[value:end], int(number)))
            begin, left = end + 2, pending
        if entries:
            self._hear(entries, left == b"0")
        return begin

    def came(self, message: Msg) -> None:
        """Take what nats-py tells of one; or that there is none, and whoever waits looks."""
        words = message.reply.split(".")
        if len(words) >= V1_WORDS and words[1] == "ACK":
            first = 5 if len(words) == V1_WORDS else 7
            entry = Entry(message.subject[self._skip :], message.data, int(words[first]))
            self._hear([entry], words[first + 3] == "0")
        else:
            self._event.set()

    def _hear(self, entries: list[Entry], is_over: bool) -> None:
        before, self.count = self.count, self.count + len(entries)
        self.is_over = self.is_over or is_over
        self._told(entries)
        if is_over or before // self._often != self.count // self._often:
            self._event.set()

    async def more(self, timeout: float, over: asyncio.Future[None]) -> None:
        """Return when more has come. Raises `TimeoutError` if nothing does, or nothing can."""
        before = self.count
        if self.is_over:
            return
        if over.done():
            raise TimeoutError("the connection was lost before the keys came")
        self._event.clear()
        try:
            async with asyncio.timeout(timeout):
                await self._event.wait()
        except TimeoutError:
            if self.count == before:
                raise TimeoutError(f"the keys did not come within {timeout:g} s") from None
