"""Tests of the chaos: a season with one fault planted in fauxtp, for each of several.

    python -m hostile.chaos_broken "drops one" "doubles one"

prints what the seasons found wrong, by fault, as JSON.
"""

from __future__ import annotations

import faulthandler
import itertools
import json
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from threading import Timer as LaterCall
from typing import Any
from unittest.mock import patch

from twins_of import form_of

from fauxtp import Cast, Down, registry
from fauxtp._actors import lifecycle
from fauxtp._actors.state_machine_events import Machine
from fauxtp._base import ears
from fauxtp._base import events as seam
from fauxtp._base.exit_reason import ExitReason
from fauxtp._core import death, process
from fauxtp._core.death import bury
from fauxtp._core.queue import Queue
from fauxtp._core.succession import Address
from fauxtp._messaging import sending as messaging
from fauxtp._messaging.timers import Timer
from fauxtp._supervision.child import ChildDown
from fauxtp._supervision.dynamic_supervision import Down as PoolDown
from fauxtp.observe import agent_answers, events
from hostile.chaos import run
from hostile.chaos_letter import Letter
from hostile.chaos_world import World
from hostile.stand_in import hears_all, hears_answers, putting_in_others

__all__ = ["PLANTED"]

SECONDS = 10.0  # in which it must be found
STORM, BOUND = 0.1, 1.0  # seconds of a storm, and until somebody counts as lost
LATE = 0.02  # seconds that a name is left
ONE_IN = 20

Patch = AbstractContextManager[object]


def drops_one(*kinds: type, one_in: int = ONE_IN) -> Patch:
    """A mailbox that loses a message of these kinds now and then."""
    deliver, count = Queue.deliver, itertools.count()

    def broken(self: Queue, message: Any) -> bool:
        lost = isinstance(message, kinds) and next(count) % one_in == 0
        return lost or deliver(self, message)

    return patch.object(Queue, "deliver", broken)


def doubles_one(*kinds: type) -> Patch:
    """A mailbox that puts a message of these kinds in twice now and then."""
    deliver, count = Queue.deliver, itertools.count()

    def broken(self: Queue, message: Any) -> bool:
        if isinstance(message, kinds) and next(count) % ONE_IN == 0:
            deliver(self, message)
        return deliver(self, message)

    return patch.object(Queue, "deliver", broken)


def forgets_order() -> Patch:
    """A mailbox whose last message comes first now and then."""
    deliver, count = Queue.deliver, itertools.count()

    def broken(self: Queue, message: Any) -> bool:
        done = deliver(self, message)
        if len(self.inbox) > 1 and next(count) % ONE_IN == 0:
            with suppress(IndexError):  # another thread was quicker
                self.inbox.appendleft(self.inbox.pop())
        return done

    return patch.object(Queue, "deliver", broken)


def leaves_its_name() -> Patch:
    """A death that releases the names of the dead late now and then."""
    withdraw, count = registry.withdraw, itertools.count()

    def broken(pid: registry.PID, reason: object = None) -> tuple[Callable[[], object], ...]:
        if next(count) % ONE_IN == 0:
            LaterCall(LATE, withdraw, [pid, reason]).start()
            return ()
        return withdraw(pid, reason)

    return patch.object(death, "withdraw", broken)


def executes_what_was_given_up() -> Patch:
    """A call that is taken up though its caller has given up."""
    return patch.object(Queue, "deliver", putting_in_others(hears_all))


def fails_unheard() -> Patch:
    """A call that the death of its target does not fail."""
    return patch.object(Queue, "deliver", putting_in_others(hears_answers))


def holds_the_dead() -> Patch:
    """A process that somebody keeps."""
    kept = []

    def broken(dead: process.Process, reason: ExitReason) -> None:
        kept.append(dead)
        bury(dead, reason)

    return patch.object(lifecycle, "bury", broken)


def counts_one_twice() -> Patch:
    """An end that is counted twice now and then."""
    note_end, count = seam.note_end, itertools.count()

    def broken(*facts: Any) -> None:
        for _ in range(2 if next(count) % ONE_IN == 0 else 1):
            note_end(*facts)

    return patch.object(death, "note_end", broken)


