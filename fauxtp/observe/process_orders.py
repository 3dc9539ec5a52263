"""The orders of lists of processes: of what is known of them here, or was told by others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fauxtp._core.process import Process
from fauxtp.observe.process_rows import ProcessRows

__all__ = ["ORDERS", "ROW_ORDERS"]

Weight = float | tuple[int, int]

ORDERS: Final[dict[str, Callable[[ProcessRows, Process], Weight]]] = {
    "mailbox": lambda rows, process: len(process.mailbox),
    "handler": ProcessRows.handling_for,
    "restarts": ProcessRows.most_restarts,
    "children": lambda rows, process: len(process.children),
    "monitors": lambda rows, process: len(process.watchers),
}
"""What the processes of a list can be ordered by, the greatest first."""

ROW_ORDERS: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {
    "mailbox": lambda row: row["mailbox"],
    "handler": lambda row: row["handling_for"],
    "restarts": lambda row: (max(row["restarts"], row["restarts_below"]), row["restarts"]),
    "children": lambda row: row["children"],
    "monitors": lambda row: row["watchers"],
}
"""The same, for what has been told of them."""
