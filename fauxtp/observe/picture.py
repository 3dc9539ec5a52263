"""A picture of processes as SVG: who supervises whom, who waits for whom."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Final

from fauxtp.observe.picture_layout import Node, drawn
from fauxtp.observe.picture_routes import HIGH, WIDE, Line, planned

__all__ = ["as_svg"]

STYLE: Final = """
.fauxtp-tree { font: 12px system-ui, sans-serif; background: #fff; }
.fauxtp-tree rect { fill: #f4f6f8; stroke: #90a0b0; }
.fauxtp-tree .busy rect { fill: #fff3d6; stroke: #c88a00; }
.fauxtp-tree .slow rect { fill: #fde4e4; stroke: #c62828; }
.fauxtp-tree .stuck rect { fill: #f6b3b3; stroke: #b00020; stroke-width: 2; }
.fauxtp-tree .circle rect { stroke: #c62828; stroke-width: 2.5; }
.fauxtp-tree .fold rect { stroke-dasharray: 3 3; }
.fauxtp-tree text { fill: #1c2733; }
.fauxtp-tree .detail { fill: #5a6b7b; font-size: 10px; }
.fauxtp-tree .count, .fauxtp-tree .time { fill: #b00020; font-weight: 600; text-anchor: end; }
.fauxtp-tree .time { font-size: 10px; }
.fauxtp-tree .restarts { fill: #5a6b7b; font-size: 10px; text-anchor: end; }
.fauxtp-tree path { fill: none; stroke: #90a0b0; }
.fauxtp-tree path.call { stroke: #1565c0; stroke-dasharray: 5 3; }
.fauxtp-tree path.circle { stroke: #c62828; stroke-width: 2; }
.fauxtp-tree path.halo { stroke: #fff; stroke-width: 5; }
.fauxtp-tree marker path { stroke: none; fill: #1565c0; }
.fauxtp-tree marker.circle path { fill: #c62828; }
@media (prefers-color-scheme: dark) {
  .fauxtp-tree { background: #14191f; }
  .fauxtp-tree rect { fill: #222b35; stroke: #5d6f80; }
  .fauxtp-tree .busy rect { fill: #3d3214; stroke: #d9a520; }
  .fauxtp-tree .slow rect { fill: #431d1d; stroke: #ef6b6b; }
  .fauxtp-tree .stuck rect { fill: #701c1c; stroke: #ff8a80; }
  .fauxtp-tree .circle rect { stroke: #ef6b6b; }
  .fauxtp-tree text { fill: #e4eaf0; }
  .fauxtp-tree .detail, .fauxtp-tree .restarts { fill: #9fb0c0; }
  .fauxtp-tree .count, .fauxtp-tree .time { fill: #ff8a80; }
  .fauxtp-tree path.halo { stroke: #14191f; }
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
    '<svg xmlns="http://www.w3.org/2000/svg" class="fauxtp-tree" width="238" height="28"'
    """
    drawing = drawn(rows)
    plan = planned(drawing)
    size = f"{plan.width:g}", f"{plan.height:g}"
    children = "".join(_line(line) for line in plan.lines if line.kind == "child")
    nodes = "".join(_node(node, *plan.places[node.id]) for node in drawing.nodes)
    calls = [line for line in plan.lines if line.kind != "child"]
    over = "".join([*map(_halo, calls), *map(_line, calls)])  # boxes
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="fauxtp-tree" width="{size[0]}"'
        f' height="{size[1]}" viewBox="0 0 {size[0]} {size[1]}"><style>{STYLE}</style>'
        f"<defs>{MARKERS}</defs>{children}{nodes}{over}</svg>"
    )


def _halo(line: Line) -> str:
    return f'<path class="halo" d="{line.path}"/>'


def _line(line: Line) -> str:
    if line.kind == "child":
        return f'<path d="{line.path}"/>'
    return f'<path class="{line.kind}" marker-end="url(#fauxtp-{line.kind})" d="{line.path}"/>'


def _node(node: Node, x: float, y: float) -> str:
    marks = (node.state, "circle" if node.is_in_circle else "", "fold" if node.folded else "")
    right = x + WIDE - 8
    texts = (
        ("", x + 8, y + 14, node.label),
        ("detail", x + 8, y + 27, node.detail),
        ("count", right, y + 14, f"{node.mailbox:,}" if node.mailbox else ""),
        ("time", right, y + 27, node.time),
        ("restarts", right, y - 2, f"restarted × {node.restarts:,}" if node.restarts else ""),
    )
    shown = "".join(
        f'<text class="{kind}" x="{at_x:g}" y="{at_y:g}">{escape(text)}</text>'
        for kind, at_x, at_y, text in texts
        if text
    )
    return (
        f'<g class="{" ".join(filter(None, marks))}">'
        f'<rect x="{x:g}" y="{y:g}" width="{WIDE}" height="{HIGH}" rx="5"/>{shown}</g>'
    )
