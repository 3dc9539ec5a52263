"""Timers: messages that are sent later, and what ends them before."""

from __future__ import annotations

import asyncio
import copy
import gc
import itertools
import math
import os
import pickle
import sys
import threading
from collections.abc import Awaitable, Callable
from fractions import Fraction
from functools import partial
from typing import Any
from weakref import ref

import anyio
import anyio.to_thread
import pytest
import trio
import trio.testing
from conftest import ASYNCIO, PATIENCE, Run, task_group
from crew import Puppet, boom, end_of, process_of
from lost import start

from fauxtp import (
    ANY,
    PID,
    Cast,
    DeadLetter,
    ExitReason,
    Mailbox,
    Timer,
    call,
    cancel_timer,
    cast_after,
    dead_letters,
    exit,
    process_info,
    register,
    send,
    send_after,
    send_every,
    send_nowait,
    unregister,
    wait_exit,
)
from fauxtp._base.carried import MISSING
from fauxtp._core.bounded_queue import BoundedQueue
from fauxtp._core.death import bury
from fauxtp._core.queue import Queue
from fauxtp._loops import alarms, asyncio_alarms, trio_alarms
from fauxtp._loops.alarms import Alarm
from fauxtp._loops.asyncio_alarms import AsyncioAlarms
from fauxtp._loops.trio_alarms import TrioAlarms
from fauxtp._messaging import timers
from fauxtp.testing import explore

LOOPS = [*ASYNCIO, pytest.param(("trio", {}), id="trio")]
LATER = 3600.0

pytestmark = pytest.mark.anyio


class Message:
    """One that is told from all others, and known to be gone."""


def is_nearly_all(left: float | None) -> bool:
    return left is not None and LATER - PATIENCE < left < LATER + 0.001


def same(message: Any) -> Any:
    return message


async def received(mailbox: Mailbox) -> Any:
    with anyio.fail_after(PATIENCE):
        return await mailbox.receive((ANY, same))


async def others() -> None:
    for _ in range(10):
        await anyio.lowlevel.checkpoint()


@pytest.fixture
def letters() -> Any:
    """The dead letters of a test."""
    found: list[DeadLetter] = []
    with dead_letters.observed_by(found.append):
        yield found


@pytest.fixture(autouse=True)
def nobody_is_bound() -> Any:
    """No timer stays with a process that has ended."""
    yield
    assert timers._bound == {}


# On real clocks


@pytest.mark.parametrize("anyio_backend", LOOPS)
async def test_a_message_is_sent_once_and_as_it_is() -> None:
    mailbox, message = Mailbox(), Message()
    timer = send_after(0.001, mailbox.pid, message)
    assert type(timer) is Timer
    assert "that is over" not in repr(timer)
    assert await received(mailbox) is message
    assert cancel_timer(timer) is None
    assert "that is over" in repr(timer)
    await others()
    assert len(mailbox) == 0


@pytest.mark.parametrize("anyio_backend", LOOPS)
async def test_no_time_is_the_next_turn() -> None:
    mailbox = Mailbox()
    send_after(0, mailbox.pid, "message")
    assert len(mailbox) == 0
    assert await received(mailbox) == "message"


@pytest.mark.parametrize("anyio_backend", LOOPS)
async def test_a_cast_is_handled_as_one() -> None:
    done = anyio.Event()
    async with task_group() as group:
        server = await Puppet.start(task_group=group)
        cast_after(0.001, server, done.set)
        await done.wait()


@pytest.mark.parametrize("anyio_backend", LOOPS)
async def test_who_cancels_is_told_what_was_left_and_the_message_is_let_go_of() -> None:
    mailbox, message = Mailbox(), Message()
    there = ref(message)
    timer = send_after(LATER, mailbox.pid, message)
    del message
    assert is_nearly_all(cancel_timer(timer))
    assert there() is None
    assert cancel_timer(timer) is None


