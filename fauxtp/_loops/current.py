"""Waiting for somebody in any thread: of a task on asyncio or trio, or of a plain thread.

A waiter is made by whoever is about to wait, serves one wait at a time, and may be woken from
any thread, before the wait or during it. Neither asyncio nor trio is imported before somebody
runs an event loop of that kind: the waiters of each are in a module of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from types import coroutine
from typing import TYPE_CHECKING, Any

from anyio.lowlevel import checkpoint

from fauxtp._base.arguments import unexpected
from fauxtp._loops.running import innermost, running_asyncio_loop, running_trio_token

if TYPE_CHECKING:
    from fauxtp._loops.protocols import Home, Waiter

__all__ = ["current_home", "give_way", "new_waiter", "seconds", "turn"]


def seconds(timeout: float | None) -> float | None:
    """Return `timeout` as every waiter takes it: at least 0, or None to wait for ever.

    Raises `TypeError` if it is neither a number nor None, and `ValueError` if it is nan.

    >>> seconds(-1), seconds(float("inf"))
    (0.0, None)
    """
    if timeout is None:
        return None
    if not isinstance(timeout, (int, float)):
        raise unexpected("timeout", "a number or None", timeout)
    if timeout >= 0:
        return None if timeout > threading.TIMEOUT_MAX else timeout
    if timeout < 0:
        return 0.0
    raise ValueError("expected timeout to be a number of seconds, got nan")


_running_loop: Callable[[], Any] = running_asyncio_loop  # until asyncio has been imported
_home_of: Callable[[Any], Home] | None = None


def current_home() -> Home | None:
    """Return the event loop that runs in this thread, or None; the innermost, if there are two."""
    global _home_of, _running_loop
    if innermost is None or innermost.name != "trio":
        loop = _running_loop()
        if loop is not None:
            if _home_of is None:
                from fauxtp._loops.asyncio_loop import home_of, running_loop  # noqa: PLC0415

                _home_of, _running_loop = home_of, running_loop
            return _home_of(loop)
    token = running_trio_token()
    if token is None:
        return None
    from fauxtp._loops.trio_loop import home_of as home_of_trio  # noqa: PLC0415

    return home_of_trio(token)


def new_waiter() -> Waiter:
    """Return a waiter for the running task.

    Raises `RuntimeError` where no event loop runs.
    """
    home = current_home()
    if home is None:
        raise RuntimeError("no event loop runs in this thread")
    return home.new_waiter()


@coroutine
def turn() -> Generator[None, None, None]:
    """Wait for the next turn of an asyncio task."""
    yield


async def give_way() -> None:
    """Let others have a turn, and notice a cancellation; do nothing where no event loop runs.

    Whoever tries again and again what fails at once, or asks again and again for what is there
    already, would else keep everybody from changing it.
    """
    if current_home() is not None:
        await checkpoint()
