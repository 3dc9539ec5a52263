"""The tree of processes, each below its supervisor: as text, and for other programs to draw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from fauxtp.observe.plain_text import plain
from fauxtp.observe.process_text import called, circles, doing

__all__ = ["FORMS", "as_text"]

Row = dict[str, Any]


MOST_ALIKE: Final = 20  # siblings of a class that do nothing; of more, only a few are shown
SHOWN: Final = 3


def _kin(row: Row) -> tuple[int | None, str]:
    """Return what siblings of one class have in common."""
    return row["supervisor"], row["class"]


def _is_idle(row: Row) -> bool:
    """Return whether there is nothing to tell of a process but that it is there."""
    busy = row["mailbox"] or row["children"] or row["restarts"] or row["phase"] != "running"
    return not busy and row["handling"] is None and row["waiting_for"] is None


def _down(rows: Sequence[Row]) -> Iterator[tuple[int, Row]]:
    """Yield each process below its supervisor, with how far down it is."""
    known = {row["pid"] for row in rows}
    below: dict[int | None, list[Row]] = {}
    for row in rows:
        above = row["supervisor"] if row["supervisor"] in known else None
        below.setdefault(above, []).append(row)
    left = [(0, row) for row in reversed(below.get(None, ()))]
    while left:
        depth, row = left.pop()
        yield depth, row
        left += [(depth + 1, child) for child in reversed(below.get(row["pid"], ()))]


def as_text(rows: Sequence[Row], *, folds: bool = True) -> str:
    """Return a line for each process; of many that are alike and do nothing, for the first."""
    known, within = {row["pid"]: row for row in rows}, circles(rows)
    alike: Counter[tuple[int | None, str]] = Counter(map(_kin, filter(_is_idle, rows)))
    seen: Counter[tuple[int | None, str]] = Counter()
    lines = []
    for depth, row in _down(rows):
        kin = _kin(row)
        if folds and alike[kin] > MOST_ALIKE and _is_idle(row):
            seen[kin] += 1
            if seen[kin] == SHOWN + 1:
                more = f"{alike[kin] - SHOWN:,} more {plain(row['class'])} that do nothing"
                lines.append(f"{'  ' * depth}… {more}: tree --all shows them")
            if seen[kin] > SHOWN:
                continue
        queue = f" ({row['mailbox']:,} waiting)" if row["mailbox"] else ""
        does = doing(row, known, within)
        lines.append("  " * depth + called(row) + queue + (f": {does}" if does else ""))
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return '"' + plain(text).replace("\\", "\\\\").replace('"', "'") + '"'


def as_dot(rows: Sequence[Row]) -> str:
    known, within = {row["pid"] for row in rows}, circles(rows)
    lines = ["digraph processes {", "  rankdir=LR; node [shape=box];"]
    for _, row in _down(rows):
        lines.append(f"  p{row['pid']} [label={_quoted(called(row))}];")
        if row["supervisor"] in known:
            lines.append(f"  p{row['supervisor']} -> p{row['pid']};")
        if row["waiting_for"] in known:
            waits = f"p{row['pid']} -> p{row['waiting_for']}"
            colour = ", color=red" if row["pid"] in within else ""
            lines.append(f"  {waits} [style=dashed, constraint=false{colour}];")
    return "\n".join([*lines, "}"])


def as_mermaid(rows: Sequence[Row]) -> str:
    known, within = {row["pid"] for row in rows}, circles(rows)
    lines, arrows, red = ["graph LR"], 0, []
    for _, row in _down(rows):
        text = plain(called(row)).replace('"', "'").replace("<", "#lt;").replace(">", "#gt;")
        lines.append(f'  p{row["pid"]}["{text}"]')
        if row["supervisor"] in known:
            lines.append(f"  p{row['supervisor']} --> p{row['pid']}")
            arrows += 1
        if row["waiting_for"] in known:
            lines.append(f"  p{row['pid']} -.-> p{row['waiting_for']}")
            red += [str(arrows)] if row["pid"] in within else []
            arrows += 1
    if red:
        lines.append(f"  linkStyle {','.join(red)} stroke:red")
    return "\n".join(lines)


FORMS: Final[dict[str, Callable[[Sequence[Row]], str]]] = {
    "text": as_text,
    "dot": as_dot,
    "mermaid": as_mermaid,
}
"""What a tree can be shown as."""
