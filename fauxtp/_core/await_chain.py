"""Where a process is: the coroutines that await one another, from its task's own on.

Of one that runs just now, what another thread sees of it: the frames of its event loop's thread.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from threading import get_ident
from traceback import FrameSummary
from types import (
    AsyncGeneratorType,
    CodeType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
)
from typing import TYPE_CHECKING, Any, Final

from fauxtp._core.server_state import ServerState, state_of

if TYPE_CHECKING:
    from fauxtp._core.process import Process

__all__ = ["stack_of", "whereabouts"]

_MRO: Final = type.__dict__["__mro__"].__get__  # whatever a metaclass makes of these
_DICT: Final = type.__dict__["__dict__"].__get__

DEPTH = 1000  # frames, of a chain that others may change meanwhile

_NAMES = {
    CoroutineType: ("cr_frame", "cr_await"),
    GeneratorType: ("gi_frame", "gi_yieldfrom"),
    AsyncGeneratorType: ("ag_frame", "ag_await"),
}
_ENDS = {"FutureIter", "Idle"}  # what a task awaits in the end, but for who stands for others


def stack_of(process: Process) -> list[FrameSummary]:
    """Return the frames in which `process` waits, or runs, the innermost last."""
    return whereabouts(process)[0]


def whereabouts(process: Process) -> tuple[list[FrameSummary], bool]:
    """Return the frames of `process`, the innermost last, and whether it runs just now.

    That it runs is seen by other threads only.
    """
    task = process.task
    if task is None or not (_has_gil() or process.home.is_here()):
        return [], False  # without the GIL, frames are not to be looked at while they run
    coroutine = task.get_coro() if process.home.is_asyncio else task.coro
    waits = [*_frames(coroutine, process.handed_over is not None)]
    runs = [] if process.handling is None else _running(process, coroutine, waits)
    told = [
        FrameSummary(
            frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name, lookup_line=False
        )
        for frame in (*waits, *runs)
    ]
    return told, bool(runs)


def _running(process: Process, coroutine: Any, waits: list[FrameType]) -> list[FrameType]:
    """Return the frames of a handler that another thread runs just now, the innermost last.

    The task of `process` runs it, its `coroutine`, and was last seen in `waits`; or that of
    somebody who calls it. Of all others no frame is looked at: there may be very many.
    """
    if getattr(coroutine, "cr_running", True):
        last, codes = waits[-1] if waits else None, set[CodeType]()
    elif process.waiting_for is None and state_of(process) is ServerState.STEPPED:
        last, codes = None, {*_codes(process.kind)}
    else:
        return []
    for thread, innermost in sys._current_frames().items():
        frames = [] if thread == get_ident() else [*_outwards(innermost)]
        if last is not None and last in frames:
            return frames[: frames.index(last)][::-1]
        is_its = [frame.f_code in codes for frame in frames]
        if True in is_its:
            begin = [*is_its, False].index(False, is_its.index(True))
            return frames[:begin][::-1]
    return []


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _codes(kind: type) -> Iterator[CodeType]:
    """Yield the code of each method of a class."""
    for each in _MRO(kind):
        for value in [*_DICT(each).values()]:
            if type(value) is FunctionType:  # `isinstance` may run what it has for its class
                yield value.__code__


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
