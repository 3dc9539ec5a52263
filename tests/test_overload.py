"""The watch: slow handlers, long mailboxes and blocked loops are told of, and nothing else is."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest
from conftest import PATIENCE, Run, task_group
from crew import Puppet, process_of

from fauxtp import call, cast, send_nowait, start_call, suspend
from fauxtp.observe import Watch, events, overload, watch
from fauxtp.observe.events import Event, Kind
from fauxtp.observe.levels import Level
from fauxtp.observe.loop_watch import LoopWatch, blocked
from fauxtp.observe.process_watch import ProcessWatch

pytestmark = pytest.mark.anyio

WARNINGS = Kind.SLOW_HANDLER | Kind.MAILBOX_HIGH | Kind.LOOP_BLOCKED
has_gil = sys.version_info < (3, 13) or sys._is_gil_enabled()


class Logged(logging.Handler):
    """Keeps what the watch logs, and lets whoever waits for that go on."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.warned = threading.Event()
        self.is_over = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        (self.warned if record.levelno == logging.WARNING else self.is_over).set()

    @property
    def texts(self) -> list[str]:
        return [record.getMessage() for record in self.records]

    @property
    def levels(self) -> list[str]:
        return [record.levelname for record in self.records]


@pytest.fixture
def logged() -> Iterator[Logged]:
    handler, logger = Logged(), logging.getLogger("fauxtp.watch")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


@contextmanager
def told(kinds: Kind = WARNINGS) -> Iterator[list[Event]]:
    heard: list[Event] = []
    with events.listen(heard.append, kinds):
        yield heard


# Handlers


async def test_a_slow_handler_is_told_at_its_limit_at_each_doubling_and_when_it_is_over(
    logged: Logged,
) -> None:
    watching = ProcessWatch(1.0, None)
    gate, begun = anyio.Event(), anyio.Event()

    async def wait() -> None:
        begun.set()
        await gate.wait()

    async with task_group() as group:
        pid = await Puppet.start(task_group=group, register_as="slow")
        process = process_of(pid)
        await cast(pid, wait)
        await begun.wait()
        since = process.handled_since
        with told() as heard:
            for seconds in (0.5, 1.0, 1.5, 2.0, 3.9, 9.0, 15.0):
                watching.look([process], since + seconds)
            gate.set()
            await call(pid, lambda: 1)
            for _ in range(2):
                watching.look([process], since + 16.0)
    assert logged.levels == ["WARNING"] * 3 + ["INFO"]
    assert logged.texts == [
        *(f"Puppet 'slow' {pid!r} has handled Cast function for {n} s" for n in (1, 2, 9)),
        f"Puppet 'slow' {pid!r} is done with what it handled, after more than 15 s",
    ]
    assert [round(event.details["seconds"], 6) for event in heard] == [1.0, 2.0, 9.0]
    assert {event[:3] for event in heard} == {(Kind.SLOW_HANDLER, pid, ("Puppet",))}
    facts: Any = logged.records[0]
    assert facts.fauxtp["class"] == "Puppet"
    assert facts.fauxtp["seconds"] == pytest.approx(1.0)


async def test_the_next_slow_handler_is_told_anew(logged: Logged) -> None:
    watching = ProcessWatch(1.0, None)
    async with task_group() as group:
        process = process_of(await Puppet.start(task_group=group))
        for since in (100.0, 200.0):
            process.handling, process.handled_since = "message", since
            watching.look([process], since + 1.5)
        process.handling = None
        watching.look([process], 300.0)
    assert logged.levels == ["WARNING", "INFO", "WARNING", "INFO"]


# Mailboxes


async def test_a_long_mailbox_is_told_at_its_limit_at_each_doubling_and_when_it_is_short(
    logged: Logged,
) -> None:
    watching = ProcessWatch(None, 4)
    async with task_group() as group:
        pid = await Puppet.start(task_group=group)
        process = process_of(pid)
        await suspend(pid)
        with told() as heard:
            for number in (3, 1, 1, 3, 1):  # 3, 4, 5, 8, 9
                for _ in range(number):
                    send_nowait(pid, 1)
                watching.look([process], 0.0)
            for length in (3, 2, 2, 4):
                while len(process.mailbox) > length:
                    process.mailbox.take()
                while len(process.mailbox) < length:
                    send_nowait(pid, 1)
                watching.look([process], 0.0)
    assert logged.levels == ["WARNING", "WARNING", "INFO", "WARNING"]
    assert logged.texts == [
        f"Puppet {pid!r} has 4 messages in its mailbox",
        f"Puppet {pid!r} has 8 messages in its mailbox",
        f"Puppet {pid!r} has 2 messages in its mailbox, and no more",
        f"Puppet {pid!r} has 4 messages in its mailbox",
    ]
    assert [event.details["length"] for event in heard] == [4, 8, 4]


