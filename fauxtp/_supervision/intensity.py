"""Restart intensity: how many restarts there may be in how many seconds."""

from __future__ import annotations

from collections import deque
from typing import final

from anyio import current_time

__all__ = ["Intensity"]


@final
class Intensity:
    """Counts restarts, and tells when there are too many within some time."""

    __slots__ = ("_times", "max_restarts", "max_seconds")

    def __init__(self, max_restarts: int, max_seconds: float) -> None:
        self.max_restarts, self.max_seconds = max_restarts, max_seconds
        self._times: deque[float] = deque()

    def count(self) -> int:
        """Count one more restart now; return how many there were of late."""
        now = current_time()
        self._times.append(now)
        while self._times[0] < now - self.max_seconds:
            self._times.popleft()
        return len(self._times)

    @property
    def is_exceeded(self) -> bool:
        """Whether there were more than there may be, as the last was counted."""
        return len(self._times) > self.max_restarts
