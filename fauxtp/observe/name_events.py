"""Names as events: who takes one, and who has one no longer, while somebody listens to that.

The registry tells it to who follows its names; while nobody does, it knows nothing of it.
"""

from __future__ import annotations

import sys
import threading
from typing import final

from fauxtp._base.events import tell
from fauxtp._messaging.addresses import class_of
from fauxtp.registry import News, default

__all__ = ["follow", "follow_in_child"]


@final
class _Place:
    """How far the news have been told, since it is followed."""

    __slots__ = ("_changing", "_told")

    def __init__(self) -> None:
        self._changing = threading.RLock()  # among threads: a finaliser comes in, and goes on
        self._told: News | None = None
        self._told = default.follow_names("", self)  # by which it may be called already

    def __call__(self, number: int) -> None:
        """Hear that names have come or gone: tell all that nobody else has begun to tell."""
        default.follow_names("", self)  # first: what comes meanwhile is told, too
        while _place is self and (news := self._next()) is not None:
            _tell_of(news)
        if _place is not self:
            default.unfollow_names(self)

    def _next(self) -> News | None:
        if self._told is None:
            return None
        with threading.RLock() if sys.is_finalizing() else self._changing:
            # In one line, between two parts of which nobody comes in.
            told = self._told; following = told.next; self._told = told if following is None else following  # fmt: skip # noqa: E501, E702
        return following


def _tell_of(news: News) -> None:
    for name in news.names:
        kind = class_of(news.pid)
        if news.came:
            tell(("registered", kind), news.pid, {"name": name})
        else:
            tell(("unregistered", kind), news.pid, {"name": name, "reason": news.reason})


_place: _Place | None = None


def follow(wanted: bool) -> None:
    """Have it told from now on that names come and go, or no longer."""
    global _place
    if not wanted:
        place, _place = _place, None
        if place is not None:
            default.unfollow_names(place)
    elif _place is None:
        fresh = _Place()
        _place = fresh if _place is None else _place  # in one line, as a finaliser may listen, too
        fresh(0)  # what has come since; or nothing, if another is first


def follow_in_child() -> None:
    """Do so in a forked process as in its parent, of whose names nobody is told there."""
    global _place
    if _place is not None:
        _place = None
        follow(True)