async def test_nothing_is_kept_of_who_has_ended() -> None:
    watching = ProcessWatch(1.0, 1)
    async with task_group() as group:
        pids = [await Puppet.start(task_group=group) for _ in range(2)]
        for pid in pids:
            await suspend(pid)
            send_nowait(pid, 1)
            process_of(pid).handling = None
        some = [process_of(pid) for pid in pids]
        some[0].handling, some[0].handled_since = "message", 1.0
        watching.look(some, 9.0)
        assert (len(watching._slow), len(watching._long)) == (1, 2)
        watching.forget_all_but({pids[1]})
        assert (len(watching._slow), len(watching._long)) == (0, 1)
        some[0].handling = None


# Loops


class Loop:
    """Stands for an event loop that answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.has_ended = False

    def run_soon(self, function: Any) -> bool:
        self.asked.append(function)
        return not self.has_ended

    def answers(self) -> None:
        self.asked.pop()()


def at(monkeypatch: pytest.MonkeyPatch, now: float) -> None:
    monkeypatch.setattr("fauxtp.observe.loop_watch.monotonic", lambda: now)


def test_a_loop_that_stands_still_is_told_of(
    logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching, loop = LoopWatch(1.0), Loop()
    watching.know(Counter({loop: 3}))  # type: ignore[dict-item]
    before = blocked.value
    with told() as heard:
        for now in (10.0, 10.5, 11.0, 11.5, 12.0, 13.0):
            watching.look(now)
        assert len(loop.asked) == 1
        at(monkeypatch, 13.25)
        loop.answers()
        watching.look(13.5)
        watching.look(14.0)
    assert logged.texts == [
        "an event loop with 3 processes has stood still for 1 s",
        "an event loop with 3 processes has stood still for 2 s",
        "an event loop runs again, after 3.25 s",
    ]
    assert [event.details["seconds"] for event in heard] == [1.0, 2.0]
    assert blocked.value - before == 3_250_000_000


def test_what_was_over_before_the_next_look_is_told_too(
    logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching, loop = LoopWatch(1.0), Loop()
    watching.know(Counter({loop: 1}))  # type: ignore[dict-item]
    watching.look(10.0)
    at(monkeypatch, 11.2)
    loop.answers()
    watching.look(12.0)
    assert logged.levels == ["WARNING", "INFO"]


def test_a_loop_that_answers_is_not_told_of(
    logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching, loop, gone = LoopWatch(1.0), Loop(), Loop()
    gone.has_ended = True
    watching.know(Counter({loop: 1, gone: 1}))  # type: ignore[dict-item]
    for now in range(10, 20):
        watching.look(now)
        at(monkeypatch, now + 0.9)
        loop.answers()
    assert logged.records == []


@pytest.mark.skipif(not has_gil, reason="frames are not looked at here")
def test_a_loop_that_is_idle_is_asked_once(run: Run) -> None:
    """On each kind of loop; one that a program runs itself, without a module of ours."""
    program = """
import sys, threading, time
import anyio
from fauxtp import GenServer
from fauxtp._core.process import everybody
from fauxtp.observe.loop_watch import LoopWatch
from collections import Counter

idle = threading.Event()

async def main():
    async with anyio.create_task_group() as group:
        pid = await GenServer.start(task_group=group)
        await anyio.to_thread.run_sync(look)
        group.cancel_scope.cancel()

def look():
    (process,) = everybody()
    asked = []

    class Home:
        def run_soon(self, function):
            asked.append(function)
            return process.home.run_soon(function)

    watching = LoopWatch(60.0)
    watching.know(Counter([Home()]))
    quiet, deadline = 0, time.monotonic() + 30
    while quiet < 30:  # a loop that is idle for so many looks
        assert time.monotonic() < deadline, len(asked)
        before = len(asked)
        watching.look(time.monotonic())
        time.sleep(0.001)
        quiet = quiet + 1 if len(asked) == before else 0
    assert asked

