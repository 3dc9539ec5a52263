"""Tracebacks that are not longer than people read, and than an event loop has time to print."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Final

from fauxtp._base.own_frames import own_ends

__all__ = ["short_traceback", "shortened"]

MOST: Final = 100  # frames; a thousand, at the end of the stack, take seconds to print
ALL: Final = 500  # frames of an error and those behind it, after which each has a few
FEW: Final = 2

# As they are in each error, whatever its class has by these names.
_TRACEBACK: Final[Any] = BaseException.__dict__["__traceback__"]
_CAUSE: Final[Any] = BaseException.__dict__["__cause__"]
_CONTEXT: Final[Any] = BaseException.__dict__["__context__"]
_IS_SUPPRESSED: Final[Any] = BaseException.__dict__["__suppress_context__"]
_PARTS: Final[Any] = BaseExceptionGroup.__dict__["exceptions"]

LeftOut = Callable[[BaseException, int], object]


def short_traceback(
    whole: TracebackType | None, most: int = MOST
) -> tuple[TracebackType | None, int]:
    """Return a traceback with the first frames and the last, and how many it leaves out.

    Those before the first that is the user's are not shown, nor counted: they lead from the event
    loop to there, and are the same for all. Where none is the user's, all are shown.
    """
    frames: list[TracebackType] = []
    at = whole
    while at is not None:
        frames.append(at)
        at = at.tb_next
    own, _ = own_ends([frame.tb_frame.f_code.co_filename for frame in frames])
    if own < len(frames):
        frames = frames[own:]
    left_out = len(frames) - most
    if left_out <= 0:
        return (frames[0] if frames else None), 0
    short = frames[-most // 2]
    for frame in reversed(frames[: most // 2]):
        short = TracebackType(short, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return short, left_out


@contextmanager
def shortened(error: BaseException, left_out: LeftOut) -> Iterator[TracebackType | None]:
    """Yield the short traceback of an error; meanwhile all errors behind it have short ones.

    Those are its causes, contexts and parts, and theirs, which are logged with it. At the end they
    have their own again. `left_out` is called with each that something is left out of, and with
    how many frames that is.
    """
    whole: list[tuple[BaseException, TracebackType | None, TracebackType | None]] = []
    short, missing = short_traceback(_TRACEBACK.__get__(error))
    try:
        if missing:
            left_out(error, missing)
        with suppress(Exception):  # the error itself is logged, whatever is behind it
            room = ALL - MOST
            for each in _behind(error):
                before = _TRACEBACK.__get__(each)
                after, missing = short_traceback(before, MOST if room > 0 else FEW)
                if after is not before:
                    whole.append((each, before, after))
                    _TRACEBACK.__set__(each, after)
                room -= MOST if missing else _length(after)
                if missing:
                    left_out(each, missing)
        yield short
    finally:
        for each, before, after in whole:
            if _TRACEBACK.__get__(each) is after:  # it has not been raised again meanwhile
                _TRACEBACK.__set__(each, before)
        whole.clear()


def _length(traceback: TracebackType | None) -> int:
    length = 0
    while traceback is not None:
        length, traceback = length + 1, traceback.tb_next
    return length


def _behind(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors that are told with one, each once, those that are near to it first."""
    known, found = {id(error)}, [error]
    for each in found:  # to which more come
        cause = _CAUSE.__get__(each)
        if cause is None and not _IS_SUPPRESSED.__get__(each):
            cause = _CONTEXT.__get__(each)
        parts = _PARTS.__get__(each) if isinstance(each, BaseExceptionGroup) else ()
        for other in (cause, *parts):
            if other is not None and id(other) not in known:
                known.add(id(other))
                found.append(other)
                yield other
