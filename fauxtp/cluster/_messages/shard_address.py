"""Addresses of processes that are spread over the nodes of a cluster by shards."""

from __future__ import annotations

from typing import Any, Protocol, Self

from fauxtp._base.errors import Travels
from fauxtp._core.process import Process
from fauxtp._core.queue import Queue
from fauxtp._core.succession import Address, Source, in_line
from fauxtp.registry import PID

__all__ = ["Found", "Moved", "ShardedAddress"]

Found = tuple[PID, Process | None, Queue]


class Moved(Travels, Exception):
    """Whoever is meant is not to be started here: this node does not have the shard."""


class Spread(Source, Protocol):
    """A source that starts some of those that addresses mean, while others are elsewhere."""

    def key_of(self, name: str, /) -> str:
        """Return for which key an address of that name is."""
        ...

    def find(self, name: str, /) -> PID | None:
        """Return who has `name`, if that is one of here, and to go on here."""
        ...

    def has(self, name: str, /) -> bool:
        """Return whether who has `name` is here, if anywhere."""
        ...

    def may_start(self, name: str, /) -> bool:
        """Return whether a process of that name may be started here; for who is in line."""
        ...

    def elsewhere(self, address: Any, /) -> Found:
        """Return what stands here for whoever an address means that is not here."""
        ...

    def hand_on(self, address: Any, messages: list[Any], /) -> None:
        """Send messages to where the address belongs."""
        ...


class ShardedAddress(Address):
    """A name that means a process on whichever node has its shard, and starts it there."""

    __slots__ = ()
    source: Spread  # pyright: ignore[reportIncompatibleVariableOverride]  (nobody sets it)

    @property
    def key(self) -> str:
        """The key that it is for."""
        return self.source.key_of(self.name)

    def reach(self, on_the_spot: bool = False) -> Found:
        """Return whom it means, or what stands here for that; start it if it is of here."""
        try:
            return self.reach_here(on_the_spot)
        except Moved:
            return self.source.elsewhere(self)

    def reach_here(self, on_the_spot: bool = False) -> Found:
        """Do as `reach`; raise `Moved` if it is not of here."""
        if not self.source.has(self.name):
            raise Moved
        return super().reach(on_the_spot)

    def put_here(self, message: Any) -> bool:
        """Put `message` into its mailbox, and start it if need be; return False if not here."""
        with in_line():
            if not self.source.may_start(self.name):
                return False
            self.take_over([message])
            return True

    def _take_over(self, messages: list[Any]) -> None:
        try:
            super()._take_over(messages)
        except Moved:
            self.source.hand_on(self, messages)

    def _fauxtp_whereis(self, _: str) -> PID | None:
        return self.source.find(self)

    def __copy__(self) -> Self:
        return self
