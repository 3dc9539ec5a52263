"""Ends of processes of here, of which the hub's thread is told."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, final
from weakref import WeakSet

from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.ended_loops import meet
from fauxtp._core.mailbox import find_queue
from fauxtp._core.process import find_process
from fauxtp.cluster._nodes.hub import Hub
from fauxtp.registry import PID, Ref

if TYPE_CHECKING:
    from fauxtp._loops.protocols import Home

__all__ = ["Ends", "is_alive_here"]


def is_alive_here(pid: PID) -> bool:
    """Return whether a process, or a mailbox, of here is behind `pid`."""
    process = meet(pid)
    queue = find_queue(pid) if process is None else process.mailbox  # closed before anybody hears
    return queue is not None and queue.closed_because is None


@final
class Ends:
    """Whose ends are told to `told`, in the thread of `hub`.

    Of a mailbox, and of an event loop that was not closed as they are, nobody hears: `look` finds
    these, with as many steps as there are mailboxes and event loops.
    """

    __slots__ = ("_homes", "_hub", "_refs", "_silent", "_told")

    def __init__(self, hub: Hub, told: Callable[[PID, ExitReason | None], object]) -> None:
        self._hub = hub
        self._told = told
        self._refs: dict[PID, Ref] = {}
        self._silent: dict[PID, None] = {}  # mailboxes, and what will yet be a process
        self._homes: WeakSet[Home] = WeakSet()

    def __len__(self) -> int:
        return len(self._refs)

    def watch(self, pid: PID) -> None:
        """Let the end of `pid` be told."""
        process, ref = meet(pid), Ref()
        if process is not None and process.watch(ref, self._has_ended):
            self._refs[pid] = ref
            self._homes.add(process.home)
        else:
            self._silent[pid] = None

    def look(self) -> None:
        """Tell of those that have ended, and nobody has heard of it."""
        for home in [home for home in self._homes if home.is_over()]:
            self._homes.discard(home)
            home.end()  # by which all are told
        for pid in [pid for pid in self._silent if not is_alive_here(pid)]:
            self._told(pid, None)

    def watch_no_more(self, pid: PID) -> None:
        """Let it be told no more; one that was told is forgotten by this."""
        self._silent.pop(pid, None)
        ref, process = self._refs.pop(pid, None), find_process(pid)
        if ref is not None and process is not None:
            process.watchers.pop(ref, None)

    def _has_ended(self, pid: PID, reason: ExitReason) -> None:
        self._hub.post(partial(self._told, pid, reason))
