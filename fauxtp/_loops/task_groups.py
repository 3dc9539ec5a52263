"""Whose task group it is: anyio starts tasks in one of another event loop, and does not ask."""

from __future__ import annotations

import sys
from typing import Any

from fauxtp._loops.trio_internals import runner_of_group, running_runner

__all__ = ["refuse_foreign", "refuse_foreign_on_trio"]


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
