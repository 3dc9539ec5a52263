"""Whether a task is in a cancelled scope: anyio tells only of the running one, and slowly."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from anyio import current_effective_deadline

__all__ = ["is_in_cancelled_scope", "slots_of_anyio", "states"]

states: Any = None
"""What anyio knows of each task, by weak references to them; None if that is not known here."""

_anyio: Any = None
try:
    from anyio._backends import _asyncio as _anyio

    states = vars(_anyio._task_states)["data"]
    SLOTS = [
        (_anyio.TaskState, "cancel_scope"),
        (_anyio.CancelScope, "_cancel_called"),
        (_anyio.CancelScope, "_parent_scope"),
        (_anyio.CancelScope, "_shield"),
    ]
    _KNOWN = all(name in vars(owner) for owner, name in SLOTS)
except (AttributeError, ImportError, KeyError):
    _KNOWN = False


def is_in_cancelled_scope(task: Any) -> bool:
    """Return whether a cancel scope is to cancel `task`, the running one, where it waits next."""
    if not _KNOWN:
        return current_effective_deadline() == -math.inf
    state = _anyio._task_states.get(task)
    scope: Any = None if state is None else state.cancel_scope
    while scope is not None:
        if scope._cancel_called:
            return True
        if scope._shield:
            return False
        scope = scope._parent_scope
    return False


def slots_of_anyio(slot: Callable[[type, str], Any]) -> list[Any]:
    """Return a `slot` for each attribute that `is_in_cancelled_scope` reads, or None for each."""
    try:
        return [slot(owner, name) for owner, name in SLOTS]
    except (NameError, LookupError, TypeError):
        return [None] * 4
