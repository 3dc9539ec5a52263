"""What can be switched off while a program runs: by tests, which try both."""

from __future__ import annotations

from fauxtp._base.implementation import hands_off

__all__ = ["hand_off"]

hand_off: bool = hands_off
"""Whether calls are handled on the spot at all. `FAUXTP_HANDOFF=never` turns it off."""
