"""Chooses who takes the first steps of others: the compiled module, or its twin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fauxtp._base.installation import implementation

if TYPE_CHECKING or implementation == "python":
    from fauxtp._hosting._direct_py import advance, step
else:
    import fauxtp._base._slots  # noqa: F401  # what only compiled modules name, no freezer finds
    from fauxtp._hosting._direct import advance, step

__all__ = ["advance", "step"]
