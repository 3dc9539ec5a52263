"""Chooses who puts messages into mailboxes: the compiled module, or its twin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fauxtp.registry import implementation

if TYPE_CHECKING or implementation == "python":
    from fauxtp._posting_py import post
else:
    from fauxtp._posting import post

__all__ = ["post"]
