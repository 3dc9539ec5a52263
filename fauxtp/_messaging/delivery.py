"""Chooses who brings messages and calls to whom they are for: the compiled module, or its twin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fauxtp._base.installation import implementation

if TYPE_CHECKING or implementation == "python":
    from fauxtp._messaging._delivery_py import Attempt, attempt, post
else:
    from fauxtp._messaging._delivery import Attempt, attempt, post

__all__ = ["Attempt", "attempt", "post"]
