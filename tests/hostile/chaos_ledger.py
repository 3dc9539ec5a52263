"""The ledger of the chaos: what events count and tell, held against what it knows itself.

It listens as long as a season lasts, beside listeners that raise, block, and cause events. At the
end the counts have to be those of what was told, and both what the servers, the supervisors and
the senders have noted: to the last one.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from event_kinds import COUNTED, OFTEN

from fauxtp import NameTaken, send_nowait
from fauxtp.observe import events
from fauxtp.observe.events import Kind
from hostile.chaos_letter import Event, Letter

__all__ = ["Ledger"]

ONE_IN = 50  # events at which a listener blocks, or causes another
LATE = {Event.TIMED_OUT, Event.NO_ROOM}
# A collection within a listener: what its finalisers lose counts as caused by that listener.
LOST = ("dead_letter", "exited")
BY_FINALISERS = 10

Keys = Counter[tuple[str, ...]]


class Ledger:
    """What was told in a season."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.told: Keys = Counter()
        self.unnamed: Counter[str] = Counter()  # whose `init` never began, as the name was taken
        self.letters: Counter[tuple[str, Letter]] = Counter()
        self._before: Keys = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Listen meanwhile, and then account for all."""
        self._before = Counter(events.counts())
        with ExitStack() as stack:
            stack.enter_context(events.listen(self._note, COUNTED))
            stack.enter_context(events.listen(_meddle, COUNTED))
            if self.world.random.random() < 0.5:
                stack.enter_context(events.listen(self._note_often, OFTEN))
                stack.enter_context(events.listen(_fail, OFTEN))
            yield
        self._account(Counter(events.counts()) - self._before)

    def _note(self, event: events.Event) -> None:
        kind, details = str(event.kind.name).lower(), event.details
        letter = details.get("request", details.get("message"))
        letter = getattr(letter, "request", letter)
        with self._lock:
            self.told[kind, *event.labels] += 1
            if event.kind is Kind.INIT_FAILED and isinstance(
                details["reason"].exception, NameTaken
            ):
                self.unnamed[event.labels[0]] += 1
            if isinstance(letter, Letter):
                self.letters[kind, letter] += 1

    def _note_often(self, event: events.Event) -> None:
        with self._lock:
            self.world.counted[f"told: {event.kind.name}"] += 1

    def _account(self, counted: Keys) -> None:
        self._same(
            "as was told", self.told, {k: n for k, n in counted.items() if k[0] != "handled"}
        )
        noted = self.world.counted
        for name in ("Server", "Bounded", "Trapper", "Warden", "Clerk", "Machine", "Session"):
            begun, done = noted[f"init begun: {name}"], noted[f"init done: {name}"]
            failed = counted["init_failed", name] - self.unnamed[name]
            ended = sum(n for key, n in counted.items() if key[:2] == ("ended", name))
            handled = counted["handled", name]
            self._is(f"started {name}", counted["started", name], done)
            # A start may be given up before `init` has begun.
            if not begun - done <= failed <= noted[f"made: {name}"] - done:
                self._is(f"init_failed {name}", failed, begun - done)
            self._is(f"ended {name}", ended, done)
            if name != "Machine":  # which handles what it has postponed once more
                self._is(f"handled {name}", handled, noted[f"handlers begun: {name}"])
        self._is("crashed", _all(counted, "crashed"), noted["logged: %s crashed"])
        injected = self.world.injected["terminate fails"]
        self._is("terminate_failed", _all(counted, "terminate_failed"), injected)
        self._is("restarted", _all(counted, "restarted"), noted["on_restart"])
        self._is("restarts_exceeded", _all(counted, "restarts_exceeded"), noted["on_give_up"])
        heard = Counter(event for letter in self.world.letters for _, event, _ in letter.notes)
        circles = _all(counted, "call_cycle")
        if not heard[Event.CYCLE] <= circles <= heard[Event.CYCLE] + heard[Event.CANCELLED]:
            self._is("call_cycle", circles, heard[Event.CYCLE])
        for letter in self.world.letters:
            self._account_for(letter)

    def _account_for(self, letter: Letter) -> None:
        """Whoever was cancelled as it was to hear of an error may have heard of that only."""
        heard = {event for _, event, _ in letter.notes}
        may = 1 if Event.CANCELLED in heard else 0
        for kind, noted in (
            ("call_timed_out", bool(heard & LATE)),
            ("mailbox_full", Event.FULL in heard),
        ):
            told = self.letters[kind, letter]
            if not noted <= told <= noted + may:
                self.world.fault(f"{kind} was told {told} times: {letter!r}")

    def _is(self, what: str, counted: int, noted: int) -> None:
        if counted != noted:
            self.world.fault(f"events: {what} counted {counted}, and it were {noted}")

    def _same(self, what: str, told: Keys, counted: dict[tuple[str, ...], int]) -> None:
        for key in told.keys() | counted.keys():
            number = counted.get(key, 0)
            if key != LOST or not number - BY_FINALISERS <= told[key] <= number:
                self._is(f"{what}, {key}", number, told[key])


def _all(counted: Keys, kind: str) -> int:
    return sum(number for key, number in counted.items() if key[0] == kind)


def _meddle(event: events.Event) -> None:
    """Block for a moment, or cause an event that this one is not told of."""
    if hash(event.labels) % ONE_IN == 0:
        time.sleep(0.0001)
        events.counts()
    elif event.kind is Kind.CRASHED:
        send_nowait("nobody", "of a listener")


def _fail(event: events.Event) -> None:
    raise ValueError(f"a listener that fails at {event.kind}")
