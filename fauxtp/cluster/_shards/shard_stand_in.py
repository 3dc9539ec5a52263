"""What stands here for whoever an address means, on the node that has its shard."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, final

from fauxtp._base.carried import Carried, bare
from fauxtp._core.calls import Call, Cast
from fauxtp._core.elsewhere import Elsewhere
from fauxtp.cluster._messages.shard_letter import keyed

if TYPE_CHECKING:
    from collections.abc import Callable

    from fauxtp._base.exit_reason import ExitReason
    from fauxtp.cluster._messages.shard_address import ShardedAddress
    from fauxtp.cluster._messages.ways import Ways
    from fauxtp.cluster._shards.shard_table import ShardTable
    from fauxtp.registry import PID, Ref

__all__ = ["ShardStandIn"]


class Sends(Protocol):
    """What sends messages to where they belong, from any thread."""

    def send(
        self, address: ShardedAddress, message: Any, content: Any, limit: float | None = None
    ) -> None: ...


@final
class ShardStandIn(Elsewhere):
    """Passes on what is told to an address. It is made anew each time."""

    __slots__ = ("_address", "_sends", "_table", "_ways")

    def __init__(
        self, pid: PID, sends: Sends, ways: Ways, table: ShardTable, address: ShardedAddress
    ) -> None:
        super().__init__(pid)
        self._sends = sends
        self._ways = ways
        self._table = table
        self._address = address

    def deliver(self, message: Any) -> bool:
        if type(message) is Carried:  # it may be of here, when its shard has settled
            self.pass_on(message)
            return True
        return super().deliver(message)

    def pass_on(self, message: Any) -> None:
        plain = bare(message)
        content = plain.request if type(plain) is Cast else plain
        self._sends.send(self._address, message, content)

    def pass_on_call(self, call: Call, limit: float | None) -> None:
        self._sends.send(self._address, call, call.request, limit)

    def give_up(self, call: Call) -> bool:
        self._ways.post.node.hub.post(partial(self._ways.calls_out.give_up, call))
        return False

    def waited_for(self, call: Call) -> None:
        self._ways.circles.closed_here(call)

    def watch(self, ref: Ref, watcher: Callable[[PID, ExitReason], object]) -> bool:
        kind: Any = self._address.source
        owner = self._table.owner(kind.prefix, kind.shard_of(self._address.name))
        if owner is None:
            return False
        wrap = partial(keyed, kind.prefix, self._address.key)
        return self._ways.watches.begin(owner.peer, 0, self.pid, ref, watcher, wrap)

    def unwatch(self, ref: Ref) -> None:
        self._ways.watches.end(ref)

    def request_exit(self, reason: ExitReason) -> bool:
        return False  # who asks to end somebody starts nobody

    def bind(self, process: Any) -> bool:
        raise ValueError(f"expected a PID to link with, got {self._address!r} of another node")

    def unbind(self, process: Any) -> None:
        pass  # as nobody is linked with it
