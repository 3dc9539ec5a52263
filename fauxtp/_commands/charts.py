"""Charts: figures of a program, second by second, as far as somebody looked at it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, final

__all__ = ["KEPT", "Charts"]

KEPT: Final = 300.0  # seconds
GAP: Final = 3.0  # seconds beyond what a snapshot takes, in which nobody has looked

Row = dict[str, Any]

_UNITS: Final = {
    "processes": "",
    "messages waiting": "",
    "longest mailbox": "",
    "in a handler": "",
    "longest in a handler": "s",
    "handled": "/s",
    "crashes": "/s",
}
_COUNTED: Final = {"handled": "handled", "crashed": "crashes"}


@final
class Charts:
    """What snapshots have told, each with its time."""

    def __init__(self) -> None:
        self._counted: dict[str, int] = {}
        self._past: tuple[tuple[float, bool, dict[str, float | None]], ...] = ()

    def note(self, now: float, took: float, rows: Sequence[Row], counts: Iterable[Any]) -> None:
        """Note a snapshot that took so many seconds, and what was counted since the one before.

        How much happened in a second is known from the second on, and after a gap anew.
        """
        counted = dict.fromkeys(_COUNTED, 0)
        for kind, *_, number in counts:
            if kind in counted:
                counted[kind] += number
        since = now - self._past[-1][0] if self._past else 0.0
        begins = not self._past or since > GAP + 2 * took
        rates = {
            words: None
            if begins or not since
            else max(0, counted[kind] - self._counted.get(kind, 0)) / since
            for kind, words in _COUNTED.items()
        }
        past = (*self._past, (now, begins, {**_figures(rows), **rates}))
        self._past = tuple(one for one in past if now - one[0] <= KEPT)  # others may read it
        self._counted = counted

    def told(self, now: float) -> dict[str, Any]:
        """Return the values of each chart, how old they are, and after which gaps they come."""
        past = self._past
        return {
            "ages": [round(now - at, 2) for at, _, _ in past],
            "begins": [number for number, (_, begins, _) in enumerate(past) if begins],
            "charts": [
                {"name": name, "unit": unit, "values": [figures[name] for _, _, figures in past]}
                for name, unit in _UNITS.items()
            ],
        }


def _figures(rows: Sequence[Row]) -> dict[str, float | None]:
    return {
        "processes": len(rows),
        "messages waiting": sum(row["mailbox"] for row in rows),
        "longest mailbox": max((row["mailbox"] for row in rows), default=0),
        "in a handler": sum(row["handling"] is not None for row in rows),
        "longest in a handler": max((row["handling_for"] for row in rows), default=0.0),
    }
