"""Task groups: which there are, and whose one is.

Tasks are started in one of another event loop as in one's own, by anyio and by others, and
nobody asks.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from fauxtp._base.arguments import unexpected
from fauxtp._loops.trio_internals import runner_of_group, running_runner

if TYPE_CHECKING:
    import asyncio

    from anyio.abc import TaskGroup

    from fauxtp._loops.protocols import Home

__all__ = [
    "AnyTaskGroup",
    "Nursery",
    "expect_of_asyncio",
    "refuse_foreign",
    "refuse_foreign_on_trio",
]


class Nursery(Protocol):
    """A nursery of trio, which need not be installed."""

    def start_soon(
        self, func: Callable[..., Awaitable[object]], /, *args: Any, name: object = None
    ) -> None: ...


AnyTaskGroup: TypeAlias = "TaskGroup | asyncio.TaskGroup | Nursery"
"""What processes can be started in."""


def expect_of_asyncio(task_group: object, home: Home) -> None:
    """Raise `TypeError` if `task_group`, which has no `start_soon`, is none of asyncio's own.

    And if it is one, but `home` is an event loop of trio.
    """
    expected = "a trio.Nursery"
    if home.is_asyncio:
        from asyncio import TaskGroup  # noqa: PLC0415

        if isinstance(task_group, TaskGroup):
            return
        expected = "an asyncio.TaskGroup"
    raise unexpected("task_group", f"a task group of anyio or {expected}", task_group)


def refuse_foreign(task_group: object, loop: object) -> None:
    """Raise `RuntimeError` if `task_group` is one of another event loop than `loop`.

    That is an asyncio loop, or what trio calls its runner; None if that does not tell. A group
    that does not tell, such as one that somebody else has written, is let through.
    """
    other = None if loop is None else _loop_of(task_group)
    if other is not None and other is not loop:
        raise RuntimeError(
            f"expected task_group to belong to the event loop that runs here ({_kind(loop)}),"
            f" got one of another ({_kind(other)})"
        )


def refuse_foreign_on_trio(task_group: object) -> None:
    """Raise `RuntimeError` if `task_group` is one of another event loop than this one of trio."""
    refuse_foreign(task_group, running_runner())


def _loop_of(task_group: object) -> Any:
    loop = runner_of_group(task_group)
    if loop is None and "asyncio" in sys.modules:  # else there is no group of asyncio either
        from fauxtp._loops.asyncio_internals import loop_of_group  # noqa: PLC0415

        loop = loop_of_group(task_group)
    return loop


def _kind(loop: object) -> str:
    return type(loop).__module__.partition(".")[0]
