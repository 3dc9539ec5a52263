"""What may become of a message, and what may not: the judge of the chaos can say both."""

from __future__ import annotations

import pytest

from hostile.chaos_letter import Event, Fate, How, Letter, Order, judge

CALL, CAST = How.CALL, How.CAST
WORK, CRASH = Order.WORK, Order.CRASH
BEGUN, REPLIED, PROMISED, LATE = Event.BEGUN, Event.REPLIED, Event.PROMISED, Event.LATE
ANSWERED, TIMED_OUT, EXITED = Event.ANSWERED, Event.TIMED_OUT, Event.EXITED
CANCELLED, NO_PROCESS, ACCEPTED = Event.CANCELLED, Event.NO_PROCESS, Event.ACCEPTED

Case = tuple[How, Order, list[Event]]

POSSIBLE: list[tuple[Fate, Case]] = [
    (Fate.HANDLED, (CALL, WORK, [BEGUN, REPLIED, ANSWERED])),
    (Fate.HANDLED, (CALL, WORK, [BEGUN, PROMISED, REPLIED, ANSWERED])),
    (Fate.HANDLED, (CALL, WORK, [BEGUN, TIMED_OUT, REPLIED, LATE])),
    (Fate.HANDLED, (CALL, WORK, [BEGUN, EXITED])),
    (Fate.HANDLED, (CALL, WORK, [BEGUN, PROMISED, EXITED, REPLIED, LATE])),
    (Fate.HANDLED, (CALL, WORK, [BEGUN, REPLIED, CANCELLED])),
    (Fate.HANDLED, (CALL, CRASH, [BEGUN, Event.LOGGED, EXITED])),
    (Fate.FAILED, (CALL, WORK, [TIMED_OUT])),
    (Fate.FAILED, (CALL, WORK, [NO_PROCESS])),
    (Fate.FAILED, (CALL, CRASH, [EXITED])),
    (Fate.FAILED, (CAST, WORK, [Event.FULL])),
    (Fate.HANDLED, (CAST, WORK, [ACCEPTED, BEGUN])),
    (Fate.DEAD, (CAST, WORK, [Event.NOPROC, ACCEPTED])),
    (Fate.DEAD, (CAST, WORK, [ACCEPTED, Event.UNREAD])),
]
IMPOSSIBLE: list[Case] = [
    (CALL, WORK, []),
    (CALL, WORK, [BEGUN, REPLIED]),  # and nobody heard
    (CALL, WORK, [BEGUN, REPLIED, ANSWERED, TIMED_OUT]),
    (CALL, WORK, [BEGUN, BEGUN, REPLIED, ANSWERED]),
    (CALL, WORK, [ANSWERED]),  # by whom?
    (CALL, WORK, [BEGUN, REPLIED, ANSWERED, LATE]),
    (CALL, WORK, [BEGUN, NO_PROCESS]),
    (CALL, WORK, [BEGUN, Event.CYCLE]),
    (CALL, WORK, [BEGUN, Event.NO_ROOM]),
    (CALL, WORK, [BEGUN, REPLIED, EXITED]),  # it had answered before
    (CALL, WORK, [BEGUN, TIMED_OUT, REPLIED]),  # where is the late reply?
    (CALL, WORK, [TIMED_OUT, BEGUN, REPLIED, LATE]),  # given up before
    (CALL, WORK, [CANCELLED, BEGUN]),
    (CALL, WORK, [TIMED_OUT, LATE]),
    (CALL, WORK, [NO_PROCESS, Event.NOPROC]),
    (CALL, WORK, [ACCEPTED]),
    (CALL, CRASH, [BEGUN, Event.LOGGED, REPLIED, ANSWERED]),
    (CALL, CRASH, [BEGUN, EXITED]),  # not logged
    (CALL, CRASH, [BEGUN, Event.LOGGED, Event.LOGGED, EXITED]),
    (CAST, WORK, [ACCEPTED]),
    (CAST, WORK, [ACCEPTED, BEGUN, BEGUN]),
    (CAST, WORK, [ACCEPTED, BEGUN, Event.UNREAD]),
    (CAST, WORK, [ACCEPTED, Event.UNREAD, Event.UNREAD]),
    (CAST, WORK, [CANCELLED, BEGUN]),
    (CAST, WORK, [Event.FULL, Event.UNREAD]),
    (CAST, WORK, [ANSWERED]),
]


def letter_of(case: Case, spared: bool = False) -> Letter:
    how, order, events = case
    letter = Letter(0, "somebody", how, order, spared)
    for event in events:
        letter.note(event)
    return letter


@pytest.mark.parametrize(("fate", "case"), POSSIBLE)
def test_what_may_become_of_a_message(fate: Fate, case: Case) -> None:
    assert judge(letter_of(case), closing=0) == (fate, None)


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_what_may_not_become_of_a_message(case: Case) -> None:
    assert judge(letter_of(case), closing=0)[1] is not None


def test_whom_nobody_harms_answers_as_long_as_the_trees_stand() -> None:
    letter = letter_of((CALL, WORK, [BEGUN, EXITED]), spared=True)
    assert judge(letter, closing=letter.number)[1] is None
    assert judge(letter, closing=2**63)[1] is not None
