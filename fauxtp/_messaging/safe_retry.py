"""Patience: to call a name again that was away, if what was asked has had no effect."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, final

from anyio import current_time, sleep

from fauxtp._base.arguments import unexpected
from fauxtp._core.mailbox import find_queue
from fauxtp._core.process import find_process
from fauxtp._loops.current import give_way, seconds
from fauxtp._loops.thread_waiter import ThreadWaiter
from fauxtp._messaging.addresses import starting
from fauxtp._messaging.wait_registered import wait_registered, wait_registered_blocking
from fauxtp.errors import FauxtpError, NoProcess, ProcessExited, ReceiveTimeout
from fauxtp.registry import PID, whereis

if TYPE_CHECKING:
    from fauxtp._core.succession import Address

__all__ = ["again", "again_blocking"]

SHORTEST = 0.05  # seconds, in which who has a name, and cannot be reached, is left alone
LONGEST: Final = 1.0


@final
class _Patience:
    """How long it is waited for a name that is away, in all."""

    __slots__ = ("_clock", "_end", "_has_met_an_end", "_pause", "_to")

    def __init__(self, to: PID | str, wait: float, clock: Callable[[], float]) -> None:
        try:
            limit = seconds(wait)
        except TypeError:
            raise unexpected("wait", "a number or None", wait) from None
        except ValueError:
            raise ValueError("expected wait to be a number of seconds, got nan") from None
        self._to, self._clock = to, clock
        self._has_met_an_end = False
        self._pause = SHORTEST
        self._end = math.inf if limit is None else clock() + limit

    def name_after(self, error: FauxtpError) -> str:
        """Return the name to wait for, or raise `error` if it is of no use or no more allowed."""
        to = self._to
        if not isinstance(to, str) or error._fauxtp_is_answer or not error._fauxtp_is_untaken():
            raise error
        address = starting(to)
        if address is not None:
            return self._supervisor_of(address, error)
        holder = whereis(to)
        if holder is not None and find_process(holder) is None and find_queue(holder) is None:
            raise error  # it means what can never be called
        if self.left == 0:
            raise error
        return to

    def _supervisor_of(self, address: Address, error: FauxtpError) -> str:
        """Do as `name_after`, for who is started by an address: its supervisor may be away.

        Once only, if it has ended: who fails as it is started will do so again.
        """
        name = address.source.supervisor
        again, self._has_met_an_end = self._has_met_an_end, isinstance(error, ProcessExited)
        if not isinstance(name, str) or self.left == 0 or (again and self._has_met_an_end):
            raise error
        return name

    def pause_after(self, error: FauxtpError) -> float:
        """Return how long to wait though somebody has the name: of a connection, nobody tells."""
        if isinstance(error, (NoProcess, ProcessExited)):
            return 0.0
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST)
        return min(pause, self.left)

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
        except FauxtpError as error:
            name, last = patience.name_after(error), error
        try:
            await wait_registered(name, patience.left)
        except ReceiveTimeout:
            raise last from None
        if pause := patience.pause_after(last):
            await sleep(pause)


def again_blocking(attempt: Callable[[], Any], to: PID | str, wait: float) -> Any:
    """Do as `again` does, in a thread that runs no event loop."""
    patience = _Patience(to, wait, monotonic)
    while True:
        try:
            return attempt()
        except FauxtpError as error:
            name, last = patience.name_after(error), error
        try:
            wait_registered_blocking(name, patience.left)
        except ReceiveTimeout:
            raise last from None
        if pause := patience.pause_after(last):
            ThreadWaiter().wait_blocking(pause)
