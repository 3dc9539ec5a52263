"""Tracebacks that are not longer than people read, and than an event loop has time to print."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from types import TracebackType
from typing import Any, Final, final

from fauxtp._base.own_frames import own_ends, own_folders

__all__ = ["short_traceback", "shortened", "without_own_end"]

MOST: Final = 100  # frames; a thousand, at the end of the stack, take seconds to print
ALL: Final = 500  # frames of an error and those behind it, after which each has a few
FEW: Final = 2
ERRORS: Final = 1000  # behind one; more take an event loop's time, and nobody reads so many

# As they are in each error, whatever its class has by these names.
_TRACEBACK: Final[Any] = BaseException.__dict__["__traceback__"]
_CAUSE: Final[Any] = BaseException.__dict__["__cause__"]
_CONTEXT: Final[Any] = BaseException.__dict__["__context__"]
_IS_SUPPRESSED: Final[Any] = BaseException.__dict__["__suppress_context__"]
_PARTS: Final[Any] = BaseExceptionGroup.__dict__["exceptions"]

LeftOut = Callable[[BaseException, int], object]


def short_traceback(
    whole: TracebackType | None, most: int = MOST, folders: tuple[str, ...] | None = None
) -> tuple[TracebackType | None, int]:
    """Return a traceback with the first frames and the last, and how many it leaves out.

    Those before the first that is the user's are not shown, nor counted: they lead from the event
    loop to there, and are the same for all. Where none is the user's, all are shown.
    `folders` are those of `own_folders`, if they are known already.
    """
    frames = _frames(whole)
    own, _ = own_ends([frame.tb_frame.f_code.co_filename for frame in frames], folders)
    if own < len(frames):
        frames = frames[own:]
    left_out = len(frames) - most
    if left_out <= 0:
        return (frames[0] if frames else None), 0
    return _row(frames[: most // 2], frames[-most // 2]), left_out


def without_own_end(whole: TracebackType | None) -> TracebackType | None:
    """Return a traceback without what comes after the last frame that is the user's.

    There fauxtp raises an error that is its own, and the same for all. Where none is the user's,
    all are shown.
    """
    frames = _frames(whole)
    _, own = own_ends([frame.tb_frame.f_code.co_filename for frame in frames])
    return _row(frames[: len(frames) - own], None) if own else whole


def _frames(traceback: TracebackType | None) -> list[TracebackType]:
    frames: list[TracebackType] = []
    while traceback is not None:
        frames.append(traceback)
        traceback = traceback.tb_next
    return frames


def _row(frames: list[TracebackType], rest: TracebackType | None) -> TracebackType | None:
    """Return a traceback of these `frames` alone, and then the `rest`."""
    for frame in reversed(frames):
        rest = TracebackType(rest, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return rest


@final
class _Told:
    """An error that has a short traceback while it is told, `times` at once; the `whole` one."""

    __slots__ = ("error", "left_out", "short", "times", "whole")

    def __init__(self, error: BaseException) -> None:
        self.error, self.times, self.left_out = error, 0, 0
        self.whole: TracebackType | None = None
        self.short: TracebackType | None = None


_told: dict[int, _Told] = {}  # by what they are: several threads may tell of one at once
_changing = threading.RLock()  # a finaliser comes in, and goes on


def _free_lock() -> threading.RLock:
    # At the interpreter's end no other thread runs: one that has the lock is frozen.
    return threading.RLock() if sys.is_finalizing() else _changing


def _whole(error: BaseException) -> TracebackType | None:
    """Return the traceback of an error, the whole one while it has a short one."""
    with _free_lock():
        told, now = _told.get(id(error)), _TRACEBACK.__get__(error)
        return now if told is None or told.short is not now else told.whole


def _begin(error: BaseException, most: int, folders: tuple[str, ...]) -> _Told:
    """Let an error have a short traceback, if it has none yet."""
    with _free_lock():
        now, told = _TRACEBACK.__get__(error), _told.get(id(error))
        if told is None or told.short is not now:  # or it has been raised again meanwhile
            short, left_out = short_traceback(now, most, folders)
            told = _told.setdefault(id(error), _Told(error))
            told.whole, told.short, told.left_out = now, short, left_out
            if short is not now:
                _TRACEBACK.__set__(error, short)
        told.times += 1
        return told


def _end(told: _Told) -> None:
    """Let an error have its whole traceback again, if nobody else tells of it."""
    with _free_lock():
        told.times -= 1
        if told.times:
            return
        _told.pop(id(told.error), None)
        if _TRACEBACK.__get__(told.error) is told.short:  # it has not been raised again meanwhile
            _TRACEBACK.__set__(told.error, told.whole)


@contextmanager
def shortened(error: BaseException, left_out: LeftOut) -> Iterator[TracebackType | None]:
    """Yield the short traceback of an error; meanwhile all errors behind it have short ones.

    Those are its causes, contexts and parts, and theirs, which are logged with it: the 1,000 that
    are nearest. At the end they have their own again, when no other thread logs them either.
    `left_out` is called with each that something is left out of, and with how many frames that is.
    """
    folders = own_folders()
    behind: list[_Told] = []
    short, missing = short_traceback(_whole(error), MOST, folders)
    try:
        if missing:
            left_out(error, missing)
        with suppress(Exception):  # the error itself is logged, whatever is behind it
            room = ALL - MOST
            for each in islice(_behind(error), ERRORS):
                told = _begin(each, MOST if room > 0 else FEW, folders)
                behind.append(told)
                room -= MOST if told.left_out else len(_frames(told.short))
                if told.left_out:
                    left_out(each, told.left_out)
        yield short
    finally:
        while behind:
            _end(behind.pop())


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


def _after_fork_in_child() -> None:
    # The other threads, which tell of errors and may have the lock, are not here.
    global _changing
    _changing = threading.RLock()
    while _told:
        _, told = _told.popitem()
        if _TRACEBACK.__get__(told.error) is told.short:
            _TRACEBACK.__set__(told.error, told.whole)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
