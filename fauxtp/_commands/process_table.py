"""The table of processes that `top` shows: a line for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fauxtp.observe.plain_text import in_seconds, plain
from fauxtp.observe.process_text import called, circles, short, waiting

__all__ = ["table"]

Row = dict[str, Any]


def table(rows: Sequence[Row], by: str = "mailbox") -> list[str]:
    """Return a line for each process, below a line that says what is in each column.

    By how many each is monitored is only shown where the rows are ordered by that.
    """
    known, within = {row["pid"]: row for row in rows}, circles(rows)
    fourth = "watchers" if by == "monitors" else "children"
    lines = [f"{'mailbox':>7}{'in handler':>11}{'restarts':>9}{fourth:>9}  process; what it does"]
    for row in rows:
        busy = in_seconds(row["handling_for"]) if row["handling"] is not None else "-"
        lines.append(
            f"{row['mailbox']:>7,}{busy:>11}{row['restarts']:>9,}{row[fourth]:>9,}"
            f"  {called(row)}  {'; '.join(_told(row, known, within))}".rstrip()
        )
    return lines


def _told(row: Row, known: dict[int, Row], within: set[int]) -> Iterator[str]:
    """Yield what a process does, first what matters most: a terminal may be narrow."""
    if row["phase"] != "running":
        yield plain(row["phase"])
    if row["waiting_for"] is not None:
        yield waiting(row, short(row["waiting_for"], known), within)
    if row["handling"] is not None:
        yield plain(row["handling"])
    if row["restarts_below"]:
        yield f"has restarted its children {row['restarts_below']:,} times"
