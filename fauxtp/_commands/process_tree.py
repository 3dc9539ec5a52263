"""The tree of processes, each below its supervisor: as text, and for other programs to draw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from fauxtp.observe.plain_text import plain
from fauxtp.observe.process_text import called, circles, doing

__all__ = ["FORMS"]

Row = dict[str, Any]


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


def as_text(rows: Sequence[Row]) -> str:
    known, within = {row["pid"]: row for row in rows}, circles(rows)
    lines = []
    for depth, row in _down(rows):
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
