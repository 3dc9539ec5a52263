"""A letter: one message of the chaos, with all that ever became of it.

Whoever has to do with a letter notes it there: its sender how the sending ended, its receiver
that it has begun to handle it, `dead_letters` that nobody will. At the end, when nobody lives
any more, each letter has met one of these fates, and no other.

A **call** is sent once, and its caller hears exactly one outcome:

    outcome       begun     replied          a late reply among the dead letters
    ANSWERED      once      once             no
    NO_PROCESS    never     never            no
    CYCLE         never     never            no
    NO_ROOM       never     never            no          (the timeout, before it was put in)
    EXITED        or never  only by promise  as replied  (killed, crashed, stopped, or unread)
    TIMED_OUT     or never  or never         as replied
    CANCELLED     or never  or never         or not: it may be cancelled with the answer there

"By promise": the handler has returned `NO_REPLY`, and somebody else replies. A handler that
returns its answer itself has answered before it can be killed. What was given up before the
server took it up is never begun; where both are in one thread, that is a question of order
(from another thread, the note comes after the fact, and proves nothing).

A **cast**, or a plain message, has two ends that nobody connects:

    outcome       begun + dead
    ACCEPTED      exactly one: handled once, or a dead letter once ("noproc" or "exited")
    FULL          none
    CANCELLED     none: who is cancelled while there is no room has sent nothing,
                  nor has a timer that somebody has cancelled and was told so

So each letter counts once, as handled (its handling was begun, though perhaps not ended),
dead, or failed to its sender; one that is none of them is lost.

Beyond that, one receiver gets the letters of one sender in the order in which they were sent,
a letter that makes its handler crash is never answered, and the crash is logged once, and
letters to the spared servers, which nobody harms, are answered as long as the tree stands.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from enum import StrEnum
from typing import Any, Final, final

__all__ = ["Answer", "Event", "Fate", "How", "Letter", "Order", "judge", "now"]

now = itertools.count().__next__  # the order in which things were noted, in all threads


class How(StrEnum):
    """How a letter is sent."""

    CALL = "call"
    CAST = "cast"
    SEND = "send"
    CAST_NOWAIT = "cast_nowait"
    SEND_NOWAIT = "send_nowait"
    CALL_BLOCKING = "call_blocking"
    START_CALL = "start_call"
    SEND_AFTER = "send_after"
    CAST_AFTER = "cast_after"

    @property
    def is_call(self) -> bool:
        return self in {How.CALL, How.CALL_BLOCKING, How.START_CALL}

    @property
    def is_timed(self) -> bool:
        return self in {How.SEND_AFTER, How.CAST_AFTER}


class Order(StrEnum):
    """What its receiver is to do."""

    WORK = "work"  # answer at once
    YIELD = "yield"  # let others run before
    DAWDLE = "dawdle"  # take some time
    RELAY = "relay"  # call another server before
    LATER = "later"  # promise an answer, and give it from another task
    ELSEWHERE = "elsewhere"  # … from a thread
    HIRE = "hire"  # start a helper, which ends with its employer
    TASK = "task"  # … or a task
    CHILD = "child"  # start a child task that fails
    LINK = "link"  # bind its life to that of another
    CRASH = "crash"
    STOP = "stop"
    HANG = "hang"


class Event(StrEnum):
    """What is noted in a letter."""

    BEGUN = "begun"
    REPLIED = "replied"
    PROMISED = "promised"
    LOGGED = "logged"  # the crash that it made
    # of dead letters
    NOPROC = "dead: noproc"
    UNREAD = "dead: exited"
    LATE = "dead: late reply"
    # outcomes, heard by the sender
    ANSWERED = "answered"
    NO_PROCESS = "no process"
    EXITED = "process exited"
    CYCLE = "call cycle"
    NO_ROOM = "no room in time"
    TIMED_OUT = "timed out"
    CANCELLED = "cancelled"
    ACCEPTED = "accepted"
    FULL = "mailbox full"


class Fate(StrEnum):
    """What counts in the end."""

    HANDLED = "handled"
    DEAD = "dead"
    FAILED = "failed"
    LOST = "lost"


OUTCOMES: Final = frozenset(list(Event)[list(Event).index(Event.ANSWERED) :])
NEVER_TAKEN: Final = (Event.NO_PROCESS, Event.CYCLE, Event.NO_ROOM)
GIVEN_UP: Final = (Event.TIMED_OUT, Event.CANCELLED)
DEAD: Final = (Event.NOPROC, Event.UNREAD)


@final
class Letter:
    """One message: what it asks for, and what became of it."""

    __slots__ = ("how", "notes", "number", "order", "sender", "spared", "to")

    def __init__(self, sender: int, to: Any, how: How, order: Order, spared: bool) -> None:
        self.sender = sender
        self.to = to
        self.how = how
        self.order = order
        self.spared = spared
        self.number = now()
        self.notes: list[tuple[int, Event, int]] = []

    def note(self, event: Event) -> None:
        """Note what has happened, from any thread."""
        self.notes.append((now(), event, threading.get_ident()))

    def end(self) -> str:
        """Return what became of the letter, in a few words."""
        kind = "call" if self.how.is_call else "cast"
        return f"{kind} {', '.join(sorted({event for _, event, _ in self.notes}))}"

    def __repr__(self) -> str:
        notes = ", ".join(f"{event} [{tick}, thread {place}]" for tick, event, place in self.notes)
        return f"<{self.how} #{self.number} to {self.to!r}, {self.order}: {notes or 'nothing'}>"


@final
class Answer:
    """The answer to a letter."""

    __slots__ = ("letter",)

    def __init__(self, letter: Letter) -> None:
        self.letter = letter


def judge(letter: Letter, closing: int) -> tuple[Fate, str | None]:
    """Return the fate of a letter, and what is impossible about it, or None.

    The trees stood until the moment `closing`. Ask this when nobody lives any more.
    """
    counts = Counter(event for _, event, _ in letter.notes)
    heard = [event for event in counts.elements() if event in OUTCOMES]
    if len(heard) != 1:
        return Fate.LOST, f"{len(heard)} outcomes"
    if counts[Event.BEGUN] > 1:
        return Fate.HANDLED, "begun more than once"
    if counts[Event.LOGGED] != (letter.order is Order.CRASH and counts[Event.BEGUN]):
        wrong: str | None = f"a crash that was logged {counts[Event.LOGGED]} times"
    elif letter.how.is_call:
        wrong = _wrong_with_call(letter, heard[0], counts, closing)
    else:
        wrong = _wrong_with_cast(heard[0], counts)
    if counts[Event.BEGUN]:
        return Fate.HANDLED, wrong
    if counts[Event.NOPROC] or counts[Event.UNREAD]:
        return Fate.DEAD, wrong
    if heard[0] in {Event.ACCEPTED, Event.ANSWERED}:
        return Fate.LOST, wrong or "lost"
    return Fate.FAILED, wrong


def _wrong_with_cast(outcome: Event, counts: Counter[Event]) -> str | None:
    ends = counts[Event.BEGUN] + sum(counts[event] for event in DEAD)
    expected = 1 if outcome is Event.ACCEPTED else 0
    if outcome not in {Event.ACCEPTED, Event.FULL, Event.CANCELLED}:
        return f"a cast that ends as {outcome!r}"
    if ends != expected:
        return f"{outcome}, and it has {ends} ends"
    if counts[Event.REPLIED] or counts[Event.LATE]:
        return "somebody has answered what was no call"
    return None


def _wrong_with_call(
    letter: Letter, outcome: Event, counts: Counter[Event], closing: int
) -> str | None:
    begun, replied, late = counts[Event.BEGUN], counts[Event.REPLIED], counts[Event.LATE]
    if any(counts[event] for event in DEAD):
        return "a call among the dead letters"
    if replied > begun or late > replied:
        return "more replies than calls"
    if outcome is Event.ANSWERED:
        wrong = not replied or late or letter.order in {Order.CRASH, Order.HANG}
    elif outcome in NEVER_TAKEN:
        wrong = begun
    elif outcome is Event.EXITED:
        wrong = late != replied or (replied and not counts[Event.PROMISED])
    elif outcome is Event.TIMED_OUT:
        wrong = late != replied
    else:
        wrong = outcome is not Event.CANCELLED
    if wrong:
        return f"{outcome}, with {begun} begun, {replied} replied, {late} late"
    if outcome in GIVEN_UP and begun and _begun_after(letter, outcome):
        return "begun after the caller had given up"
    if letter.spared and outcome not in {Event.ANSWERED, Event.CANCELLED}:
        heard = next(tick for tick, event, _ in letter.notes if event is outcome)
        if heard < closing:
            return f"{outcome} by a server that nobody harms"
    return None


def _begun_after(letter: Letter, outcome: Event) -> bool:
    """Return whether it was begun after that outcome, in the same thread."""
    when = {event: (tick, place) for tick, event, place in letter.notes}
    begun, heard = when[Event.BEGUN], when[outcome]
    return begun[1] == heard[1] and begun[0] > heard[0]