@pytest.mark.parametrize("anyio_backend", LOOPS)
async def test_what_comes_again_comes_until_it_is_cancelled() -> None:
    mailbox = Mailbox()
    timer = send_every(0.001, mailbox.pid, "tick", first=0)
    for _ in range(3):
        assert await received(mailbox) == "tick"
    assert cancel_timer(timer) is not None
    left = len(mailbox)
    await anyio.sleep(0.01)
    assert len(mailbox) == left <= 1


@pytest.mark.parametrize("anyio_backend", LOOPS)
async def test_who_cancels_it_in_a_thread_is_told_as_well() -> None:
    async with task_group() as group:
        server = await Puppet.start(task_group=group)
        for to in (server, "nobody"):
            timer = send_after(LATER, to, "message")
            assert is_nearly_all(await anyio.to_thread.run_sync(cancel_timer, timer))
            assert cancel_timer(timer) is None


@pytest.mark.parametrize("anyio_backend", LOOPS)
async def test_of_many_who_cancel_it_one_is_told_the_time() -> None:
    told: list[float | None] = []

    def cancel(together: threading.Barrier, timer: Timer) -> None:
        together.wait(PATIENCE)
        told.append(cancel_timer(timer))

    for number in range(20):
        together = threading.Barrier(4)
        timer = send_after((number % 2) * LATER, "nobody", "message")
        async with task_group() as group:
            for _ in range(4):
                group.start_soon(anyio.to_thread.run_sync, cancel, together, timer)
            while len(told) < 4 * (number + 1):
                await anyio.sleep(0)
        times = [left for left in told[-4:] if left is not None]
        assert len(times) == 1 if number % 2 else len(times) <= 1


@pytest.mark.parametrize("anyio_backend", LOOPS)
async def test_threads_without_a_loop_have_that_of_a_process() -> None:
    outside, mailbox = Mailbox(), Mailbox()

    def in_thread() -> None:
        for to, what in (("anybody", "a name"), (mailbox.pid, "the PID of a mailbox")):
            with pytest.raises(RuntimeError, match=f"expected an event loop .+ got {what}"):
                send_after(LATER, to, "message")
        send_after(0.001, server, "from a thread")
        assert is_nearly_all(cancel_timer(send_after(LATER, server, "never")))

    async with task_group() as group:
        server = await Puppet.start("", None, outside, task_group=group)
        thread = threading.Thread(target=in_thread)
        thread.start()
        assert await received(outside) == "from a thread"
        await anyio.to_thread.run_sync(thread.join)
        assert len(outside) == 0


# Who ends, and what ends with them


@pytest.mark.parametrize("anyio_backend", LOOPS)
async def test_a_timer_ends_with_the_process_that_made_it() -> None:
    mailbox, message = Mailbox(), Message()
    there = ref(message)
    async with task_group() as group:
        server = await Puppet.start(task_group=group)
        with_message = [message]
        timer = await call(server, lambda: send_after(LATER, mailbox.pid, with_message.pop()))
        again = await call(server, lambda: send_every(LATER, "nobody", "tick"))
        of_a_child = await call(server, lambda: in_child(server, mailbox.pid))
        del message
        assert there() is not None
        exit(server)
        await wait_exit(server)
        assert there() is None
        assert [cancel_timer(each) for each in (timer, again, of_a_child)] == [None] * 3


async def in_child(server: PID, to: PID) -> Timer:
    made: list[Timer] = []
    done = anyio.Event()

    async def make() -> None:
        made.append(send_after(LATER, to, "message"))
        done.set()

    process_of(server).actor.start_soon_child(make)  # type: ignore[attr-defined]
    await done.wait()
    return made[0]


