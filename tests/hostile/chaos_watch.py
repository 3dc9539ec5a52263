"""The watch of the chaos: no name means a dead process, none is away for long, nobody hangs."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from fauxtp import (
    NoProcess,
    is_alive,
    members,
    process_info,
    processes,
    registered,
    tree,
    whereis,
)
from hostile.chaos_faults import end_the_hung
from hostile.chaos_servers import SERVERS
from hostile.chaos_world import World

__all__ = ["Watch"]

HANGS_FOR = 0.03  # seconds that a server may hang
PAUSE = 0.002  # seconds between two looks at all names


class Watch(threading.Thread):
    """Looks at all names again and again, in a thread of its own."""

    def __init__(self, world: World, bound: float) -> None:
        super().__init__(name="the watch", daemon=True)
        self.world = world
        self.bound = bound  # seconds that a name may be away
        self.expected = [*world.servers, *world.spared, *world.limbs]
        self.away: dict[str, float] = {}
        self.expecting = True
        self.over = threading.Event()

    def run(self) -> None:
        try:
            self.look_again_and_again()
        except Exception as error:
            self.world.fault(f"the watch failed: {error!r}")

    def look_again_and_again(self) -> None:
        while not self.over.wait(PAUSE):
            self.look_for_the_dead()
            if self.expecting:
                self.look_for_gaps()
            self.look_into_one()
            end_the_hung(self.world, HANGS_FOR)
            self.world.count("looks at all names")

    def look_for_the_dead(self) -> None:
        """A process has lost its names before it counts as dead: so the order is safe.

        The name is looked up, then the process, and then again whether the name still means
        the same one: if it had died in between, the name would not.
        """
        for name in registered():
            pid = whereis(name)
            if pid is not None and not is_alive(pid) and whereis(name) is pid:
                self.world.fault(f"{name!r} means {pid!r}, which is dead")
        for pid in members(SERVERS):  # of which none comes back
            if not is_alive(pid) and pid in members(SERVERS):
                self.world.fault(f"{pid!r} is in a group, and dead")

    def look_into_one(self) -> None:
        """Ask for what there is to tell, while everything changes."""
        pids = processes()
        if pids:
            with suppress(NoProcess):
                process_info(self.world.random.choice(pids))
        if self.world.random.random() < 0.05:
            tree()

    def look_for_gaps(self) -> None:
        for name in self.expected:
            if whereis(name) is None:
                self.away.setdefault(name, time.monotonic())
            elif name in self.away:
                self.end_of_gap(name)

    def end_of_gap(self, name: str) -> None:
        gap = time.monotonic() - self.away.pop(name)
        self.world.longest_gap = max(self.world.longest_gap, gap)
        if gap > self.bound:
            self.world.fault(f"{name!r} was away for {gap:.1f} s")

    def expect_no_more(self) -> None:
        """Wait until nobody is away; from now on, they may all be."""
        deadline = time.monotonic() + self.bound
        while self.away and time.monotonic() < deadline:
            time.sleep(PAUSE)
        self.expecting = False
        for name in list(self.away):
            self.world.fault(f"{name!r} is away for good")

    def end(self) -> None:
        """Look a last time."""
        self.over.set()
        self.join()
        self.look_for_the_dead()
