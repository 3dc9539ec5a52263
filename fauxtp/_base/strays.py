"""Strays: what handlers have left in variables that are carried."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fauxtp._base.carried import Values

__all__ = ["STRAYS"]

STRAYS: Final[ContextVar[Values]] = ContextVar("fauxtp_strays", default=())
"""What handlers have set where nothing was, and left: a context has no way back to that."""
