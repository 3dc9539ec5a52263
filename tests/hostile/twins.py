"""Finds by its name an implementation of the registry, or one with a fault."""

from __future__ import annotations

import importlib
from typing import Any

from hostile import broken


def find_twin(name: str) -> Any:
    if name.startswith("_registry"):
        return importlib.import_module(f"fauxtp.{name}")
    return broken.Broken(getattr(broken, name))
