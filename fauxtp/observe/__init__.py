"""What runs, and what it does: for logs, consoles and people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fauxtp.observe.inspection import (
    ProcessInfo,
    process_info,
    process_infos,
    processes,
    tree,
)

if TYPE_CHECKING:
    from fauxtp.observe.agent import Agent, serve

__all__ = [
    "Agent",
    "ProcessInfo",
    "process_info",
    "process_infos",
    "processes",
    "serve",
    "tree",
]


def __getattr__(name: str) -> Any:
    if name not in {"Agent", "serve"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fauxtp.observe import agent  # noqa: PLC0415  # who only prints a tree needs no sockets

    return getattr(agent, name)
