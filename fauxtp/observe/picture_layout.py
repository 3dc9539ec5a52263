"""The layout of a picture: where each process stands, and which of many are folded away."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, final

from fauxtp.observe.plain_text import plain, quoted
from fauxtp.observe.process_text import circles

__all__ = ["FEW", "MOST", "Drawing", "Node", "drawn"]

MOST: Final = 300  # processes that are drawn; if there are more, branches are folded
FEW: Final = 8  # children that are drawn of one supervisor, where some are folded
OPENED: Final = 100  # children of one that somebody has opened
LONGEST: Final = 30  # characters of a label

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
    is_busy: bool = False
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


def drawn(rows: Sequence[Row], opened: Collection[int | None] = (), most: int = MOST) -> Drawing:
    """Return where each process is drawn: left of its children, which are below one another.

    If there are more than `most`, of each supervisor's children those are drawn that do
    something, and a few others; of those in `opened`, more.

    >>> row = {"pid": 1, "names": [], "class": "Store", "supervisor": None, "waiting_for": None,
    ...        "mailbox": 2, "handling": None}
    >>> [(node.id, node.label, node.mailbox) for node in drawn([row]).nodes]
    [('1', 'Store', 2)]
    """
    known = {row["pid"]: row for row in rows}
    below: dict[int | None, list[Row]] = {}
    for row in rows:
        above = row["supervisor"] if row["supervisor"] in known else None
        below.setdefault(above, []).append(row)
    within = circles(rows)
    chosen = below if len(rows) <= most else _chosen(below, within, opened, most)
    roots = _nodes(below, chosen, within)
    nodes = _placed(roots)
    ids = {node.id for node in nodes}
    edges = [(node.id, child.id, "child") for node in nodes for child in node.below]
    for row in rows:
        caller, target = str(row["pid"]), str(row["waiting_for"])
        if caller in ids and target in ids:
            edges.append((caller, target, "circle" if row["pid"] in within else "call"))
    deepest = max((node.depth for node in nodes), default=0)
    lines = max((node.place for node in nodes), default=-1.0)
    return Drawing(nodes, edges, deepest, int(lines) + 1)


def _chosen(
    below: dict[int | None, list[Row]], within: set[int], opened: Collection[int | None], most: int
) -> dict[int | None, list[Row]]:
    """Return which children of whom are drawn, level by level, as long as there is room."""
    chosen: dict[int | None, list[Row]] = {}
    left, line = most, deque[int | None]([None])
    while line and left > 0:
        above = line.popleft()
        room = min(left, OPENED if above in opened else FEW)
        children = below.get(above, [])
        if len(children) > room:
            first = sorted(children, key=lambda row: _matters(row, below, within), reverse=True)
            keep = {row["pid"] for row in first[:room]}
            children = [row for row in children if row["pid"] in keep]
        chosen[above] = children
        left -= len(children)
        line.extend(row["pid"] for row in children)
    return chosen


def _matters(row: Row, below: dict[int | None, list[Row]], within: set[int]) -> tuple[Any, ...]:
    """Return by what it is decided who of many is drawn."""
    return (
        row["pid"] in within,
        row["mailbox"],
        row["waiting_for"] is not None,
        row["handling"] is not None,
        row["pid"] in below,
    )


def _nodes(
    below: dict[int | None, list[Row]], chosen: dict[int | None, list[Row]], within: set[int]
) -> list[Node]:
    """Return the nodes without anybody above them; the others are below these."""
    roots: list[Node] = []
    line: list[tuple[int | None, list[Node], int]] = [(None, roots, 0)]
    while line:
        above, siblings, depth = line.pop()
        there = chosen.get(above, [])
        for row in there:
            siblings.append(node := _node(row, depth, row["pid"] in within))
            if row["pid"] in below:
                line.append((row["pid"], node.below, depth + 1))
        rest = len(below.get(above, [])) - len(there)
        if rest:
            siblings.append(_fold(above, below[above], there, depth, rest))
    return roots


def _node(row: Row, depth: int, is_in_circle: bool) -> Node:
    names = "".join(f" {quoted(name)}" for name in row["names"][:1])
    return Node(
        id=str(row["pid"]),
        label=_cut(plain(row["class"]) + names),
        detail=_cut(plain(row["handling"]) if row["handling"] else f"<PID {row['pid']}>"),
        depth=depth,
        mailbox=row["mailbox"],
        is_busy=row["handling"] is not None,
        is_in_circle=is_in_circle,
    )


def _fold(above: int | None, children: list[Row], there: list[Row], depth: int, rest: int) -> Node:
    kinds = Counter(row["class"] for row in children)
    kinds.subtract(row["class"] for row in there)
    words = ", ".join(plain(kind) for kind, count in kinds.most_common(3) if count > 0)
    return Node(
        id=f"more-{above}",
        label=f"{rest:,} more",
        detail=_cut(words),
        depth=depth,
        folded=rest,
        of=above,
    )


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
