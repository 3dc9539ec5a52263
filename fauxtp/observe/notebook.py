"""What a notebook shows of a supervisor: a picture of it, and of all that are below it."""

from __future__ import annotations

from fauxtp._core.phase import DEAD
from fauxtp._core.process import Process
from fauxtp.observe.picture import as_svg
from fauxtp.observe.process_rows import ProcessRows

__all__ = ["picture_of"]


def picture_of(process: Process) -> str:
    """Return a picture of a process and its descendants, as SVG."""
    rows, told, line = ProcessRows(), [], [process]
    while line:
        each = line.pop()
        if each.phase is not DEAD:
            told.append(rows.row(each))
            line += reversed(list(each.children.values()))
    return as_svg(told)
