"""A cluster, as a program sees it that is one of its nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast, final

import anyio

from fauxtp._base.arguments import expect_text, unexpected
from fauxtp._core.mailbox import find_elsewhere
from fauxtp._core.running_process import current
from fauxtp._loops.current import give_way
from fauxtp.cluster._engines.checks import check_lease, check_token
from fauxtp.cluster._engines.engine import Engine
from fauxtp.cluster._engines.subjects import Subjects
from fauxtp.cluster._groups.grouped import Grouped
from fauxtp.cluster._keys.group_keys import check_group
from fauxtp.cluster._keys.name_keys import check_name
from fauxtp.cluster._messages.messenger import Messenger
from fauxtp.cluster._names.claims import Claims
from fauxtp.cluster._names.cluster_name import ClusterName
from fauxtp.cluster._names.name_watches import ClusterNamesWatch, NameWatches
from fauxtp.cluster._names.names import Names
from fauxtp.cluster._names.sweeper import Sweeper
from fauxtp.cluster._nodes.ends import is_alive_here
from fauxtp.cluster._nodes.hub import Hub, hub_for
from fauxtp.cluster._nodes.node import Node
from fauxtp.cluster._shards.sharding import Sharding
from fauxtp.errors import NoProcess
from fauxtp.registry import PID, Lookup, Ref, quick

if TYPE_CHECKING:
    from fauxtp._supervision.on_demand_source import Supervised

__all__ = ["Cluster"]

USUAL_TTL = 15  # seconds
BEATS = 5  # heartbeats within a time to live


@final
@quick
class Cluster(Lookup):
    """A cluster that this program is a node of: `Cluster.join` makes one.

    All of it may be used in any thread, unless it says otherwise.

    >>> from fauxtp import Mailbox, send
    >>> from fauxtp.cluster.memory_broker import MemoryBroker
    >>> async def main():
    ...     broker, mailbox = MemoryBroker("shop"), Mailbox()
    ...     async with (
    ...         Cluster.join(broker.engine("a"), cluster="shop", node="a") as a,
    ...         Cluster.join(broker.engine("b"), cluster="shop", node="b") as b,
    ...     ):
    ...         await a.register("till", mailbox.pid)
    ...         await send(await b.wait_registered("till", timeout=5), "hello")
    ...         print(await mailbox.receive((str, lambda message: message)))
    >>> anyio.run(main)
    hello
    """

    def __init__(
        self,
        hub: Hub,
        node: Node,
        messenger: Messenger,
        names: Names,
        claims: Claims,
        grouped: Grouped,
        sharding: Sharding,
    ) -> None:
        super().__init__(names.known, names.look_up)
        self._hub = hub
        self._node = node
        self._messenger = messenger
        self._names = names
        self._watches = NameWatches(hub, names)
        self._claims = claims
        self._grouped = grouped
        self._sharding = sharding

    @classmethod
    @asynccontextmanager
    async def join(
        cls,
        at: str | Sequence[str] | Engine,
        *,
        cluster: str,
        node: str,
        ttl: int = USUAL_TTL,
        **options: Any,
    ) -> AsyncIterator[Cluster]:
        """Be the node `node` of `cluster` meanwhile, and yield what it sees; at the end, leave it.

        `at` is the URL of a NATS server with JetStream, or several of them, of which one has to be
        there; `options` say who we are to it, and are those of `NatsEngine`. Or it is an engine,
        as those of a `MemoryBroker` are in tests. For `ttl` seconds, at least 2, a node counts as
        alive of which nothing is heard; it gives up itself a little earlier, and joins again as
        soon as it can, as a new incarnation of itself.

        Raises `NodeTaken` if there is a living node of that name, which takes so long to find out;
        `NoConnection`, `Refused` and `TimeoutError` as `Engine.open`; `TypeError` and `ValueError`
        if `cluster` or `node` is no name, `ttl` no such number, or `at` none of these.

        >>> from fauxtp.cluster.memory_broker import MemoryBroker
        >>> async def main():
        ...     broker = MemoryBroker("shop")
        ...     async with Cluster.join(broker.engine("a"), cluster="shop", node="a") as cluster:
        ...         print(cluster.node, cluster.nodes())
        >>> anyio.run(main)
        a ['a']
        """
        subjects = Subjects(cluster)
        check_token("node", node)
        seconds = check_lease(ttl)
        engine = _engine_at(at, cluster, node, options)
        async with hub_for(engine.asyncio_only) as hub:
            member = Node(hub, engine, subjects, node, seconds, seconds / BEATS)
            messenger = Messenger(member)
            names = Names(member, messenger.pids)
            claims = Claims(member, messenger.pids, names)
            grouped = Grouped(member, messenger.post)
            sharding = Sharding(member, messenger, grouped)
            Sweeper(member, names.left, sharding.left)
            try:
                await hub.ask(member.join)
                yield cls(hub, member, messenger, names, claims, grouped, sharding)
            finally:
                with anyio.CancelScope(shield=True):
                    await hub.ask(partial(member.leave, current()))

    def __repr__(self) -> str:
        return f"<Cluster {self.cluster!r}, node {self.node!r}>"

    @property
    def cluster(self) -> str:
        """The name of the cluster."""
        return self._node.subjects.cluster

    @property
    def node(self) -> str:
        """The name of the own node."""
        return self._node.name

    @property
    def malformed(self) -> int:
        """How many keys and messages came that made no sense, and were dropped."""
        return self._node.malformed.count

    def nodes(self) -> list[str]:
        """Return the names of the nodes that are there, in order.

        The own one is among them while it has a lease, so that it may act. Raises nothing.
        """
        up = {*self._node.peers.up}
        return sorted(up if self._node.is_member else up - {self._node.name})

    def monitor_node(self, node: str) -> Ref:
        """Let the calling actor be sent a `NodeUp` or a `NodeDown` when `node` comes or goes.

        Return what those messages have as their `ref`. If it is not there, a `NodeDown` comes at
        once. It ends by `demonitor`, or with the actor.

        Raises `RuntimeError` outside of an actor, and `TypeError` or `ValueError` if `node` is no
        name of one.
        """
        return self._node.monitors.begin(check_token("node", node))

    # Names

    async def register(self, name: str, pid: PID) -> bool:
        """Let `name` mean `pid`, a process of this node; return False if it means another one.

        It is known here when this returns, and elsewhere soon. Without a lease it waits for one.
        It is given back when the process ends, or by `unregister`; or when this node leaves. A
        process that has lost its name, as its node was fenced, or as a server has lost what it
        had acknowledged and somebody else has the name now, is ended. Where an answer of the
        servers is lost, `name` may have meant `pid` elsewhere for a while before this is False.

        Raises `TypeError` if `name` is no str or `pid` no PID, `ValueError` if `name` is empty or
        too long, or the process not of this node; `NoProcess` if it has ended, `NoConnection` if
        there is none now, `TimeoutError` if the servers do not answer: then it is given back as
        soon as that is possible, should it be taken.
        """
        check_name(name)
        await self._expect_here(pid)
        return await self._hub.ask(partial(self._claims.register, name, pid))

    async def unregister(self, name: str) -> bool:
        """Let `name` mean nobody, if it means a process of this node; else return False.

        Raises `TypeError` and `ValueError` for what is no name, `NoConnection` and `TimeoutError`
        as `register` does: it is given back as soon as that is possible.
        """
        check_name(name)
        return await self._hub.ask(partial(self._claims.unregister, name))

    async def token(self, name: str) -> int | None:
        """Return the number of the claim by which a process of this node has `name`, or None.

        Who has the name later has a larger one: what is outside of the cluster can remember the
        largest that it has seen, and refuse who comes with a smaller one, as that has lost the
        name and does not know it yet. The server is asked; None is that the name is lost, or was
        never had.

        Raises `TypeError` and `ValueError` for what is no name, `NoConnection` and `TimeoutError`
        if the server cannot be asked.
        """
        check_name(name)
        return await self._hub.ask(partial(self._claims.token, name))

    async def whereis_sure(self, name: str) -> PID | None:
        """Return the PID that `name` means now, as the server has it, or None if that is nobody.

        `whereis` tells what this node has heard, which may be some milliseconds old, and older
        while the connection is away.

        Raises `TypeError` and `ValueError` for what is no name, `NoConnection` and `TimeoutError`
        if the server cannot be asked.
        """
        check_name(name)
        return await self._hub.ask(partial(self._names.ask, name))

    def name(self, name: str) -> ClusterName:
        """Return what stands for whoever has `name` at the time: in `call`, `send`, `monitor`, …

        As `register_as`, a process has it before its `init`, and waits for that while there is no
        connection or no lease.

        Raises `TypeError` and `ValueError` for what is no name.
        """
        return ClusterName.of(self.cluster, check_name(name), self._names, self._claim)

    async def wait_registered(self, name: str, timeout: float | None = None) -> PID:
        """Return the PID that `name` means, as soon as it means one; `timeout` is in seconds.

        Raises `ReceiveTimeout` if it does not by then; `TypeError` and `ValueError` for what is no
        name or no `timeout`.
        """
        return await self._names.wait_registered(name, timeout)

    def watch_names(self, prefix: str = "") -> ClusterNamesWatch:
        """Return an async iterator of who has which name that begins with `prefix`.

        It yields what `fauxtp.watch_names` does, in the order in which this node hears of it:
        `Registered` for all names that there are, and for those that come; `Unregistered` for
        those that go, whose `reason` is `"left"` or `"noconnection"` if their node is gone, and
        else None; and `Overflow` to who lets more than 10,000 changes wait. Without a lease, all
        names go, as they mean nobody here. It ends when the cluster is left.

        Raises `TypeError` if `prefix` is no str.

        >>> from fauxtp import Mailbox
        >>> from fauxtp.testing import cluster
        >>> async def main():
        ...     mailbox = Mailbox()
        ...     async with cluster("a", "b") as (a, b):
        ...         await a.register("till:1", mailbox.pid)
        ...         async for change in b.watch_names("till:"):
        ...             print(type(change).__name__, change.name)
        ...             if not await a.unregister("till:1"):
        ...                 break
        >>> anyio.run(main)
        Registered till:1
        Unregistered till:1
        """
        return self._watches.watch(expect_text("prefix", prefix))

    # Groups

    async def join_group(self, group: str, pid: PID) -> bool:
        """Let `pid`, a process of this node, be in `group`; return False if it is already.

        This waits for a lease, then it is a member here; for the server to know it, also if there
        is no connection; and soon after this returns it is one elsewhere. It is one until
        `leave_group`, or until it ends, or this node leaves; a fence ends no membership. Who gives
        up waiting takes it back, unless others have joined it, too. A group of the cluster has
        nothing to do with the one that the program alone has under that name.

        Raises `TypeError` if `group` is no str or `pid` no PID, `ValueError` if `group` is empty
        or too long or has too many members, or the process not of this node; `NoProcess` if it has
        ended, or does so meanwhile; `NoConnection` if the cluster was left, `Refused` if the
        server forbids it.
        """
        check_group(group)
        await self._expect_here(pid)
        return await self._hub.ask(partial(self._grouped.memberships.join, group, pid))

    async def leave_group(self, group: str, pid: PID) -> bool:
        """Let `pid` be in `group` no longer; return False if it is not.

        It is told nothing more that is published there; the others know it soon.

        Raises `TypeError` and `ValueError` for what is no group or no PID, and `NoConnection` if
        the cluster was left.
        """
        check_group(group)
        if type(pid) is not PID:
            raise unexpected("pid", "a PID", pid)
        return await self._hub.ask(partial(self._grouped.memberships.leave, group, pid))

    def members(self, group: str) -> tuple[PID, ...]:
        """Return who is in `group`: first those of this node, then those of the others.

        It is looked up in what this node has heard; nobody is asked. Without a lease, those of
        this node are all.

        Raises `TypeError` and `ValueError` for what is no group.
        """
        return self._grouped.groups.members(check_group(group))

    async def publish(self, group: str, message: Any) -> int:
        """Send `message` to everybody in `group`, and return to how many that is.

        Of this node, that is how many mailboxes have taken it; of the others, how many members
        they are known to have. Each node that has some is sent one message, and tells them. It
        waits for nobody: where a bounded mailbox has no room, or a node cannot be reached, that is
        a dead letter. What one process publishes and sends, another gets in that order, at most
        once.

        Raises `TypeError` and `ValueError` for what is no group, and, before anybody is told, if
        some are elsewhere and `message` cannot travel.
        """
        check_group(group)
        await give_way()
        return self._grouped.publisher.publish(group, message)

    def monitor_group(self, group: str) -> Ref:
        """Let the calling actor be sent a `Joined` for each who is in `group`, now or later.

        Return what those messages have as their `ref`. When one leaves, or ends, it is sent a
        `Left`, whose `reason` is the exit reason of a process of this node, `"noconnection"` if
        its node is gone, and else None. It ends by `demonitor`, or with the actor.

        Raises `RuntimeError` outside of an actor, `TypeError` and `ValueError` for what is no
        group.
        """
        return self._grouped.monitors.begin(check_group(group))

    # Shards

    def _fauxtp_addresses(self, supervised: Supervised) -> Callable[[str], str]:
        return self._sharding.addresses_of(supervised)

    async def _claim(self, name: str, pid: PID) -> bool:
        return await self._hub.ask(partial(self._claims.claim, name, pid))

    async def _expect_here(self, pid: PID) -> None:
        if type(pid) is not PID:
            raise unexpected("pid", "a PID", pid)
        if find_elsewhere(pid) is not None:
            raise ValueError(f"expected a process of node {self.node!r}, got {pid!r} of another")
        if not is_alive_here(pid):
            await give_way()
            raise NoProcess(pid)


def _engine_at(
    at: str | Sequence[str] | Engine, cluster: str, node: str, options: dict[str, Any]
) -> Engine:
    if hasattr(at, "asyncio_only"):
        if options:
            raise TypeError(f"expected no options for an engine, got {min(options)}")
        return cast("Engine", at)
    from fauxtp.cluster._engines.nats_engine import NatsEngine  # noqa: PLC0415  (it imports asyncio)

    servers: Any = at  # which it checks itself
    return NatsEngine(servers, cluster=cluster, node=node, **options)
