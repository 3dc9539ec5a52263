"""Restart intensity: how many restarts there may be in how many seconds."""

from __future__ import annotations

from collections import deque
from typing import Protocol, final

from anyio import current_time

from fauxtp._base.arguments import unexpected

__all__ = ["Intensity", "intensity_of"]


class Limits(Protocol):
    """What says how many restarts there may be: a supervisor's class."""

    max_restarts: int
    max_seconds: float


@final
class Intensity:
    """Counts restarts, and tells when there are too many within some time."""

    __slots__ = ("_times", "max_restarts", "max_seconds")

    def __init__(self, max_restarts: int, max_seconds: float) -> None:
        self.max_restarts: int = max_restarts
        self.max_seconds: float = max_seconds
        self._times: deque[float] = deque()

    def count(self) -> int:
        """Count one more restart now; return how many there were of late."""
        now = current_time()
        self._times.append(now)
        while self._times[0] < now - self.max_seconds:
            self._times.popleft()
        return len(self._times)

    @property
    def counted(self) -> int:
        """How many there were of late, as the last was counted."""
        return len(self._times)

    @property
    def is_exceeded(self) -> bool:
        """Whether there were more than there may be, as the last was counted."""
        return self.counted > self.max_restarts


def intensity_of(limits: Limits) -> Intensity:
    """Return the intensity that a class says, or raise what is wrong with it."""
    for name in ("max_restarts", "max_seconds"):
        if not isinstance(getattr(limits, name), (int, float)):
            raise unexpected(name, "a number", getattr(limits, name))
    if not (limits.max_restarts >= 0 and limits.max_seconds >= 0):
        raise ValueError(
            "expected max_restarts and max_seconds to be at least 0,"
            f" got {limits.max_restarts} and {limits.max_seconds}"
        )
    return Intensity(limits.max_restarts, limits.max_seconds)
