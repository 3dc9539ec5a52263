"""Call and Cast, by both twins: one outcome, and the first wins."""

from __future__ import annotations

import copy
import itertools
import pickle
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from conftest import calls
from twins_of import form_of

from fauxtp import PID
from fauxtp._base.stack import TO_ANSWER

TARGET, CALLER = PID(), PID()


@pytest.fixture
def kinds(form: str) -> Any:
    """Each implementation: a module with Call and Cast."""
    return form_of("_core.calls", form)


@pytest.fixture
def call(kinds: Any) -> Any:
    return kinds.Call("stats", TARGET, CALLER)


def test_a_cast_is_its_request(kinds: Any) -> None:
    cast = kinds.Cast(("add", 3))
    assert repr(cast) == "Cast(('add', 3))"
    match cast:
        case kinds.Cast(("add", number)):
            assert number == 3
        case _:
            pytest.fail("no match")
    assert copy.copy(cast).request == ("add", 3)
    assert pickle.loads(pickle.dumps(cast)).request == ("add", 3)


def test_a_call_knows_who_wants_what_of_whom(kinds: Any, call: Any) -> None:
    assert (call.request, call.target, call.caller) == ("stats", TARGET, CALLER)
    assert (call.deferred, call.wake, call.settled) == (False, None, False)
    assert repr(call) == "Call('stats')"
    match call:
        case kinds.Call("stats"):
            pass
        case _:
            pytest.fail("no match")


def test_they_need_all_that_they_are_made_of(kinds: Any) -> None:
    for attempt in calls(kinds.Cast, kinds.Call, lambda: kinds.Call("stats", TARGET)):
        with pytest.raises(TypeError):
            attempt()


def test_there_is_no_second_one_of_a_call(call: Any) -> None:
    for attempt in calls(
        lambda: copy.copy(call), lambda: copy.deepcopy(call), lambda: pickle.dumps(call)
    ):
        with pytest.raises(TypeError, match="only the one that came can be answered"):
            attempt()


EVENTS: dict[str, Callable[[Any], bool]] = {
    "take": lambda call: bool(call.take()),
    "give up": lambda call: bool(call.give_up()),
    "answer": lambda call: bool(call.answer("yes")),
    "fail": lambda call: bool(call.fail(KeyError("no"))),
    "has answered": lambda call: bool(call.has_answered("at once")),
}
OUTCOMES = ("answer", "fail", "has answered")


@pytest.mark.parametrize("order", list(itertools.permutations(EVENTS)), ids="-".join)
def test_the_first_to_decide_wins(call: Any, order: tuple[str, ...]) -> None:
    went_well = {event: EVENTS[event](call) for event in order}
    first = min((*OUTCOMES, "give up"), key=order.index)
    assert {event for event in (*OUTCOMES, "give up") if went_well[event]} == {first}
    given_up_before = first == "give up" and order.index("give up") < order.index("take")
    assert went_well["take"] is not given_up_before
    assert call.settled
    assert call.take() is went_well["take"]  # again, and the same
    assert call.give_up() is went_well["give up"]


def test_the_outcome_is_the_answer_or_the_error(kinds: Any) -> None:
    answered, at_once, failed = (kinds.Call("stats", TARGET, None) for _ in range(3))
    answered.answer(None)
    at_once.has_answered([1])
    error = KeyError("no")
    failed.fail(error)
    assert (answered.result(), at_once.result()) == (None, [1])
    with pytest.raises(KeyError) as raised:
        failed.result()
    assert raised.value is error


def test_who_waits_is_woken_once_by_the_outcome_only(call: Any) -> None:
    woken: list[bool] = []
    call.wake = lambda: woken.append(call.settled)
    call.take()
    assert woken == []
    assert (call.answer(1), call.answer(2), call.fail(KeyError())) == (True, False, False)
    assert woken == [True]


def test_who_gave_up_is_not_woken(call: Any) -> None:
    call.wake = lambda: pytest.fail("woken")
    assert call.give_up()
    assert not call.answer(1)


def test_of_many_threads_one_decides(kinds: Any) -> None:
    decide = [EVENTS[event] for event in ("give up", "answer", "fail", "take")]
    start = threading.Barrier(len(decide))
    requests = [kinds.Call(number, TARGET, None) for number in range(500)]
    won: list[list[bool]] = [[] for _ in decide]

    def run(which: int) -> None:
        start.wait()
        won[which].extend(decide[which](call) for call in requests)

    threads = [threading.Thread(target=run, args=(which,)) for which in range(len(decide))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    given_up, answered, failed, taken = won
    deciders = Counter(map(sum, zip(given_up, answered, failed, strict=True)))
    assert deciders == {1: len(requests)}
    assert all(t or g for t, g in zip(taken, given_up, strict=True))


def test_without_room_to_wake_the_caller_there_is_no_outcome(form: str, call: Any) -> None:
    """Each form has that number of its own."""
    has_room = form_of("_base.stack", form).has_room
    call.wake = list

    def down(rooms: int) -> None:
        """Answer where there is room for so many calls, and less than for ten more."""
        if has_room(rooms + 10):
            down(rooms)
        else:
            call.answer("deep")

    with pytest.raises(RecursionError, match=f"expected room on the stack for {TO_ANSWER} calls"):
        down(TO_ANSWER - 10)
    assert not call.settled
    down(TO_ANSWER + 10)
    assert call.result() == "deep"
