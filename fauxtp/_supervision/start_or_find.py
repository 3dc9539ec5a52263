"""Starting who is to have a name exactly once."""

from __future__ import annotations

from typing import Any, cast

from fauxtp import _loops
from fauxtp._actors.actor import Actor, expect_actor_class
from fauxtp._actors.lifecycle import launch
from fauxtp._core.ended_loops import meet
from fauxtp._core.phase import DEAD
from fauxtp._core.process import Process
from fauxtp._loops.current import give_way, new_waiter
from fauxtp.errors import AlreadyStarted, NameTaken
from fauxtp.registry import PID, whereis

__all__ = ["start_or_find"]


async def start_or_find(
    name: str,
    actor_class: type[Actor],
    *args: Any,
    task_group: _loops.AnyTaskGroup | None = None,
    supervisor: PID | str | None = None,
    **kwargs: Any,
) -> PID:
    """Return the process called `name`, whose `init` has finished; start it if there is none.

    Of any number of callers at once, exactly one starts it: in `task_group`, or as a temporary
    child of `supervisor`. The other arguments go to the constructor.

    Raises what `actor_class.start` or `start_child` raises, to the one who started it; and
    `TypeError` unless it is told either a task group or a supervisor.

    >>> import anyio
    >>> from fauxtp import GenServer, exit
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         exit(await start_or_find("store", GenServer, task_group=task_group))
    >>> anyio.run(main)
    """
    await give_way()
    expect_actor_class("actor_class", actor_class)
    if (task_group is None) is (supervisor is None):
        got = "neither" if task_group is None else "both"
        raise TypeError(f"expected either a task_group or a supervisor, got {got}")
    while True:
        pid = whereis(name)
        if pid is None:
            try:
                if supervisor is not None:
                    return await _start_under(supervisor, name, actor_class, args, kwargs)
                actor = actor_class(*args, **kwargs)
                return (await launch(actor, cast(Any, task_group), register_as=name)).pid
            except NameTaken as taken:
                if taken.name != name:
                    raise
                continue  # somebody was quicker
            except AlreadyStarted as there:
                if await _is_another(cast(Any, supervisor), name, there):
                    raise
                continue
        process = meet(pid)
        if process is None:
            if whereis(name) is pid:  # else it has just died
                return pid
        elif await _has_started(process):
            return pid


async def _is_another(supervisor: PID | str, name: str, there: AlreadyStarted) -> bool:
    """Return whether the child of that id is one that has another name, or does not run."""
    from fauxtp._supervision.supervisor import which_children  # noqa: PLC0415

    children = await which_children(supervisor)  # which waits for a start that is under way
    return whereis(name) is None and any(child.id == there.id for child in children)


async def _start_under(
    supervisor: PID | str,
    name: str,
    actor_class: type[Actor],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> PID:
    from fauxtp._supervision.child_spec import ChildSpec, RestartType  # noqa: PLC0415
    from fauxtp._supervision.supervisor import start_child  # noqa: PLC0415

    temporary = RestartType.TEMPORARY
    spec = ChildSpec(name, actor_class, args, kwargs, restart=temporary, register_as=name)
    return await start_child(supervisor, spec)


async def _has_started(process: Process) -> bool:
    """Wait for the end of its `init`; return False if that was its own end too."""
    waiter = new_waiter()
    wake = waiter.wake
    process.on_started(wake)
    try:
        await waiter.wait(None)
    finally:
        process.not_awaited(wake)
    return process.phase is not DEAD
