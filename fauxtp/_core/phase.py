"""In which phase of life a process is, and what those are told who trap the end of another."""

from __future__ import annotations

from enum import Enum
from typing import final

from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.record import fill, record
from fauxtp.registry import PID

__all__ = ["DEAD", "RUNNING", "STARTING", "STOPPING", "Exit", "Notice", "Phase"]


class Notice:
    """What a process is told of the end of another: it is nothing to its successor."""

    __slots__ = ()


@final
@record
class Exit(Notice):
    """The message, to an actor that traps exits, in place of being ended.

    `pid` is the linked process that ended, or None if somebody called `exit`. `reason` is the
    exit reason, of that process or as it was given to `exit`. An actor that is no server is told
    so by its supervisor, too, which is `pid` then, and `reason` is `"shutdown"`.

    >>> match Exit(None, ExitReason("shutdown")):
    ...     case Exit(None, reason):
    ...         print("asked to end:", reason)
    asked to end: shutdown
    """

    pid: PID | None
    reason: ExitReason

    def __init__(self, pid: PID | None, reason: ExitReason) -> None:
        fill(self, pid, reason)


class Phase(Enum):
    """The phase of life that a process is in.

    >>> import anyio
    >>> from fauxtp import GenServer, exit, process_info
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         server = await GenServer.start(task_group=task_group)
    ...         print(process_info(server).phase)
    ...         exit(server)
    >>> anyio.run(main)
    Phase.RUNNING
    """

    STARTING = "starting"
    """Its `init` is not over."""
    RUNNING = "running"
    """It handles messages, or waits for them."""
    STOPPING = "stopping"
    """It ends: its children, then its `terminate`."""
    DEAD = "dead"
    """It has ended."""


STARTING, RUNNING, STOPPING, DEAD = Phase  # each look into the class takes long before 3.12
