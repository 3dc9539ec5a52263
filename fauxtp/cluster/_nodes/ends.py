"""Ends of processes of here, of which the hub's thread is told."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import final

from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.ended_loops import meet
from fauxtp._core.process import find_process
from fauxtp.cluster._nodes.hub import Hub
from fauxtp.registry import PID, Ref

__all__ = ["Ends"]


@final
class Ends:
    """Whose ends are told to `told`, in the thread of `hub`. A mailbox tells nobody of its own."""

    __slots__ = ("_hub", "_refs", "_told")

    def __init__(self, hub: Hub, told: Callable[[PID, ExitReason], object]) -> None:
        self._hub = hub
        self._told = told
        self._refs: dict[PID, Ref] = {}

    def __len__(self) -> int:
        return len(self._refs)

    def watch(self, pid: PID) -> None:
        """Let the end of `pid` be told, if that is a process."""
        process, ref = meet(pid), Ref()
        if process is not None and process.watch(ref, self._has_ended):
            self._refs[pid] = ref

    def watch_no_more(self, pid: PID) -> None:
        """Let it be told no more; one that was told is forgotten by this."""
        ref, process = self._refs.pop(pid, None), find_process(pid)
        if ref is not None and process is not None:
            process.watchers.pop(ref, None)

    def _has_ended(self, pid: PID, reason: ExitReason) -> None:
        self._hub.post(partial(self._told, pid, reason))
