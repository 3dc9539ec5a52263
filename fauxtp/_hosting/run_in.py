"""Hosting: how the tasks of processes run, and end, with the task group of their starter.

On trio, a process is a task of that group, with a task group of its own for its children. On
asyncio, see `fauxtp._hosting.group_keeper`, the same is had for a fraction of the time and memory.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from fauxtp._core.process import Process

if TYPE_CHECKING:
    from fauxtp._core.protocols import Life, ProcessScope
    from fauxtp._loops.task_groups import AnyTaskGroup, Nursery

__all__ = ["run_in"]

# What is for one kind of event loop is imported when such a loop runs
_keeper_of: Callable[[AnyTaskGroup, Any], Any] | None = None
_trio_scope: Callable[[Process], ProcessScope] | None = None
_refuse_foreign: Callable[[object], None]


def run_in(
    task_group: AnyTaskGroup, process: Process, live: Life, can_step: bool, registers_as: object
) -> bool:
    """Run `live`, the life of `process`, as a task that ends with `task_group`.

    `can_step` tells whether others may handle calls to it on the spot, `registers_as` under
    which name it is about to be registered. Its context is a clean one: what the starter works
    for is not what the process will work for.

    Return whether the running task should wait for a turn, as `ProcessScope.run_last_turn` does.
    """
    global _keeper_of, _trio_scope, _refuse_foreign
    if process.home.is_asyncio:
        if _keeper_of is None:
            from fauxtp._loops.asyncio_examination import examine  # noqa: PLC0415

            examine(process.home.loop)  # type: ignore[attr-defined]  # who hosts goes by that
            from fauxtp._hosting.group_keeper import keeper_of  # noqa: PLC0415

            _keeper_of = keeper_of
        keeper = _keeper_of(task_group, process.home)  # type: ignore[arg-type]
        return keeper.take_in(process, live, can_step, _task_name(process, registers_as))
    if _trio_scope is None:
        from fauxtp._hosting.trio_scope import TrioScope  # noqa: PLC0415
        from fauxtp._loops.task_groups import refuse_foreign_on_trio  # noqa: PLC0415

        _refuse_foreign, _trio_scope = refuse_foreign_on_trio, TrioScope
    _refuse_foreign(task_group)
    process.scope = _trio_scope(process)
    name = _task_name(process, registers_as)
    group: Nursery = task_group  # type: ignore[assignment]  # as trio runs
    Context().run(lambda: group.start_soon(live, False, name=name))
    return False


def _task_name(process: Process, registers_as: object) -> str:
    if type(registers_as) is str:
        return f"{process.kind.__name__} {registers_as!r} {process.pid!r}"
    return f"{process.kind.__name__} {process.pid!r}"
