"""Watching which names of a cluster come and go, as one of its nodes hears of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, final

from fauxtp._base.exit_reason import ExitReason
from fauxtp._loops.current import give_way, new_waiter
from fauxtp._loops.protocols import Waiter
from fauxtp._messaging.watch_names import Overflow, Registered, Unregistered
from fauxtp.cluster._names.names import Names
from fauxtp.cluster._nodes.hub import Hub
from fauxtp.registry import PID

__all__ = ["ClusterNamesWatch", "NameWatches"]

MOST: Final = 10_000  # changes that wait for who watches
BUDGET: Final = 128  # changes told, before the event loop has a turn

Change = Registered | Unregistered | Overflow


@final
class _Seen:
    """What one watch was told of names, and is yet to take. It outlives nobody who watches."""

    __slots__ = ("changes", "is_over", "known", "overflows", "prefix", "waiter")

    def __init__(self, prefix: str) -> None:
        self.prefix: str = prefix
        self.known: dict[str, PID] = {}  # in the hub's thread
        self.changes: deque[Change] = deque()
        self.overflows: bool = False  # it is to begin anew when all was taken
        self.waiter: Waiter | None = None
        self.is_over: bool = False

    def told(self, name: str, pid: PID | None, reason: ExitReason | None) -> None:
        """Hear whom a name means now."""
        before = self.known.get(name)
        if before is pid:
            return
        if before is not None:
            del self.known[name]
            self.changes.append(Unregistered(name, before, reason))
        if pid is not None:
            self.known[name] = pid
            self.changes.append(Registered(name, pid))
        self._wake()

    def overflow(self) -> None:
        """Forget all, as it was not taken in time."""
        self.overflows = True
        self.known.clear()
        self.changes.clear()
        self._wake()

    def end(self) -> None:
        """Let nothing more be told."""
        self.is_over = True
        self._wake()

    def _wake(self) -> None:
        waiter = self.waiter
        if waiter is not None:
            waiter.wake()


@final
class NameWatches:
    """Who watches the names of one cluster. All but `watch` is in the hub's thread."""

    def __init__(self, hub: Hub, names: Names) -> None:
        self._hub = hub
        self._names = names
        self._all: list[_Seen] = []
        names.on_meaning.append(self._changed)

    def watch(self, prefix: str) -> ClusterNamesWatch:
        """Return what yields the changes of names that begin with `prefix`, in any thread."""
        return ClusterNamesWatch(_Seen(prefix), self._begin, self._end)

    def _begin(self, seen: _Seen) -> None:
        def begin() -> None:
            if not self._names.is_left and not seen.is_over:
                self._all.append(seen)
                for name in self._names.all_of(seen.prefix):
                    self._tell(seen, name, None)
            else:
                seen.end()

        if not self._hub.post(begin):
            seen.end()

    def _end(self, seen: _Seen) -> None:
        seen.is_over = True
        self._hub.post(partial(self._forget, seen))

    def _forget(self, seen: _Seen) -> None:
        if seen in self._all:
            self._all.remove(seen)

    def _changed(self, name: str | None, reason: ExitReason | None) -> None:
        for seen in list(self._all):
            if self._names.is_left:
                self._forget(seen)
                seen.end()
            elif name is None:
                for one in [*seen.known, *self._names.all_of(seen.prefix)]:
                    self._tell(seen, one, reason)
            elif name.startswith(seen.prefix):
                self._tell(seen, name, reason)

    def _tell(self, seen: _Seen, name: str, reason: ExitReason | None) -> None:
        if seen in self._all:
            seen.told(name, self._names.look_up(name), reason)
            if len(seen.changes) > MOST:
                self._forget(seen)
                seen.overflow()


@final
class ClusterNamesWatch:
    """What `Cluster.watch_names` returns: an async iterator, for one task at a time."""

    __slots__ = ("_begin", "_begun", "_end", "_seen", "_told")

    def __init__(
        self, seen: _Seen, begin: Callable[[_Seen], object], end: Callable[[_Seen], object]
    ) -> None:
        self._seen = seen
        self._begin = begin
        self._end = end
        self._begun = False
        self._told = BUDGET - 1  # since the event loop had a turn, which the first one gives

    def __aiter__(self) -> ClusterNamesWatch:
        return self

    async def __anext__(self) -> Change:
        self._told += 1
        if self._told >= BUDGET:
            self._told = 0
            await give_way()  # before: whoever is cancelled here has missed nothing
        seen = self._seen
        if seen.waiter is not None:
            raise RuntimeError("another task waits for these names already")
        while True:
            if not self._begun:
                self._begun = True
                self._begin(seen)
            with suppress(IndexError):
                return seen.changes.popleft()
            if seen.overflows:
                seen.overflows, self._begun = False, False
                return Overflow()
            if seen.is_over:
                raise StopAsyncIteration
            await self._wait(seen)

    async def _wait(self, seen: _Seen) -> None:
        seen.waiter = waiter = new_waiter()  # first, as whoever has been told is not told again
        try:
            if not (seen.changes or seen.overflows or seen.is_over):
                self._told = 0
                await waiter.wait(None)
        finally:
            seen.waiter = None

    def close(self) -> None:
        """Watch no longer, and yield nothing more."""
        self._seen.changes.clear()
        self._seen.overflows = False
        self._end(self._seen)
        self._seen.end()

    async def aclose(self) -> None:
        """Do as `close`, for `contextlib.aclosing`."""
        self.close()
        await give_way()

    def __del__(self) -> None:
        with suppress(Exception):  # at the end of the interpreter there may be nobody to tell
            self.close()
