"""Calls from threads that run no event loop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from fauxtp._base.events import CALLS, wanted
from fauxtp._core.calls import Call
from fauxtp._core.ended_loops import meet
from fauxtp._core.wait_for_room import put_blocking
from fauxtp._loops.current import current_home, seconds
from fauxtp._loops.thread_waiter import ThreadWaiter
from fauxtp._messaging.addresses import target_of
from fauxtp._messaging.outcome import outcome_of, timed_out, withdraw
from fauxtp._messaging.sending import USUAL, next_mailbox
from fauxtp.errors import ReceiveTimeout
from fauxtp.registry import PID

if TYPE_CHECKING:
    from fauxtp._core.elsewhere import Elsewhere
    from fauxtp._core.request import Request

    A = TypeVar("A")

__all__ = ["call_blocking"]


if TYPE_CHECKING:

    @overload
    def call_blocking(
        to: PID | str,
        request: Request[A],
        timeout: float | None = 5.0,
        wait: float | None = None,
    ) -> A: ...
    @overload
    def call_blocking(
        to: PID | str, request: object, timeout: float | None = 5.0, wait: float | None = None
    ) -> Any: ...


def call_blocking(
    to: PID | str, request: Any, timeout: float | None = USUAL, wait: float | None = None
) -> Any:
    """Do as `call` does, from a thread that runs no event loop; return the answer.

    `to`, `request`, `timeout` and `wait`, both in seconds, are those of `call`.

    Raises what `call` raises, and `RuntimeError` in a thread that runs an event loop, which
    it would block.

    >>> call_blocking("nobody", "stats")
    Traceback (most recent call last):
        ...
    fauxtp.NoProcess: no living process behind 'nobody'
    """
    if current_home() is not None:
        raise RuntimeError("call_blocking would block the event loop; await call instead")
    if wait is not None:
        from fauxtp._messaging.safe_retry import again_blocking  # noqa: PLC0415

        return again_blocking(partial(_call_blocking, to, request, timeout), to, wait)
    return _call_blocking(to, request, timeout)


def _call_blocking(to: PID | str, request: Any, timeout: float | None) -> Any:
    if not wanted(CALLS):
        return _call_untold(to, request, timeout)
    from fauxtp._messaging.told import told_blocking  # noqa: PLC0415  (seldom needed)

    return told_blocking(_call_untold, to, request, timeout)


def _call_untold(to: PID | str, request: Any, timeout: float | None) -> Any:
    limit = seconds(timeout)
    pid, process, mailbox = target_of(to)
    pending = Call(request, pid, None)
    if process is not None and meet(pid) is None:
        mailbox = next_mailbox(to, pending, process)
    waiter = ThreadWaiter()
    pending.wake = waiter.wake
    started = waiter.time()
    if mailbox.max_size < 0:
        cast("Elsewhere", mailbox).forward(pending, limit)
    elif not put_blocking(mailbox, pending, limit):
        timed_out(pending, to, timeout, False)
        raise ReceiveTimeout(f"no room at {to!r} within {timeout:g} s")
    del mailbox  # one that nobody else has would never be read
    try:
        left = None if limit is None else max(0.0, limit - (waiter.time() - started))
        waiter.wait_blocking(left)
    except BaseException:
        if pending.give_up():
            withdraw(pending)
        raise
    if pending.give_up():
        withdraw(pending)
        raise timed_out(pending, to, timeout, pending.taken)
    return outcome_of(pending, to)
