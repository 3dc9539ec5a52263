"""Names as events: who takes one, and who has one no longer, while somebody listens to that.

The registry tells it to who follows its names; while nobody does, it knows nothing of it.
"""

from __future__ import annotations

import sys
from threading import get_ident
from typing import Any, Protocol, final

from fauxtp._base.ears import Ear
from fauxtp._base.events import tell
from fauxtp._messaging.addresses import class_of
from fauxtp.registry import PID, News, default

__all__ = ["Audience", "follow", "follow_in_child", "go_on"]

Key = tuple[str, ...]


class Audience(Protocol):
    """Those who listen to names."""

    def hearing(self) -> tuple[Ear, ...]:
        """Return those of them that are being told something in this thread."""
        ...

    def tell_others(self, ears: tuple[Ear, ...], key: Key, pid: PID, details: Any) -> None:
        """Tell all of an event but these `ears`."""
        ...


@final
class _Place:
    """How far the news have been told, since it is followed.

    One thread at a time tells them, in their order, whoever has made them: the others leave theirs
    to it. Nobody tells while a listener is in its own thread: what that causes is not for it, but
    what others do is. So it is told to the others when the listener has returned.
    """

    __slots__ = ("_audience", "_caused", "_teller", "_told")

    def __init__(self, audience: Audience) -> None:
        self._audience = audience
        self._caused: dict[
            int, tuple[Ear, ...]
        ] = {}  # by the number of news, who is not told them
        self._teller: dict[None, tuple[int, object]] = {}  # its thread, by None, if there is one
        self._told: News | None = None
        self._told = default.follow_names("", self)  # by which it may be called already

    def __call__(self, number: int) -> None:
        """Hear that names have come or gone: have all told that has not been."""
        default.follow_names("", self)  # first: what comes meanwhile is told, too
        hearing = self._audience.hearing()
        if hearing:
            self._caused[number] = hearing  # who go on when they have returned
        else:
            self.go_on()
        if _place is not self:
            default.unfollow_names(self)

    def go_on(self) -> None:
        """Tell what has not been told, unless another does, who looks again as it ends."""
        me = get_ident(), object()
        while self._is_behind() and not self._audience.hearing():
            try:
                if not self._begins(me):
                    return
                while (news := self._next()) is not None:
                    self._tell_of(news)
            finally:
                if self._teller.get(None) is me:
                    del self._teller[None]

    def _is_behind(self) -> bool:
        told = self._told
        return _place is self and told is not None and told.next is not None

    def _begins(self, me: tuple[int, object]) -> bool:
        teller = self._teller.setdefault(None, me)
        if teller is not me and teller[0] != me[0] and sys.is_finalizing():
            self._teller[None] = teller = me  # no other thread runs: that one is frozen
        return teller is me

    def _next(self) -> News | None:
        told = self._told
        if told is None:
            return None
        if self._is_behind():
            self._told = told.next
            return self._told
        for number in [*self._caused]:
            if number <= told.number:  # it was told before it was known who caused it
                self._caused.pop(number, None)
        return None

    def _tell_of(self, news: News) -> None:
        kind, causing = class_of(news.pid), self._caused.pop(news.number, ())
        for name in news.names:
            what, details = "registered", {"name": name}
            if not news.came:
                what, details = "unregistered", {"name": name, "reason": news.reason}
            if causing:
                self._audience.tell_others(causing, (what, kind), news.pid, details)
            else:
                tell((what, kind), news.pid, details)

    def in_child(self) -> _Place:
        """Return one that begins anew, for the same."""
        return _Place(self._audience)


_place: _Place | None = None


def follow(audience: Audience | None) -> None:
    """Have an audience told from now on that names come and go, or nobody any longer."""
    global _place
    if audience is None:
        place, _place = _place, None
        if place is not None:
            default.unfollow_names(place)
    elif _place is None:
        _begin(_Place(audience))


def _begin(fresh: _Place) -> None:
    global _place
    _place = fresh if _place is None else _place  # in one line, as a finaliser may listen, too
    fresh(0)  # what has come since; or nothing, if another is first


def go_on() -> None:
    """Tell what was left, as a listener was being told of something else, that has returned."""
    place = _place
    if place is not None:
        place.go_on()


def follow_in_child() -> None:
    """Do so in a forked process as in its parent, of whose names nobody is told there."""
    global _place
    place, _place = _place, None
    if place is not None:
        _begin(place.in_child())
