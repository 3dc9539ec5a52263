"""Starting who is to have a name exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fauxtp._actors.actor import Actor, expect_actor_class
from fauxtp._actors.lifecycle import launch
from fauxtp._core.ended_loops import meet
from fauxtp._core.phase import DEAD
from fauxtp._core.process import Process
from fauxtp._loops.current import give_way, new_waiter
from fauxtp.errors import NameTaken
from fauxtp.registry import PID, whereis

if TYPE_CHECKING:
    from fauxtp._loops.task_groups import AnyTaskGroup

__all__ = ["start_or_find"]


async def start_or_find(
    name: str, actor_class: type[Actor], *args: Any, task_group: AnyTaskGroup, **kwargs: Any
) -> PID:
    """Return the process called `name`, whose `init` has finished; start it if there is none.

    Of any number of callers at once, exactly one starts it. The arguments go to the
    constructor.

    Raises what `actor_class.start` raises, to the one who started it.
    """
    await give_way()
    expect_actor_class("actor_class", actor_class)
    while True:
        pid = whereis(name)
        if pid is None:
            try:
                actor = actor_class(*args, **kwargs)
                return (await launch(actor, task_group, register_as=name)).pid
            except NameTaken as taken:
                if taken.name != name:
                    raise
                continue  # somebody was quicker
        process = meet(pid)
        if process is None:
            if whereis(name) is pid:  # else it has just died
                return pid
        elif await _has_started(process):
            return pid


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
