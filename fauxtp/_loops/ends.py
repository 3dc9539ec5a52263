"""Whom the end of an event loop concerns."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from fauxtp._loops.protocols import Home

__all__ = ["on_end"]

on_end: list[Callable[[Home], object]] = []
"""What to call with an event loop that has ended: whoever lives in it has ended, too."""
