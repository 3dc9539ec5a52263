"""Rows of processes, as an agent tells them, for pictures and pages."""

from __future__ import annotations

from typing import Any


def row(pid: int, supervisor: int | None = None, **more: Any) -> dict[str, Any]:
    known = {"names": [], "class": "Store", "mailbox": 0, "handling": None, "waiting_for": None}
    numbers = {"handling_for": 0.0, "children": 0, "watchers": 0, "phase": "running"}
    numbers |= {"restarts": 0, "restarts_below": 0}
    return {"pid": pid, "supervisor": supervisor, **known, **numbers, **more}


def crowd(many: int, **of_one: Any) -> list[dict[str, Any]]:
    """Return a supervisor of so many, and one of them that is not as the others."""
    rows = [row(1), *(row(pid, 1) for pid in range(2, many + 2))]
    rows[many // 2].update(of_one)
    return rows
