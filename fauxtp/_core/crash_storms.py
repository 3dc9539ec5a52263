"""Storms: crashes of one kind that come too fast to tell each of them whole.

The first few of a class, by one kind of error, are told as any crash. The others are counted, and
told by one line for each interval; as long as a storm lasts, one crash of each is told whole.
"""

from __future__ import annotations

import atexit
import os
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, final

from fauxtp._base.logs import logger
from fauxtp._base.texts import full_name, type_name

if TYPE_CHECKING:
    from fauxtp._base.exit_reason import ExitReason

__all__ = ["FEW", "Storms", "storms"]

FEW: Final = 10  # crashes of one kind that are told whole
SECONDS: Final = 10.0  # of an interval
KINDS: Final = 100  # that are known; those beyond are one
_OTHERS: Final = "One of many other kinds"


@final
class _Kind:
    """The crashes of one class by one kind of error, in an interval."""

    __slots__ = ("began", "last", "left_out", "name", "told")

    def __init__(self, name: str, began: float, told: int) -> None:
        self.name, self.began, self.told = name, began, told
        self.left_out = 0
        self.last = ""


@final
class Storms:
    """Which crashes are told, and how many were not."""

    def __init__(self) -> None:
        self.few: int = FEW
        self._lock = threading.RLock()  # a finaliser may end a process while this is held
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._timer: threading.Timer | None = None
        self._looked_at = 0.0  # for those whose interval is over

    def lets_through(self, kind: type, reason: ExitReason) -> bool:
        """Return whether a crash is to be told whole; if not, it is counted."""
        now, key = monotonic(), (full_name(kind), full_name(type(reason.exception)))
        with self._lock:
            known = self._known(key, type_name(kind), now)
            if known.told < self.few:
                known.told += 1
                return True
            known.left_out, known.last = known.left_out + 1, str(reason)
            begins = self._timer is None
        if begins:
            self._begin_to_wait()
        return False

    def _known(self, key: tuple[str, str], name: str, now: float) -> _Kind:
        known = self._kinds.get(key)
        if known is None and len(self._kinds) >= KINDS:
            if now - self._looked_at >= SECONDS:
                self._looked_at = now
                self._forget_old(now)
            if len(self._kinds) >= KINDS:
                key, name = (_OTHERS, ""), _OTHERS
                known = self._kinds.get(key)
        if known is None or (not known.left_out and now - known.began >= SECONDS):
            known = self._kinds[key] = _Kind(name, now, 0)
        return known

    def _forget_old(self, now: float) -> None:
        for key, known in list(self._kinds.items()):
            if not known.left_out and now - known.began >= SECONDS:
                del self._kinds[key]

    def _begin_to_wait(self) -> None:
        timer = threading.Timer(SECONDS, self.tell)
        timer.name, timer.daemon = "fauxtp.storms", True
        with self._lock:
            if self._timer is not None:
                return
            self._timer = timer
        atexit.unregister(self.tell)
        atexit.register(self.tell)
        try:
            timer.start()
        except (
            RuntimeError
        ):  # no thread is to be had: the next crash tries again, or the end tells
            with self._lock:
                if self._timer is timer:
                    self._timer = None

    def tell(self) -> None:
        """Tell how many crashes were not told one by one, and begin an interval anew."""
        now, over = monotonic(), []
        with self._lock:
            self._timer = None
            for key, known in list(self._kinds.items()):
                if known.left_out:
                    over.append(known)
                    self._kinds[key] = _Kind(known.name, now, self.few - 1)
            self._forget_old(now)
        atexit.unregister(self.tell)
        for known in over:
            _tell(known, now - known.began)

    def forget(self) -> None:
        """Be as at first; what was counted is told to nobody."""
        with self._lock:
            timer, self._timer = self._timer, None
            self._kinds.clear()
        atexit.unregister(self.tell)
        if timer is not None:
            timer.cancel()


def _tell(known: _Kind, seconds: float) -> None:
    facts: dict[str, Any] = {
        "class": known.name,
        "crashes": known.left_out,
        "seconds": round(seconds, 3),
        "reason": known.last,
    }
    logger().error(
        "%s crashed %d times more within %.3g s, at last by %s",
        known.name,
        known.left_out,
        seconds,
        known.last,
        extra={"fauxtp": facts},
    )


storms: Storms = Storms()


def _after_fork_in_child() -> None:
    """Begin anew: the crashes were the parent's, which tells them."""
    global storms
    atexit.unregister(storms.tell)
    storms = Storms()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