@pytest.mark.parametrize("anyio_backend", LOOPS)
async def test_a_timer_to_a_process_ends_with_it_and_sends_nothing(
    letters: list[DeadLetter],
) -> None:
    async with task_group() as group:
        maker = await Puppet.start(task_group=group)
        server = await Puppet.start(task_group=group, register_as="receiver")
        message = Message()
        there = ref(message)
        outside = send_after(LATER, server, message)
        inside = await call(maker, lambda: send_after(LATER, server, there()))
        by_name = send_after(LATER, "receiver", "message")
        del message
        exit(server)
        await wait_exit(server)
        assert there() is None
        assert cancel_timer(outside) is cancel_timer(inside) is None
        assert cancel_timer(by_name) is not None
        assert list(timers._bound) == [maker]
        assert cancel_timer(send_after(LATER, server, "message")) is None
        exit(maker)
        await wait_exit(maker)
    assert letters == []


async def test_a_process_without_timers_has_nothing_for_them_and_none_is_a_monitor() -> None:
    async with task_group() as group:
        server = await Puppet.start(task_group=group)
        process = process_of(server)
        assert await call(server, lambda: process_info(server).monitored_by) == 0
        assert process.watchers == {}
        timer = await call(server, lambda: send_after(LATER, "nobody", "message"))
        assert await call(server, lambda: process_info(server).monitored_by) == 0
        cancel_timer(timer)
        assert timers._bound == {server: ({},)}
        exit(server)
        assert await end_of(process) == "shutdown"


async def test_a_crash_ends_its_timers_too() -> None:
    async with task_group() as group:
        server = await Puppet.start(task_group=group)
        timer = await call(server, lambda: send_after(LATER, server, "message"))
        with pytest.raises(Exception, match="Boom"):
            await call(server, boom)
        await wait_exit(server)
        assert cancel_timer(timer) is None


async def test_who_ends_as_a_timer_is_made_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with task_group() as group:
        server = await Puppet.start(task_group=group)
        process = process_of(server)
        watch = process.watch

        def late(*arguments: Any) -> bool:
            bury(process, process.exit_request)  # type: ignore[arg-type]
            return watch(*arguments)

        exit(server)
        monkeypatch.setattr(type(process), "watch", lambda _, *arguments: late(*arguments))
        assert cancel_timer(send_after(LATER, server, "message")) is None
        monkeypatch.undo()


@pytest.mark.parametrize("anyio_backend", LOOPS)
async def test_a_name_is_looked_up_when_it_is_time(letters: list[DeadLetter]) -> None:
    mailbox = Mailbox()
    send_after(0.001, "a late one", "message")
    assert register("a late one", mailbox.pid)
    assert await received(mailbox) == "message"
    unregister("a late one")
    cast_after(0.001, "a late one", "request")
    with anyio.fail_after(PATIENCE):
        while not letters:
            await anyio.sleep(0.001)
    (letter,) = letters
    assert (letter.to, letter.reason) == ("a late one", "noproc")
    assert isinstance(letter.message, Cast)


async def test_to_a_mailbox_that_is_closed_or_gone_it_is_one_dead_letter(
    letters: list[DeadLetter],
) -> None:
    closed, gone = Mailbox(), Mailbox()
    made = [
        send_after(0.001, closed.pid, "once"),
        send_every(0.001, closed.pid, "again and again"),
        send_every(0.001, gone.pid, "again and again"),
    ]
    closed.close()
    del gone
    with anyio.fail_after(PATIENCE):
        while len(letters) < 3:
            await anyio.sleep(0.001)
    await anyio.sleep(0.01)
    assert len(letters) == 3
    assert [cancel_timer(timer) for timer in made] == [None] * 3


@pytest.mark.parametrize("anyio_backend", LOOPS)
async def test_a_message_waits_for_room_in_a_full_mailbox_in_line() -> None:
    mailbox = Mailbox(max_size=1)
    mailbox.put_nowait(0)
    for number in range(1, 4):
        timer = send_after(0, mailbox.pid, number)
        while timer.kept() is not MISSING:
            await anyio.sleep(0.001)
    async with task_group() as group:
        group.start_soon(mailbox.put, 4)
        await others()
        assert [await received(mailbox) for _ in range(5)] == [0, 1, 2, 3, 4]


