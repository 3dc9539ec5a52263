"""A picture of processes as SVG: who supervises whom, who waits for whom."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Final

from fauxtp.observe.picture_layout import Node, drawn

__all__ = ["as_svg"]

WIDE, HIGH = 216, 32  # of a node, in pixels
COLUMN, LINE, EDGE = 264, 40, 12

STYLE: Final = """
.fauxtp-tree { font: 12px system-ui, sans-serif; background: #fff; }
.fauxtp-tree rect { fill: #f4f6f8; stroke: #90a0b0; }
.fauxtp-tree .busy rect { fill: #fff3d6; stroke: #c88a00; }
.fauxtp-tree .circle rect { fill: #fde4e4; stroke: #c62828; }
.fauxtp-tree .fold rect { stroke-dasharray: 3 3; }
.fauxtp-tree text { fill: #1c2733; }
.fauxtp-tree .detail { fill: #5a6b7b; font-size: 10px; }
.fauxtp-tree .count { fill: #b00020; font-weight: 600; text-anchor: end; }
.fauxtp-tree path { fill: none; stroke: #90a0b0; }
.fauxtp-tree path.call { stroke: #1565c0; stroke-dasharray: 5 3; }
.fauxtp-tree path.circle { stroke: #c62828; stroke-width: 2; }
.fauxtp-tree marker path { stroke: none; fill: #1565c0; }
.fauxtp-tree marker.circle path { fill: #c62828; }
@media (prefers-color-scheme: dark) {
  .fauxtp-tree { background: #14191f; }
  .fauxtp-tree rect { fill: #222b35; stroke: #5d6f80; }
  .fauxtp-tree .busy rect { fill: #3d3214; stroke: #d9a520; }
  .fauxtp-tree .circle rect { fill: #431d1d; stroke: #ef6b6b; }
  .fauxtp-tree text { fill: #e4eaf0; }
  .fauxtp-tree .detail { fill: #9fb0c0; }
  .fauxtp-tree .count { fill: #ff8a80; }
  .fauxtp-tree path.call { stroke: #64b5f6; }
}
"""

MARKERS: Final = "".join(
    f'<marker id="fauxtp-{kind}" class="{kind}" viewBox="0 0 8 8" refX="7" refY="4"'
    ' markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z"/></marker>'
    for kind in ("call", "circle")
)


def as_svg(rows: Sequence[dict[str, Any]]) -> str:
    """Return a picture of the processes that are told of in `rows`; circles of calls are red.

    >>> as_svg([]).partition(" viewBox")[0]
    '<svg xmlns="http://www.w3.org/2000/svg" class="fauxtp-tree" width="240" height="24"'
    """
    drawing = drawn(rows)
    places = {node.id: _place(node) for node in drawing.nodes}
    reach: float = drawing.depth * COLUMN + WIDE + EDGE
    paths = []
    for start, end, kind in drawing.edges:
        (x, y), (to_x, to_y) = places[start], places[end]
        if kind == "child":
            paths.append(_child(x + WIDE, y, to_x, to_y))
        else:
            bend = max(x, to_x) + WIDE + 30 + abs(y - to_y) / 8
            reach = max(reach, bend)
            paths.append(_call(x + WIDE, y, to_x + WIDE, to_y, bend, kind))
    size = f"{reach + EDGE:g}", f"{drawing.lines * LINE + 2 * EDGE}"
    nodes = "".join(_node(node, *places[node.id]) for node in drawing.nodes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="fauxtp-tree" width="{size[0]}"'
        f' height="{size[1]}" viewBox="0 0 {size[0]} {size[1]}"><style>{STYLE}</style>'
        f"<defs>{MARKERS}</defs>{''.join(paths)}{nodes}</svg>"
    )


def _place(node: Node) -> tuple[float, float]:
    return EDGE + node.depth * COLUMN, EDGE + node.place * LINE


def _child(x: float, y: float, to_x: float, to_y: float) -> str:
    middle = (x + to_x) / 2
    y, to_y = y + HIGH / 2, to_y + HIGH / 2
    return f'<path d="M{x:g} {y:g}C{middle:g} {y:g} {middle:g} {to_y:g} {to_x:g} {to_y:g}"/>'


def _call(x: float, y: float, to_x: float, to_y: float, bend: float, kind: str) -> str:
    y, to_y = y + HIGH / 2 + 4, to_y + HIGH / 2 - 4  # it leaves below where others arrive
    curve = f"M{x:g} {y:g}C{bend:g} {y:g} {bend:g} {to_y:g} {to_x:g} {to_y:g}"
    return f'<path class="{kind}" marker-end="url(#fauxtp-{kind})" d="{curve}"/>'


def _node(node: Node, x: float, y: float) -> str:
    marks = (("busy", node.is_busy), ("circle", node.is_in_circle), ("fold", node.folded))
    marked = " ".join(name for name, holds in marks if holds)
    count = ""
    if node.mailbox:
        count = f'<text class="count" x="{x + WIDE - 8}" y="{y + 13:g}">{node.mailbox:,}</text>'
    return (
        f'<g class="{marked}"><rect x="{x}" y="{y:g}" width="{WIDE}" height="{HIGH}" rx="5"/>'
        f'<text x="{x + 8}" y="{y + 13:g}">{escape(node.label)}</text>'
        f'<text class="detail" x="{x + 8}" y="{y + 26:g}">{escape(node.detail)}</text>{count}</g>'
    )
