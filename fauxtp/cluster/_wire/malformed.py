"""What makes no sense that comes from elsewhere: it is counted, and told once in a while."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, final

from fauxtp._base.logs import logger

__all__ = ["Malformed"]

ONCE_IN: Final = 60.0  # seconds


@final
class Malformed:
    """Counts what was dropped; whoever sends a lot of it does not fill the log.

    >>> malformed = Malformed(lambda: 0.0)
    >>> malformed.note("a frame of node 'b'")
    >>> malformed.count
    1
    """

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._told_at = -math.inf
        self.count: int = 0

    def note(self, what: str) -> None:
        self.count += 1
        now = self._time()
        if now - self._told_at >= ONCE_IN:
            self._told_at = now
            logger().warning("%s was malformed, and dropped; %d in all", what, self.count)
