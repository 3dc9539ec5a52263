"""Helpers for the tests of systems that are built with fauxtp.

The fixture `fauxtp_registry`, which gives each test a registry of its own, is in the pytest
plugin that comes with the package: see `fauxtp.testing.pytest_plugin`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, Self, TypeVar

import anyio

from fauxtp._actors.actor import Actor, started
from fauxtp._base.arguments import expect_callable, unexpected
from fauxtp._base.redaction import described
from fauxtp._core.ended_loops import meet
from fauxtp._core.mailbox import Mailbox, find_queue, not_here
from fauxtp._core.patterns import ANY
from fauxtp._core.queue import Queue
from fauxtp._core.receiving import Pattern
from fauxtp._loops.current import give_way, seconds
from fauxtp.errors import ReceiveTimeout
from fauxtp.registry import PID
from fauxtp.testing.cluster_in_memory import TestCluster, cluster
from fauxtp.testing.exploring import SeedFailed, explore

__all__ = [
    "SeedFailed",
    "TestActor",
    "TestCluster",
    "assert_receives",
    "cluster",
    "explore",
    "wait_for",
    "with_timeout",
]

T = TypeVar("T")
MESSAGES: Final = 10  # of a mailbox, which are shown if none is received
MESSAGE: Final = 200  # characters of each


class Receiver(Protocol):
    async def receive(self, *patterns: Pattern, timeout: float | None = None) -> Any: ...


async def with_timeout(coro: Awaitable[T], timeout: float = 1.0) -> T:
    """Await `coro`, for at most `timeout` seconds, and return what it returns.

    Raises `TimeoutError` if it takes longer, and `TypeError` if `coro` cannot be awaited.

    >>> async def answer():
    ...     return 42
    >>> anyio.run(lambda: with_timeout(answer()))
    42
    """
    try:
        await give_way()
    except BaseException:
        if inspect.iscoroutine(coro):
            coro.close()  # or it would be said that nobody awaited it
        raise
    if not inspect.isawaitable(coro):
        raise unexpected("coro", "awaitable", coro)
    with anyio.move_on_after(_seconds("timeout", timeout)):
        return await coro
    raise TimeoutError(f"not done within {timeout:g} s")


async def assert_receives(actor: Receiver, *patterns: Pattern, timeout: float = 1.0) -> Any:
    """Let `actor` receive a message that matches, and return what the handler says.

    `actor` is an actor, or a `Mailbox` that stands in for one; `patterns` are those of
    `Mailbox.receive`. `timeout` is in seconds; it covers the wait, not the handler.

    Raises `ReceiveTimeout`, a `TimeoutError`, if none comes in time; its notes say what has.

    >>> from fauxtp import Mailbox, send
    >>> async def main():
    ...     mailbox = Mailbox()
    ...     await send(mailbox.pid, ("sum", 3))
    ...     return await assert_receives(mailbox, (("sum", int), lambda number: number))
    >>> anyio.run(main)
    3
    """
    await give_way()
    if not hasattr(type(actor), "receive"):
        raise unexpected("actor", "an actor or a Mailbox", actor)
    try:
        return await actor.receive(*patterns, timeout=timeout)
    except ReceiveTimeout as error:
        error.add_note(_lying_there(actor))
        raise


def _lying_there(actor: Receiver) -> str:
    """Return which messages lie there that were not received."""
    queue: Queue | None = None
    if isinstance(actor, Actor):
        queue = started(actor).mailbox
    elif isinstance(actor, Mailbox):
        queue = find_queue(actor.pid)
    messages = [] if queue is None else [*queue.kept, *queue.inbox]
    lines = [f"  {described(message, MESSAGE)}" for message in messages[:MESSAGES]]
    if len(messages) > MESSAGES:
        lines.append(f"  and {len(messages) - MESSAGES:,} more")
    return "\n".join(["in the mailbox:", *lines]) if lines else "the mailbox is empty"


async def wait_for(
    condition: Callable[[], object], timeout: float = 1.0, interval: float = 0.01
) -> None:
    """Return when `condition()` is true; ask every `interval` seconds. It may be async.

    This is for what tells nobody when it happens. Where there is a message, a monitor or a
    name to wait for, wait for that.

    Raises `TimeoutError` if it is not true within `timeout` seconds, and what it raises.

    >>> anyio.run(wait_for, lambda: True)
    """
    await give_way()
    expect_callable("condition", condition)
    interval = _seconds("interval", interval)
    deadline = anyio.current_time() + _seconds("timeout", timeout)
    while not await _holds(condition, deadline):
        left = deadline - anyio.current_time()
        if left <= 0:
            raise TimeoutError(f"the condition was not met within {timeout:g} s")
        await anyio.sleep(min(interval, left))


def _seconds(parameter: str, came: float) -> float:
    if not isinstance(came, (int, float)):
        raise unexpected(parameter, "a number", came)
    if came != came:  # noqa: PLR0124
        raise ValueError(f"expected {parameter} to be a number of seconds, got nan")
    limit = seconds(came)
    return math.inf if limit is None else limit


async def _holds(condition: Callable[[], object], deadline: float) -> object:
    answer = condition()
    if not inspect.isawaitable(answer):
        return answer
    with anyio.CancelScope(deadline=deadline):
        return await answer
    return False


class TestActor(Actor):
    """An actor that collects the messages it is sent.

    >>> from fauxtp import exit, send
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         pid = await TestActor.start(task_group=task_group)
    ...         await send(pid, "hello")
    ...         await wait_for(TestActor.of(pid).get_messages)
    ...         print(TestActor.of(pid).get_messages())
    ...         exit(pid)
    >>> anyio.run(main)
    ['hello']
    """

    __test__ = False  # pytest need not look for tests in here

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def run(self, state: Any) -> Any:
        await self.receive((ANY, self.messages.append))  # also what could be awaited, as it is
        return state

    @classmethod
    def of(cls, pid: PID) -> Self:
        """Return the actor behind `pid`.

        Raises `NoProcess` if there is none, `TypeError` if it is not of this class, and
        `ValueError` if it is of another node of a cluster.
        """
        if type(pid) is not PID:
            raise unexpected("pid", "a PID", pid)
        process = meet(pid)
        if process is None:
            raise not_here(pid, pid)
        if not isinstance(process.actor, cls):
            raise TypeError(
                f"expected {pid!r} to be a {cls.__name__}, got {process.kind.__name__}"
            )
        return process.actor

    def get_messages(self) -> list[Any]:
        """Return the messages so far, in order of arrival. It raises nothing."""
        return list(self.messages)

    def clear_messages(self) -> None:
        """Forget the messages so far. It raises nothing."""
        self.messages.clear()
