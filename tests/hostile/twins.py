"""Finds by its name an implementation of the registry, or one with a fault."""

from __future__ import annotations

import importlib
from typing import Any

from hostile import broken


def short_name(twin: Any) -> str:
    """Return the name by which a program finds that twin."""
    return str(twin.__name__).rpartition(".")[2]


def find_twin(name: str) -> Any:
    if name.startswith("_registry"):
        return importlib.import_module(f"fauxtp.{name}")
    return broken.Broken(getattr(broken, name))
