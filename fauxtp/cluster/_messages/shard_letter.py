"""A message on its way to whoever has a key."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, final

from fauxtp._base.carried import bare
from fauxtp._core.calls import Call, Cast
from fauxtp._core.dead_letters import dead_letters
from fauxtp.cluster._engines.engine import NoConnection
from fauxtp.cluster._keys.shard_keys import as_bytes
from fauxtp.cluster._wire.frames import packed

if TYPE_CHECKING:
    from fauxtp.cluster._messages.shard_address import ShardedAddress

__all__ = ["HANDED_OVER", "Letter", "keyed"]

HANDED_OVER: Final = 0x80
"""In place of how often a message was passed on: it is for who is to have the shard next."""


def keyed(prefix: str, key: str, frame: tuple[Any, ...], hops: int = 0) -> tuple[Any, ...]:
    """Return the frame that tells whoever has a key what `frame` tells a process."""
    beginning, rest = as_bytes(prefix), as_bytes(key)
    return "keyed", hops, len(beginning), len(rest), beginning + rest + packed(*frame)


@final
class Letter:
    """A message, or a call, for whoever `address` means; and as what it travels.

    `shard` is where that belongs, `due` when nobody waits for it any more, on the hub's clock;
    `hops` says how often it was passed on by a node that did not have the shard. `refused` is the
    revision of an owner that did not take it, `sent_by` of the one that it was sent to last.
    `is_new` says that it comes from its sender, who may be refused; and not out of a mailbox.
    """

    __slots__ = (
        "address",
        "content",
        "due",
        "hops",
        "is_new",
        "message",
        "refused",
        "sent_by",
        "shard",
    )

    def __init__(
        self,
        address: ShardedAddress,
        shard: int,
        message: Any,
        content: bytes,
        due: float = math.inf,
        hops: int = 0,
        *,
        is_new: bool = False,
    ) -> None:
        self.address: ShardedAddress = address
        self.shard: int = shard
        self.message: Any = message
        self.content: bytes = content
        self.due: float = due
        self.hops: int = hops
        self.is_new: bool = is_new
        self.refused: int = 0
        self.sent_by: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it any more."""
        return type(self.message) is Call and self.message.settled

    def frame(self, prefix: str, frame: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return what carries `frame` to whoever has the address."""
        return keyed(prefix, self.address.key, frame, self.hops)

    def message_frame(self, prefix: str) -> tuple[Any, ...]:
        """Return what carries a message that nobody waits for."""
        kind = "cast" if type(bare(self.message)) is Cast else "send"
        return self.frame(prefix, (kind, 0, self.content))

    def fail(self, error: BaseException) -> None:
        """Let it not arrive."""
        if type(self.message) is Call:
            self.message.fail(error)
        else:
            reason = "noconnection" if isinstance(error, NoConnection) else "noproc"
            dead_letters.add(self.address.name, bare(self.message), reason)
