"""Engines to try: each kind, with the faults that can be done to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import anyio
from conftest import PATIENCE

from fauxtp.cluster._engines.engine import Change, Engine, Part, Snapshot
from fauxtp.cluster.memory_broker import MemoryBroker

if TYPE_CHECKING:
    from nats_server import NatsServer, Proxy

_numbers = count(1)


class World(Protocol):
    """Where engines meet."""

    async def engine(self, node: str, *, timeout: float = 5.0) -> Engine: ...
    def cut(self, node: str) -> None: ...
    def hold(self, node: str) -> None: ...
    def heal(self, node: str) -> None: ...
    async def restart(self) -> None: ...
    async def end(self) -> None: ...


class InMemory:
    """A broker in memory."""

    def __init__(self) -> None:
        self.broker = MemoryBroker("test")

    async def engine(self, node: str, *, timeout: float = 5.0) -> Engine:
        return self.broker.engine(node, timeout=timeout)

    def cut(self, node: str) -> None:
        self.broker.cut(node)

    def hold(self, node: str) -> None:
        self.broker.hold(node)

    def heal(self, node: str) -> None:
        self.broker.heal(node)

    async def restart(self) -> None:
        self.broker.stop()
        await anyio.sleep(0.01)
        self.broker.start()

    async def end(self) -> None:
        pass


class OverNats:
    """A NATS server, and a proxy before it for each node."""

    def __init__(self, server: NatsServer) -> None:
        self.server = server
        self.cluster = new_cluster()
        self._proxies: dict[str, Proxy] = {}

    async def engine(self, node: str, *, timeout: float = 5.0) -> Engine:
        from nats_server import Proxy  # noqa: PLC0415

        from fauxtp.cluster._engines.nats_engine import NatsEngine  # noqa: PLC0415

        if node not in self._proxies:
            self._proxies[node] = Proxy(self.server.port)
            await self._proxies[node].start()
        url = self._proxies[node].url
        return NatsEngine(url, cluster=self.cluster, node=node, timeout=timeout)

    def cut(self, node: str) -> None:
        if node in self._proxies:
            self._proxies[node].cut()

    def hold(self, node: str) -> None:
        self._proxies[node].hold()

    def heal(self, node: str) -> None:
        self._proxies[node].heal()

    async def restart(self) -> None:
        self.server.kill()
        await anyio.to_thread.run_sync(self.server.start)

    async def end(self) -> None:
        for proxy in self._proxies.values():
            await proxy.stop()


def new_cluster() -> str:
    """Return the name of a cluster that no other test has."""
    return f"t{os.getpid()}-{next(_numbers)}"


class Told:
    """What a callback was told, and what waits for that."""

    def __init__(self) -> None:
        self.all: list[Any] = []
        self._event = anyio.Event()

    def __call__(self, *what: Any) -> None:
        self.all.append(what[0] if len(what) == 1 else what)
        self._event.set()
        self._event = anyio.Event()

    async def wait(self, holds: Callable[[list[Any]], object]) -> list[Any]:
        """Return all that was told when it is as `holds` asks."""
        with anyio.move_on_after(PATIENCE):
            while not holds(self.all):
                await self._event.wait()
            return self.all
        raise AssertionError(f"only this was told: {self.all}")

    async def number(self, number: int) -> list[Any]:
        """Return all when there are so many."""
        return await self.wait(lambda told: len(told) >= number)

    def known(self) -> dict[str, tuple[bytes, int]]:
        """Return the keys as who follows them knows them; it fails if changes lack an order."""
        known: dict[str, tuple[bytes, int]] = {}
        revision: int | None = None
        parts: list[Part | Snapshot] = []
        for what in self.all:
            if isinstance(what, Part):
                assert what.is_first or parts
                parts = [*([] if what.is_first else parts), what]
                continue
            if isinstance(what, Snapshot):
                assert what.is_first or parts
                parts = [*([] if what.is_first else parts), what]
                entries = [entry for part in parts for entry in part.entries]
                all_of_it = {key: (value, number) for key, value, number in entries}
                known = {key: held for key, held in all_of_it.items() if held[0]}
                revision, parts = what.revision, []
                continue
            assert isinstance(what, Change)
            assert revision is not None
            assert what.revision > revision
            revision = what.revision
            if what.value is None:
                known.pop(what.key, None)
            else:
                known[what.key] = what.value, what.revision
        return known


async def soon(coroutine: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Return what comes of it, if it does not hang."""
    with anyio.fail_after(PATIENCE):
        return await coroutine()
