"""The routes of a picture: where boxes lie, in pixels, and the lines from one to another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, final

from fauxtp.observe.picture_layout import Drawing, Node

__all__ = ["HIGH", "WIDE", "Line", "Plan", "planned"]

WIDE, HIGH = 210, 34  # of a box
GAP: Final = 54  # between two columns, in which calls run
COLUMN, LINE, EDGE = WIDE + GAP, 48, 14
LANE: Final = 4  # between two calls
FIRST: Final = 12  # the first lane, right of a column
LANES: Final = 9
ROUND: Final = 5  # the radius of a corner

Point = tuple[float, float]


@final
@dataclass(slots=True)
class Line:
    """From whom to whom, of which kind, and the path as SVG has it."""

    start: str
    end: str
    kind: str
    path: str


@final
@dataclass(slots=True)
class Plan:
    """Where each node has its box, and all lines; and how large that is."""

    places: dict[str, Point]
    lines: list[Line]
    width: float
    height: float


def planned(drawing: Drawing) -> Plan:
    """Return where all that is drawn lies.

    Calls leave and reach a box at its border, each at a point of its own, and run between the
    columns, each in a lane of its own as long as there are enough.
    """
    nodes = {node.id: node for node in drawing.nodes}
    places = {node.id: _place(node) for node in drawing.nodes}
    children = [edge for edge in drawing.edges if edge[2] == "child"]
    calls = [
        _Call(nodes[start], nodes[end], kind)
        for start, end, kind in drawing.edges
        if kind != "child"
    ]
    _dock(calls, places)
    _in_lanes(calls)
    lines = [
        Line(start, end, kind, _child(places[start], places[end])) for start, end, kind in children
    ]
    lines += [Line(call.start.id, call.end.id, call.kind, call.path()) for call in calls]
    gap = GAP if calls else 0
    width = drawing.depth * COLUMN + WIDE + 2 * EDGE + gap
    return Plan(places, lines, width, drawing.lines * LINE + 2 * EDGE)


def _place(node: Node) -> Point:
    return EDGE + node.depth * COLUMN, EDGE + node.place * LINE


@final
class _Call:
    """A call that is waited for, on its way from box to box."""

    def __init__(self, start: Node, end: Node, kind: str) -> None:
        self.start, self.end, self.kind = start, end, kind
        # It leaves to the left if it has to, and comes from the right but to who is deeper.
        self.is_left_from_left = end.depth < start.depth
        self.is_reached_from_left = end.depth > start.depth
        self.gap = start.depth - 1 if self.is_left_from_left else start.depth
        self.begins: Point = (0.0, 0.0)
        self.ends: Point = (0.0, 0.0)
        self.lane = 0.0

    def path(self) -> str:
        (x, y), (to_x, to_y) = self.begins, self.ends
        return _rounded([(x, y), (self.lane, y), (self.lane, to_y), (to_x, to_y)])


def _dock(calls: Sequence[_Call], places: dict[str, Point]) -> None:
    """Give each call the points at which it leaves a box, and reaches one."""
    sides: dict[tuple[str, bool], list[tuple[float, bool, _Call]]] = {}
    for call in calls:
        begins, ends = places[call.start.id], places[call.end.id]
        left = sides.setdefault((call.start.id, call.is_left_from_left), [])
        left.append((ends[1], False, call))
        reached = sides.setdefault((call.end.id, call.is_reached_from_left), [])
        reached.append((begins[1], True, call))
    for (name, is_left), those in sides.items():
        x, y = places[name]
        those.sort(key=lambda one: one[:2])
        for number, (_, is_end, call) in enumerate(those, 1):
            point = (x if is_left else x + WIDE, y + HIGH * number / (len(those) + 1))
            if is_end:
                call.ends = point
            else:
                call.begins = point


def _in_lanes(calls: Iterable[_Call]) -> None:
    """Give each call a lane between two columns; those to one process are beside each other."""
    used: dict[int, int] = {}
    for call in sorted(calls, key=lambda call: (call.gap, call.ends[1], call.begins[1])):
        number = used[call.gap] = used.get(call.gap, -1) + 1
        right = EDGE + call.gap * COLUMN + WIDE
        call.lane = right + FIRST + LANE * (number % LANES)


def _child(start: Point, end: Point) -> str:
    x, y = start[0] + WIDE, start[1] + HIGH / 2
    to_x, to_y = end[0], end[1] + HIGH / 2
    middle = (x + to_x) / 2
    return f"M{x:g} {y:g}C{middle:g} {y:g} {middle:g} {to_y:g} {to_x:g} {to_y:g}"


def _rounded(points: Sequence[Point]) -> str:
    """Return a path through these points, with its corners rounded."""
    path = f"M{points[0][0]:.6g} {points[0][1]:.6g}"
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        x, y = _towards(corner, before)
        to_x, to_y = _towards(corner, after)
        path += f"L{x:.6g} {y:.6g}Q{corner[0]:.6g} {corner[1]:.6g} {to_x:.6g} {to_y:.6g}"
    return f"{path}L{points[-1][0]:.6g} {points[-1][1]:.6g}"


def _towards(corner: Point, other: Point) -> Point:
    """Return the point at which a rounded corner begins, on the way from or to another."""
    (x, y), (to_x, to_y) = corner, other
    length = max(abs(to_x - x), abs(to_y - y))
    share = min(ROUND, length / 2) / length if length else 0.0
    return x + (to_x - x) * share, y + (to_y - y) * share
