"""What nodes do while a cluster is tried: take names and let go of them, call and cast; and have
processes that are spread over all of them by keys.

Each notes what it does in a journal, which `cluster_judge` judges; nobody asks who is right here.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import anyio
from anyio.abc import TaskGroup

from fauxtp import (
    DynamicSupervisor,
    GenServer,
    NoProcess,
    OnDemand,
    ProcessExited,
    ReceiveTimeout,
    call,
    cast,
    exit,
    send_every,
)
from fauxtp.cluster import Cluster, NoConnection

__all__ = ["Journal", "Load", "Note"]

TICK = 0.1  # seconds between two notes of who acts as the holder of a name
REGISTRARS, CALLERS = 2, 2
PREFIX = "session:"
KEYS = [f"{PREFIX}{number}" for number in range(6)]


class Note(NamedTuple):
    """That something was so at some time: what, by which node, of which claim, call or cast."""

    time: float
    what: str
    node: str
    about: str
    name: str = ""
    more: str = ""


class Journal:
    """All notes of one or more nodes, in the order in which they were made."""

    def __init__(self, time: Callable[[], float], write: Callable[[Note], object]) -> None:
        self._time = time
        self._write = write

    def note(self, what: str, node: str, about: str, name: str = "", more: str = "") -> None:
        self._write(Note(self._time(), what, node, about, name, more))


class Claim:
    """A process that is to have a name, as long as it `acts` as who has it."""

    def __init__(self, load: Load, about: str, name: str) -> None:
        self.load = load
        self.about = about
        self.name = name
        self.acts = False

    def note(self, what: str, more: str = "") -> None:
        self.load.journal.note(what, self.load.node, self.about, self.name, more)


class Holder(GenServer[Any, Claim]):
    """Does what it is called for, and notes that; and now and then that it is the holder."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim

    async def init(self) -> Claim:
        send_every(TICK, self.pid, "tick")
        return self.claim

    async def handle_call(self, request: Any, from_: Any, state: Claim) -> Any:
        about, pause = request
        state.note("handled", about)
        if pause:
            await anyio.sleep(pause)
        return about, state

    async def handle_cast(self, request: Any, state: Claim) -> Claim:
        state.note("handled", request)
        return state

    async def handle_info(self, message: Any, state: Claim) -> Claim:
        if state.acts:
            state.note("acts")
        return state

    async def terminate(self, reason: Any, state: Claim) -> None:
        state.note("ended", str(reason))


class Session(Holder):
    """The holder of a key, from when it begins until it ends."""

    load: Load

    def __init__(self, key: str) -> None:
        super().__init__(self.load.new_claim(PREFIX + key))

    async def init(self) -> Claim:
        self.claim.note("tries")
        self.claim.note("got")
        self.claim.acts = True
        return await super().init()


class Sessions(DynamicSupervisor):
    """Those of one node."""


class Load:
    """What one node does, until it is stopped.

    `prefix` begins whatever it gives a number; it waits at most `pause` seconds between calls.
    """

    def __init__(
        self,
        cluster: Cluster,
        journal: Journal,
        names: Sequence[str],
        prefix: str,
        seed: int,
        pause: float,
    ) -> None:
        self._pause = pause
        self.cluster = cluster
        self.node = cluster.node
        self.journal = journal
        self._names = names
        self._numbers = itertools.count(1)
        self._prefix = prefix
        self._random = random.Random(seed)
        self._scope = anyio.CancelScope()
        self._supervisor = f"sessions of {self.node}"
        kind = type("SessionHere", (Session,), {"load": self})
        self._sessions = OnDemand(
            kind, supervisor=self._supervisor, prefix=PREFIX, cluster=cluster
        )

    async def run(self) -> None:
        """Do it until `stop`; then all names are given back."""
        async with anyio.create_task_group() as processes:
            await Sessions.start(task_group=processes, register_as=self._supervisor)
            with self._scope:
                async with anyio.create_task_group() as group:
                    for _ in range(REGISTRARS):
                        group.start_soon(self._register, processes)
                    for _ in range(CALLERS):
                        group.start_soon(self._call, self._names)
                    group.start_soon(self._call, KEYS)
                    group.start_soon(self._cast, self._names)
                    group.start_soon(self._cast, KEYS)
            exit(self._supervisor, "shutdown")

    def stop(self) -> None:
        self._scope.cancel()

    def new_claim(self, name: str) -> Claim:
        """Return the claim of a process that is to have `name`."""
        return Claim(self, self._about(), name)

    def _address(self, name: str) -> str:
        if name.startswith(PREFIX):
            return self._sessions[name.removeprefix(PREFIX)]
        return self.cluster.name(name)

    def _about(self) -> str:
        return f"{self._prefix}-{next(self._numbers)}"

    async def _register(self, processes: TaskGroup) -> None:
        while True:
            await anyio.sleep(self._random.uniform(0.05, 1.0))
            claim = self.new_claim(self._random.choice(self._names))
            pid = await Holder.start(claim, task_group=processes)
            try:
                await self._claim(claim, pid)
            finally:
                claim.acts = False
                claim.note("ends")
                exit(pid, "done")

    async def _claim(self, claim: Claim, pid: Any) -> None:
        claim.note("tries")
        known = False
        try:
            got = await self.cluster.register(claim.name, pid)
            known = True
        except (NoConnection, NoProcess, TimeoutError):
            return
        finally:
            if not known:
                claim.note("perhaps")
        claim.acts = got
        claim.note("got" if got else "refused")
        if got:
            await anyio.sleep(self._random.uniform(0.5, 5.0))

    async def _call(self, names: Sequence[str]) -> None:
        while True:
            await anyio.sleep(self._random.uniform(0.01, self._pause))
            about, name = self._about(), self._random.choice(names)
            pause = self._random.choice([0.0, 0.0, 0.5])
            timeout = self._random.choice([0.2, 2.0])
            outcome = "unknown"
            self.journal.note("calls", self.node, about, name)
            try:
                await call(self._address(name), (about, pause), timeout=timeout)
                outcome = "answered"
            except (NoConnection, NoProcess):
                outcome = "not done"
            except ProcessExited as error:
                outcome = "unknown" if error.taken_up else "not done"
            except ReceiveTimeout:
                outcome = "given up"
            finally:
                self.journal.note(outcome, self.node, about, name)

    async def _cast(self, names: Sequence[str]) -> None:
        while True:
            await anyio.sleep(self._random.uniform(0.01, self._pause))
            about, name = self._about(), self._random.choice(names)
            self.journal.note("casts", self.node, about, name)
            try:
                await cast(self._address(name), about)
            except (NoConnection, NoProcess):
                self.journal.note("not done", self.node, about, name)
