"""What is said of one process, from what an agent tells of it: how it is called, what it does.

Names and labels are somebody else's: what is no printable character has no effect here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from fauxtp._base.own_frames import PACKAGES
from fauxtp.observe.plain_text import in_seconds, plain, quoted

__all__ = ["called", "circles", "doing", "short", "stack", "waiting"]

Row = dict[str, Any]


def called(row: Row) -> str:
    """Return how a process is called: by its class, its names and its PID."""
    names = "".join(f" {quoted(name)}" for name in row["names"])
    return f"{plain(row['class'])}{names} <PID {plain(row['pid'])}>"


def short(pid: int, known: dict[int, Row]) -> str:
    """Return a process by its first name, if it has one, else by its PID."""
    names = known[pid]["names"] if pid in known else []
    return quoted(names[0]) if names else f"<PID {plain(pid)}>"


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
        told.append(waiting(row, name, within))
    return "; ".join(told)


def waiting(row: Row, name: str, within: set[int]) -> str:
    """Return that a process waits for another, which is called `name`, and for what of it."""
    what = {"room": "for room in the mailbox of", "start": "for the start of"}
    how = what.get(str(row.get("waits")), "for")  # a file may be older
    return f"waits {how} {name}{', in a circle' if row['pid'] in within else ''}"


def stack(row: Row) -> list[str]:
    """Return where a process waits, or runs, what was called last at the end.

    Of the frames at the ends that are not the user's only the one is shown that the user's code
    has called: what that waits for. It is said how many are left out.
    """
    match row.get("own_frames"):  # a file may be older, or odd
        case [int(above), int(below)] if above >= 0 <= below:
            pass
        case _:
            above = below = 0
    frames = row["stack"][above : len(row["stack"]) - below]
    shown = [f"    {plain(file)}:{plain(line)} in {plain(name)}" for file, line, name in frames]
    if not frames or not below:
        return [*_left_out(above), *shown, *_left_out(below)]
    file, line, name = row["stack"][len(row["stack"]) - below]
    last = f"    {plain(_within_package(str(file)))}:{plain(line)} in {plain(name)}"
    return [*_left_out(above), *shown, last, *_left_out(below - 1)]


def _within_package(file: str) -> str:
    """Return the place of a file in its package, if it is of fauxtp or what that runs on.

    >>> _within_package("/usr/lib/python3/site-packages/anyio/_core/_eventloop.py")
    'anyio/_core/_eventloop.py'
    """
    parts = file.replace(os.sep, "/").split("/")
    for place in reversed(range(len(parts))):
        if parts[place] in PACKAGES:
            return "/".join(parts[place:])
    return file


def _left_out(number: int) -> list[str]:
    frames = "1 frame" if number == 1 else f"{number} frames"
    return [f"    ({frames} of fauxtp and the event loop)"] if number else []
