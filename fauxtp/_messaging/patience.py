"""Patience: to call a name again that was away, if what was asked has had no effect."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, final

from anyio import current_time

from fauxtp._base.arguments import unexpected
from fauxtp._core.mailbox import find_queue
from fauxtp._core.process import find_process
from fauxtp._loops.current import give_way, seconds
from fauxtp._messaging.wait_registered import wait_registered, wait_registered_blocking
from fauxtp.errors import NoProcess, ProcessExited, ReceiveTimeout
from fauxtp.registry import PID, whereis

__all__ = ["again", "again_blocking"]


@final
class _Patience:
    """How long it is waited for a name that is away, in all."""

    __slots__ = ("_clock", "_end", "_to")

    def __init__(self, to: PID | str, wait: float, clock: Callable[[], float]) -> None:
        try:
            limit = seconds(wait)
        except TypeError:
            raise unexpected("wait", "a number or None", wait) from None
        except ValueError:
            raise ValueError("expected wait to be a number of seconds, got nan") from None
        self._to, self._clock = to, clock
        self._end = math.inf if limit is None else clock() + limit

    def name_after(self, error: NoProcess | ProcessExited) -> str:
        """Return the name to wait for, or raise `error` if it is of no use or no more allowed."""
        to = self._to
        if not isinstance(to, str) or (isinstance(error, ProcessExited) and error.taken_up):
            raise error
        holder = whereis(to)
        if holder is not None and find_process(holder) is None and find_queue(holder) is None:
            raise error  # it means what can never be called
        if self.left == 0:
            raise error
        return to

    @property
    def left(self) -> float:
        return max(0.0, self._end - self._clock())


async def again(attempt: Callable[[], Awaitable[Any]], to: PID | str, wait: float) -> Any:
    """Return the answer of `attempt`, which calls `to`; try again within `wait` seconds."""
    try:
        patience = _Patience(to, wait, current_time)
    except Exception:
        await give_way()
        raise
    while True:
        try:
            return await attempt()
        except (NoProcess, ProcessExited) as error:
            name, last = patience.name_after(error), error
        try:
            await wait_registered(name, patience.left)
        except ReceiveTimeout:
            raise last from None


def again_blocking(attempt: Callable[[], Any], to: PID | str, wait: float) -> Any:
    """Do as `again` does, in a thread that runs no event loop."""
    patience = _Patience(to, wait, monotonic)
    while True:
        try:
            return attempt()
        except (NoProcess, ProcessExited) as error:
            name, last = patience.name_after(error), error
        try:
            wait_registered_blocking(name, patience.left)
        except ReceiveTimeout:
            raise last from None
