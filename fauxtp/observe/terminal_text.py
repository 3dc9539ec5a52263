"""How processes are shown in a terminal, and as pictures of others.

Names and labels are somebody else's: what is no printable character has no effect here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

__all__ = [
    "FORMS",
    "called",
    "circles",
    "details",
    "happening",
    "in_seconds",
    "plain",
    "stack",
    "table",
]

Row = dict[str, Any]


def plain(text: object) -> str:
    """Return a text without what would move the cursor, colour the screen, or turn it around.

    >>> plain("a name\\x1b[2J\\n")
    'a name·[2J·'
    """
    return "".join(char if char.isprintable() else "·" for char in str(text))


def in_seconds(seconds: float) -> str:
    """Return a time as people read it.

    >>> in_seconds(0.0123), in_seconds(75.2), in_seconds(90_061)
    ('0.01 s', '1 min 15 s', '1 d 1 h')
    """
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    parts = []
    left = int(seconds)
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def called(row: Row) -> str:
    """Return how a process is called: by its class, its names and its PID."""
    names = "".join(f" {plain(name)!r}" for name in row["names"])
    return f"{plain(row['class'])}{names} <PID {plain(row['pid'])}>"


def circles(rows: Iterable[Row]) -> set[int]:
    """Return who waits, one for the other, for themselves."""
    waits = {row["pid"]: row["waiting_for"] for row in rows}
    found: set[int] = set()
    for start in waits:
        path: list[int] = []
        at: int | None = start
        while at is not None and at not in path and at not in found:
            path.append(at)
            at = waits.get(at)
        if at in path:
            found.update(path[path.index(at) :])
    return found


def doing(row: Row, known: dict[int, Row], within: set[int]) -> str:
    """Return what a process does now, if that is anything."""
    told = []
    if row["phase"] != "running":
        told.append(plain(row["phase"]))
    if row["handling"] is not None:
        told.append(f"{plain(row['handling'])} for {in_seconds(row['handling_for'])}")
    if row["waiting_for"] is not None:
        whom = known.get(row["waiting_for"])
        name = f"<PID {plain(row['waiting_for'])}>" if whom is None else called(whom)
        told.append(f"waits for {name}{', in a circle' if row['pid'] in within else ''}")
    return "; ".join(told)


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


def happening(event: Row) -> str:
    """Return an event as a line: when, what, of whom, and how."""
    at = time.localtime(event["at"])
    when = f"{time.strftime('%H:%M:%S', at)}.{int(event['at'] * 1000) % 1000:03}"
    whose = "" if event["pid"] is None else f" <PID {plain(event['pid'])}>"
    labels = " ".join(map(plain, event["labels"]))
    details = "".join(
        f" {plain(name)}={plain(_short(it))}" for name, it in event["details"].items()
    )
    return f"{when} {plain(event['kind']):<17} {labels}{whose}{details}"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _pids(pids: Sequence[int | None]) -> str | None:
    shown = ", ".join(f"<PID {plain(pid)}>" for pid in pids if pid is not None)
    return shown or None


def stack(row: Row) -> list[str]:
    """Return where the task of a process waits, what was called last at the end."""
    return [
        f"    {plain(file)}:{plain(line)} in {plain(name)}" for file, line, name in row["stack"]
    ]


# Trees


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
