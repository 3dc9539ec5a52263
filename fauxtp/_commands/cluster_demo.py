"""A demonstration: a server and three nodes, one of which is killed, and what others see of it.

`python -m fauxtp._commands.cluster_demo URL NODE` is one of them: it has the till, or stands by,
and some of the sessions.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from typing import Any, Final

import anyio
import anyio.to_thread

from fauxtp import (
    Call,
    DynamicSupervisor,
    FauxtpError,
    GenServer,
    NameTaken,
    OnDemand,
    ReceiveTimeout,
    call,
    wait_exit,
)
from fauxtp._commands.command_line import say
from fauxtp._commands.local_server import local_server
from fauxtp.cluster import Cluster
from fauxtp.observe.plain_text import plain

__all__ = ["show"]

NAME: Final = "till"
SHOP: Final = "demo"
DEMO: Final = "demo"  # the node that calls
TTL: Final = 2  # seconds
PAUSE: Final = 0.1  # seconds between two calls
PATIENCE: Final = 60.0
ENOUGH: Final = 5  # answers
USERS: Final = ("anna", "bert", "dora", "fred", "greta", "mona")


class Till(GenServer[Any, int]):
    """Counts what it has charged, and says whose it is."""

    def __init__(self, node: str) -> None:
        self.node = node

    async def init(self) -> int:
        return 0

    async def handle_call(
        self, request: int, from_: Call, state: int
    ) -> tuple[tuple[str, int], int]:
        return (self.node, state + request), state + request


class Session(Till):
    """Counts the visits of one user: there is one for each, on the node that has its shard."""

    def __init__(self, user: str) -> None:
        super().__init__(sys.argv[-1])


class Sessions(DynamicSupervisor):
    """Those of a node."""


def _sessions(cluster: Cluster) -> OnDemand:
    return OnDemand(Session, supervisor="sessions", prefix="session:", cluster=cluster)


async def show() -> None:
    """Show it, within a minute; what it starts is ended by its own handle."""
    _let_signals_cancel()
    say("a NATS server starts, then the nodes a, b and c")
    with local_server() as url, _nodes(url) as nodes, anyio.fail_after(PATIENCE):
        async with Cluster.join(url, cluster=SHOP, node=DEMO, ttl=TTL) as cluster:
            await _until_there(cluster, {*nodes})
            story, sessions = _Story(cluster), _sessions(cluster)
            await story.until_answered(ENOUGH)
            await _visit(sessions, nodes.keys())
            killed = story.holder
            say(f"kill -9 {nodes[killed].pid}: that is node {killed}, which has {NAME!r}")
            nodes[killed].kill()
            story.begin()
            await story.until_answered(ENOUGH)
            await _visit(sessions, nodes.keys() - {killed})
            await _until_there(cluster, nodes.keys() - {killed})
            say(f"the nodes that are left: {', '.join(cluster.nodes())}")


def _let_signals_cancel() -> None:
    """Let SIGTERM and SIGHUP cancel the running task, as Ctrl-C does: it ends what it has started.

    SIGHUP comes when a terminal is closed; whoever has it ignored, as `nohup` does, goes on.
    """
    task = asyncio.current_task()
    assert task is not None
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            with suppress(NotImplementedError):  # on Windows, where nobody sends it
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)


async def _until_there(cluster: Cluster, nodes: AbstractSet[str]) -> None:
    """Wait until these, and we, are who is in the cluster: each may come and go late."""
    while {*cluster.nodes()} != {*nodes, DEMO}:
        await anyio.sleep(PAUSE)


async def _visit(sessions: OnDemand, nodes: AbstractSet[str]) -> None:
    """Call each session, which starts it, until all `nodes` have some; say where they are then."""
    by_node: dict[str, list[str]] = {}
    while by_node.keys() != nodes:
        by_node.clear()
        await anyio.sleep(PAUSE)
        for user in USERS:
            node, visits = await call(sessions[user], 1, timeout=PATIENCE, wait=PATIENCE)
            by_node.setdefault(node, []).append(f"{user} ({visits})")
    for node, users in sorted(by_node.items()):
        say(f"          sessions on node {plain(node)}, and visits: {plain(', '.join(users))}")


class _Story:
    """Calls the till again and again, and says what is new."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._said = ""
        self._since = time.monotonic()
        self.holder = ""

    def begin(self) -> None:
        """Count time from now."""
        self._since = time.monotonic()

    async def until_answered(self, times: int) -> None:
        """Call until it was answered so often in a row, by one node that was not there before."""
        before, answers = self.holder, 0
        while answers < times:
            answered = await self._call()
            answers = answers + 1 if answered and self.holder != before else 0
            await anyio.sleep(PAUSE)

    async def _call(self) -> bool:
        try:
            node, total = await call(self._cluster.name(NAME), 1, timeout=1.0)
        except (FauxtpError, ReceiveTimeout) as error:
            self._say_once(f"{type(error).__name__}: {error}")
            return False
        self.holder = node
        self._say_once(f"node {node} answers", f": {total} charged so far")
        return True

    def _say_once(self, what: str, more: str = "") -> None:
        if what != self._said:
            self._said = what
            say(f"{time.monotonic() - self._since:6.2f} s  a call: {plain(what + more)}")


@contextmanager
def _nodes(url: str) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Have three nodes, each an OS process that ends, too, when we do: its input ends."""
    nodes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for node in ("a", "b", "c"):
            nodes[node] = subprocess.Popen(
                [sys.executable, "-m", "fauxtp._commands.cluster_demo", url, node],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        yield nodes
    finally:
        for process in nodes.values():
            process.kill()
        for process in nodes.values():
            process.communicate()


async def _be_node(url: str, node: str) -> None:
    """Have the till whenever nobody has it, until the input ends."""
    async with (
        Cluster.join(url, cluster=SHOP, node=node, ttl=TTL) as cluster,
        anyio.create_task_group() as group,
    ):
        group.start_soon(_end_with_input, group)
        _sessions(cluster)
        await Sessions.start(task_group=group, register_as="sessions")
        name: Any = cluster.name(NAME)
        while True:
            try:
                till = await Till.start(node, task_group=group, register_as=name)
            except NameTaken:
                till = await cluster.wait_registered(NAME)
            await wait_exit(till)


async def _end_with_input(group: Any) -> None:
    await anyio.to_thread.run_sync(sys.stdin.buffer.read, abandon_on_cancel=True)
    group.cancel_scope.cancel()


if __name__ == "__main__":
    asyncio.run(_be_node(*sys.argv[1:]))
