"""Overload: a thread that looks for slow handlers, long mailboxes, and loops that stand still."""

from __future__ import annotations

import os
import threading
from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic, thread_time
from typing import TYPE_CHECKING, Final, Self, final

from fauxtp._base.arguments import expect_seconds, unexpected
from fauxtp._base.logs import report
from fauxtp._core.ended_loops import living
from fauxtp.observe.loop_watch import LoopWatch
from fauxtp.observe.process_watch import ProcessWatch

if TYPE_CHECKING:
    from fauxtp._loops.protocols import Home
    from fauxtp.registry import PID

__all__ = ["Watch", "is_watched", "watch"]

PIECE: Final = 128  # processes that are looked at at once
BREATH: Final = 0.0005  # seconds between two pieces, in which others run
SHARE: Final = 1 / 200  # of a core, at most; the looks at loops are not in it
SELDOM: Final = 5.0  # seconds between two looks at all processes, at most


def rest_after(used: float, between: float) -> float:
    """Return how long to rest after a look at all that took `used` seconds of a core.

    >>> rest_after(0.02, 0.125), rest_after(0.0001, 0.125)
    (4.0, 0.125)
    """
    return max(between, used / SHARE)


@final
class Watch:
    """What `watch` returns. As a context manager, it is closed at the end of the block.

    >>> with watch(mailbox=100) as watching:
    ...     pass
    >>> watching.close()
    """

    def __init__(
        self, slow_handler: float | None, mailbox: int | None, loop_blocked: float | None
    ) -> None:
        self._limits = slow_handler, mailbox, loop_blocked
        self.begin()

    def begin(self) -> None:
        """Begin to watch, in a new thread."""
        slow_handler, mailbox, loop_blocked = self._limits
        self._processes = ProcessWatch(slow_handler, mailbox)
        self._loops = None if loop_blocked is None else LoopWatch(loop_blocked)
        self._between = min(limit for limit in (slow_handler, loop_blocked, SELDOM) if limit) / 2
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="fauxtp.watch", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        try:
            self._look_again_and_again()
        except Exception:
            report("the watch has failed, and ends")

    def _look_again_and_again(self) -> None:
        loop_due = all_due = 0.0
        pieces: Iterator[None] | None = None
        wait = 0.0
        used = thread_time()
        while not self._over.wait(wait):
            now = monotonic()
            if self._loops is not None and now >= loop_due:
                self._loops.look(now)
                loop_due = now + self._between
            if pieces is None and now >= all_due:
                pieces, used = self._look_at_all(), thread_time()
            if pieces is not None:
                with suppress(StopIteration):
                    next(pieces)
                    wait = BREATH
                    continue
                pieces = None
                all_due = monotonic() + rest_after(thread_time() - used, self._between)
            due = all_due if self._loops is None else min(loop_due, all_due)
            wait = max(0.0, due - monotonic())

    def _look_at_all(self) -> Iterator[None]:
        homes: Tally[Home] = Tally()
        alive: set[PID] = set()
        everyone = living()
        for first in range(0, len(everyone), PIECE):
            some = everyone[first : first + PIECE]
            self._processes.look(some, monotonic())
            homes.update(process.home for process in some)
            alive.update(process.pid for process in some)
            yield
        self._processes.forget_all_but(alive)
        if self._loops is not None:
            self._loops.know(homes)

    def close(self) -> None:
        """Watch no more; a second time nothing happens. It raises nothing."""
        global _watching
        with _changing:
            if _watching is self:
                _watching = None
        self._over.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_changing = threading.RLock()
_watching: Watch | None = None


def watch(
    *,
    slow_handler: float | None = 1.0,
    mailbox: int | None = 10_000,
    loop_blocked: float | None = 0.25,
) -> Watch:
    """Look for what takes too long or grows too large, in a thread, and return what ends that.

    It is told of a handler that takes `slow_handler` seconds, a `mailbox` of so many messages, and
    an event loop that stands still for `loop_blocked` seconds; None is not looked for. That is
    logged, by the logger "fauxtp.watch", as a warning: at the limit, at each doubling, and once
    more, at the level INFO, when it is over. Each warning is an event, too. The thread takes at
    most a hundredth of a core. A process that is forked is watched as well.

    Raises `RuntimeError` if it is watched already, `TypeError` if a limit is no number, and
    `ValueError` if one is not above 0, or all are None.

    >>> with watch(slow_handler=2.0, loop_blocked=None):
    ...     pass
    """
    global _watching
    limits = _seconds("slow_handler", slow_handler), _seconds("loop_blocked", loop_blocked)
    if mailbox is not None and type(mailbox) is not int:
        raise unexpected("mailbox", "an int or None", mailbox)
    if mailbox is not None and mailbox < 1:
        raise ValueError(f"expected mailbox to be at least 1, got {mailbox}")
    if mailbox is None and limits == (None, None):
        raise ValueError("expected a limit, and all of them are None")
    with _changing:
        if _watching is not None:
            raise RuntimeError("the program is watched already")
        _watching = Watch(limits[0], mailbox, limits[1])
        return _watching


def is_watched() -> bool:
    """Return whether somebody looks for overload in this program."""
    return _watching is not None


def _seconds(name: str, limit: float | None) -> float | None:
    if limit is None:
        return None
    seconds = expect_seconds(name, limit)
    if seconds == 0:
        raise ValueError(f"expected {name} to be above 0, got 0")
    return seconds


def _after_fork_in_child() -> None:
    global _changing
    _changing = threading.RLock()  # who held it is not here, nor is the thread
    if _watching is not None:
        _watching.begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
