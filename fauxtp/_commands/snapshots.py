"""Snapshots: what a program did, second by second, as a page in a browser shows it.

They are taken by who looks in, and kept there: at most one in a second, whoever asks, and none
while nobody does.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from heapq import nlargest
from typing import Any, Final, final

from fauxtp._commands.client import Unreachable, Viewer
from fauxtp.observe.picture_layout import Node, drawn
from fauxtp.observe.process_orders import ROW_ORDERS

__all__ = ["KEPT", "Snapshots"]

KEPT: Final = 300  # seconds that charts show
MOST: Final = 100  # rows of the table
SECONDS: Final = 1.0  # from one to the next

Row = dict[str, Any]

_COUNTED: Final = {"handled": "handled a second", "crashed": "crashes a second"}


@final
class Snapshots:
    """The last snapshot, and figures of those before; `look` returns a viewer that takes them."""

    def __init__(self, look: Callable[[], Viewer]) -> None:
        self._look = look
        self._viewer: Viewer | None = look()
        self._is_closed = False
        self._lock = threading.Lock()  # the viewer asks one thing after the other
        self._taken_at = float("-inf")
        self._program: dict[str, Any] = {}
        self._rows: list[Row] = []
        self._counted: dict[str, int] = {}
        self._past: deque[dict[str, float]] = deque(maxlen=KEPT)

    def _take(self) -> tuple[dict[str, Any], list[Row], list[dict[str, float]]]:
        with self._lock:
            if time.monotonic() - self._taken_at >= SECONDS:
                self._note(*self._asked())
            return self._program, self._rows, list(self._past)

    def _asked(self) -> tuple[dict[str, Any], list[Row], list[list[Any]]]:
        """Return what a viewer is told; by another if the agent had enough of the one before."""
        if self._viewer is not None:
            try:
                return _asked(self._viewer)
            except Unreachable as error:
                self._drop()
                told = error
            try:
                self._connect()
            except Unreachable:
                raise told from None
        try:
            return _asked(self._viewer or self._connect())
        except Unreachable:
            self._drop()  # it may be in the middle of an answer
            raise

    def _connect(self) -> Viewer:
        self._viewer = viewer = self._look()
        if self._is_closed:  # by now, perhaps
            self._drop()
            raise Unreachable("nobody looks in any more")
        return viewer

    def _drop(self) -> None:
        viewer, self._viewer = self._viewer, None
        if viewer is not None:
            viewer.close()

    def _note(self, program: dict[str, Any], rows: list[Row], counts: list[list[Any]]) -> None:
        """Note a snapshot, its figures, and what was counted since the one before."""
        self._program, self._rows = program, rows
        now, counted = time.monotonic(), dict.fromkeys(_COUNTED, 0)
        for kind, *_, number in counts:
            if kind in counted:
                counted[kind] += number
        seconds = now - self._taken_at  # for ever, at first
        self._past.append(
            {
                **_figures(self._rows),
                **{
                    words: max(0, counted[kind] - self._counted.get(kind, 0)) / seconds
                    for kind, words in _COUNTED.items()
                },
            }
        )
        self._taken_at, self._counted = now, counted

    def frame(self, by: str, find: str, opened: Collection[int | None]) -> dict[str, Any]:
        """Return what a page shows: the program, charts, a table by an order, and the tree.

        With a text to `find`, the table has those whose names, class or PID it is part of.

        Raises `ValueError` if there is no such order, and `Unreachable` if the program has gone.
        """
        if by not in ROW_ORDERS:
            raise ValueError(f"expected by to be one of {', '.join(ROW_ORDERS)}, got {by[:40]!r}")
        program, rows, past = self._take()
        found = [row for row in rows if _has(row, find.casefold())] if find else rows
        drawing = drawn(rows, opened)
        nodes = [_told(node) for node in drawing.nodes]
        return {
            "program": program,
            "past": past,
            "table": nlargest(MOST, found, key=ROW_ORDERS[by]),
            "found": len(found),
            "tree": {
                "nodes": nodes,
                "edges": drawing.edges,
                "depth": drawing.depth,
                "lines": drawing.lines,
            },
        }

    def close(self) -> None:
        """Close the connection, and open none any more."""
        self._is_closed = True
        self._drop()

    def rows(self) -> list[Row]:
        """Return what the last snapshot tells of each process."""
        return self._take()[1]


def _asked(viewer: Viewer) -> tuple[dict[str, Any], list[Row], list[list[Any]]]:
    return viewer.program(), viewer.processes(), viewer.answer("counts")["counts"]


def _told(node: Node) -> dict[str, Any]:
    return {name: getattr(node, name) for name in Node.__slots__ if name != "below"}


def _has(row: Row, text: str) -> bool:
    words = (row["class"], f"<PID {row['pid']}>", str(row["handling"]), *row["names"])
    return any(text in word.casefold() for word in words)


def _figures(rows: list[Row]) -> dict[str, float]:
    return {
        "processes": len(rows),
        "messages waiting": sum(row["mailbox"] for row in rows),
        "longest mailbox": max((row["mailbox"] for row in rows), default=0),
        "in a handler": sum(row["handling"] is not None for row in rows),
        "longest in a handler, s": max((row["handling_for"] for row in rows), default=0.0),
    }
