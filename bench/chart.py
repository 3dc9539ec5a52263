"""The comparison as a picture: a panel for each measure, a dot for each peer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from bench.comparison import MEASURES, Measure, Row

WIDTH, COLUMNS = 960, 2
LEFT, RIGHT = 170, 70  # of a panel: for the names, for the figures
TOP, LINE, BOTTOM = 34, 17, 26
PANEL = WIDTH // COLUMNS
COLOURS = {"fauxtp": "#c2410c", "fauxtp on uvloop": "#c2410c"}
COLOURS |= {"bare asyncio": "#64748b", "bare asyncio on uvloop": "#64748b"}
STYLE = (
    "text{font:12px sans-serif;fill:#1e293b;paint-order:stroke;stroke:white;stroke-width:3px}"
    ".title{font-weight:bold}.scale{font-size:10px;text-anchor:middle}.name{text-anchor:end}"
)


def draw(rows: Sequence[Row]) -> str:
    """Return the chart as SVG. What has no figure is a dash."""
    height = TOP + LINE * len(rows) + BOTTOM
    lines = math.ceil(len(MEASURES) / COLUMNS)
    total = 30 + lines * height
    size = f'width="{WIDTH}" height="{total}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total}" {size}>',
        f"<style>{STYLE}</style>",
        f'<rect {size} fill="white"/>',
        text(8, 20, "Each scale is logarithmic; less is better. A dash: there is no such figure."),
    ]
    for number, measure in enumerate(MEASURES):
        line, column = divmod(number, COLUMNS)
        parts.append(f'<g transform="translate({column * PANEL},{30 + line * height})">')
        parts += panel(measure, rows)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def panel(measure: Measure, rows: Sequence[Row]) -> Iterator[str]:
    yield text(8, 20, measure.name, "title")
    values = [row.middle(measure) for row in rows]
    known = [value for value in values if value]
    low = math.floor(math.log10(min(known, default=1)))
    high = max(math.ceil(math.log10(max(known, default=1))), low + 1)

    def place(value: float) -> float:
        share = (math.log10(value) - low) / (high - low)
        return LEFT + share * (PANEL - LEFT - RIGHT)

    bottom = TOP + LINE * len(rows)
    for power in range(low, high + 1) if known else ():
        x = place(10.0**power)
        yield f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="#cbd5e1"/>'
        yield text(x, bottom + 13, mark(measure, power), "scale")
    for number, (row, value) in enumerate(zip(rows, values, strict=True)):
        y = TOP + LINE * number + LINE / 2
        yield text(LEFT - 8, y + 4, row.label, "name")
        if not value:
            yield text(LEFT + 4, y + 4, "—")
            continue
        x, colour = place(value), COLOURS.get(row.label, "#1d4ed8")
        yield f'<path d="M{LEFT} {y}H{x:.1f}" stroke="{colour}" stroke-width="2"/>'
        yield f'<circle cx="{x:.1f}" cy="{y}" r="4" fill="{colour}"/>'
        yield text(x + 8, y + 4, measure.text(value))


def mark(measure: Measure, power: int) -> str:
    """Return the label of a power of ten: `measure.text` without a needless decimal."""
    return measure.text(10.0**power).replace(".0 ", " ")


def text(x: float, y: float, content: str, kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{style}>{escape(content)}</text>'
