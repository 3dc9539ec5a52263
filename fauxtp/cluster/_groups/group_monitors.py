"""Processes come into groups and leave them, and other processes are told that."""

from __future__ import annotations

from functools import partial
from typing import final

from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.mailbox import put_news
from fauxtp._core.process import Process
from fauxtp._core.running_process import current_process
from fauxtp._messaging.groups import Joined, Left
from fauxtp.cluster._groups.groups import Groups
from fauxtp.cluster._nodes.begun import begun
from fauxtp.cluster._nodes.hub import Hub
from fauxtp.registry import PID, Ref

__all__ = ["GroupMonitors"]


@final
class _Monitor:
    """What one process was told of one group."""

    __slots__ = ("group", "known", "process", "ref")

    def __init__(self, ref: Ref, group: str, process: Process) -> None:
        self.ref: Ref = ref
        self.group: str = group
        self.process: Process = process
        self.known: dict[PID, None] = {}

    def tell(self, members: tuple[PID, ...], reason: ExitReason | None) -> None:
        """Tell who has come and gone since; `reason` is why somebody is gone."""
        now = dict.fromkeys(members)
        for pid in [pid for pid in self.known if pid not in now]:
            self.tell_gone(pid, reason)
        for pid in now:
            self.tell_come(pid)

    def tell_come(self, pid: PID) -> None:
        if pid not in self.known:
            self.known[pid] = None
            put_news(self.process.mailbox, Joined(self.ref, self.group, pid))

    def tell_gone(self, pid: PID, reason: ExitReason | None) -> None:
        if pid in self.known:
            del self.known[pid]
            put_news(self.process.mailbox, Left(self.ref, self.group, pid, reason))


@final
class GroupMonitors:
    """Who is told of which groups of one cluster."""

    def __init__(self, hub: Hub, groups: Groups) -> None:
        self._hub = hub
        self._groups = groups
        self._all: dict[Ref, _Monitor] = {}
        self._of: dict[str, dict[Ref, _Monitor]] = {}  # in the hub's thread, as all that is told
        groups.on_change.append(self._changed)
        groups.on_come.append(self._come)
        groups.on_go.append(self._gone)

    def begin(self, group: str) -> Ref:
        """Let the calling process be told of `group`: who is in it, then who comes and goes."""
        me, ref = current_process(), Ref()
        if me is None:
            raise RuntimeError("monitor_group works for actors only")
        self._all[ref] = monitor = _Monitor(ref, group, me)
        if begun(me, ref, self):
            self._hub.post(partial(self._begin, monitor))
        return ref

    def end(self, ref: Ref) -> None:
        monitor = self._all.pop(ref, None)
        if monitor is not None:
            self._hub.post(partial(self._end, monitor))

    def _begin(self, monitor: _Monitor) -> None:
        if monitor.ref in self._all:
            self._of.setdefault(monitor.group, {})[monitor.ref] = monitor
            monitor.tell(self._groups.not_yet_gone(monitor.group), None)

    def _end(self, monitor: _Monitor) -> None:
        monitors = self._of.get(monitor.group, {})
        if monitors.pop(monitor.ref, None) is not None and not monitors:
            del self._of[monitor.group]

    def _come(self, group: str, pid: PID) -> None:
        for monitor in self._of_group(group):
            monitor.tell_come(pid)

    def _gone(self, group: str, pid: PID, reason: ExitReason | None) -> None:
        for monitor in self._of_group(group):
            monitor.tell_gone(pid, reason)

    def _changed(self, group: str | None, reason: ExitReason | None) -> None:
        for one in [group] if group is not None else list(self._of):
            monitors = self._of_group(one)
            if monitors:
                members = self._groups.not_yet_gone(one)
                for monitor in monitors:
                    monitor.tell(members, reason)

    def _of_group(self, group: str) -> list[_Monitor]:
        return [one for ref, one in list(self._of.get(group, {}).items()) if ref in self._all]
