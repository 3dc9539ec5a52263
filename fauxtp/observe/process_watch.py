"""The watch of processes: whose handler takes too long, and whose mailbox is too long."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from fauxtp._base.events import note
from fauxtp._base.logs import logger
from fauxtp._base.texts import label
from fauxtp._core.crash_log import facts, who
from fauxtp._core.process import Process
from fauxtp.observe.levels import Level
from fauxtp.registry import PID

__all__ = ["ProcessWatch"]


@final
class _Slow:
    """A handler that takes too long."""

    __slots__ = ("level", "seconds", "since")

    def __init__(self, since: float, limit: float) -> None:
        self.since, self.level, self.seconds = since, Level(limit), 0.0


@final
class ProcessWatch:
    """Looks at processes; it keeps something only of those that are over a limit.

    The limits are in seconds, and in messages; None is no limit.
    """

    def __init__(self, slow_handler: float | None, mailbox: int | None) -> None:
        self._slow_handler, self._mailbox = slow_handler, mailbox
        self._slow: dict[PID, _Slow] = {}
        self._long: dict[PID, Level] = {}

    def look(self, some: Iterable[Process], now: float) -> None:
        """Look at some processes, and tell what is to be told of them."""
        for process in some:
            if self._slow_handler is not None:
                self._look_at_handler(process, now, self._slow_handler)
            if self._mailbox is not None:
                self._look_at_mailbox(process, self._mailbox)

    def forget_all_but(self, alive: set[PID]) -> None:
        """Keep nothing of those who have ended."""
        for pid in (self._slow.keys() | self._long.keys()) - alive:
            self._slow.pop(pid, None)
            self._long.pop(pid, None)

    def _look_at_handler(self, process: Process, now: float, limit: float) -> None:
        since, message = process.handled_since, process.handling
        slow = self._slow.get(process.pid)
        if slow is not None and (message is None or slow.since != since):
            del self._slow[process.pid]
            text = "%s is done with what it handled, after more than %.3g s"
            logger("fauxtp.watch").info(text, who(process), slow.seconds, extra=facts(process))
            slow = None
        if message is None or now - since < limit:
            return
        if slow is None:
            slow = self._slow[process.pid] = _Slow(since, limit)
        slow.seconds = now - since
        if slow.level.rises(slow.seconds):
            logger("fauxtp.watch").warning(
                "%s has handled %s for %.3g s",
                who(process),
                label(message),
                slow.seconds,
                extra=facts(process, seconds=slow.seconds),
            )
            told = {"message": message, "seconds": slow.seconds}
            note(("slow_handler", process.kind.__name__), process.pid, told)

    def _look_at_mailbox(self, process: Process, limit: int) -> None:
        length = len(process.mailbox)
        level = self._long.get(process.pid)
        if length < limit:
            if level is not None and length <= limit // 2:
                del self._long[process.pid]
                text = "%s has %d messages in its mailbox, and no more"
                logger("fauxtp.watch").info(text, who(process), length, extra=facts(process))
            return
        if level is None:
            level = self._long[process.pid] = Level(limit)
        if level.rises(length):
            text = "%s has %d messages in its mailbox"
            logger("fauxtp.watch").warning(text, who(process), length, extra=facts(process))
            note(("mailbox_high", process.kind.__name__), process.pid, {"length": length})
