"""Waiting until a name means somebody."""

from __future__ import annotations

from fauxtp._core.ended_loops import meet
from fauxtp._core.process import find_process
from fauxtp._loops.current import ThreadWaiter, give_way, new_waiter, seconds
from fauxtp.errors import ReceiveTimeout
from fauxtp.registry import PID, default, whereis

__all__ = ["wait_registered", "wait_registered_blocking"]


async def wait_registered(name: str, timeout: float | None = None) -> PID:
    """Return the PID that `name` means, as soon as it means one.

    Whoever registers it may do so in any thread. `timeout` is in seconds.

    Raises `ReceiveTimeout` if nobody has done so by then, and for a bad name what `whereis`
    raises.
    """
    await give_way()
    limit, pid = seconds(timeout), _holder(name)
    if pid is not None:
        return pid
    found: list[PID] = []
    waiter = new_waiter()

    def tell(pid: PID) -> None:
        found.append(pid)
        waiter.wake()

    default.watch(name, tell)
    try:
        pid = _holder(name)  # between the first look and the watch
        if pid is None and await waiter.wait(limit):
            pid = found[0]
    finally:
        default.unwatch(name, tell)
    if pid is None:
        raise _too_late(name, timeout)
    return pid


def wait_registered_blocking(name: str, timeout: float | None = None) -> PID:
    """Do as `wait_registered` does, in a thread that runs no event loop."""
    limit, pid = seconds(timeout), _holder(name)
    if pid is not None:
        return pid
    found: list[PID] = []
    waiter = ThreadWaiter()

    def tell(pid: PID) -> None:
        found.append(pid)
        waiter.wake()

    default.watch(name, tell)
    try:
        pid = _holder(name)
        if pid is None and waiter.wait_blocking(limit):
            pid = found[0]
    finally:
        default.unwatch(name, tell)
    if pid is None:
        raise _too_late(name, timeout)
    return pid


def _holder(name: str) -> PID | None:
    """Return the PID that `name` means, unless the event loop of its process has ended."""
    pid = whereis(name)
    if pid is None or find_process(pid) is None or meet(pid) is not None:
        return pid
    return whereis(name)


def _too_late(name: str, timeout: float | None) -> ReceiveTimeout:
    return ReceiveTimeout(f"nobody has registered {name!r} within {timeout:g} s")
