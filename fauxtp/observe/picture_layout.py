"""The layout of a picture: where each process stands, and what is said of it there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, final

from fauxtp.observe.picture_choice import (
    MOST,
    SLOW,
    Choice,
    Fold,
    chosen,
    is_idle,
)
from fauxtp.observe.plain_text import in_seconds, plain, quoted
from fauxtp.observe.process_text import circles

__all__ = ["Drawing", "Node", "drawn"]

LONGEST: Final = 29  # characters of a label
STUCK: Final = 10.0  # seconds in a handler, from which on something is wrong

Row = dict[str, Any]


@final
@dataclass(slots=True)
class Node:
    """A process in the picture, or what stands for some that are folded away."""

    id: str
    label: str
    detail: str
    depth: int = 0
    place: float = 0.0  # from above, in lines
    mailbox: int = 0
    state: str = ""  # "busy", "slow" or "stuck" in a handler; "ended"
    time: str = ""  # for how long it is slow
    restarts: int = 0
    is_in_circle: bool = False
    folded: int = 0  # how many it stands for
    of: int | None = None  # whose children these are
    below: list[Node] = field(default_factory=list)


@final
@dataclass(slots=True)
class Drawing:
    """All nodes, and which of them are bound: by `child`, or by a `call` that is waited for."""

    nodes: list[Node]
    edges: list[tuple[str, str, str]]
    depth: int
    lines: int


def drawn(
    rows: Sequence[Row],
    opened: Collection[int | None] = (),
    most: int = MOST,
    marked: Collection[int] = (),
) -> Drawing:
    """Return where each process is drawn: left of its children, which are below one another.

    Those are drawn that do something, wait, are waited for, were restarted, or are `marked`, and
    others if they are few; of those in `opened`, more.

    >>> row = {"pid": 1, "names": [], "class": "Store", "phase": "running", "supervisor": None,
    ...        "waiting_for": None, "mailbox": 2, "handling": None, "handling_for": 0.0,
    ...        "children": 0, "restarts": 0}
    >>> [(node.id, node.label, node.mailbox) for node in drawn([row]).nodes]
    [('1', 'Store', 2)]
    """
    known = {row["pid"] for row in rows}
    below: dict[int | None, list[Row]] = {}
    for row in rows:
        above = row["supervisor"] if row["supervisor"] in known else None
        below.setdefault(above, []).append(row)
    within = circles(rows)
    choice = chosen(rows, below, within, marked, opened, most)
    nodes = _placed(_nodes(choice, within))
    ids = {node.id for node in nodes}
    edges = [(node.id, child.id, "child") for node in nodes for child in node.below]
    for row in rows:
        caller, target = str(row["pid"]), str(row["waiting_for"])
        if caller in ids and target in ids:
            edges.append((caller, target, "circle" if row["pid"] in within else "call"))
    deepest = max((node.depth for node in nodes), default=0)
    lines = max((node.place for node in nodes), default=-1.0)
    return Drawing(nodes, edges, deepest, int(lines) + 1)


def _nodes(choice: Choice, within: set[int]) -> list[Node]:
    """Return the nodes without anybody above them; the others are below these."""
    roots: list[Node] = []
    line: list[tuple[int | None, list[Node], int]] = [(None, roots, 0)]
    while line:
        above, siblings, depth = line.pop()
        for row in choice.drawn.get(above, ()):
            siblings.append(node := _node(row, depth, within))
            line.append((row["pid"], node.below, depth + 1))
        for number, fold in enumerate(choice.folds.get(above, ())):
            siblings.append(_fold(fold, above, number, depth))
    return roots


def _node(row: Row, depth: int, within: set[int]) -> Node:
    names = "".join(f" {quoted(name)}" for name in row["names"][:1])
    state = _state(row)
    return Node(
        id=str(row["pid"]),
        label=_cut(plain(row["class"]) + names),
        detail=_cut(plain(row["handling"]) if row["handling"] else _detail(row)),
        depth=depth,
        mailbox=row["mailbox"],
        state=state,
        time=in_seconds(row["handling_for"]) if state in {"slow", "stuck"} else "",
        restarts=row["restarts"],
        is_in_circle=row["pid"] in within,
    )


def _state(row: Row) -> str:
    if row["phase"] == "ended":
        return "ended"
    if row["handling"] is None:
        return ""
    if row["handling_for"] < SLOW:
        return "busy"
    return "slow" if row["handling_for"] < STUCK else "stuck"


def _detail(row: Row) -> str:
    phase = "" if row["phase"] == "running" else f" {plain(row['phase'])}"
    return f"<PID {row['pid']}>{phase}"


def _fold(fold: Fold, above: int | None, number: int, depth: int) -> Node:
    kinds, rest = [plain(kind) for kind in fold.kinds], len(fold.rows)
    return Node(
        id=f"more-{above}-{number}",
        label=_cut(f"{kinds[0]} × {rest:,}" if len(kinds) == 1 else f"{rest:,} others"),
        detail=_cut(", ".join(kinds) if len(kinds) > 1 else _done(fold.rows)),
        depth=depth,
        folded=rest,
        of=above,
    )


def _done(rows: list[Row]) -> str:
    """Return what many do."""
    counts = {
        "in a handler": sum(row["handling"] is not None for row in rows),
        "wait": sum(row["waiting_for"] is not None for row in rows),
        "idle": sum(is_idle(row) for row in rows),
        "children": sum(row["children"] for row in rows),
    }
    if counts["idle"] == len(rows) and not counts["children"]:
        return "idle"
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _placed(roots: list[Node]) -> list[Node]:
    """Give each node its place: a line for each without children, and others in their middle."""
    order, left = [], list(reversed(roots))
    while left:
        node = left.pop()
        order.append(node)
        left += reversed(node.below)
    line = 0
    for node in order:
        if not node.below:
            node.place, line = float(line), line + 1
    for node in reversed(order):
        if node.below:
            node.place = (node.below[0].place + node.below[-1].place) / 2
    return order
