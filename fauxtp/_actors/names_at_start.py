"""The name under which a process starts: it has it before its `init`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fauxtp import registry
from fauxtp._core.ended_loops import meet
from fauxtp._core.process import find_process
from fauxtp.registry import PID

__all__ = ["has_claimed", "has_got"]


def has_got(name: str, pid: PID, has_had: bool = False) -> bool:
    """Register `name`; whoever has it, but whose event loop has ended, has it no more.

    Who `has_had` it, as an address has given it that, has it still, most often.
    """
    if (has_had and registry.whereis(name) is pid) or registry.register(name, pid):
        return True
    holder = registry.whereis(name)
    if holder is None or find_process(holder) is None or meet(holder) is not None:
        return holder is pid  # as an address has given it that
    return registry.register(name, pid)


async def has_claimed(name: str, pid: PID) -> bool:
    """Do as `has_got` does, for a name that others elsewhere may ask for, too."""
    claim: Callable[[PID], Awaitable[bool]] | None = None
    if issubclass(type(name), str):  # what is none is refused by the registry, and asked nothing
        claim = getattr(name, "_fauxtp_claim", None)
    return has_got(name, pid) if claim is None else await claim(pid)