async def test_what_waits_for_room_as_the_mailbox_closes_is_a_dead_letter(
    letters: list[DeadLetter],
) -> None:
    mailbox = Mailbox(max_size=1)
    mailbox.put_nowait("first")
    timer = send_after(0, mailbox.pid, "second")
    while timer.kept() is not MISSING:
        await anyio.sleep(0.001)
    mailbox.close()
    await others()
    assert [letter.message for letter in letters] == ["first", "second"]


# Event loops that end


def test_a_timer_of_nobody_ends_with_its_event_loop(loop: asyncio.AbstractEventLoop) -> None:
    async def make() -> list[Timer]:
        return [send_after(LATER, "nobody", there()), send_every(LATER, "nobody", "tick")]

    message: Any = Message()
    there = ref(message)
    made = loop.run_until_complete(make())
    del message
    loop.close()
    assert [cancel_timer(timer) for timer in made] == [None] * 2
    del made
    gc.collect()
    assert there() is None


def test_whoever_it_was_for_elsewhere_knows_it_no_more(loop: asyncio.AbstractEventLoop) -> None:
    async def make() -> Timer:
        return send_after(LATER, server, "message")

    server = start(loop)
    timer = asyncio.run(make())
    assert timers._bound == {server: ({},)}
    assert cancel_timer(timer) is None
    trio.run(make)
    assert timers._bound == {server: ({},)}
    loop.close()


def test_a_timer_of_a_process_of_an_ended_loop_is_over(loop: asyncio.AbstractEventLoop) -> None:
    async def make(state: list[Any]) -> Timer:
        return send_after(LATER, "nobody", "message")

    server = start(loop)
    timer = loop.run_until_complete(call(server, make))
    type(loop).close(loop)  # which tells nobody
    assert cancel_timer(timer) is None
    assert cancel_timer(send_after(LATER, server, "message")) is None  # who meets it here


