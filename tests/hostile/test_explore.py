"""The runtime under explored schedules; and faults in it that the same scenarios find."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import anyio
import pytest

from fauxtp import PID, Joined, members
from fauxtp._actors import actor, idleness
from fauxtp._base import switches
from fauxtp._base.carried import MISSING
from fauxtp._base.exit_reason import ExitReason
from fauxtp._core import death, mailbox, receiving, succession
from fauxtp._core.phase import Phase
from fauxtp._core.process import Process
from fauxtp._core.queue import Queue
from fauxtp._loops.protocols import Waiter
from fauxtp._messaging import groups as group_monitors
from fauxtp._messaging import sending as messaging
from fauxtp._messaging import timers, watch_names
from fauxtp._supervision import children as supervision
from fauxtp._supervision.child import Child
from fauxtp._supervision.dynamic_supervision import DynamicSupervision
from fauxtp.registry import default, withdraw
from fauxtp.testing import SeedFailed, explore
from hostile import (
    clocks,
    demand,
    effort,
    gatherings,
    guests,
    ledgers,
    lives,
    talk,
    watched_names,
)
from hostile.stand_in import hears_all, putting_in_others

Scenario = Callable[[], Awaitable[object]]

SCENARIOS: list[Scenario] = [
    talk.calls,
    talk.messages,
    talk.circles,
    lives.names,
    lives.titles,
    lives.deaths,
    lives.restarts,
    clocks.timers,
    guests.guests,
    gatherings.gatherings,
    demand.sessions,
    watched_names.watched_names,
    ledgers.ledgers,
]
MANY = 2000  # schedules, within which each of the faults below is found


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_it_holds_whoever_is_quicker(scenario: Scenario) -> None:
    tried = 0

    def seeds() -> Iterator[int]:
        nonlocal tried
        end = time.monotonic() + effort.seconds(0.25, 0.02)
        while tried < 30 or time.monotonic() < end:
            tried += 1
            yield effort.SEED + tried

    explore(scenario, seeds())
    effort.report(f"explore: {scenario.__name__} under {tried:,} schedules")


# Tests of the test: a runtime with a fault, which the scenario finds.

Patch = pytest.MonkeyPatch


def executes_what_was_given_up(patch: Patch) -> None:
    patch.setattr(Queue, "deliver", putting_in_others(hears_all))


def forgets_the_callers_at_its_death(patch: Patch) -> None:
    patch.setattr(death, "_failures", lambda *_: iter(()))


def listens_a_little_late(patch: Patch) -> None:
    def listen(mailbox: Queue, waiter: Waiter) -> bool:
        def late() -> None:
            mailbox.waiting += (waiter,)

        mailbox.receivers += 1
        asyncio.get_running_loop().call_soon(late)
        return True

    patch.setattr(Queue, "listen", listen)


def gives_way_with_a_message_in_hand(patch: Patch) -> None:
    receive: Any = receiving.receive

    async def late(handler: Callable[..., Any], *extracted: Any) -> Any:
        await anyio.sleep(0)
        result = handler(*extracted)
        return await result if inspect.isawaitable(result) else result

    async def slowly(queue: Queue, patterns: Any, timeout: float | None) -> Any:
        slow = tuple((matcher, partial(late, handler)) for matcher, handler in patterns)
        return await receive(queue, slow, timeout)

    for module in (mailbox, actor):
        patch.setattr(module, "receive", slowly)


def reads_the_newest_first(patch: Patch) -> None:
    def keep_next(mailbox: Queue) -> bool:
        if mailbox.inbox:
            mailbox.kept = [*mailbox.kept, mailbox.inbox.pop()]
            return True
        return False

    patch.setattr(Queue, "keep_next", keep_next)


def counts_no_dead_letters(patch: Patch) -> None:
    patch.setattr(Queue, "lose", lambda *_: None)


def keeps_names_a_little_longer(patch: Patch) -> None:
    def soon(pid: PID, reason: object = None) -> tuple[Any, ...]:
        asyncio.get_running_loop().call_soon(withdraw, pid, reason)
        return ()

    patch.setattr(death, "withdraw", soon)


def tells_nobody_who_asks_while_it_stops(patch: Patch) -> None:
    watch: Any = Process.watch

    def only_while_it_runs(process: Process, *arguments: Any) -> Any:
        return process.phase is Phase.STOPPING or watch(process, *arguments)

    patch.setattr(Process, "watch", only_while_it_runs)


def starts_the_next_before_the_last_has_ended(patch: Patch) -> None:
    async def give_way(*_: Any) -> None:
        await anyio.sleep(0)

    patch.setattr(supervision, "wait_exit", give_way)


def steps_a_server_that_is_busy(patch: Patch) -> None:
    hosting: Any = importlib.import_module("fauxtp._hosting.group_keeper")
    step = hosting.step

    def again(process: Process, *arguments: Any) -> Any:
        answer = step(process, *arguments)
        process.idle = True
        return answer

    patch.setattr(switches, "hand_off", True)
    patch.setattr(hosting, "step", again)


def waits_for_itself(patch: Patch) -> None:
    patch.setattr(messaging, "refuse_circle", lambda *_: None)


def forgets_to_end_timers(patch: Patch) -> None:
    patch.setattr(timers, "_end_each", lambda _: None)


def does_not_look_for_the_last(patch: Patch) -> None:
    patch.setattr(timers._Interval, "is_unread", lambda *_: False)


def sends_what_was_cancelled(patch: Patch) -> None:
    def end(timer: timers.Timer) -> float | None:
        return None if timer.kept() is MISSING else 0.0

    patch.setattr(timers.Timer, "end", end)


def does_not_stop_who_comes_back(patch: Patch) -> None:
    async def forget(supervision: DynamicSupervision, _: Child) -> None:
        supervision._starting -= 1

    patch.setattr(DynamicSupervision, "_stop_late", forget)


def leaves_no_room_after_a_failure(patch: Patch) -> None:
    start: Any = DynamicSupervision._start

    async def fail(supervision: DynamicSupervision, *arguments: Any) -> PID:
        try:
            pid: PID = await start(supervision, *arguments)
        except Exception:
            supervision._starting += 1
            raise
        return pid

    patch.setattr(DynamicSupervision, "_start", fail)


def looks_first_and_follows_later(patch: Patch) -> None:
    def begin(monitor: Any) -> None:
        def follow() -> None:
            monitor._latest = default.follow(monitor._group, monitor)[1]

        for pid in members(monitor._group):
            monitor._tell(Joined(monitor.ref, monitor._group, pid))
        asyncio.get_running_loop().call_soon(follow)

    patch.setattr(group_monitors._Monitor, "begin", begin)


def follows_names_a_little_late(patch: Patch) -> None:
    begin: Any = watch_names.NamesWatch._begin

    def look_first(watch: Any, place: Any) -> None:
        def follow() -> None:
            if watch._place is place:  # else it would be followed for ever
                place.news = default.follow_names(watch._prefix, place)

        begin(watch, place)
        asyncio.get_running_loop().call_soon(follow)

    patch.setattr(watch_names.NamesWatch, "_begin", look_first)


def says_a_little_late_that_it_waits_for_names(patch: Patch) -> None:
    def follow(prefix: str, place: Any) -> Any:
        def follow_late() -> None:
            if place.waiter is not None:
                default.follow_names(prefix, place)

        asyncio.get_running_loop().call_soon(follow_late)
        return place.news or default.follow_names(prefix, place)

    class Late:
        follow_names = staticmethod(follow)
        unfollow_names = staticmethod(default.unfollow_names)

    patch.setattr(watch_names, "default", Late)


def names_nobody_who_is_to_begin(patch: Patch) -> None:
    patch.setattr(succession, "_has_name", lambda *_: True)


def leaves_nothing_to_a_successor(patch: Patch) -> None:
    patch.setattr(succession.Succession, "takes", lambda *_: False)


def leaves_it_twice(patch: Patch) -> None:
    take_over: Any = succession.Address.take_over

    def twice(address: Any, messages: list[Any]) -> None:
        take_over(address, messages)
        take_over(address, messages)

    patch.setattr(succession.Address, "take_over", twice)


def leaves_the_last_first(patch: Patch) -> None:
    take_over: Any = succession.Address.take_over
    patch.setattr(
        succession.Address, "take_over", lambda address, them: take_over(address, them[::-1])
    )


def ends_who_is_busy(patch: Patch) -> None:
    def end(process: Process, at_once: bool) -> None:
        process.request_exit(ExitReason("normal"))

    patch.setattr(idleness, "_is_at_rest", lambda _: True)
    patch.setattr(idleness, "_end", end)


def drops_its_mailbox_at_its_end(patch: Patch) -> None:
    patch.setattr(Process, "shut_down", Process.request_exit)


FAULTS: list[tuple[Scenario, Callable[[Patch], None], str]] = [
    (talk.calls, executes_what_was_given_up, "executed after its caller gave up"),
    (talk.calls, forgets_the_callers_at_its_death, "nothing is left to run"),
    (talk.calls, listens_a_little_late, "a call was not answered|nothing is left to run"),
    (talk.calls, steps_a_server_that_is_busy, "two calls were handled at a time|nothing is left"),
    (talk.messages, gives_way_with_a_message_in_hand, "a message was lost"),
    (talk.messages, reads_the_newest_first, "a message overtook another"),
    (talk.messages, counts_no_dead_letters, "a message was lost"),
    (lives.names, keeps_names_a_little_longer, "a name means a corpse"),
    (lives.deaths, tells_nobody_who_asks_while_it_stops, "TimeoutError|nothing is left to run"),
    (lives.restarts, starts_the_next_before_the_last_has_ended, "MaxRestarts|in order|NameTaken"),
    (clocks.timers, forgets_to_end_timers, "a timer outlived its process"),
    (clocks.timers, does_not_look_for_the_last, "letters pile up"),
    (clocks.timers, sends_what_was_cancelled, "it was sent all the same|was cancelled twice"),
    (guests.guests, does_not_stop_who_comes_back, "who was terminated lives"),
    (guests.guests, leaves_no_room_after_a_failure, "TooManyChildren"),
    (gatherings.gatherings, keeps_names_a_little_longer, "member is a corpse|news were lost"),
    (gatherings.gatherings, looks_first_and_follows_later, "news were lost|was not there"),
    (watched_names.watched_names, follows_names_a_little_late, "lost|was there|not there|left"),
    (watched_names.watched_names, says_a_little_late_that_it_waits_for_names, "nothing is left"),
    (talk.circles, waits_for_itself, "nothing is left to run"),
    (demand.sessions, names_nobody_who_is_to_begin, "live at once|call failed|was lost|overtook"),
    (demand.sessions, leaves_nothing_to_a_successor, "a message was lost|a call failed"),
    (demand.sessions, leaves_it_twice, "handled twice"),
    (demand.sessions, leaves_the_last_first, "overtook"),
    (demand.sessions, ends_who_is_busy, "a message was lost|a call failed"),
    (ledgers.ledgers, drops_its_mailbox_at_its_end, "what was accepted is lost"),
]


@pytest.mark.once
@pytest.mark.parametrize(
    ("scenario", "fault", "found"),
    FAULTS,
    ids=[f"{scenario.__name__}-{fault.__name__}" for scenario, fault, _ in FAULTS],
)
def test_a_runtime_with_this_fault_is_found_out(
    scenario: Scenario, fault: Callable[[Patch], None], found: str, monkeypatch: Patch
) -> None:
    fault(monkeypatch)
    with pytest.raises(SeedFailed, match=found) as caught:
        explore(scenario, range(effort.SEED, effort.SEED + MANY))
    assert "replays it" in str(caught.value)
    effort.report(
        f"explore: {fault.__name__} is found by seed {caught.value.seed - effort.SEED + 1}"
    )
