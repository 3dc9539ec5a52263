"""The world of the chaos: what all of its servers, callers and faults share."""

from __future__ import annotations

import itertools
import logging
import random
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from weakref import ref

from anyio import sleep

from fauxtp import PID, Cast, DeadLetter, dead_letters
from fauxtp._core.crash_storms import storms
from hostile.chaos_letter import Answer, Event, Fate, How, Letter, Order, judge, now

__all__ = ["AFTERWARDS", "World"]

AFTERWARDS = 0.002  # seconds between letters when there is soon nobody to send them to
SHOWN = 10  # faults that are told in full
_EVENT_OF = {
    "noproc": Event.NOPROC,
    "exited": Event.UNREAD,
    "late reply": Event.LATE,
}


class World:
    """What was sent, what is wrong, how the weather is."""

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.severity = self.random.choice((1, 1, 4))  # how much more harm than usual
        self.letters: list[Letter] = []
        self.faults: list[str] = []
        self.injected: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.counted: Counter[str] = Counter()
        self.witnesses: list[tuple[str, Callable[[], object]]] = []
        self.hung: dict[PID, float] = {}  # processes that will not go on by themselves
        self.hired: list[tuple[PID, list[PID]]] = []  # helpers, and whose end was told
        self.wardens: list[Callable[[float], Awaitable[None]]] = []  # their accounts
        self.servers: list[str] = []  # names that there always are
        self.popular: list[str] = []  # … of which some are called more often
        self.addresses: list[str] = []  # … that start whom they mean
        self.spared: list[str] = []  # … of servers that nobody harms
        self.limbs: list[str] = []  # … of supervisors that may be harmed
        self.stormy = False  # whether harm may be done
        self.calling = True  # whether callers go on
        self.closing = 2**63  # when the trees began to be felled
        self.closed = False
        self.longest_gap = 0.0
        self.pool = ThreadPoolExecutor(2, thread_name_prefix="elsewhere")
        self.new_sender = itertools.count().__next__
        self._lock = threading.Lock()

    def letter(
        self, sender: int, to: PID | str, how: How, order: Order, spared: bool = False
    ) -> Letter:
        """Return a letter that will have to be accounted for."""
        letter = Letter(sender, to, how, order, spared)
        self.letters.append(letter)
        return letter

    def fault(self, what: str) -> None:
        """Note that something is wrong."""
        if len(self.faults) < SHOWN:
            sys.stderr.write(f"{what}\n")  # also if the end of all is never reached
        self.faults.append(what)

    def inject(self, kind: str) -> None:
        """Count a fault that was injected."""
        with self._lock:
            self.injected[kind] += 1

    def count(self, what: str) -> None:
        """Count something that happened."""
        with self._lock:
            self.counted[what] += 1

    def mishap(self, probability: float) -> bool:
        """Return whether something goes wrong now."""
        return self.stormy and self.random.random() < probability * self.severity

    def witness(self, thing: Any) -> None:
        """Expect that nobody holds `thing` at the end."""
        self.witnesses.append((type(thing).__name__, ref(thing)))

    async def breathe(self) -> None:
        """Let others run: whoever sends without a pause would not."""
        await sleep(AFTERWARDS if self.closed else 0)

    def let_go(self) -> None:
        """Wait for the last answers; hold nobody any more."""
        self.pool.shutdown()
        del self.pool  # a thread may hold the context, so the server, that it was started in
        self.wardens.clear()

    def close(self) -> None:
        """From now on the trees may fall."""
        self.closing = now()
        self.closed = True

    @contextmanager
    def observed(self) -> Iterator[None]:
        """See to the dead letters, and to what is logged."""
        logger, log = logging.getLogger("fauxtp"), _Log(self)
        few, storms.few = storms.few, sys.maxsize  # each crash is accounted for
        before = Counter(dead_letters.counts())
        logger.addHandler(log)
        logger.propagate = False
        try:
            with dead_letters.observed_by(self._dead):
                yield
        finally:
            storms.few = few
            logger.propagate = True
            logger.removeHandler(log)
            counted = Counter(dead_letters.counts()) - before
            seen = {reason: self.counted[reason] for reason in counted}
            if seen != dict(counted):
                self.fault(f"dead letters counted: {dict(counted)}, told: {seen}")

    def _dead(self, dead: DeadLetter) -> None:
        self.count(dead.reason)
        message = dead.message
        if isinstance(message, Cast):
            message = message.request
        if isinstance(message, Answer):
            message = message.letter
        if isinstance(message, Letter):
            message.note(_EVENT_OF[dead.reason])

    def verdict(self) -> Counter[Fate]:
        """Account for every letter; note what is wrong; return how many met each fate."""
        fates: Counter[Fate] = Counter()
        for letter in self.letters:
            fate, wrong = judge(letter, self.closing)
            fates[fate] += 1
            self.ends[letter.end()] += 1
            if wrong is not None:
                self.fault(f"{wrong}: {letter!r}")
        for pid, ends in self.hired:
            if ends != [pid]:
                self.fault(f"the end of {pid!r} was told as {ends!r}")
        return fates

    def shown_faults(self) -> list[str]:
        """Return the first faults, and how many more there are."""
        shown = self.faults[:SHOWN]
        more = len(self.faults) - len(shown)
        return [*shown, f"… and {more} more"] if more else shown


class _Log(logging.Handler):
    """What fauxtp logs: crashes, counted by their text, and nothing kept."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    def emit(self, record: logging.LogRecord) -> None:
        self.world.count(f"logged: {record.msg}")
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and str(record.msg).startswith("somebody who looked in"):
            self.world.fault("".join(traceback.format_exception(error)))
        if error is not None and error.args and isinstance(error.args[0], Letter):
            error.args[0].note(Event.LOGGED)
