"""All that `info` shows of one process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fauxtp.observe.plain_text import plain, quoted
from fauxtp.observe.process_text import called, doing, stack, waiting

__all__ = ["details"]

Row = dict[str, Any]
MOST: Final = 20  # of whatever may be many for one process


def details(row: Row) -> list[str]:
    """Return all that is told of one process, a fact a line."""
    told = [called(row), f"  of the class {plain(row['module'])}.{plain(row['class'])}"]
    facts: dict[str, object] = {
        "phase": plain(row["phase"]),
        "supervisor": _pids(row, [row["supervisor"]]),
        "mailbox": f"{row['mailbox']:,}" + (f", room for {row['room']:,}" if row["room"] else ""),
        "messages handled": f"{row['handled']:,}" if row["handled"] else None,
        "restarted": f"{row['restarts']:,} times" if row["restarts"] else None,
        "has restarted its children": (
            f"{row['restarts_below']:,} times" if row["restarts_below"] else None
        ),
        "calls that were given up": plain(row["given_up"] or "") or None,
        "handles": doing({**row, "waiting_for": None, "phase": "running"}, {}, set()) or None,
        "where": "it runs just now" if row.get("runs") else None,
        "waits": _wait(row),
        "links": _pids(row, row["links"]),
        "monitors": _pids(row, row["monitors"]),
        "monitored, or watched, by": plain(row["watchers"] or "") or None,
        "children": _pids(row, row["child_pids"], row["children"]),
    }
    told += [f"  {name}: {fact}" for name, fact in facts.items() if fact is not None]
    return [*told, *stack(row)]


def _wait(row: Row) -> str | None:
    """Return what a process waits for, as "for 'ledger' <PID 6>"."""
    whom = _pids(row, [row["waiting_for"]])
    return None if whom is None else waiting(row, whom, set()).removeprefix("waits ")


def _pids(row: Row, pids: Sequence[int | None], number: int = 0) -> str | None:
    """Return the first of these PIDs with their names, and how many more there are."""
    known = row.get("called", {})  # a file may be older
    some = [pid for pid in pids if pid is not None]
    shown = []
    for pid in some[:MOST]:
        name = known.get(str(pid))
        shown.append(f"{'' if name is None else quoted(name) + ' '}<PID {plain(pid)}>")
    more = max(number, len(some)) - len(shown)
    return ", ".join([*shown, *([f"and {more:,} more"] if more > 0 else [])]) or None