def tells_no_one() -> Patch:
    """An event that is counted, and not told, now and then."""
    hook, count = ears.Hook, itertools.count()

    def broken(*facts: Any) -> Callable[..., object]:
        tell = hook(*facts)
        return lambda *event: tell(*event) if next(count) % ONE_IN else None

    return patch.object(events, "Hook", broken)


def forgets_what_it_postponed() -> Patch:
    """A state machine that ends, and tells nobody of the events that it has postponed."""
    return patch.object(Machine, "_give_up_events", lambda _: None)


def says_that_it_was_cancelled() -> Patch:
    """A timer that has sent its message, and says to who cancels it that it has not."""
    end = Timer.end
    return patch.object(Timer, "end", lambda timer: end(timer) or 0.0)


def leaves_its_successor_nothing() -> Patch:
    """An address whose next server does not get what came too late for the one before."""
    return patch.object(Address, "take_over", lambda *_: None)


def keeps_who_was_shown() -> Patch:
    """An agent that has those whom it has told of, as long as the program runs."""
    lives, kept = vars(agent_answers)["_lives"], []

    def broken(shown: process.Process) -> bool:
        kept.append(shown)
        return bool(lives(shown))

    return patch.dict(vars(agent_answers), _lives=broken)


PLANTED: dict[str, tuple[Callable[[], Patch], str]] = {
    "drops one": (partial(drops_one, Letter, Cast), "accepted, and it has 0 ends"),
    "doubles one": (partial(doubles_one, Letter, Cast), "begun more than once"),
    "leaves its name": (leaves_its_name, "which is dead"),
    "forgets the order": (forgets_order, "of that sender before"),
    "executes what was given up": (executes_what_was_given_up, "after the caller had given up"),
    "fails unheard": (
        fails_unheard,
        "somebody waits for ever|lost sight of a child|did not give up",
    ),
    "is not started again": (partial(drops_one, ChildDown), "does not come back"),
    "is not started again by its pool": (
        partial(drops_one, PoolDown),
        "does not come back|lost sight of a child",
    ),
    "does not hear of a death": (
        partial(drops_one, Down, one_in=3),
        "has not heard of the deaths",
    ),
    "hears of a death twice": (partial(doubles_one, Down), "did not wait for"),
    "counts one twice": (counts_one_twice, "events: ended .* counted"),
    "tells no one": (tells_no_one, "events: as was told"),
    "forgets what it postponed": (
        forgets_what_it_postponed,
        "accepted, and it has 0 ends|outcomes",
    ),
    "says that it was cancelled": (says_that_it_was_cancelled, "cancelled, and it has 1 ends"),
    "leaves its successor nothing": (
        leaves_its_successor_nothing,
        "accepted, and it has 0 ends|somebody waits for ever",
    ),
    "holds the dead": (holds_the_dead, "somebody holds the dead"),
    "keeps who was shown": (keeps_who_was_shown, "somebody holds the dead"),
}
"""What is planted, and what has to be said of it: a pattern."""


def find(name: str) -> list[str]:
    """Return what a season with that fault finds wrong."""
    post = form_of("_messaging.delivery", "python").post
    is_seen = PLANTED[name][0] is keeps_who_was_shown  # the others are found sooner unseen
    with (
        patch.object(World, "shown_faults", lambda world: world.faults),
        patch.object(messaging, "post", post),  # which asks the mailbox, and not only its slots
        PLANTED[name][0](),
        nullcontext() if is_seen else patch("hostile.chaos.looked_into", nullcontext),
    ):
        return run(["asyncio"] * 2, SECONDS, name, STORM, BOUND).faults


if __name__ == "__main__":
    faulthandler.dump_traceback_later(SECONDS * len(PLANTED), exit=True)
    print(json.dumps({name: find(name) for name in sys.argv[1:]}), flush=True)  # noqa: T201
    os._exit(0)  # some thread may wait for ever
