"""Where CPython lets something in, also in the middle of a line: seen opcode by opcode.

Signal handlers and other threads come in after calls, at jumps back and where a function
begins; finalisers, wherever something is made or let go. Never between a look at an attribute
and the store that follows: the critical lines of fauxtp rest on that. See docs/design.md.
"""

from __future__ import annotations

import dis
from collections.abc import Callable
from types import FrameType
from typing import Any

# After these, nothing comes in before the next one: if what they replace in a dict is kept by
# somebody else, too, and a key has no hash of its own.
_QUIET = {
    number
    for name, number in dis.opmap.items()
    if name.startswith(("LOAD_", "POP_JUMP_", "STORE_FAST", "COPY", "SWAP", "PUSH_NULL"))
    or name
    in {
        "STORE_SUBSCR",
        "DELETE_SUBSCR",
        "IS_OP",
        "JUMP_FORWARD",
        "NOP",
        "PRECALL",
        "KW_NAMES",
        "EXTENDED_ARG",
        "TO_BOOL",
        "NOT_TAKEN",
    }
}


class Places:
    """A trace function: calls `come` at each place in the frames that `is_ours` says are."""

    def __init__(
        self, is_ours: Callable[[FrameType], bool], come: Callable[[FrameType], object]
    ) -> None:
        self._is_ours, self._come = is_ours, come
        self._last: dict[FrameType, int] = {}  # opcode that ran, of frames that are not over

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "call":
            if not self._is_ours(frame):
                return None
            frame.f_trace_opcodes = True
            self._come(frame)
        elif event == "return":
            self._last.pop(frame, None)
        elif event == "opcode":
            last = self._last.get(frame)
            self._last[frame] = frame.f_code.co_code[frame.f_lasti]
            if last not in _QUIET:
                self._come(frame)
        return self
