"""Where a task waits: the coroutines that await one another, from the task's own on."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from traceback import FrameSummary
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fauxtp._core.process import Process

__all__ = ["stack_of"]

DEPTH = 1000  # frames, of a chain that others may change meanwhile

_NAMES = {
    CoroutineType: ("cr_frame", "cr_await"),
    GeneratorType: ("gi_frame", "gi_yieldfrom"),
    AsyncGeneratorType: ("ag_frame", "ag_await"),
}
_ENDS = {"FutureIter", "Idle"}  # what a task awaits in the end, but for who stands for others


def stack_of(process: Process) -> list[FrameSummary]:
    """Return the frames in which the task of `process` waits, the innermost last."""
    task = process.task
    if task is None or not (_has_gil() or process.home.is_here()):
        return []  # without the GIL, frames are not to be looked at while they run
    coroutine = task.get_coro() if process.home.is_asyncio else task.coro
    return [
        FrameSummary(
            frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name, lookup_line=False
        )
        for frame in _frames(coroutine, process.handed_over is not None)
    ]


def _has_gil() -> bool:
    return sys.version_info < (3, 13) or sys._is_gil_enabled()


def _frames(awaited: Any, is_handed_over: bool) -> Iterator[FrameType]:
    for _ in range(DEPTH):
        kind = type(awaited)
        if awaited is None or (kind.__name__ in _ENDS and not is_handed_over):
            return
        names = _NAMES.get(kind) or _names(awaited)
        if names is None:
            awaited = _within(awaited)
            continue
        frame = getattr(awaited, names[0], None)  # it may have ended since: see `DEPTH`
        if frame is not None:
            yield frame
        awaited = getattr(awaited, names[1], None)


def _names(awaited: Any) -> tuple[str, str] | None:
    """Return the names that it has if it is compiled, or stands for another; else None."""
    for frame, awaits in _NAMES.values():
        try:
            if getattr(awaited, frame, None) is not None and hasattr(awaited, awaits):
                return frame, awaits
        except Exception:  # of somebody's own
            return None
    return None


def _within(wrapper: Any) -> Any:
    """Return the coroutine in something that wraps one, and does not show it; or None."""
    for thing in gc.get_referents(wrapper):
        inner = list(thing.values()) if type(thing) is dict else [thing]
        for one in inner:
            if type(one) in _NAMES:
                return one
    return None
