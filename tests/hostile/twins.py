"""Finds by its name an implementation of the registry, or one with a fault."""

from __future__ import annotations

import importlib
from typing import Any

from fauxtp._base import ordered_names
from hostile import broken


def short_name(twin: Any) -> str:
    """Return the name by which a program finds that twin."""
    return str(twin.__name__).rpartition(".")[2]


def find_twin(name: str) -> Any:
    """Return an implementation for a program, in which few names are kept in order, too."""
    ordered_names.SCARCE = 1
    if name.startswith("_registry"):
        twin = importlib.import_module(f"fauxtp.{name}")
        setattr(twin, "FEW", 0)  # noqa: B010
        return twin
    return broken.Broken(getattr(broken, name))
