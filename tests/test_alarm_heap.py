"""What is due in one event loop, in both forms: in order, once, and whatever comes in between."""

from __future__ import annotations

import gc
import random
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from twins_of import FORMS, form_of

from fauxtp._base.carried import MISSING


@pytest.fixture(params=FORMS)
def its(request: pytest.FixtureRequest) -> Any:
    return form_of("_loops.alarm_heap", request.param)


@pytest.fixture
def new(its: Any) -> Callable[..., Any]:
    class Alarm(its.Due):  # type: ignore[misc]
        def __init__(self, due: float, what: object = "something") -> None:
            self.due = due
            self.keep(what)

    return Alarm


def taken_out(heap: Any, now: float) -> list[Any]:
    mark = heap.mark()
    return list(iter(lambda: heap.pop(now, mark), None))


def test_it_keeps_one_thing_that_is_taken_once(its: Any, new: Any) -> None:
    assert its.Due().kept() is MISSING
    assert its.Due().take() is MISSING
    assert its.Due().due == 0.0
    kept = object()
    alarm = new(2.5, kept)
    assert (alarm.due, alarm.kept()) == (2.5, kept)
    assert alarm.take() is kept
    assert alarm.kept() is alarm.take() is MISSING


def test_what_goes_off_says_how(its: Any) -> None:
    with pytest.raises(NotImplementedError):
        its.Due().go_off()


def test_of_many_threads_one_takes_it(new: Any) -> None:
    alarms, got = [new(0.0, number) for number in range(2_000)], []
    begin = threading.Barrier(4)

    def take() -> None:
        begin.wait()
        got.extend([what for alarm in alarms if (what := alarm.take()) is not MISSING])

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(2_000))


def test_they_come_in_the_order_of_their_times_and_then_of_setting(its: Any, new: Any) -> None:
    dice = random.Random(5)
    heap, all_of_them = its.AlarmHeap(), []
    for number in range(500):
        alarm = new(float(dice.randrange(50)), number)
        all_of_them.append(alarm)
        heap.push(alarm)
        assert heap.first() == min(each.due for each in all_of_them)
        if dice.random() < 0.3:
            heap.push(alarm := new(-1.0))
            assert taken_out(heap, -1.0) == [alarm]
    assert len(heap) == 500
    early = taken_out(heap, 20.0)
    late = taken_out(heap, 1e9)
    assert early + late == sorted(all_of_them, key=lambda each: each.due)
    assert {each.due <= 20.0 for each in early} == {True}
    assert {each.due <= 20.0 for each in late} == {False}
    assert (len(heap), heap.first(), taken_out(heap, 1e9)) == (0, None, [])


def test_what_is_put_in_after_the_mark_stays(its: Any, new: Any) -> None:
    heap = its.AlarmHeap()
    heap.push(before := new(2.0))
    mark = heap.mark()
    heap.push(after := new(1.0))
    assert heap.pop(3.0, mark) is None  # it would be before another, which waits for the next time
    assert taken_out(heap, 3.0) == [after, before]


def test_those_that_keep_nothing_are_thrown_out_and_freed(its: Any, new: Any) -> None:
    dice = random.Random(6)
    for _ in range(50):
        heap, many = its.AlarmHeap(), dice.randrange(60)
        alarms = [new(dice.random()) for _ in range(many)]
        for alarm in alarms:
            heap.push(alarm)
        for alarm in alarms:
            if dice.random() < 0.5:
                alarm.take()
        wanted = [alarm for alarm in alarms if alarm.kept() is not MISSING]
        seen = [weakref.ref(alarm) for alarm in alarms if alarm.kept() is MISSING]
        del alarms, alarm
        heap.throw_out()
        assert not any(reference() for reference in seen)
        assert len(heap) == len(wanted)
        assert taken_out(heap, 1.0) == sorted(wanted, key=lambda each: each.due)


def test_who_is_freed_as_others_are_thrown_out_may_set_and_throw_out(its: Any, new: Any) -> None:
    heap = its.AlarmHeap()

    class Late(new):  # type: ignore[misc]
        def __del__(self) -> None:
            heap.push(new(self.due, "late"))
            heap.throw_out()

    for number in range(100):
        heap.push(alarm := (Late if number % 3 == 0 else new)(float(number)))
        if number % 2 == 0:
            alarm.take()
    del alarm
    heap.throw_out()
    times = [(alarm.due, alarm.take()) for alarm in taken_out(heap, 1e9)]
    late = [(float(number), "late") for number in range(0, 100, 6)]
    others = [(float(number), "something") for number in range(1, 100, 2)]
    assert times == sorted(late + others)


def test_what_refers_to_its_heap_is_collected(its: Any, new: Any) -> None:
    heap = its.AlarmHeap()
    heap.push(alarm := new(1.0))
    alarm.take()
    alarm.keep([heap, alarm])
    seen = weakref.ref(alarm)
    del heap, alarm
    gc.collect()
    assert seen() is None
