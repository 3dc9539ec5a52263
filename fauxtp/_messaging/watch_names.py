"""Watching which names come and go, in whichever thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Final, final

from fauxtp._base.arguments import expect_text
from fauxtp._base.exit_reason import ExitReason
from fauxtp._loops.current import give_way, new_waiter
from fauxtp._loops.protocols import Waiter
from fauxtp.registry import PID, News, default, registered, whereis

__all__ = ["NamesWatch", "Overflow", "Registered", "Unregistered", "watch_names"]

MOST = 10_000  # names that may come and go before whoever watches takes the first of them
BUDGET: Final = 128  # names told, before the event loop has a turn


@final
@dataclass(frozen=True, slots=True)
class Registered:
    """What `watch_names` yields of a name that means `pid` now.

    >>> from fauxtp import PID
    >>> match Registered("shard:1", PID()):
    ...     case Registered(name=name):
    ...         print(name, "means somebody")
    shard:1 means somebody
    """

    name: str
    pid: PID


@final
@dataclass(frozen=True, slots=True)
class Unregistered:
    """What `watch_names` yields of a name that means `pid` no longer.

    `reason` is the exit reason of the process, if it has ended, and None if the name was taken
    from it. That of a `Mailbox` which was closed, or dropped, is `"normal"`.

    >>> from fauxtp import PID
    >>> match Unregistered("shard:1", PID(), None):
    ...     case Unregistered(name=name, reason=None):
    ...         print("somebody let go of", name)
    somebody let go of shard:1
    """

    name: str
    pid: PID
    reason: ExitReason | None


@final
@dataclass(frozen=True, slots=True)
class Overflow:
    """What `watch_names` yields to who was too slow: all it has told so far counts no longer.

    >>> there = {"shard:1"}
    >>> match Overflow():
    ...     case Overflow():
    ...         there.clear()
    >>> there
    set()
    """


def watch_names(prefix: str = "") -> NamesWatch:
    """Return an async iterator of who has which name that begins with `prefix`, and what comes.

    First there is a `Registered` for each name that there is, in order of registration; then one
    for each that comes, and an `Unregistered` for each that goes, in the order in which that
    happened, whichever threads it happens in. A name that is passed on goes and comes. Nothing is
    missed, and nothing is told twice. It begins with the first that is asked for, and goes on
    until it is left: by `break`, by `close`, or when nobody has it any more.

    Who does not take them in time is sent `Overflow`, when more than 10,000 have come and gone,
    of whatever names; then it begins anew, with the names that there are. So what waits for a slow
    reader takes no more memory than that.

    Raises `TypeError` if `prefix` is no str.

    >>> import anyio
    >>> from fauxtp import Mailbox, register, unregister
    >>> async def main():
    ...     mailbox = Mailbox()
    ...     register("shard:1", mailbox.pid)
    ...     async for change in watch_names("shard:"):
    ...         print(type(change).__name__, change.name)
    ...         if not unregister("shard:1"):
    ...             break
    >>> anyio.run(main)
    Registered shard:1
    Unregistered shard:1
    """
    return NamesWatch(expect_text("prefix", prefix))


@final
class _Place:
    """Where a watch has got to. It is what the registry knows, so that nobody keeps the watch."""

    __slots__ = ("news", "waiter")

    def __init__(self) -> None:
        self.news: News | None = None  # the last that was taken; None: it is to begin anew
        self.waiter: Waiter | None = None

    def __call__(self, number: int) -> None:
        """Hear that names have come or gone, and how many by now."""
        news, waiter = self.news, self.waiter
        if news is not None and number - news.number > MOST:
            self.news = None
        if waiter is not None:
            waiter.wake()


@final
class NamesWatch:
    """What `watch_names` returns: an async iterator, for one task at a time."""

    __slots__ = ("_begun", "_changes", "_place", "_prefix", "_told")

    def __init__(self, prefix: str) -> None:
        self._prefix: str = prefix
        self._place: _Place | None = _Place()  # None: it is closed
        self._changes: Iterator[Registered | Unregistered | Overflow] = iter(())  # taken, not told
        self._begun = False
        self._told = BUDGET - 1  # since the event loop had a turn, which the first one gives

    def __aiter__(self) -> NamesWatch:
        return self

    async def __anext__(self) -> Registered | Unregistered | Overflow:
        self._told += 1
        if self._told >= BUDGET:
            self._told = 0
            await give_way()  # before: whoever is cancelled here has missed nothing
        while (place := self._place) is not None:
            if place.waiter is not None:
                raise RuntimeError("another task waits for these names already")
            if place.news is None:
                self._begin(place)
            change = next(self._changes, None)
            if change is not None:
                return change
            if not self._take(place):
                await self._wait(place)
        raise StopAsyncIteration

    async def _wait(self, place: _Place) -> None:
        """Wait until something has come."""
        place.waiter = waiter = new_waiter()  # first, as whoever has been told is not told again
        try:
            default.follow_names(self._prefix, place)
            if place.news is not None and place.news.next is None:
                self._told = 0
                await waiter.wait(None)
        finally:
            place.waiter = None

    def _take(self, place: _Place) -> bool:
        """Take the next changes; return whether there are any."""
        news = place.news
        if news is None:
            return True  # to begin anew
        following = news.next
        if following is None:
            return False
        pid, reason, came = following.pid, following.reason, following.came
        self._changes = (
            Registered(name, pid) if came else Unregistered(name, pid, reason)
            for name in following.names
            if name.startswith(self._prefix)
        )
        place.news = following
        return True

    def _begin(self, place: _Place) -> None:
        """Begin, or begin anew, with what is there.

        The names are looked up while they come and go. But what has come since is known, and by
        that, what they are at its end.
        """
        news = default.follow_names(self._prefix, place)
        there = {name: whereis(name) for name in registered(self._prefix)}
        while (following := news.next) is not None:
            for name in following.names:
                there.pop(name, None)
                if following.came and name.startswith(self._prefix):
                    there[name] = following.pid
            news = following
        come = (Registered(name, pid) for name, pid in there.items() if pid is not None)
        self._changes = chain([Overflow()], come) if self._begun else come
        self._begun, place.news = True, news

    def close(self) -> None:
        """Watch no longer, and yield nothing more."""
        place, self._place = self._place, None
        if place is not None:
            default.unfollow_names(place)
            place(0)

    async def aclose(self) -> None:
        """Do as `close`, for `contextlib.aclosing`."""
        self.close()
        await give_way()

    def __del__(self) -> None:
        with suppress(Exception):  # at the end of the interpreter there may be nobody to tell
            self.close()
