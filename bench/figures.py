"""Figures, and the table that shows them."""

from __future__ import annotations

import platform
import statistics
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass

Row = tuple[str, ...]


@dataclass(frozen=True)
class Figure:
    """One thing that was measured, and what it was measured against."""

    what: str
    measured: str
    against: str = ""
    ratio: float | None = None
    bar: str = ""
    met: bool | None = None  # None: no bar was set

    def row(self) -> Row:
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        verdict = "" if self.met is None else "met" if self.met else "MISSED"
        return self.what, self.measured, self.against, ratio, self.bar, verdict


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios of pairs that were measured one after the other.

    What slows the machine for a while slows both of a pair, and leaves their ratio alone.
    """
    return statistics.median(our / their for our, their in zip(ours, theirs, strict=True))


def interpreter() -> str:
    """Return which Python this is, as a heading of tables."""
    build = "free-threaded " if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    return f"{build}{platform.python_implementation()} {platform.python_version()}"


def aligned(rows: Sequence[Row]) -> list[str]:
    """Return the rows as lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]


def show(title: str, figures: Sequence[Figure]) -> None:
    """Print one table of figures."""
    header = ("", "measured", "against", "ratio", "bar", "")
    lines = aligned([header, *(figure.row() for figure in figures)])
    print(f"{interpreter()}: {title}", "", *lines, "", sep="\n")
