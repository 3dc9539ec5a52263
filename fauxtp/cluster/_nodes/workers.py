"""Work on many keys, of which some are worked on at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar, final

from fauxtp.cluster._nodes.hub import Hub

__all__ = ["Workers"]

K = TypeVar("K")


@final
class Workers(Generic[K]):
    """Do `work` for each key that was added, for at most `most` of them at a time.

    `on_idle` is told when nothing is left to do. All of it is in the hub's thread.
    """

    __slots__ = ("_hub", "_most", "_on_idle", "_running", "_to_do", "_work")

    def __init__(
        self,
        hub: Hub,
        most: int,
        work: Callable[[K], Awaitable[object]],
        on_idle: Callable[[], object],
    ) -> None:
        self._hub = hub
        self._most = most
        self._work = work
        self._on_idle = on_idle
        self._to_do: dict[K, None] = {}
        self._running = 0

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._running

    def add(self, key: K) -> None:
        """Let it be done for `key`, too."""
        self._to_do[key] = None
        if self._running < min(self._most, len(self._to_do)):
            self._running += 1
            self._hub.start(self._go_on)

    async def _go_on(self) -> None:
        try:
            while self._to_do:
                key = next(iter(self._to_do))
                del self._to_do[key]
                await self._work(key)
        finally:
            self._running -= 1
        if not self._running:
            self._on_idle()
