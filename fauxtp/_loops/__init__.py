"""What an event loop is to fauxtp: asyncio and trio, and how somebody waits in them.

What only annotations name is imported when somebody asks what these mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fauxtp._loops.protocols import Home as Home
    from fauxtp._loops.task_groups import AnyTaskGroup as AnyTaskGroup
else:

    def __getattr__(name: str) -> object:
        if name == "Home":
            from fauxtp._loops.protocols import Home  # noqa: PLC0415

            return Home
        if name == "AnyTaskGroup":
            import asyncio  # noqa: PLC0415

            from anyio.abc import TaskGroup  # noqa: PLC0415

            from fauxtp._loops.task_groups import Nursery  # noqa: PLC0415

            return TaskGroup | asyncio.TaskGroup | Nursery
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
