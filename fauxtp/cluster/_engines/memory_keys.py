"""The keys of a broker in memory: one table, with one order of writes."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, NamedTuple, final

from fauxtp._loops.alarms import Alarm
from fauxtp.cluster._engines.engine import Change, Entry, NoConnection, Snapshot, Superseded, Taken

if TYPE_CHECKING:
    from fauxtp._loops.protocols import Home

__all__ = ["MemoryKeys"]

KEPT = 1_000  # writes that can be lost


class _Held(NamedTuple):
    """What a key holds, and until when on the clock of the event loop."""

    entry: Entry
    due: float | None


@final
class MemoryKeys:
    """All keys; `tell` is called with each change, in order."""

    def __init__(self, random: Random, tell: Callable[[Change], object]) -> None:
        self._random = random
        self._tell = tell
        self._held: dict[str, _Held] = {}
        self._revision = 0
        self._writes: list[tuple[str, _Held | None]] = []  # what each took the place of
        self._home: Home | None = None
        self._alarms: dict[str, Alarm] = {}
        self._overdue: dict[str, int] = {}  # that expired while nobody could write so
        self._stands_still = 0.0
        self.leads: bool = True

    def begin(self, home: Home) -> None:
        """Let time pass, in that event loop."""
        self._home = home
        passed = home.time() - self._stands_still
        for key, (entry, due) in list(self._held.items()):
            if due is not None:
                self._hold(key, _Held(entry, due + passed))

    def end(self) -> None:
        """Let time stand still, as the event loop may end."""
        for alarm in self._alarms.values():
            alarm.cancel()
        self._alarms.clear()
        if self._home is not None:
            self._stands_still = self._home.time()
        self._home = None

    def lead(self, leads: bool) -> None:
        """Let writes be ordered, or not."""
        self.leads = leads
        if leads:
            overdue, self._overdue = self._overdue, {}
            for key, revision in overdue.items():
                self._expire(key, revision)

    def write(self, key: str, value: bytes | None, revision: int, ttl: int | None) -> int:
        """Write `key` if it has `revision`, where 0 is that of none; return the new one."""
        self._insist_on_leader()
        held = self._held.get(key)
        if (held.entry.revision if held else 0) != revision or (held is None and value is None):
            raise Superseded(key, revision) if revision or value is None else Taken(key)
        return self._write(key, value, ttl)

    def read(self, key: str) -> Entry | None:
        """Return what `key` holds."""
        self._insist_on_leader()
        held = self._held.get(key)
        return held.entry if held else None

    def snapshot(self) -> Snapshot:
        """Return all keys."""
        self._insist_on_leader()
        return Snapshot([held.entry for held in self._held.values()], self._revision)

    def lose(self, count: int) -> None:
        """Undo the last `count` writes, of which nobody is told; their revisions come again."""
        for _ in range(min(count, len(self._writes))):
            key, before = self._writes.pop()
            self._hold(key, before)
            self._revision -= 1

    def _insist_on_leader(self) -> None:
        if not self.leads:
            raise NoConnection("nobody orders the writes")

    def _write(self, key: str, value: bytes | None, ttl: int | None) -> int:
        self._revision += 1
        self._writes.append((key, self._held.get(key)))
        del self._writes[:-KEPT]
        if value is None:
            self._hold(key, None)
        else:
            due = None
            if ttl is not None and self._home is not None:
                due = self._home.time() + ttl + self._random.random()
            self._hold(key, _Held(Entry(key, value, self._revision), due))
        self._tell(Change(key, value, self._revision))
        return self._revision

    def _hold(self, key: str, held: _Held | None) -> None:
        alarm = self._alarms.pop(key, None)
        if alarm is not None:
            alarm.cancel()
        if held is None:
            self._held.pop(key, None)
            return
        self._held[key] = held
        if held.due is not None and self._home is not None:
            revision = held.entry.revision
            expire = lambda: self._expire(key, revision)  # noqa: E731
            self._alarms[key] = Alarm(self._home.alarms, held.due, expire)

    def _expire(self, key: str, revision: int) -> None:
        held = self._held.get(key)
        if held is None or held.entry.revision != revision:
            return
        if not self.leads:
            self._overdue[key] = revision
        else:
            self._write(key, None, None)
