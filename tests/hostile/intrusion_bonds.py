"""What comes in while a process watches another, and is linked with it; and what it is told.

Whoever comes in does the same: it monitors, demonitors, links, unlinks, as the process that it
interrupts. Each monitor tells once, unless it was ended before; and a link binds both or none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio

from fauxtp import (
    Actor,
    Down,
    Exit,
    demonitor,
    exit,
    link,
    monitor,
    unlink,
    wait_exit,
    whereis,
)
from fauxtp._core.process import Process, find_process
from fauxtp._core.queue import Queue
from fauxtp._core.running_process import current_process
from fauxtp.registry import PID, Ref
from hostile.intruded_servers import Wrong

NAMES = "victim", "witness"


class Bonds:
    """The monitors of the witness: which there are, and which were ended in time."""

    def __init__(self) -> None:
        self.refs: list[Ref] = []
        self.ended: list[Ref] = []
        self.linked = False  # when it was last done, or undone

    # What comes in, as one of the two

    def monitor(self) -> None:
        other = self.other()
        if other is not None:
            self.note(monitor(other))

    def demonitor(self) -> None:
        if current_process() is not None and self.refs:
            self.end(self.refs[-1])

    def link(self) -> None:
        other = self.other()
        if other is not None:
            self.bind(link, other)

    def unlink(self) -> None:
        other = self.other()
        if other is not None:
            self.bind(unlink, other)

    def bind(self, do: Callable[[PID | str], None], other: PID | str) -> None:
        do(other)
        self.linked = are_linked(*(_process(name) for name in NAMES))

    def other(self) -> Any:
        """Return with whom the interrupted process has to do, or None if it is neither."""
        me = current_process()
        if me is None:
            return None
        here = [whereis(name) for name in NAMES]
        others = [pid for pid in here if pid is not None and pid is not me.pid]
        return others[0] if me.pid in here and others else None

    def note(self, ref: Ref) -> None:
        me = current_process()
        if me is not None and me.kind is Witness:
            self.refs.append(ref)

    def end(self, ref: Ref) -> None:
        if demonitor(ref):
            self.ended.append(ref)

    # What is to come of it

    def judge(self, mailbox: Queue) -> None:
        told: Counter[Ref] = Counter()
        exits = 0
        for message in (*mailbox.kept, *mailbox.inbox):
            if type(message) is Down:
                told[message.ref] += 1
            elif type(message) is Exit:
                exits += 1
        for ref in self.refs:
            if told[ref] != (ref not in self.ended):
                raise Wrong(f"{ref}, ended: {ref in self.ended}, has told {told[ref]} times")
        if exits < self.linked:
            raise Wrong("who was linked has heard of no end")


class Witness(Actor):
    """Watches the victim in each way, ends it, and judges what it was told."""

    trap_exit = True

    def __init__(self, bonds: Bonds) -> None:
        self.bonds = bonds

    async def run(self, state: Any) -> Any:
        bonds = self.bonds
        bonds.note(monitor("victim"))
        bonds.bind(link, "victim")
        bonds.end(bonds.refs[0])
        bonds.bind(unlink, "victim")
        bonds.note(monitor("victim"))
        bonds.bind(link, "victim")
        victim, me = find_process(whereis("victim")), current_process()  # type: ignore[arg-type]
        await anyio.sleep(0)
        exit("victim", "kill")
        await wait_exit("victim")
        assert me is not None
        bonds.judge(me.mailbox)
        if victim is not None and (victim.watchers or victim.links or me.monitors or me.links):
            raise Wrong(f"left are {victim.watchers}, {victim.links}, {me.monitors}, {me.links}")
        self.stop()


def _process(name: str) -> Process | None:
    pid = whereis(name)
    return None if pid is None else find_process(pid)


def are_linked(one: Process | None, other: Process | None) -> bool:
    """Return whether they are; raise if only one is linked with the other."""
    if one is None or other is None:
        return False
    linked = other.pid in one.links
    if (one.pid in other.links) != linked:
        raise Wrong(f"of {one} and {other}, only one is linked with the other")
    return linked
