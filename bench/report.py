"""The comparison as a page: a table, and what one must know to judge it."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from bench.comparison import MEASURES, Measure, Row
from bench.figures import Row as Cells
from bench.figures import interpreter

NOTHING = "—"
CLUSTERS = "## Between two nodes"
"""The heading of the section that bench.compare_clusters writes."""

PAGE = """\
# fauxtp beside its peers

Medians of {rounds} rounds in which all took turns, memory once; × is the median of how many times
the figure of fauxtp it was in the same round. Less is better everywhere.

{table}

![The same as a chart](comparison.svg)

{measures}

{notes}

Measured on {date}: {interpreter}, {machine}.

`make bench-peers` measures on your machine, in about five minutes, and writes this page. It
installs the peers under `build/peers`, in the newest versions that there are for the Python of
the virtual environment. To take another Python, name it and a place for its environment:
`make bench-peers PYTHON=python3.13 VENV=build/3.13`. Erlang and Elixir are measured if they are
on the path. What is run for each peer is in `bench/peers`, a short script each.
"""


def cell(row: Row, base: Row, measure: Measure) -> str:
    value, ratio = row.middle(measure), row.against(base, measure)
    if value is None:
        return NOTHING
    if ratio is None or row is base:
        return measure.text(value)
    digits = 2 if ratio < 0.995 else 1 if ratio < 9.95 else 0
    return f"{measure.text(value)} (× {ratio:,.{digits}f})"


def table(rows: Sequence[Row], measures: Sequence[Measure] = MEASURES) -> list[Cells]:
    """Return the table: peers down, measures across; the first row is the one to compare to."""
    lines: list[Cells] = [("", *(measure.name for measure in measures))]
    for row in rows:
        title = f"{row.title()}: {row.state}" if row.state else row.title()
        lines.append((title, *(cell(row, rows[0], measure) for measure in measures)))
    return lines


def markdown(cells: Sequence[Cells]) -> str:
    """Return a table as Markdown has it, all columns but the first to the right.

    A figure stands in one line with its unit, and a ratio in one.
    """
    held = [cells[0], *((row[0], *map(_held_together, row[1:])) for row in cells[1:])]
    header, *rest = ["| " + " | ".join(row) + " |" for row in held]
    return "\n".join([header, "|---|" + "---:|" * (len(cells[0]) - 1), *rest])


def _held_together(cell: str) -> str:
    return cell.replace(" ", "\xa0").replace("\xa0(", " (")


def machine() -> str:
    """Return what was measured on: the processor and its cores."""
    model = platform.processor() or platform.machine()
    described = Path("/proc/cpuinfo")
    if described.exists():
        lines = described.read_text("utf-8").splitlines()
        models = [
            line.partition(":")[2].strip() for line in lines if line.startswith("model name")
        ]
        model = models[0] if models else model
    return f"{platform.system()}, {model}, {os.cpu_count()} cores"


def of_clusters(page: str) -> str:
    """Return the section of a page about clusters, or nothing."""
    begins = page.find(f"\n{CLUSTERS}\n")
    return page[begins:] if begins >= 0 else ""


def document(rows: Sequence[Row], rounds: int) -> str:
    return PAGE.format(
        rounds=rounds,
        table=markdown(table(rows)),
        measures="\n".join(f"- **{each.name}**: {each.meaning}." for each in MEASURES),
        notes="\n".join(f"- {row.label}: {'; '.join(row.notes)}." for row in rows if row.notes),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        interpreter=interpreter(),
        machine=machine(),
    )
