"""Dumps: all there is to tell of a program, in a file that was sent with a ticket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

__all__ = ["is_row", "processes_in"]

_TYPES: Final[dict[str, Any]] = {
    "pid": int,
    "names": list,
    "class": str,
    "phase": str,
    "mailbox": int,
    "handling": str | None,
    "handling_for": int | float,
    "waiting_for": int | None,
    "supervisor": int | None,
    "children": int,
    "watchers": int,
    "restarts": int,
    "restarts_below": int,
}


def processes_in(path: str) -> list[dict[str, Any]]:
    """Return the processes in a file that `dump` has written.

    Raises `ValueError` if the file cannot be read, or is none of these.
    """
    try:
        dump = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        dump = None
    rows = dump.get("processes") if isinstance(dump, dict) else None
    if not isinstance(rows, list) or not all(map(is_row, rows)):
        raise ValueError(f"expected {path} to be what dump has written")
    return rows


def is_row(row: Any) -> bool:
    """Return whether all is there, of its type, that is shown of a process in a list."""
    return isinstance(row, dict) and all(
        name in row and isinstance(row[name], kind) for name, kind in _TYPES.items()
    )
