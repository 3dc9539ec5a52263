"""A cluster for tests: its nodes are in one event loop, and its faults come on demand."""

from __future__ import annotations

import math
import random
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, final

import anyio

from fauxtp._base import switches
from fauxtp._base.arguments import expect_seconds, unexpected

if TYPE_CHECKING:
    from fauxtp.cluster import Cluster
    from fauxtp.cluster.memory_broker import MemoryBroker

__all__ = ["TestCluster", "cluster"]

USUAL_TTL: Final = 5  # seconds
USUAL_TIMEOUT: Final = 5.0
TO_MEET: Final = 60.0  # seconds, beside how long messages take


def cluster(
    *nodes: str,
    name: str = "test",
    ttl: int = USUAL_TTL,
    timeout: float = USUAL_TIMEOUT,
    delay: tuple[float, float] = (0.0, 0.0),
    seed: int | None = None,
) -> TestCluster:
    """Return a cluster of these `nodes`, in one event loop and with no server.

    `async with` it: what it yields is a `Cluster` for each of the nodes, in that order, each of
    which knows all. When it is left, what was done to them ends, and they leave.

    `name` is the cluster's; `ttl` that of its nodes, in seconds, as in `Cluster.join`; an answer
    may take `timeout` seconds, and a message to the broker or from it a time between the two of
    `delay`, in seconds. `seed` decides what is left to chance: 0 if it is None, and under
    `explore` whatever the schedule's seed says. Time is that of the event loop, so that a lease
    of seconds takes none of yours in simulated time. What `OnDemand` spreads over the nodes is in
    16 shards here, where a server has 1,024 of them: a node has them at once.

    It needs `fauxtp[cluster]`, as messages travel here as they do over NATS: what cannot, fails.

    Raises `ModuleNotFoundError` without that; `TypeError` and `ValueError` if `nodes` are none,
    one is there twice or has no name of a node, or one of the others is not as it is to be.

    >>> from fauxtp import Mailbox, send
    >>> async def main():
    ...     mailbox = Mailbox()
    ...     async with cluster("a", "b") as (a, b):
    ...         await a.register("till", mailbox.pid)
    ...         await send(await b.wait_registered("till", timeout=5), "hello")
    ...         print(await mailbox.receive((str, lambda message: message)), b.nodes())
    >>> anyio.run(main)
    hello ['a', 'b']
    """
    try:
        from fauxtp.cluster._engines.checks import check_lease  # noqa: PLC0415  (an extra)
        from fauxtp.cluster.memory_broker import MemoryBroker  # noqa: PLC0415
    except ModuleNotFoundError as error:
        said = f"fauxtp.testing.cluster needs {error.name}: install fauxtp[cluster]"
        raise ModuleNotFoundError(said, name=error.name) from None
    names = _names(nodes)
    broker = MemoryBroker(name, seed=_seed(seed), delay=_delay(delay))
    return TestCluster(names, broker, check_lease(ttl), expect_seconds("timeout", timeout))


