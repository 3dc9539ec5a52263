"""Chooses who takes the first steps of others: the compiled module, or its twin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fauxtp.installation import implementation

if TYPE_CHECKING or implementation == "python":
    from fauxtp._stepping_py import advance, step
else:
    import fauxtp._slots  # noqa: F401  # what only compiled modules name, no freezer finds
    from fauxtp._stepping import advance, step

__all__ = ["advance", "step"]