def test_one_for_a_loop_that_takes_nothing_more_is_over(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start(loop)
    monkeypatch.setattr(type(process_of(server).home), "run_soon", lambda *_: False)
    timer = send_after(LATER, server, "message")
    assert "is over" in repr(timer)
    assert timers._bound == {server: ({},)}
    monkeypatch.undo()


def test_on_trio_nothing_of_it_outlives_the_loop_or_holds_it_up() -> None:
    async def main() -> Timer:
        made = send_after(LATER, "nobody", "message")
        await trio.lowlevel.checkpoint()
        assert cancel_timer(send_after(LATER, "nobody", "another")) is not None
        with trio.fail_after(PATIENCE):
            await trio.testing.wait_all_tasks_blocked()
        return made

    assert cancel_timer(trio.run(main)) is None


SIGNALLED = """
import faulthandler, os, signal, sys, threading
import anyio
from fauxtp import *

faulthandler.dump_traceback_later(20, exit=True)
timers = []


async def main():
    mailbox = Mailbox()
    later = send_after(3600, mailbox.pid, "never")
    main_thread = threading.get_ident()

    def interrupt(*_):
        cancel_timer(later)
        timers.append(send_after(0.001, mailbox.pid, "message"))

    signal.signal(signal.SIGUSR1, interrupt)
    threading.Timer(0.1, signal.pthread_kill, (main_thread, signal.SIGUSR1)).start()
    print(await mailbox.receive((ANY, str)), cancel_timer(later))


backend, *uvloop = sys.argv[1].split("+")
anyio.run(main, backend=backend, backend_options={"use_uvloop": True} if uvloop else {})
"""


@pytest.mark.skipif(not hasattr(__import__("signal"), "pthread_kill"), reason="no such signals")
@pytest.mark.parametrize("backend", ["asyncio", "asyncio+uvloop", "trio"])
def test_a_signal_handler_may_set_one_while_the_loop_is_asleep(run: Run, backend: str) -> None:
    done = run(SIGNALLED, backend)
    assert (done.stdout, done.returncode) == ("message None\n", 0), done.stderr


# In time that only a test lets pass

Scenario = Callable[[], Awaitable[object]]
Play = Callable[[Scenario], None]


def simulated(scenario: Scenario) -> None:
    explore(scenario, seeds=20)


def on_a_mock_clock(scenario: Scenario) -> None:
    trio.run(scenario, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.fixture(params=[simulated, on_a_mock_clock], ids=["simulated", "trio"])
def play(request: pytest.FixtureRequest) -> Play:
    """Run a scenario in an hour of which nobody waits for."""
    play: Play = request.param
    return play


def let_pass(seconds: float) -> None:
    """Let the loop be late by so much."""
    try:
        clock = trio.lowlevel.current_clock()
    except RuntimeError:
        asyncio.get_running_loop()._now += seconds  # type: ignore[attr-defined]
    else:
        assert isinstance(clock, trio.testing.MockClock)
        clock.jump(seconds)


ABOUT = 0.2  # seconds that simulated steps may take meanwhile


def is_about(seconds: float, expected: float) -> bool:
    return expected <= seconds < expected + ABOUT


async def times_of(mailbox: Mailbox, many: int, start: float) -> list[float]:
    """Return when so many messages came."""
    found = []
    for _ in range(many):
        await mailbox.receive((ANY, same))
        found.append(anyio.current_time() - start)
    return found


def test_messages_come_in_time_and_in_the_order_of_their_times(play: Play) -> None:
    async def scenario() -> None:
        mailbox, start = Mailbox(), anyio.current_time()
        for seconds in (3600, 10, 60.5, 0):
            send_after(seconds, mailbox.pid, seconds)
        cancelled = send_after(30, mailbox.pid, "cancelled")
        await anyio.sleep(20)
        left = cancel_timer(cancelled)
        assert left is not None
        assert 10 - ABOUT < left < 10.001
        for expected in (0, 10, 60.5, 3600):
            assert await mailbox.receive((ANY, same)) == expected
            if expected > 20:
                assert is_about(anyio.current_time() - start, expected)

    play(scenario)


def test_what_comes_again_does_not_drift(play: Play) -> None:
    async def scenario() -> None:
        mailbox, start = Mailbox(), anyio.current_time()
        timer = send_every(10, mailbox.pid, "tick", first=3)
        for number, time in enumerate(await times_of(mailbox, 100, start)):
            assert is_about(time, 3 + 10 * number)
        cancel_timer(timer)
        timer = send_every(10, mailbox.pid, "tick")
        (time,) = await times_of(mailbox, 1, start)
        assert is_about(time, 1003)
        left = cancel_timer(timer)
        assert left is not None
        assert 10 - ABOUT < left < 10.001

    play(scenario)


def test_what_was_missed_while_the_loop_was_late_is_left_out(play: Play) -> None:
    async def scenario() -> None:
        mailbox, start = Mailbox(), anyio.current_time()
        timer = send_every(10, mailbox.pid, "tick")
        let_pass(35)
        first, second = await times_of(mailbox, 2, start)
        assert is_about(first, 35)
        assert is_about(second, 40)
        cancel_timer(timer)

    play(scenario)


def test_it_does_not_pile_up_behind_who_is_slow(play: Play) -> None:
    async def scenario() -> None:
        outside, start = Mailbox(), anyio.current_time()
        async with anyio.create_task_group() as group:
            server = await Puppet.start("", None, outside, task_group=group)
            await send(server, "before")
            await call(server, anyio.lowlevel.checkpoint)
            timer = send_every(10, server, "tick")
            await call(server, lambda: anyio.sleep(95), timeout=None)
            await others()
            cancel_timer(timer)
            assert [outside.take_nowait() for _ in range(len(outside))] == ["before", "tick"]
            timer = send_every(10, server, "tick")
            assert is_about((await times_of(outside, 2, start))[1], 95 + 20)
            cancel_timer(timer)
            exit(server)

    play(scenario)


def test_it_may_come_again_as_soon_as_the_last_was_taken_out(play: Play) -> None:
    async def scenario() -> None:
        mailbox = Mailbox()
        timer, other = send_every(1, mailbox.pid, "tick"), send_every(1, mailbox.pid, "tock")
        for number in range(50):
            send_nowait(mailbox.pid, number)
        await anyio.sleep(5.5)
        assert len(mailbox) == 52
        for number in range(50):
            assert mailbox.take_nowait() == number
        await anyio.sleep(5)
        assert len(mailbox) == 2
        assert await mailbox.receive(("tock", lambda: "tock")) == "tock"  # from between others
        await anyio.sleep(1)
        assert len(mailbox) == 2
        assert sorted(mailbox.take_nowait() for _ in range(2)) == ["tick", "tock"]
        await anyio.sleep(1)
        assert len(mailbox) == 2
        cancel_timer(timer)
        cancel_timer(other)

    play(scenario)


def test_times_at_which_a_mailbox_is_full_are_left_out(play: Play) -> None:
    async def scenario() -> None:
        mailbox, start = Mailbox(max_size=2), anyio.current_time()
        mailbox.put_nowait("full")
        mailbox.put_nowait("full")
        timer = send_every(10, mailbox.pid, "tick")
        await anyio.sleep(35)
        assert [mailbox.take_nowait(), mailbox.take_nowait(), len(mailbox)] == ["full", "full", 0]
        assert is_about((await times_of(mailbox, 1, start))[0], 40)
        cancel_timer(timer)

    play(scenario)


def test_it_goes_on_with_whoever_has_the_name(play: Play) -> None:
    async def scenario() -> None:
        one, other = Mailbox(), Mailbox()
        timer = send_every(10, "in office", "tick")
        for holder in (one, other):
            register("in office", holder.pid)
            await anyio.sleep(24)
            unregister("in office")
        assert len(one) == len(other) == 1  # both unread
        before = dead_letters.total()
        await anyio.sleep(20)
        assert dead_letters.total() == before + 2
        cancel_timer(timer)

    play(scenario)


def test_an_hour_passes_at_once_on_trio_with_nothing_but_a_timer() -> None:
    async def scenario() -> None:
        mailbox = Mailbox()
        send_after(3600, mailbox.pid, "message")
        await mailbox.receive((ANY, same))

    on_a_mock_clock(scenario)


# What is in the machinery


@pytest.mark.parametrize("make", [Queue, lambda pid: BoundedQueue(pid, 9)])
def test_where_a_message_lies_is_found_however_many_were_taken_out(make: Any) -> None:
    queue, message = make(PID()), Message()
    for number in range(5):
        queue.admit(number)
    queue.admit(message)
    queue.admit("behind it")
    assert queue.place_of(message, 5) == 5
    assert queue.place_of(message, 4) == -1
    queue.keep_next()
    queue.keep_next()
    assert queue.place_of(message, 5) == 5
    queue.put_back(1)
    for place in (4, 3, 2, 1, 0):
        queue.take()
        assert queue.place_of(message, place + 1) == place
    queue.keep_next()
    assert queue.place_of(message, 0) == 0
    assert queue.take() is message
    assert queue.place_of(message, 0) == -1
    queue.take()
    assert queue.place_of(message, 0) == -1


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
def test_those_that_were_cancelled_hold_no_memory(
    kind: str, loop: asyncio.AbstractEventLoop
) -> None:
    its: Any = (
        AsyncioAlarms(loop) if kind == "asyncio" else TrioAlarms(lambda _: True, lambda: True)
    )
    kept = [Alarm(its, float(due), print) for due in range(1000)]
    for _ in range(100):
        for each in [Alarm(its, 0.5, print) for _ in range(1000)]:
            each.cancel()
            each.cancel()
    assert len(its._heap) <= 2 * len(kept)
    for each in kept:
        each.cancel()
    assert len(its._heap) <= 65


def test_a_loop_of_asyncio_knows_of_one_of_them_the_first() -> None:
    asked: list[float] = []

    class Loop(asyncio.SelectorEventLoop):
        def call_at(self, when: float, *rest: Any, **options: Any) -> Any:  # type: ignore[override]
            asked.append(when)
            return super().call_at(when, *rest, **options)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        made = [send_after(LATER + number, "nobody", None) for number in range(1000)]
        first = send_after(0, mailbox.pid, "now")
        assert len(asked) == 2
        assert await received(mailbox) == "now"
        assert all(cancel_timer(timer) is not None for timer in made)
        assert cancel_timer(first) is None
        due = sum(not handle.cancelled() for handle in loop._scheduled)  # type: ignore[attr-defined]
        assert due <= 2  # with that of the test's patience

    mailbox = Mailbox()
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())


def test_on_trio_one_that_there_is_no_memory_for_keeps_back_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise MemoryError

    async def main() -> None:
        mailbox = Mailbox()
        with monkeypatch.context() as short:
            short.setattr(trio_alarms, "spawn_system_task", no_memory)
            with pytest.raises(MemoryError):
                send_after(0, mailbox.pid, "not set")
        send_after(0, mailbox.pid, "set")
        with trio.fail_after(PATIENCE):
            assert await mailbox.receive((str, str)) == "set"

    trio.run(main)


class AtLine:
    """Lets something come in at one line of what timers are made of."""

    FILES = tuple(each.__file__ for each in (timers, alarms, asyncio_alarms, trio_alarms))

    def __init__(self, number: int, intrude: Callable[[], object]) -> None:
        self.left = number
        self.intrude = intrude

    def __call__(self, frame: Any, event: str, _: object) -> Any:
        if event == "line":
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                self.intrude()
        return self if frame.f_code.co_filename in self.FILES else None

    def play(self, work: Callable[[], Any]) -> Any:
        sys.settrace(self)
        try:
            return work()
        finally:
            sys.settrace(None)


async def test_one_timer_may_come_in_at_any_line_of_another() -> None:
    def set_and_cancel(seconds: float) -> None:
        assert cancel_timer(send_after(seconds, server, "never")) is not None

    async with task_group() as group:
        server = await Puppet.start(task_group=group)
        for number in itertools.count(1):
            line = AtLine(number, lambda: set_and_cancel(LATER / 2))
            line.play(lambda: set_and_cancel(LATER))
            assert timers._bound[server] == ({},)
            if line.left > 0:
                break
        assert number > 20


async def test_of_two_who_cancel_one_at_any_line_one_is_told() -> None:
    async with task_group() as group:
        server = await Puppet.start(task_group=group)
        for number in itertools.count(1):
            told: list[float | None] = []

            def cancel(told: list[float | None] = told) -> None:
                told.extend(map(cancel_timer, list(timers._bound.get(server, ({},))[0])))

            line = AtLine(number, cancel)
            timer = line.play(lambda: send_every(LATER, server, "never"))
            told.append(line.play(partial(cancel_timer, timer)))
            assert sum(left is not None for left in told) == 1
            assert timers._bound.get(server, ({},)) == ({},)
            if line.left > 0:
                break
        assert number > 20


async def test_who_cancels_one_at_any_line_as_it_goes_off_is_told_what_becomes_of_it() -> None:
    mailbox = Mailbox()
    for make, number in itertools.product((send_after, send_every), range(1, 40)):
        told: list[float | None] = []
        timer = make(LATER, mailbox.pid, "message")

        def cancel(told: list[float | None] = told, timer: Timer = timer) -> None:
            told.append(cancel_timer(timer))

        AtLine(number, cancel).play(timer.go_off)
        told.append(cancel_timer(timer))
        came = [mailbox.take_nowait() for _ in range(len(mailbox))]
        left = [left for left in told if left is not None]
        if make is send_after:
            assert len(came) + len(left) == 1
        else:
            assert len(came) <= 1 == len(left)


async def test_who_ends_at_any_line_ends_them_too() -> None:
    async with task_group() as group:
        for number in itertools.count(1):
            server = await Puppet.start(task_group=group)
            process = process_of(server)
            line = AtLine(number, partial(bury, process, ExitReason("buried")))
            timer = line.play(partial(send_after, LATER, server, "never"))
            if line.left > 0:
                break
            assert cancel_timer(timer) is None
            assert timers._bound == {}
            process.request_exit(ExitReason("end"))
        assert number > 20


async def test_one_that_is_due_again_and_again_keeps_nobody_from_running() -> None:
    mailbox = Mailbox()
    timer = send_every(5e-324, mailbox.pid, "tick")
    for _ in range(10):
        assert await received(mailbox) == "tick"
    cancel_timer(timer)


async def test_a_timer_is_one_of_its_kind() -> None:
    timer = send_after(LATER, "nobody", "message")
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot pickle or copy a Timer"):
            attempt(timer)
    cancel_timer(timer)


# What is refused

BAD_SECONDS: list[tuple[Any, type[Exception], str]] = [
    ("1", TypeError, "expected {} to be a number, got str"),
    (True, TypeError, "expected {} to be a number, got bool"),
    (1j, TypeError, "expected {} to be a number, got complex"),
    (Fraction(1, 2), TypeError, "expected {} to be a number, got Fraction"),
    (-1, ValueError, "expected {} to be finite and at least 0, got -1"),
    (math.nan, ValueError, "expected {} to be finite and at least 0, got nan"),
    (math.inf, ValueError, "expected {} to be finite and at least 0, got inf"),
    (10**400, ValueError, "expected {} to be finite and at least 0, got inf"),
    (-(10**400), ValueError, "expected {} to be finite and at least 0, got -inf"),
]


@pytest.mark.parametrize(("seconds", "kind", "text"), BAD_SECONDS)
async def test_seconds_that_are_none_are_refused(seconds: Any, kind: Any, text: str) -> None:
    for make in (send_after, cast_after, send_every):
        with pytest.raises(kind, match=text.format("seconds")):
            make(seconds, "nobody", "message")
    with pytest.raises(kind, match=text.format("first")):
        send_every(1, "nobody", "message", first=seconds)


@pytest.mark.parametrize("seconds", [None, 0, 0.0])
async def test_an_interval_has_a_length(seconds: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"expected seconds to be .+, got"):
        send_every(seconds, "nobody", "message")


async def test_what_is_no_address_or_no_timer_is_refused() -> None:
    for make in (send_after, cast_after, send_every):
        with pytest.raises(TypeError, match="expected a PID or a name, got int"):
            make(1, 5, "message")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected timer to be a Timer, got int"):
        cancel_timer(5)  # type: ignore[arg-type]


FORKED = """
import os, sys, anyio
from fauxtp import Mailbox, cancel_timer, send_after, send_every
async def main():
    mailbox = Mailbox()
    once = send_after(0.05, mailbox.pid, "once")
    often = send_every(60, "nobody", "often")
    child = os.fork()
    if child == 0:
        os._exit(10 + [cancel_timer(timer) for timer in (once, often, once)].count(None))
    with anyio.fail_after(20):
        assert await mailbox.receive((str, lambda text: text)) == "once"
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 13, code
    assert cancel_timer(often) > 0
anyio.run(main, backend=sys.argv[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_forked_process_has_none_of_the_timers_of_its_parent(run: Run, backend: str) -> None:
    done = run(FORKED, backend, options=("-W", "ignore::DeprecationWarning"))
    assert (done.returncode, done.stderr) == (0, "")