anyio.run(main, backend=sys.argv[1], backend_options={"use_uvloop": True} if sys.argv[2:] else {})
"""
    for arguments in (("asyncio",), ("trio",), ("asyncio", "uvloop")):
        assert run(program, *arguments).stderr == ""


async def test_a_blocked_loop_is_found_and_heard_of_again(logged: Logged) -> None:
    """It is blocked until it is told of: by a handler that waits without `await`.

    On a machine that has much to do, it may be told of before, and again at the doubling. Where
    it stands is known if it was heard of before.
    """

    def shows(event: Event) -> bool:
        where, handler = event.details["where"], event.details["handler"]
        return where is None or (" in " in where and "crew.py" in (handler or ""))

    def block() -> None:
        before, end = len(heard), time.monotonic() + PATIENCE
        while not any(map(shows, heard[before:])):
            assert time.monotonic() < end, heard
            time.sleep(0.001)
        logged.is_over.clear()

    with watch(slow_handler=None, mailbox=None, loop_blocked=0.02), told() as heard:
        async with task_group() as group:
            pid = await Puppet.start(task_group=group)
            await call(pid, lambda: 1)
            await call(pid, block)
            await anyio.to_thread.run_sync(logged.is_over.wait, PATIENCE)
    assert logged.levels[0] == "WARNING"
    assert {event.kind for event in heard} == {Kind.LOOP_BLOCKED}
    assert min(event.details["seconds"] for event in heard) >= 0.02


async def test_the_thread_finds_slow_handlers_and_long_mailboxes(logged: Logged) -> None:
    async with task_group() as group:
        pid = await Puppet.start(task_group=group)
        gate = anyio.Event()
        pending = start_call(pid, gate.wait)
        send_nowait(pid, 1)
        with watch(slow_handler=0.001, mailbox=1, loop_blocked=None):
            while len({record.msg for record in logged.records}) < 2:
                await anyio.sleep(0)
        gate.set()
        pending.cancel()
    assert {type(record.args) for record in logged.records} == {tuple}


# The watch itself


async def test_it_is_watched_once_until_that_is_closed() -> None:
    def watchers() -> int:
        return [thread.name for thread in threading.enumerate()].count("fauxtp.watch")

    watching = watch()
    assert watchers() == 1
    assert isinstance(watching, Watch)
    with pytest.raises(RuntimeError, match="the program is watched already"):
        watch()
    watching.close()
    watching.close()
    with watch():
        pass
    assert watchers() == 0


@pytest.mark.parametrize(
    ("limits", "kind", "message"),
    [
        ({"slow_handler": "1"}, TypeError, "expected slow_handler to be a number, got str"),
        ({"loop_blocked": 0}, ValueError, "expected loop_blocked to be above 0, got 0"),
        ({"loop_blocked": -1}, ValueError, "expected loop_blocked to be finite and at least 0"),
        ({"mailbox": 1.5}, TypeError, "expected mailbox to be an int or None, got float"),
        ({"mailbox": True}, TypeError, "expected mailbox to be an int or None, got bool"),
        ({"mailbox": 0}, ValueError, "expected mailbox to be at least 1, got 0"),
        (
            {"slow_handler": None, "mailbox": None, "loop_blocked": None},
            ValueError,
            "expected a limit, and all of them are None",
        ),
    ],
)
def test_what_is_no_limit_is_refused(limits: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        watch(**limits)
    watch().close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked here")
def test_a_forked_process_is_watched(run: Run) -> None:
    program = """
import os, threading
from fauxtp.observe import watch
with watch():
    child = os.fork()
    if child == 0:
        os._exit([thread.name for thread in threading.enumerate()].count("fauxtp.watch"))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
"""
    quiet = ("-W", "ignore::DeprecationWarning")  # of a fork where there are threads
    assert run(program, options=quiet).stderr == ""


def test_a_program_ends_though_it_is_watched(run: Run) -> None:
    assert run("from fauxtp.observe import watch\nwatch()").stderr == ""


async def test_it_looks_at_all_in_pieces_and_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    sizes: list[int] = []
    looked, rest_after = threading.Event(), overload.rest_after

    def rest(used: float, between: float) -> float:
        rests.append(rest_after(used, between))
        if len(rests) == 3:
            looked.set()
        return 0.0

    monkeypatch.setattr(overload, "PIECE", 2)
    monkeypatch.setattr(overload, "rest_after", rest)
    monkeypatch.setattr(ProcessWatch, "look", lambda _, some, now: sizes.append(len(some)))
    async with task_group() as group:
        for _ in range(5):
            await Puppet.start(task_group=group)
        with watch(slow_handler=0.2, loop_blocked=None):
            await anyio.to_thread.run_sync(looked.wait, PATIENCE)
    assert sizes[:6] == [2, 2, 1, 2, 2, 1]
    assert min(rests) >= 0.1


def test_levels_tell_seldom() -> None:
    level = Level(1.0)
    assert sum(level.rises(number / 100) for number in range(100_000)) == 10
    assert level.falls()
