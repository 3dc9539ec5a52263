"""A traceback that is not longer than people read, and than an event loop has time to print."""

from __future__ import annotations

from types import TracebackType
from typing import Final

__all__ = ["short_traceback"]

MOST: Final = 100  # frames; a thousand, at the end of the stack, take seconds to print


def short_traceback(whole: TracebackType | None) -> tuple[TracebackType | None, int]:
    """Return a traceback with the first frames and the last, and how many it leaves out."""
    frames: list[TracebackType] = []
    at = whole
    while at is not None:
        frames.append(at)
        at = at.tb_next
    left_out = len(frames) - MOST
    if left_out <= 0:
        return whole, 0
    short = frames[-MOST // 2]
    for frame in reversed(frames[: MOST // 2]):
        short = TracebackType(short, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return short, left_out
