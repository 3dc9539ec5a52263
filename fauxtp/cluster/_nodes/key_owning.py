"""Keys of which each has one owner: how they are taken, and given back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from fauxtp.cluster._engines.engine import Engine, Entry, Superseded, Taken
from fauxtp.cluster._nodes.node import Node

__all__ = ["TRIES", "give_back", "take"]

TRIES: Final = 20  # where others take and let go of it meanwhile


async def take(
    engine: Engine, key: str, value: bytes, is_live: Callable[[Entry], Awaitable[bool]]
) -> int | None:
    """Take `key` by writing `value`, which says whose it is; return the revision of that.

    None is that it is another's, which `is_live`; 0 that nobody knows whose it is now.

    Raises what `Engine.create` raises, but for what this answers.
    """
    try:
        return await engine.create(key, value)
    except (Taken, TimeoutError):
        entry = await engine.read(key)
    if entry is None:
        return 0
    if entry.value == value:
        return entry.revision
    if await is_live(entry):
        return None
    try:
        return await engine.update(key, value, entry.revision)
    except (Superseded, TimeoutError):
        return 0


async def give_back(node: Node, key: str, value: bytes, revision: int) -> None:
    """Delete `key` if it is `value` that it holds, as of `revision`; and hear of that.

    Raises what `Engine.delete` raises, and `TimeoutError` if it changes too often.
    """
    for _ in range(TRIES):
        try:
            gone = await node.engine.delete(key, revision)
            await node.replica.seen(gone)
            return
        except (Superseded, TimeoutError):
            entry = await node.engine.read(key)
        if entry is None or entry.value != value:
            return
        revision = entry.revision
    raise TimeoutError(f"{key!r} cannot be given back")
