"""States of processes, as they are told to who looks in: read where they are changed."""

from __future__ import annotations

import threading
from typing import Any, Final

from fauxtp._base import switches
from fauxtp._core.process import Process
from fauxtp._core.shown_contents import state_text

__all__ = ["state_of"]

PATIENCE: Final = 1.0  # seconds that an event loop has to tell it
LIMIT: Final = 8 * 1024  # characters

_SIZED: Final = (dict, list, tuple, set, frozenset, str, bytes)


def state_of(process: Process) -> dict[str, Any]:
    """Return what may be shown of the state of a process; for another thread than its own.

    Its event loop makes a text of it, between two things that it does, so that nobody changes it
    meanwhile. If it is blocked, or its time is simulated, there is the type, and how many items
    there are.
    """
    told: list[str | None] = []
    done = threading.Event()

    def tell() -> None:
        try:
            told.append(state_text(process, LIMIT, by_default=True))
        finally:
            done.set()

    # A simulated loop does nothing that its seed does not say: it would be a fault.
    answers = not switches.simulated and process.home.run(tell) and done.wait(PATIENCE)
    state = process.state
    size = kind.__len__(state) if (kind := type(state)) in _SIZED else None
    return {
        "state": told[0] if told else None,
        "is_shown": not told or told[0] is not None,
        "is_blocked": not answers,
        "type": kind.__qualname__,
        "size": size,
    }