@final
class TestCluster:
    """A cluster for tests, as `cluster` returns it: what can be done to it, and to its nodes.

    What cuts or holds a node lasts until `heal`. `broker` is what carries the cluster.

    >>> from fauxtp import Mailbox
    >>> async def main():
    ...     shop, mailbox = cluster("a", "b", ttl=2), Mailbox()
    ...     async with shop as (a, b):
    ...         await b.register("till", mailbox.pid)
    ...         await a.wait_registered("till")
    ...         shop.cut("b")
    ...         while a.whereis("till"):  # until b's lease is over
    ...             await anyio.sleep(1)
    ...         print(a.nodes(), b.whereis("till"))
    >>> from fauxtp.testing import explore
    >>> explore(main, seeds=1)  # in no time
    ['a'] None
    """

    __test__ = False  # pytest need not look for tests in here

    def __init__(
        self, nodes: tuple[str, ...], broker: MemoryBroker, ttl: int, timeout: float
    ) -> None:
        self.broker: MemoryBroker = broker
        self._first = nodes
        self._nodes = dict.fromkeys(nodes)
        self._ttl = ttl
        self._timeout = timeout
        self._entered = False
        self._members = AsyncExitStack()

    def __repr__(self) -> str:
        return f"<TestCluster {self.broker.subjects.cluster!r} of {', '.join(self._nodes)}>"

    async def __aenter__(self) -> tuple[Cluster, ...]:
        if self._entered:
            raise RuntimeError("a cluster for tests is entered once")
        self._entered = True
        async with AsyncExitStack() as stack:
            joined = [await stack.enter_async_context(self._member(it)) for it in self._first]
            with anyio.fail_after(TO_MEET + 100 * self.broker.delay[1]):
                await _until_all_know_all(joined)
            self._members = stack.pop_all()
        return tuple(joined)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self.broker.start()
        self.broker.elect_leader()
        for node in self._nodes:
            self.broker.lose_no_more(node)
            self.broker.heal(node)
        return bool(await self._members.__aexit__(kind, error, traceback))

    def join(self, node: str) -> AbstractAsyncContextManager[Cluster]:
        """Return what, in `async with`, is one more node, `node`: a `Cluster` as it sees it.

        It leaves when that ends. The others hear of both soon.

        Raises `TypeError` and `ValueError` if `node` is no name of one; `NodeTaken`, when it is
        entered, if there is one of that name.
        """
        member = self._member(node)
        self._nodes[node] = None
        return member

    def _member(self, node: str) -> AbstractAsyncContextManager[Cluster]:
        from fauxtp.cluster.cluster import Cluster  # noqa: PLC0415  (an extra)

        engine = self.broker.engine(node, timeout=self._timeout)
        name = self.broker.subjects.cluster
        return Cluster.join(engine, cluster=name, node=node, ttl=self._ttl)

    # What is done to a node

    def cut(self, node: str) -> None:
        """Cut the connection of `node`, which knows at once. What was under way is lost.

        Raises `TypeError` or `ValueError` if `node` is none of these.
        """
        self.broker.cut(self._known(node))

    def hold(self, node: str) -> None:
        """Let nothing through to or from `node`, which notices after three seconds.

        What it had sent by then arrives when it is healed.

        Raises `TypeError` or `ValueError` if `node` is none of these.
        """
        self.broker.hold(self._known(node))

    def freeze(self, node: str) -> None:
        """Let nothing through to or from `node`, and let it not notice.

        So a node that was stopped, or has blocked its event loop, looks from elsewhere. All that
        has waited arrives when it is healed.

        Raises `TypeError` or `ValueError` if `node` is none of these.
        """
        self.broker.freeze(self._known(node))

    def heal(self, node: str) -> None:
        """Undo what cut, held or froze `node`. A connection that was lost comes back soon.

        Raises `TypeError` or `ValueError` if `node` is none of these.
        """
        self.broker.heal(self._known(node))

    def lose_answers(self, node: str, count: int = 1) -> None:
        """Do the next `count` writes of `node`, and tell it nothing of that: it times out.

        Raises `TypeError` or `ValueError` if `node` is none of these, or `count` no such number.
        """
        self.broker.lose_answers(self._known(node), _count(count))

    def lose_messages(self, node: str, count: int = 1) -> None:
        """Lose the next `count` messages and changes to `node`, as if they came too fast.

        Raises `TypeError` or `ValueError` if `node` is none of these, or `count` no such number.
        """
        self.broker.lose_messages(self._known(node), _count(count))

    # What is done to the server

    def stop(self) -> None:
        """End the server, until `start`: all connections are lost. It raises nothing."""
        self.broker.stop()

    def start(self) -> None:
        """Let the server begin again, and nodes connect soon. It raises nothing."""
        self.broker.start()

    def lose_writes(self, count: int) -> None:
        """Stop the server, and start it without its last `count` writes, at most 1,000.

        So does a server that had acknowledged what was not on its disk yet.

        Raises `TypeError` or `ValueError` if `count` is no number of them.
        """
        self.broker.lose_writes(_count(count))

    def lose_leader(self) -> None:
        """Let nobody order the writes, until `elect_leader`: no name can be taken.

        Messages go on, and no lease ends for the others; nodes fence themselves. Raises nothing.
        """
        self.broker.lose_leader()

    def elect_leader(self) -> None:
        """Let somebody order the writes again. It raises nothing."""
        self.broker.elect_leader()

    def _known(self, node: object) -> str:
        if not isinstance(node, str):
            raise unexpected("node", "a str", node)
        if node not in self._nodes:
            raise ValueError(f"expected node to be one of {', '.join(self._nodes)}, got {node!r}")
        return node


async def _until_all_know_all(members: list[Cluster]) -> None:
    everybody, pause = sorted(one.node for one in members), 0.001
    while not all(one.nodes() == everybody for one in members):
        await anyio.sleep(pause)
        pause = min(2 * pause, 0.1)


def _names(nodes: tuple[object, ...]) -> tuple[str, ...]:
    from fauxtp.cluster._engines.checks import check_token  # noqa: PLC0415  (an extra)

    names = tuple(check_token("node", node) for node in nodes)
    if not names:
        raise ValueError("expected nodes to be at least one")
    for node in names:
        if names.count(node) > 1:
            raise ValueError(f"expected each node once, got {node!r} {names.count(node)} times")
    return names


def _seed(seed: object) -> int:
    if seed is None:
        return random.getrandbits(32) if switches.simulated else 0
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise unexpected("seed", "an int or None", seed)
    return int(seed)


def _count(count: object) -> int:
    if not isinstance(count, int) or isinstance(count, bool):
        raise unexpected("count", "an int", count)
    if count < 0:
        raise ValueError(f"expected count to be at least 0, got {count}")
    return int(count)


def _delay(delay: Any) -> tuple[float, float]:
    if not isinstance(delay, tuple) or len(delay) != 2:
        raise unexpected("delay", "two numbers of seconds", delay)
    least, most = (expect_seconds("delay", one) for one in delay)
    if not least <= most < math.inf:
        raise ValueError(f"expected delay to be the least and the most, got {delay}")
    return least, most
