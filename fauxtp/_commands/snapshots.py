"""Snapshots: what a program does, second by second, as a page in a browser shows it.

They are taken by who looks in, and kept there: at most one in a second, whoever asks, and none
while nobody does.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from heapq import nlargest
from itertools import islice
from typing import Any, Final, final

from fauxtp._commands.charts import Charts
from fauxtp._commands.client import Unreachable, Viewer
from fauxtp._commands.lately import Lately, is_about
from fauxtp.observe.picture_layout import Node, drawn
from fauxtp.observe.picture_routes import HIGH, WIDE, planned
from fauxtp.observe.process_orders import ROW_ORDERS

__all__ = ["Snapshots"]

MOST: Final = 100  # rows of the table
MARKED: Final = 50  # of what was looked for, in the tree
CHILDREN: Final = 30  # of one that are told by name
REMEMBERED: Final = 2000  # that have ended
RECENT: Final = 60.0  # seconds for which somebody that is not there is shown, who has crashed
SECONDS: Final = 1.0  # from one to the next
OLD: Final = 10.0  # seconds, for what is shown at once

Row = dict[str, Any]

# As it means in `top`: how often it was started again. Who has restarted others comes after that.
_ORDERS: Final[dict[str, Callable[[Row], Any]]] = {
    **ROW_ORDERS,
    "restarts": lambda row: (row["restarts"], row["restarts_below"]),
}


@final
@dataclass(slots=True)
class _Snapshot:
    """What a viewer was told at one time, and how long that took."""

    program: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    at: float = float("-inf")
    took: float = 0.0


@final
class Snapshots:
    """The last snapshot, and figures of those before; `look` returns a viewer that takes them."""

    def __init__(self, look: Callable[[], Viewer]) -> None:
        self._look = look
        self._viewer: Viewer | None = look()
        self._is_closed = False
        self._lock = threading.Lock()  # the viewer asks one thing after the other
        self._last = _Snapshot()
        self._ended: dict[int, Row] = {}
        self._charts = Charts()
        self.lately: Lately = Lately(look)

    def _take(self) -> _Snapshot:
        with self._lock:
            begun = time.monotonic()
            if begun - self._last.at >= SECONDS:
                program, rows, counts = self._asked()
                now = time.monotonic()
                self._charts.note(now, now - begun, rows, counts)
                self._remember(rows)
                self._last = _Snapshot(program, rows, now, now - begun)
            return self._last

    def _remember(self, rows: list[Row]) -> None:
        """Remember who was in the last snapshot, and is in this one no longer."""
        here = {row["pid"] for row in rows}
        self._ended.update((row["pid"], row) for row in self._last.rows if row["pid"] not in here)
        for pid in [*islice(self._ended, max(0, len(self._ended) - REMEMBERED))]:
            del self._ended[pid]

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

    def frame(
        self, by: str, find: str, opened: Collection[int | None], *, at_once: bool = False
    ) -> dict[str, Any]:
        """Return what a page shows: the program, charts, a table by an order, and the tree.

        With a text to `find`, the table has those whose names, class or PID it is part of, and
        they are marked in the tree. What is shown `at_once` may be a little older.

        Raises `ValueError` if there is no such order, and `Unreachable` if the program has gone.
        """
        if by not in _ORDERS:
            raise ValueError(f"expected by to be one of {', '.join(_ORDERS)}, got {by[:40]!r}")
        last = self._last
        if not at_once or time.monotonic() - last.at > OLD:
            last = self._take()
        self.lately.go_on()
        now = time.monotonic()
        crashes = self._crashes()
        rows = [*last.rows, *_missing(crashes, last.rows)]
        found = [row for row in rows if _has(row, find.casefold())] if find else rows
        first = nlargest(MARKED, found, _ORDERS[by]) if find else []
        return {
            "program": last.program,
            "age": round(now - last.at, 2),
            "took": round(last.took, 2),
            "past": self._charts.told(now),
            "lately": self.lately.told(),
            "left_out": self.lately.left_out,
            "table": _with_waits(nlargest(MOST, found, key=_ORDERS[by]), rows),
            "find": find,
            "found": len(found),
            "tree": _tree(rows, opened, {row["pid"] for row in first}, _crashing(crashes, rows)),
        }

    def _crashes(self) -> dict[str, tuple[Row, int]]:
        """Return who has crashed lately, the last of each name, and how often."""
        crashes: dict[str, tuple[Row, int]] = {}
        now = time.time()
        for one in self.lately.all():
            if one["kind"] in {"crashed", "init_failed"} and now - one["at"] < RECENT:
                for name in one["who"]["names"][:1]:
                    who, count = crashes.get(name, (one["who"], 0))
                    crashes[name] = who, count + one["count"]
        return crashes

    def one(self, row: Row) -> dict[str, Any]:
        """Return what is known of a living process beside what its agent tells."""
        rows = self._last.rows
        children = [each for each in rows if each["supervisor"] == row["pid"]]
        others = {row["supervisor"], row["waiting_for"], *row["links"], *row["monitors"]}
        kinds = Counter(each["class"] for each in children)
        first = nlargest(CHILDREN, children, key=lambda it: (it["handling_for"], it["restarts"]))
        return {
            "lately": self.lately.of(row),
            "children": [_brief(each) for each in first],
            "kinds": kinds.most_common(CHILDREN),
            "known": [_brief(each) for each in rows if each["pid"] in others],
        }

    def ended(self, pid: int, find: Callable[[str], Row | None]) -> dict[str, Any] | None:
        """Return what is known of a process that has ended, and who is there in its place.

        `find` returns the living process of a name. None if it was never seen.
        """
        last = self._ended.get(pid) or self.lately.last(pid)
        last = last or next((row for row in self._last.rows if row["pid"] == pid), None)
        if last is None:
            return None
        found = next(filter(None, map(find, last["names"])), None)
        if found is None and not last["names"]:
            kin = last["class"], last.get("supervisor")
            alike = [row for row in self._last.rows if (row["class"], row["supervisor"]) == kin]
            found = alike[0] if len(alike) == 1 and alike[0]["pid"] != pid else None
        return {
            "last": last,
            "successor": None if found is None else _brief(found),
            "lately": [one for one in self.lately.all() if is_about(one, last)],
        }

    def close(self) -> None:
        """Close the connection, and open none any more."""
        self._is_closed = True
        self._drop()

    def rows(self) -> list[Row]:
        """Return what the last snapshot tells of each process."""
        return self._take().rows


def _asked(viewer: Viewer) -> tuple[dict[str, Any], list[Row], list[list[Any]]]:
    return viewer.program(), viewer.processes(), viewer.answer("counts")["counts"]


def _missing(crashes: dict[str, tuple[Row, int]], rows: list[Row]) -> list[Row]:
    """Return rows of who has crashed and has no successor yet: they wait to be started again."""
    if not crashes:
        return []
    pids = {row["pid"] for row in rows}
    names = {name for row in rows for name in row["names"]}
    return [
        {**who, **_NOTHING, "restarts": count}
        for name, (who, count) in crashes.items()
        if name not in names and who["pid"] not in pids and who.get("supervisor") in pids
    ]


_NOTHING: Final = {
    "phase": "ended",
    "handling": None,
    "handling_for": 0.0,
    "waiting_for": None,
    **dict.fromkeys(("mailbox", "children", "watchers", "handled", "restarts_below"), 0),
}


def _crashing(crashes: dict[str, tuple[Row, int]], rows: list[Row]) -> set[int]:
    """Return who has the name of one that has crashed lately, some of them if they are many."""
    if not crashes:
        return set()
    pids = (row["pid"] for row in rows if not crashes.keys().isdisjoint(row["names"]))
    return {*islice(pids, MARKED)}


def _tree(
    rows: list[Row], opened: Collection[int | None], found: set[int], crashing: set[int]
) -> dict[str, Any]:
    drawing = drawn(rows, opened, marked=found | crashing)
    plan = planned(drawing)
    has_found, has_crashed = set(map(str, found)), set(map(str, crashing))
    nodes = [
        {
            **_told(node),
            "at": plan.places[node.id],
            "is_found": node.id in has_found,
            "has_crashed": node.id in has_crashed,
        }
        for node in drawing.nodes
    ]
    return {
        "box": [WIDE, HIGH],
        "width": plan.width,
        "height": plan.height,
        "nodes": nodes,
        "lines": [[line.start, line.end, line.kind, line.path] for line in plan.lines],
    }


def _told(node: Node) -> dict[str, Any]:
    return {name: getattr(node, name) for name in Node.__slots__ if name != "below"}


def _with_waits(table: list[Row], rows: list[Row]) -> list[Row]:
    """Return the rows of a table, with who it is that they wait for."""
    wanted = {row["waiting_for"] for row in table} - {None}
    known = {row["pid"]: _brief(row) for row in rows if row["pid"] in wanted} if wanted else {}
    return [{**row, "waits_for": known.get(row["waiting_for"])} for row in table]


def _brief(row: Row) -> Row:
    return {name: row[name] for name in ("pid", "class", "names", "handling_for", "restarts")}


def _has(row: Row, text: str) -> bool:
    words = (row["class"], f"<PID {row['pid']}>", *row["names"])
    return any(text in word.casefold() for word in words)
