"""The table of processes that `top` shows: a line for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fauxtp.observe.plain_text import in_seconds
from fauxtp.observe.process_text import called, circles, doing

__all__ = ["table"]

Row = dict[str, Any]


def table(rows: Sequence[Row]) -> list[str]:
    """Return a line for each process, below a line that says what is in each column."""
    known, within = {row["pid"]: row for row in rows}, circles(rows)
    lines = [
        f"{'mailbox':>8}{'in handler':>12}{'restarts':>10}{'children':>10}  process; what it does"
    ]
    for row in rows:
        busy = in_seconds(row["handling_for"]) if row["handling"] is not None else "-"
        below = f"has restarted its children {row['restarts_below']:,} times"
        told = [doing(row, known, within), below if row["restarts_below"] else ""]
        lines.append(
            f"{row['mailbox']:>8,}{busy:>12}{row['restarts']:>10,}{row['children']:>10,}"
            f"  {called(row)}  {'; '.join(filter(None, told))}".rstrip()
        )
    return lines
