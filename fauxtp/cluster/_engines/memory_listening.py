"""That somebody listens to a subject at a broker in memory."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import final

from fauxtp.cluster._engines.engine import Received

__all__ = ["MemoryListening"]


@final
class MemoryListening:
    """One subject, or a pattern of them, who is told, and among which it is while it lasts."""

    __slots__ = ("_among", "is_meant", "received")

    def __init__(
        self, among: dict[MemoryListening, None], subject: str, received: Received
    ) -> None:
        self._among = among
        self.is_meant: Callable[[str], object] = _pattern(subject)
        self.received: Received = received

    def begin(self) -> None:
        self._among[self] = None

    def stop(self) -> None:
        self._among.pop(self, None)


def _pattern(subject: str) -> Callable[[str], object]:
    """Return what tells whether a subject is one of those that `subject` stands for."""
    words = subject.split(".")
    if "*" not in words and ">" not in words:
        return subject.__eq__
    parts = [{"*": r"[^.]+", ">": r".+"}.get(word, re.escape(word)) for word in words]
    return re.compile(r"\.".join(parts)).fullmatch
