"""The choice of a picture: which of many processes are drawn, and which are folded away."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Any, Final, final

__all__ = ["ALIKE", "FEW", "MOST", "OPENED", "SLOW", "Choice", "Fold", "chosen", "is_idle"]

MOST: Final = 300  # processes that are drawn
ALIKE: Final = 20  # idle siblings of one class that are drawn; of more, none
FEW: Final = 8  # where there are more than MOST in all
OPENED: Final = 100  # children of one that somebody has opened
GRAVE: Final = 25  # of each kind of what may be wrong
KINDS: Final = 3  # of classes that are folded apart, of one supervisor
SLOW: Final = 1.0  # seconds in a handler, from which on something may be wrong

Row = dict[str, Any]
Below = dict[int | None, list[Row]]


@final
@dataclass(slots=True)
class Fold:
    """Siblings that are not drawn: of one class, or of several."""

    rows: list[Row]

    @property
    def kinds(self) -> list[str]:
        """Their classes, of which there are most first."""
        return [kind for kind, _ in Counter(row["class"] for row in self.rows).most_common()]


@final
@dataclass(slots=True)
class Choice:
    """Of the children of each who is drawn: those that are drawn, and those that are folded."""

    drawn: dict[int | None, list[Row]]
    folds: dict[int | None, list[Fold]]


def is_idle(row: Row) -> bool:
    """Return whether nothing can be told of a process but that it is there."""
    return not (
        row["mailbox"]
        or row["handling"] is not None
        or row["waiting_for"] is not None
        or row["phase"] != "running"
    )


def chosen(
    rows: Sequence[Row],
    below: Below,
    within: Collection[int],
    marked: Collection[int] = (),
    opened: Collection[int | None] = (),
    most: int = MOST,
) -> Choice:
    """Return who of `rows` is drawn: who may be in trouble, who is `marked`, and some others.

    `below` tells who is below whom, and `within` who waits in a circle. Of idle siblings of one
    class all are drawn, or none, if they are too many; of those in `opened`, more.
    """
    known = {row["pid"]: row for row in rows}
    special = _special(rows, within, marked)
    upwards = _with_chiefs(special, known)
    choice = Choice({}, {})
    alike = ALIKE if len(rows) <= most else FEW
    left, spare = most, most - len(upwards)
    line = deque[int | None]([None])
    while line and left > 0:
        above = line.popleft()
        children = below.get(above, [])
        first = [row for row in children if row["pid"] in upwards][:left]
        others = [row for row in children if row["pid"] not in upwards]
        room = max(0, min(spare, left - len(first)))
        more = others[: min(OPENED, room)] if above in opened else _alike(others, alike, room)
        spare -= len(more)
        keep = {row["pid"] for row in first} | {row["pid"] for row in more}
        there = [row for row in children if row["pid"] in keep]
        choice.drawn[above] = there
        choice.folds[above] = _folds(row for row in children if row["pid"] not in keep)
        left -= len(there)
        line.extend(row["pid"] for row in there)
    for above in line:  # there was no room any more
        choice.folds[above] = _folds(below.get(above, ()))
    return choice


def _special(
    rows: Sequence[Row], within: Collection[int], marked: Collection[int]
) -> dict[int, None]:
    """Return who is to be drawn: the gravest of each kind."""
    waited = Counter(row["waiting_for"] for row in rows if row["waiting_for"] is not None)
    rows = [row for row in rows if row["restarts"] or not is_idle(row) or row["pid"] in waited]
    orders: tuple[Callable[[Row], float], ...] = (
        lambda row: row["pid"] in within,
        lambda row: row["handling_for"],
        lambda row: waited.get(row["pid"], 0),
        lambda row: row["restarts"],
        lambda row: row["mailbox"],
        lambda row: row["waiting_for"] is not None,
        lambda row: row["phase"] != "running",
        lambda row: row["handling"] is not None,
    )
    found: dict[int, None] = dict.fromkeys(marked)
    for order in orders:
        those = (row for row in rows if order(row) > 0)
        found.update(dict.fromkeys(row["pid"] for row in nlargest(GRAVE, those, key=order)))
    return found


def _with_chiefs(special: Iterable[int], known: dict[int, Row]) -> set[int]:
    """Return these, and who is above them."""
    found: set[int] = set()
    for pid in special:
        at: int | None = pid
        while at in known and at not in found:
            found.add(at)
            at = known[at]["supervisor"]
    return found


def _alike(others: list[Row], alike: int, room: int) -> list[Row]:
    """Return those of which there are few of their class, as long as there is room."""
    counts = Counter(row["class"] for row in others)
    few = {kind for kind, count in counts.items() if count <= alike}
    return [row for row in others if row["class"] in few][:room]


def _folds(rest: Iterable[Row]) -> list[Fold]:
    kinds: dict[str, list[Row]] = {}
    for row in rest:
        kinds.setdefault(row["class"], []).append(row)
    largest = sorted(kinds.values(), key=len, reverse=True)
    folds = [Fold(rows) for rows in largest[:KINDS]]
    others = [row for rows in largest[KINDS:] for row in rows]
    return [*folds, Fold(others)] if others else folds
