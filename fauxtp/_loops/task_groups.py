"""Whose task group it is: anyio starts tasks in one of another event loop, and does not ask."""

from __future__ import annotations

from typing import Any

__all__ = ["refuse_foreign"]


def refuse_foreign(task_group: object, loop: object) -> None:
    """Raise `RuntimeError` if `task_group` is one of another event loop than `loop`.

    That is an asyncio loop, or what trio calls its runner. A group that does not tell, such as
    one that somebody else has written, is let through.
    """
    other = _loop_of(task_group)
    if other is not None and other is not loop:
        raise RuntimeError(
            f"expected task_group to belong to the event loop that runs here ({_kind(loop)}),"
            f" got one of another ({_kind(other)})"
        )


def _loop_of(task_group: object) -> Any:
    host: Any = getattr(getattr(task_group, "cancel_scope", None), "_host_task", None)
    if host is not None:
        return host.get_loop()
    nursery = getattr(task_group, "_nursery", task_group)
    return getattr(getattr(nursery, "parent_task", None), "_runner", None)


def _kind(loop: object) -> str:
    return type(loop).__module__.partition(".")[0]
