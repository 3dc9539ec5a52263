"""What runs, and what it does: for logs, consoles and people."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fauxtp.observe.inspection import (
    ProcessInfo,
    process_info,
    process_infos,
    processes,
    tree,
)

if TYPE_CHECKING:
    from fauxtp.observe import events as events
    from fauxtp.observe import metrics as metrics
    from fauxtp.observe import opentelemetry as opentelemetry
    from fauxtp.observe import prometheus as prometheus
    from fauxtp.observe import reports as reports
    from fauxtp.observe.agent import Agent, serve
    from fauxtp.observe.overload import Watch, watch

__all__ = [
    "Agent",
    "ProcessInfo",
    "Watch",
    "process_info",
    "process_infos",
    "processes",
    "serve",
    "tree",
    "watch",
]


_LATER = {  # who only prints a tree needs no sockets
    "Agent": "agent",
    "Watch": "overload",
    "serve": "agent",
    "watch": "overload",
}
_MODULES = {"events", "metrics", "opentelemetry", "prometheus", "reports"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"fauxtp.observe.{name}")
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"fauxtp.observe.{_LATER[name]}"), name)
