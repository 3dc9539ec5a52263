"""The private names of trio that fauxtp uses, and those of anyio on it: none other is named."""

from __future__ import annotations

from typing import Any

from fauxtp._loops.internals import LET_IN, Table

__all__ = ["INTERNALS", "runner_of_group", "running_runner"]

INTERNALS = Table()


def runner_of_group(task_group: object) -> Any:
    """Return the runner of a task group, which is what trio calls its event loop; or None."""
    nursery = getattr(task_group, "_nursery", task_group)
    return getattr(getattr(nursery, "parent_task", None), "_runner", None)


def running_runner() -> Any:
    """Return the runner of the running task; None if that cannot be told for sure."""
    from trio.lowlevel import current_root_task, current_task  # noqa: PLC0415

    runner = getattr(current_task(), "_runner", None)
    return runner if runner is getattr(current_root_task(), "_runner", None) else None


@INTERNALS.row("trio.lowlevel.Task", "_runner", "trio 0.32 to 0.35", LET_IN)
def _has_a_runner(_: object) -> bool:
    """Tell which event loop a task belongs to."""
    return running_runner() is not None


@INTERNALS.row("anyio._backends._trio.TaskGroup", "_nursery", "anyio 4.12 to 4.16", LET_IN)
def _has_a_nursery(task_group: object) -> bool:
    """Tell which task a task group belongs to."""
    return runner_of_group(task_group) is running_runner()
