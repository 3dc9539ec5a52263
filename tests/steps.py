"""How many steps of the interpreter something takes: never how long."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, Self


class Steps:
    """Counts each step of the interpreter while it lasts."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.count += event == "opcode"
        return self._trace
