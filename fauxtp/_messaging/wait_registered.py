"""Waiting until a name means somebody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fauxtp._core.ended_loops import meet
from fauxtp._core.process import find_process
from fauxtp._loops.current import give_way, new_waiter, seconds
from fauxtp._loops.thread_waiter import ThreadWaiter
from fauxtp.errors import ReceiveTimeout
from fauxtp.registry import PID, default, whereis

__all__ = ["wait_registered", "wait_registered_blocking"]


async def wait_registered(name: str, timeout: float | None = None) -> PID:
    """Return the PID that `name` means, as soon as it means one.

    Whoever registers it may do so in any thread. `timeout` is in seconds.

    Raises `ReceiveTimeout` if nobody has done so by then, and for a bad name what `whereis`
    raises.

    >>> import anyio
    >>> from fauxtp import GenServer, exit
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         store = await GenServer.start(task_group=task_group, register_as="store")
    ...         print(await wait_registered("store", timeout=1.0) is store)
    ...         exit(store)
    >>> anyio.run(main)
    True
    """
    wait = _way_of(name, "_fauxtp_wait_registered")
    if wait is not None:
        return await wait(name, timeout)  # type: ignore[no-any-return]
    await give_way()
    limit, pid = seconds(timeout), _holder(name)
    if pid is not None:
        return pid
    waiter = new_waiter()
    with _watching(name, waiter.wake) as found:
        pid = _holder(name)  # between the first look and the watch
        if pid is None and await waiter.wait(limit):
            pid = found[0]
    return _in_time(pid, name, timeout)


def _way_of(name: str, method: str) -> Any:
    """Return how a name of elsewhere is waited for, or None if it is one of here."""
    if type(name) is str or not isinstance(name, str):
        return None
    return getattr(name, method, None)


def wait_registered_blocking(name: str, timeout: float | None = None) -> PID:
    """Do as `wait_registered` does, in a thread that runs no event loop."""
    wait = _way_of(name, "_fauxtp_wait_registered_blocking")
    if wait is not None:
        return wait(name, timeout)  # type: ignore[no-any-return]
    limit, pid = seconds(timeout), _holder(name)
    if pid is not None:
        return pid
    waiter = ThreadWaiter()
    with _watching(name, waiter.wake) as found:
        pid = _holder(name)
        if pid is None and waiter.wait_blocking(limit):
            pid = found[0]
    return _in_time(pid, name, timeout)


@contextmanager
def _watching(name: str, wake: Callable[[], object]) -> Iterator[list[PID]]:
    """Let `wake` hear when the name means somebody, who is then in the list."""
    found: list[PID] = []

    def tell(pid: PID) -> None:
        found.append(pid)
        wake()

    default.watch(name, tell)
    try:
        yield found
    finally:
        default.unwatch(name, tell)


def _holder(name: str) -> PID | None:
    """Return the PID that `name` means, unless the event loop of its process has ended."""
    pid = whereis(name)
    if pid is None or find_process(pid) is None or meet(pid) is not None:
        return pid
    return whereis(name)


def _in_time(pid: PID | None, name: str, timeout: float | None) -> PID:
    if pid is None:
        raise ReceiveTimeout(f"nobody has registered {name!r} within {timeout:g} s")
    return pid
