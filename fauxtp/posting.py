"""Chooses who brings messages and calls to whom they are for: the compiled module, or its twin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fauxtp.installation import implementation

if TYPE_CHECKING or implementation == "python":
    from fauxtp._posting_py import Attempt, attempt, post
else:
    from fauxtp._posting import Attempt, attempt, post

__all__ = ["Attempt", "attempt", "post"]
