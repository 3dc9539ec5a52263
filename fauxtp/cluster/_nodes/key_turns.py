"""Turns: who does something about a key, one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import final

import anyio

__all__ = ["Turns"]


class _Line:
    __slots__ = ("count", "lock")

    def __init__(self) -> None:
        self.lock: anyio.Lock = anyio.Lock()
        self.count: int = 0  # of who has the lock or waits for it


@final
class Turns:
    """Keys about which somebody does something, or waits for that. All in the hub's thread."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._lines

    def __len__(self) -> int:
        return len(self._lines)

    @asynccontextmanager
    async def of(self, key: str) -> AsyncIterator[None]:
        """Be the only one that does something about `key` meanwhile."""
        line = self._lines.setdefault(key, _Line())
        line.count += 1
        try:
            async with line.lock:
                yield
        finally:
            line.count -= 1
            if not line.count:
                del self._lines[key]
