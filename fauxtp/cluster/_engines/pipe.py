"""A pipe: one way of a connection in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, final

from fauxtp._base.logs import report
from fauxtp._loops.alarms import Alarm

if TYPE_CHECKING:
    from fauxtp._loops.protocols import Home

__all__ = ["Pipe"]


@final
class Pipe:
    """What is put in is done at the other end: later, one at a time, and in that order.

    `delay` says for each how many seconds it takes.
    """

    __slots__ = ("_delay", "_home", "_items", "_planned", "held", "size")

    def __init__(self, home: Home, delay: Callable[[], float]) -> None:
        self._home = home
        self._delay = delay
        self._items: deque[tuple[float, int, Callable[[], object]]] = deque()
        self._planned = False
        self.held: bool = False  # nothing comes out
        self.size: int = 0  # bytes in it

    def put(self, item: Callable[[], object], size: int = 0) -> None:
        """Let `item` be called at the other end; it is so many bytes long."""
        due = self._home.time() + self._delay()
        if self._items:
            due = max(due, self._items[-1][0])
        self._items.append((due, size, item))
        self.size += size
        self._plan()

    def hold(self, held: bool) -> None:
        """Let nothing come out, or let all that has waited."""
        self.held = held
        self._plan()

    def cut(self) -> None:
        """Lose all that is in it."""
        self._items.clear()
        self.size = 0

    def _plan(self) -> None:
        if self._planned or self.held or not self._items:
            return
        self._planned = True
        due = self._items[0][0]
        if due <= self._home.time():
            self._home.run_soon(self._flow)
        else:
            Alarm(self._home.alarms, due, self._flow)

    def _flow(self) -> None:
        self._planned = False
        if self._items and not self.held and self._items[0][0] <= self._home.time():
            _, size, item = self._items.popleft()
            self.size -= size
            try:
                item()
            except Exception:
                report("an engine in memory: what was told of something failed")
        self._plan()
