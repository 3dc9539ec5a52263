"""Chooses who gives turns to tasks: the compiled module, or its twin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fauxtp._base.installation import implementation

if TYPE_CHECKING or implementation == "python":
    from fauxtp._hosting._turns_py import (
        Idle,
        begun_task,
        can_give_turns,
        give_turn,
        is_to_be_cancelled,
    )
else:
    from fauxtp._hosting._turns import (
        Idle,
        begun_task,
        can_give_turns,
        give_turn,
        is_to_be_cancelled,
    )

__all__ = ["Idle", "begun_task", "can_give_turns", "give_turn", "is_to_be_cancelled"]
