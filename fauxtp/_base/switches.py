"""What can be switched while a program runs: by tests."""

from __future__ import annotations

from fauxtp._base.implementation import hands_off

__all__ = ["hand_off", "simulated"]

hand_off: bool = hands_off
"""Whether calls are handled on the spot at all. `FAUXTP_HANDOFF=never` turns it off."""

simulated: bool = False
"""Whether time is simulated, and what is decided must not depend on any other clock."""
