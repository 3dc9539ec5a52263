"""OnDemand: addresses that start what they mean, when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, Protocol, Self, final

from fauxtp._actors.actor import Actor, expect_actor_class
from fauxtp._actors.genserver import GenServer
from fauxtp._actors.idleness import expect_idle_timeout
from fauxtp._base.arguments import expect_text, unexpected
from fauxtp._base.prefixed_names import PrefixedNames
from fauxtp._messaging.addresses import find_pid
from fauxtp._supervision.child_spec import ChildSpec, RestartType
from fauxtp._supervision.on_demand_source import Supervised
from fauxtp.registry import PID

__all__ = ["OnDemand"]


class Cluster(Protocol):
    """What spreads processes over several nodes: a `fauxtp.cluster.Cluster`."""

    def _fauxtp_addresses(self, supervised: Supervised, /) -> Callable[[str], str]: ...


@final
class OnDemand(PrefixedNames):
    """Addresses of actors that are started when somebody wants something of them.

    `OnDemand(Session, supervisor="sessions", prefix="session:")["anna"]` is the name
    `"session:anna"`, and goes wherever a name goes. Where it gets a message, a call, a monitor
    or a link and nobody has that name, the `DynamicSupervisor` called `supervisor` starts
    `Session("anna")` under it, in its own event loop: once, however many ask at that moment, in
    whatever threads. Questions (`whereis`, `is_alive`, `process_info`), `exit` and `wait_exit`
    start nobody.

    Whoever calls waits for the start as for the answer. If the constructor or `init` fails, that
    is logged, and a call raises `ProcessExited`, whose cause is the error; if there is no
    supervisor, or it ends, it raises `NoProcess`.

    With `idle_timeout`, a server ends by itself when it has had no message for so many seconds:
    see `GenServer.idle_timeout`. Messages that come too late for one that ends so, or by `stop`,
    go to its successor. One that an error ends is not restarted: the next message starts another.

    With `cluster`, a `fauxtp.cluster.Cluster`, there is one for each key in all of it, and each
    node that means them makes this. They are spread over the nodes where `supervisor` lives, by
    1,024 shards; on node `a` of cluster `shop`, that for `"anna"` is `"session:anna@a.shop"`.
    Calls and messages go there from any node, and start it there. When such a node comes or goes,
    some shards move: who runs in them is ended, as by its supervisor, and what lies in their
    mailboxes, and all that comes meanwhile, goes to who is started elsewhere. Nothing is handled
    twice, but of one sender a message may overtake another as its shard moves. Questions are about
    the own node; a link needs a PID; and a monitor tells `"noproc"` of who is about to move.

    Raises `TypeError` if an argument is of another kind, as the name of a cluster for `supervisor`
    is, or `actor_class` has no constructor, which gets the key; and `ValueError` if
    `idle_timeout` is not more than 0, or `prefix` is too long for a cluster, or begins with that
    of others there, or they with it.

    >>> import anyio
    >>> from fauxtp import DynamicSupervisor, GenServer, call, exit
    >>> class Session(GenServer):
    ...     def __init__(self, user):
    ...         self.user = user
    ...     async def handle_call(self, request, from_, state):
    ...         return f"{request}, {self.user}", state
    >>> class Sessions(DynamicSupervisor):
    ...     pass
    >>> sessions = OnDemand(Session, supervisor="sessions", prefix="session:")
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         await Sessions.start(task_group=task_group, register_as="sessions")
    ...         print(await call(sessions["anna"], "hello"))
    ...         exit("sessions")
    >>> anyio.run(main)
    hello, anna
    """

    __slots__ = ("_shown",)

    def __init__(
        self,
        actor_class: type[Actor],
        *,
        supervisor: PID | str,
        prefix: str,
        idle_timeout: float | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        kind = expect_actor_class("actor_class", actor_class)
        if kind.__init__ is object.__init__ and kind.__new__ is object.__new__:
            expected = "a class whose constructor takes the key"
            raise TypeError(f"expected actor_class to be {expected}, got {kind.__name__}")
        find_pid(supervisor)  # which says what is wrong with it
        if hasattr(supervisor, "_fauxtp_whereis"):
            raise unexpected("supervisor", "a PID or a name of this node", supervisor)
        chief = str.__str__(supervisor) if isinstance(supervisor, str) else supervisor
        seconds: float | None = None
        if idle_timeout is not None:
            seconds = expect_idle_timeout("idle_timeout", idle_timeout)
            if not (issubclass(kind, GenServer) and kind.run is GenServer.run):
                raise unexpected("idle_timeout", "None, as that is for servers", idle_timeout)
        first = expect_text("prefix", prefix)
        spec = ChildSpec(kind.__name__, kind, restart=RestartType.TEMPORARY)
        supervised = Supervised(spec, chief, first, seconds)
        address: Callable[[str], str] = supervised.address
        if cluster is not None:
            spread = getattr(cluster, "_fauxtp_addresses", None)
            if spread is None:
                raise unexpected("cluster", "a Cluster or None", cluster)
            address = spread(supervised)
        super().__init__(address, first)
        self._shown = f"<OnDemand {kind.__name__} {first!r}>"

    def __repr__(self) -> str:
        return self._shown

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object, /) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot pickle an OnDemand: its supervisor is here; pickle the names")
