"""DynamicSupervisor: keeps any number of children running that come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from fauxtp._supervision.any_supervisor import AnySupervisor
from fauxtp._supervision.dynamic_supervision import DynamicSupervision

if TYPE_CHECKING:
    from fauxtp._core.protocols import Behaviour

__all__ = ["DynamicSupervisor"]


class DynamicSupervisor(AnySupervisor):
    """A supervisor of children that are started as they are needed, and end as they like.

    `start_child` adds one. Children have no order: they start side by side, and all stop at
    once, each in its own `shutdown`. They are known by their PIDs: `terminate_child` takes one,
    and the ids of their specs need not differ. Who has ended and is not to be restarted is
    forgotten.

    With `max_children`, there are never more: one more raises `TooManyChildren`. More than
    `max_restarts` restarts within `max_seconds`, of all children together but those that have an
    intensity or a backoff of their own, end the supervisor with `MaxRestartsExceeded`.

    >>> import anyio
    >>> from fauxtp import ChildSpec, DynamicSupervisor, GenServer, TooManyChildren
    >>> from fauxtp import exit, start_child, terminate_child
    >>> class Session(GenServer):
    ...     pass
    >>> class Sessions(DynamicSupervisor):
    ...     max_children = 1
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         await Sessions.start(task_group=task_group, register_as="sessions")
    ...         session = await start_child("sessions", ChildSpec("anna", Session))
    ...         try:
    ...             await start_child("sessions", ChildSpec("bert", Session))
    ...         except TooManyChildren:
    ...             print("not now")
    ...         await terminate_child("sessions", session)
    ...         exit("sessions")
    >>> anyio.run(main)
    not now
    """

    max_children: int | None = None
    """How many children there may be at a time; None is any number."""

    _fauxtp_keeps: ClassVar = {
        "child_specs": "its children come by start_child",
        "strategy": "its children have nothing to do with each other",
        "auto_shutdown": "it does not end with its children",
    }

    def _fauxtp_behaviour(self) -> Behaviour:
        return DynamicSupervision(self)
