"""Which event loop runs in this thread; neither asyncio nor trio is imported to find out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

try:
    from sniffio import thread_local as innermost
except ModuleNotFoundError:  # then there is no trio either, which rests on it
    innermost = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import asyncio

    import trio

__all__ = ["innermost", "is_trio_innermost", "running_asyncio_loop", "running_trio_token"]


def running_asyncio_loop() -> asyncio.AbstractEventLoop | None:
    """Return the asyncio loop that runs in this thread, or None."""
    # Another thread may be about to import it, and then there is no more than a part yet.
    running = getattr(sys.modules.get("asyncio"), "get_running_loop", None)
    if running is None:
        return None
    try:
        return running()  # type: ignore[no-any-return]
    except RuntimeError:
        return None


def running_trio_token() -> trio.lowlevel.TrioToken | None:
    """Return the token of the trio loop that runs in this thread, or None.

    If that is the guest of another loop, it counts as running in between, too.
    """
    lowlevel = getattr(sys.modules.get("trio"), "lowlevel", None)
    in_trio_run = getattr(lowlevel, "in_trio_run", None)
    if in_trio_run is None or not in_trio_run():
        return None
    return lowlevel.current_trio_token()  # type: ignore[no-any-return, union-attr]


def is_trio_innermost() -> bool:
    """Return whether trio runs what runs here: perhaps as the guest of an asyncio loop.

    It tells so itself, as anyio asks for it.
    """
    return innermost is not None and innermost.name == "trio"
