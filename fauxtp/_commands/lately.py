"""Lately: what went wrong in a program while somebody looked at it, as a page shows it.

It is heard by who looks in, as `watch` hears it, and kept there: never in the program.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, Self, final

from fauxtp._commands.client import Unreachable, Viewer

__all__ = ["KINDS", "Lately"]

KINDS: Final = (
    "crashed",
    "init_failed",
    "restarted",
    "restarts_exceeded",
    "call_cycle",
    "call_timed_out",
    "loop_blocked",
)
KEPT: Final = 500  # that differ
REMEMBERED: Final = 2000  # to whom something has happened
MOST: Final = 20  # that a page shows
NAMED: Final = 3  # of those to whom the same has happened

Told = dict[str, Any]


@final
class Lately:
    """What went wrong, the same folded into one; as a context manager, it is listened to.

    Each has `"at"`, when it was the last time, `"count"`, `"kind"`, `"who"` (class, names, PID),
    `"error"`, `"message"` that was handled, and `"others"` that had to do with it.
    """

    def __init__(self, look: Callable[[], Viewer]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._wanted = 0
        self._thread: threading.Thread | None = None
        self._known: OrderedDict[Any, Told] = OrderedDict()
        self._who: OrderedDict[int, Told] = OrderedDict()  # by PID
        self.left_out: int = 0  # by the program, as there were too many at once

    def __enter__(self) -> Self:
        with self._lock:
            self._wanted += 1
        self.go_on()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._wanted -= 1

    def go_on(self) -> None:
        """Listen again, if it is wanted, and the program has had enough of that."""
        with self._lock:
            if self._wanted and self._thread is None:
                self._thread = threading.Thread(target=self._listen, daemon=True)
                self._thread.start()

    def _listen(self) -> None:
        try:
            with suppress(Unreachable, ValueError), self._look() as viewer:
                before = 0
                for piece in viewer.ask("watch", kinds=KINDS):
                    self.hear(piece.get("events", ()))
                    self.left_out += piece.get("left_out", 0) - before
                    before = piece.get("left_out", 0)
                    if not self._is_wanted():
                        return
        finally:
            with self._lock:
                self._thread = None

    def _is_wanted(self) -> bool:
        with self._lock:
            return self._wanted > 0

    def hear(self, events: Iterable[Told]) -> None:
        """Note what has happened."""
        for event in events:
            told = _told(event)
            key = _sameness(told), *told["who"]["names"][:1], told["who"].get("supervisor")
            with self._lock:
                before = self._known.pop(key, None)
                if before is not None:
                    told["count"] += before["count"]
                self._known[key] = told
                if told["who"]["pid"] is not None:
                    self._who[told["who"]["pid"]] = told["who"]
                for those, most in ((self._known, KEPT), (self._who, REMEMBERED)):
                    if len(those) > most:
                        those.popitem(last=False)

    def all(self) -> list[Told]:
        """Return what is known, the last first."""
        with self._lock:
            return [*reversed(self._known.values())]

    def told(self) -> list[Told]:
        """Return the last ones, those with the same error of the same class as one."""
        found: dict[Any, Told] = {}
        for one in self.all():
            told = found.setdefault(_sameness(one), {**one, "count": 0, "names": []})
            told["count"] += one["count"]
            told["names"] += [
                name for name in one["who"]["names"][:1] if name not in told["names"]
            ]
        shown = [*found.values()][:MOST]
        for told in shown:
            told["more_names"] = max(0, len(told["names"]) - NAMED)
            del told["names"][NAMED:]
        return shown

    def of(self, row: Told) -> list[Told]:
        """Return what is known of a process, and of those before it that had its name."""
        return [one for one in self.all() if is_about(one, row)]

    def last(self, pid: int) -> Told | None:
        """Return what is known of a process that may have ended, by its PID."""
        with self._lock:
            return self._who.get(pid)


def is_about(one: Told, row: Told) -> bool:
    """Return whether something happened to a process, or to one before it."""
    who = one["who"]
    if who["names"]:
        return not {*who["names"]}.isdisjoint(row["names"])
    if who["pid"] == row["pid"]:
        return True
    # Of one without a name, its class and its supervisor are all that stays: if it had one. Of a
    # mailbox, of a process of another node and of who had ended before that is not even told.
    kin = row["class"], row.get("supervisor")
    return not row["names"] and (who["class"], who.get("supervisor")) == kin


def _sameness(told: Told) -> tuple[Any, ...]:
    """Return by what it is told apart from others that happen, whoever they happen to."""
    by = tuple(other["pid"] for other in told["others"] if told["kind"] != "call_timed_out")
    return told["kind"], told["who"]["class"], told["error"], told["message"], by


def _told(event: Told) -> Told:
    """Return an event as a page shows it."""
    kind, labels, details = event["kind"], event["labels"], event["details"]
    process = event.get("process")
    who = process or {"pid": event["pid"], "class": (labels or [""])[0], "names": []}
    others = [other for other in event.get("others", ()) if other is not None]
    error, message = details.get("reason") or "", who.get("handling")
    if kind == "crashed":
        error = labels[1]
    elif kind in {"restarted", "restarts_exceeded"}:
        others = [who]
        who = {"pid": None, "class": "", "names": labels[1:], "supervisor": event["pid"]}
        message = None
    elif kind == "call_timed_out":
        error = f"no answer within {details['timeout']:g} s"
        message = details["request"]
    elif kind == "loop_blocked":
        error = f"for {details['seconds']:.3g} s, in {details.get('where')}"
    return {
        "at": event["at"],
        "count": 1,
        "kind": kind,
        "who": who,
        "error": error,
        "message": message,
        "others": others,
    }
