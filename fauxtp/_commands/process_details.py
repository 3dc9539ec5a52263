"""All that `info` shows of one process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fauxtp.observe.plain_text import plain
from fauxtp.observe.process_text import called, doing, stack

__all__ = ["details"]

Row = dict[str, Any]


def details(row: Row) -> list[str]:
    """Return all that is told of one process, a fact a line."""
    told = [called(row), f"  of the class {plain(row['module'])}.{plain(row['class'])}"]
    facts: dict[str, object] = {
        "phase": plain(row["phase"]),
        "supervisor": _pids([row["supervisor"]]),
        "mailbox": f"{row['mailbox']:,}" + (f", room for {row['room']:,}" if row["room"] else ""),
        "messages handled": f"{row['handled']:,}" if row["handled"] else None,
        "restarted": f"{row['restarts']:,} times" if row["restarts"] else None,
        "has restarted its children": (
            f"{row['restarts_below']:,} times" if row["restarts_below"] else None
        ),
        "calls that were given up": plain(row["given_up"] or "") or None,
        "handles": doing({**row, "phase": "running"}, {}, set()) or None,
        "links": _pids(row["links"]),
        "monitors": _pids(row["monitors"]),
        "monitored, or watched, by": plain(row["watchers"] or "") or None,
        "children": _pids(row["child_pids"]),
    }
    told += [f"  {name}: {fact}" for name, fact in facts.items() if fact is not None]
    return [*told, *stack(row)]


def _pids(pids: Sequence[int | None]) -> str | None:
    shown = ", ".join(f"<PID {plain(pid)}>" for pid in pids if pid is not None)
    return shown or None
