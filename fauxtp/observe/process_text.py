"""What is said of one process, from what an agent tells of it: how it is called, what it does.

Names and labels are somebody else's: what is no printable character has no effect here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fauxtp.observe.plain_text import in_seconds, plain, quoted

__all__ = ["called", "circles", "doing", "stack"]

Row = dict[str, Any]


def called(row: Row) -> str:
    """Return how a process is called: by its class, its names and its PID."""
    names = "".join(f" {quoted(name)}" for name in row["names"])
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


def stack(row: Row) -> list[str]:
    """Return where the task of a process waits, what was called last at the end.

    Frames at the ends that are not the user's are left out; it is said how many these are.
    """
    match row.get("own_frames"):  # a file may be older, or odd
        case [int(above), int(below)] if above >= 0 <= below:
            pass
        case _:
            above = below = 0
    frames = row["stack"][above : len(row["stack"]) - below]
    shown = [f"    {plain(file)}:{plain(line)} in {plain(name)}" for file, line, name in frames]
    return [*_left_out(above), *shown, *_left_out(below)]


def _left_out(number: int) -> list[str]:
    frames = "1 frame" if number == 1 else f"{number} frames"
    return [f"    ({frames} of fauxtp and the event loop)"] if number else []
