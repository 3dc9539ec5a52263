"""Which task runs on an asyncio loop: a loop and its tasks know it from one place.

asyncio has these functions for those who write tasks.
"""

from __future__ import annotations

import asyncio.tasks
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["current_task", "set_current_task"]

# `current_task(loop)` tells, `set_current_task(loop, task)` changes it; None is none.
current_task: Callable[[Any], asyncio.Task[Any] | None]
if sys.version_info >= (3, 12):
    current_task = asyncio.tasks.current_task
    set_current_task = asyncio.tasks._swap_current_task
else:
    current_task = asyncio.tasks._current_tasks.get  # type: ignore[attr-defined]

    def set_current_task(loop: Any, task: asyncio.Task[Any] | None, /) -> None:
        if task is None:
            asyncio.tasks._current_tasks.pop(loop, None)  # type: ignore[attr-defined]
        else:
            asyncio.tasks._current_tasks[loop] = task  # type: ignore[attr-defined]
