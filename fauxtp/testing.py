"""Helpers for the tests of systems that are built with fauxtp."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio

from fauxtp.actor import Actor
from fauxtp.mailbox import Pattern
from fauxtp.patterns import ANY

__all__ = ["TestActor", "assert_receives", "wait_for", "with_timeout"]

T = TypeVar("T")


async def with_timeout(coro: Awaitable[T], timeout: float = 1.0) -> T:
    """Await `coro`, for at most `timeout` seconds, and return what it returns.

    Raises `TimeoutError` if it takes longer.

    >>> async def answer():
    ...     return 42
    >>> anyio.run(lambda: with_timeout(answer()))
    42
    """
    with anyio.fail_after(timeout):
        return await coro


async def assert_receives(actor: Actor, *patterns: Pattern, timeout: float = 1.0) -> Any:
    """Let `actor` receive a message that matches, and return what the handler says.

    `actor` is anything with a `receive`: an actor, or a `Mailbox`.

    Raises `TimeoutError` if none comes within `timeout` seconds.
    """
    return await actor.receive(*patterns, timeout=timeout)


async def wait_for(
    condition: Callable[[], object], timeout: float = 1.0, interval: float = 0.01
) -> None:
    """Return when `condition()` is true; ask every `interval` seconds.

    Raises `TimeoutError` if it is not within `timeout` seconds.

    >>> anyio.run(wait_for, lambda: True)
    """
    deadline = anyio.current_time() + timeout
    while not condition():
        if anyio.current_time() >= deadline:
            raise TimeoutError(f"the condition was not met within {timeout:g} s")
        await anyio.sleep(interval)


class TestActor(Actor):
    """An actor that collects the messages it is sent.

    >>> from fauxtp import exit, send
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         handle = await TestActor.start_link(task_group=task_group)
    ...         await send(handle.pid, "hello")
    ...         handle.cancel_scope.cancel()
    >>> anyio.run(main)
    """

    __test__ = False  # pytest need not look for tests in here

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def run(self, state: Any) -> Any:
        self.messages.append(await self.receive((ANY, lambda message: message)))
        return state

    def get_messages(self) -> list[Any]:
        """Return the messages so far, in order of arrival."""
        return list(self.messages)

    def clear_messages(self) -> None:
        """Forget the messages so far."""
        self.messages.clear()
