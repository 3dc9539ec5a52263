"""The watch of event loops: whether one has stood still.

Nothing is asked of a loop that waits for something to happen: that is seen by where its thread is.
Of another, it is asked to say that it runs, and how long it takes to do so is how long it stood.
"""

from __future__ import annotations

import sys
from collections import Counter as Tally
from threading import get_ident
from time import monotonic
from types import FrameType
from typing import Final, final

from fauxtp._base.events import Counter, note
from fauxtp._base.logs import logger
from fauxtp._base.own_frames import handler_of
from fauxtp._loops.protocols import Home
from fauxtp.observe.levels import Level

__all__ = ["LoopWatch", "blocked"]

blocked: Final = Counter()
"""For how many nanoseconds loops have stood still, all in all, as far as it was seen."""

_LOOPS: Final = frozenset({"asyncio", "trio", "uvloop", "winloop"})


@final
class LoopWatch:
    """Looks whether loops run; each twice within `limit` seconds."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._loops: dict[Home, _Loop] = {}

    def know(self, homes: Tally[Home]) -> None:
        """Watch these loops, in which so many processes live, and no others."""
        self._loops = {home: self._loops.get(home) or _Loop(home, self._limit) for home in homes}
        for home, loop in self._loops.items():
            loop.processes = homes[home]

    def look(self, now: float) -> None:
        """Ask the loops, and tell of those that stand still, or run again."""
        frames = sys._current_frames() if self._loops and _may_look_at_frames() else {}
        for loop in self._loops.values():
            frame = None if loop.thread is None else frames.get(loop.thread)
            if loop.has_answered(now, frame) and not (frame is not None and _is_idle(frame)):
                loop.ask(now)


@final
class _Loop:
    """What is known of one loop."""

    __slots__ = (
        "_answered",
        "_asked",
        "_counted",
        "_handler",
        "_home",
        "_level",
        "_limit",
        "_where",
        "processes",
        "thread",
    )

    def __init__(self, home: Home, limit: float) -> None:
        self.processes = 0
        self.thread: int | None = None  # in which it runs
        self._home = home
        self._limit = limit
        self._level = Level(limit)
        self._asked: float | None = None  # when, if it is to answer
        self._answered: float | None = None
        self._counted = 0.0  # of the seconds, so many
        self._where: str | None = None
        self._handler: str | None = None

    def ask(self, now: float) -> None:
        """Ask it to say that it runs."""
        self._asked, self._answered, self._counted = now, None, 0.0
        self._where = self._handler = None
        if not self._home.run_soon(self._answer):
            self._asked = None  # it has ended

    def _answer(self) -> None:
        self._answered = monotonic()
        self.thread = get_ident()

    def has_answered(self, now: float, frame: FrameType | None) -> bool:
        """Return whether nothing is asked of it; tell of it if it stands, or did until now."""
        asked, answered = self._asked, self._answered
        if asked is None:
            return True
        seconds = (now if answered is None else answered) - asked
        if seconds >= self._limit:
            if answered is None and frame is not None:
                handler = handler_of(frame)
                self._where = _place(frame)
                self._handler = None if handler is None else _place(handler)
            blocked.add(int((seconds - self._counted) * 1e9))
            self._counted = seconds
            if self._level.rises(seconds):
                self._tell(seconds)
        if answered is None:
            return False
        self._asked = None
        if self._level.falls():
            logger("fauxtp.watch").info("an event loop runs again, after %.3g s", seconds)
        return True

    def _tell(self, seconds: float) -> None:
        facts = {
            "seconds": seconds,
            "where": self._where,
            "handler": self._handler,
            "processes": self.processes,
        }
        place = "" if self._where is None else f", at {self._where}"
        if self._handler not in {None, self._where}:
            place += f", within the handler at {self._handler}"
        logger("fauxtp.watch").warning(
            "an event loop with %d processes has stood still for %.3g s%s",
            self.processes,
            seconds,
            place,
            extra={"fauxtp": facts},
        )
        note(("loop_blocked",), None, facts)


def _may_look_at_frames() -> bool:
    # Without the GIL, frames are not to be looked at while they run.
    return sys.version_info < (3, 13) or sys._is_gil_enabled()


def _is_idle(frame: FrameType) -> bool:
    """Return whether that is where a loop waits for something to happen."""
    waits = _module(frame) == "selectors"
    within = frame.f_back if waits else frame
    return within is not None and _module(within).partition(".")[0] in _LOOPS


def _module(frame: FrameType) -> str:
    name = frame.f_globals.get("__name__")
    return name if isinstance(name, str) else ""


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
