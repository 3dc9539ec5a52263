"""Calls that wait for a name that is away, and are sent again if they have had no effect."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint
from crew import Puppet, boom, pid_of, process_of, running, supervisor
from in_simulated_time import each_loop

from fauxtp import (
    NO_REPLY,
    PID,
    Call,
    CallCycle,
    ChildSpec,
    ExitReason,
    GenServer,
    Mailbox,
    MailboxFull,
    NoProcess,
    ProcessExited,
    Raise,
    ReceiveTimeout,
    Stop,
    call,
    call_blocking,
    cast,
    exit,
    register,
    reply,
    unregister,
    wait_exit,
    whereis,
)
from fauxtp._loops.thread_waiter import ThreadWaiter
from fauxtp._messaging import safe_retry
from fauxtp._messaging.safe_retry import again, again_blocking
from fauxtp.cluster import NoConnection

pytestmark = pytest.mark.anyio

Asks = Callable[..., Any]


async def in_thread(*arguments: Any, **more: Any) -> Any:
    return await anyio.to_thread.run_sync(partial(call_blocking, *arguments, **more))


each_way = pytest.mark.parametrize("ask", [call, in_thread])


class Steps(GenServer[Any, Any]):
    """Notes what it begins; ends, crashes or answers."""

    def __init__(self, diary: list[str]) -> None:
        self.diary = diary

    async def handle_call(self, request: str, from_: Call, state: Any) -> Any:
        self.diary.append(request)
        if request == "crash":
            boom()
        if request == "stop":
            raise Stop
        return request, state

    async def handle_cast(self, request: anyio.Event, state: Any) -> Any:
        await request.wait()
        raise Stop


@each_way
async def test_a_name_that_is_away_is_waited_for(ask: Asks) -> None:
    answers: list[str] = []

    async def question() -> None:
        answers.append(await ask("steps", "hello", wait=60))

    async with running() as group:
        group.start_soon(question)
        await anyio.wait_all_tasks_blocked()
        server = await Steps.start([], task_group=group, register_as="steps")
        while not answers:
            await anyio.sleep(0.001)
        assert answers == ["hello"]
        exit(server)


@each_way
async def test_what_was_begun_is_not_sent_again(ask: Asks) -> None:
    diary: list[str] = []
    spec = ChildSpec("steps", Steps, args=(diary,), register_as="steps")
    async with running() as group:
        chief = await supervisor(spec).start(task_group=group)
        with pytest.raises(ProcessExited) as caught:
            await ask("steps", "crash", wait=60)
        assert caught.value.taken_up
        assert diary == ["crash"]
        exit(chief)


@each_way
async def test_what_lay_there_is_sent_to_the_successor_once(ask: Asks) -> None:
    diary: list[str] = []
    spec = ChildSpec("steps", Steps, args=(diary,), register_as="steps")
    answers: list[str] = []

    async def question(request: str) -> None:
        answers.append(await ask("steps", request, wait=60))

    async with running() as group:
        chief = await supervisor(spec).start(task_group=group)
        first = pid_of("steps")
        may_end = anyio.Event()
        await cast(first, may_end)
        async with anyio.create_task_group() as callers:
            for number in range(5):
                callers.start_soon(question, str(number))
            await lying(first, 5)
            may_end.set()
        assert sorted(answers) == sorted(diary) == list("01234")
        assert pid_of("steps") != first
        exit(chief)


async def lying(pid: PID, number: int) -> None:
    while len(process_of(pid).mailbox) < number:
        await anyio.sleep(0.001)


@each_way
async def test_one_that_ends_slowly_is_not_asked_again_and_again(ask: Asks) -> None:
    class Slow(Puppet):
        async def terminate(self, reason: str, state: Any) -> None:
            ending.set()
            await may_end.wait()

    ending, may_end = anyio.Event(), anyio.Event()
    answers: list[str] = []

    async def question() -> None:
        answers.append(await ask("slow", lambda: "answer", wait=60))

    async with running() as group:
        spec = ChildSpec("slow", Slow, register_as="slow", shutdown=60)
        chief = await supervisor(spec).start(task_group=group)
        first = pid_of("slow")
        exit(first)
        await ending.wait()
        async with anyio.create_task_group() as callers:
            callers.start_soon(question)
            await anyio.wait_all_tasks_blocked()  # it waits, and does not try again and again
            may_end.set()
        assert answers == ["answer"]
        exit(chief)


@each_loop
def test_it_is_waited_for_no_longer_than_that(simulated: Any) -> None:
    async def scenario() -> None:
        began = anyio.current_time()
        with pytest.raises(NoProcess, match="nobody"):
            await call("nobody", "hello", wait=3)
        assert anyio.current_time() - began == pytest.approx(3, abs=0.1)

    simulated(scenario)


@each_way
async def test_a_pid_does_not_come_back(ask: Asks) -> None:
    async with running() as group:
        pid = await Puppet.start(task_group=group)
        exit(pid)
        await wait_exit(pid)
        with pytest.raises(NoProcess):
            await ask(pid, "hello", wait=math.inf)


@each_way
async def test_a_name_of_what_cannot_be_called_is_not_waited_for(ask: Asks) -> None:
    register("plain", PID())
    try:
        with pytest.raises(NoProcess):
            await ask("plain", "hello", wait=math.inf)
    finally:
        unregister("plain")


async def test_who_is_cancelled_while_it_waits_leaves_nothing() -> None:
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(partial(call, "nobody", "hello", wait=math.inf))
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught


@pytest.mark.parametrize(
    ("came", "kind", "told"),
    [
        ("1", TypeError, "expected wait to be a number or None, got str"),
        (math.nan, ValueError, "expected wait to be a number of seconds, got nan"),
    ],
)
@each_way
async def test_what_is_no_time_is_refused(
    ask: Asks, came: Any, kind: type[Exception], told: str
) -> None:
    async with running() as group:
        pid = await Puppet.start(task_group=group)
        with pytest.raises(kind, match=told):
            await ask(pid, lambda: "not asked", wait=came)
        exit(pid)


def test_threads_may_wait_before_any_event_loop_runs() -> None:
    def ask() -> None:
        with pytest.raises(NoProcess):
            call_blocking("nobody", "hello", wait=0.01)
        done.append(True)

    done: list[bool] = []
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(60)
    assert done


def test_a_thread_that_waits_for_a_name_tries_again_when_it_is_there_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    box, tries = Mailbox(), 0

    class Watched(ThreadWaiter):
        def wait_blocking(self, seconds: float | None) -> bool:
            assert register("away", box.pid)
            return super().wait_blocking(seconds)

    def attempt() -> str:
        nonlocal tries
        tries += 1
        assert tries < 3
        if whereis("away") is None:
            raise NoProcess("away")
        return "an answer"

    monkeypatch.setattr("fauxtp._messaging.wait_registered.ThreadWaiter", Watched)
    assert again_blocking(attempt, "away", 60) == "an answer"
    assert tries == 2
    unregister("away")


# Which errors


UNTAKEN: list[Callable[[], Exception]] = [
    lambda: NoProcess("steps"),
    lambda: NoConnection("the server is away"),
    lambda: NoConnection("node 'b' does not listen"),
    lambda: ProcessExited(PID(), ExitReason("shutdown")),
]
TAKEN: list[Callable[[], Exception]] = [
    lambda: ProcessExited(PID(), ExitReason("noconnection"), taken_up=True),
    lambda: ReceiveTimeout("too late"),
    lambda: ReceiveTimeout("too late", taken_up=True),
    lambda: MailboxFull(PID(), 1),
    lambda: CallCycle([PID(), PID()]),
    lambda: ValueError("no such step"),
]


async def tried(error: Callable[[], Exception], to: PID | str, in_a_thread: bool) -> list[str]:
    """Return what is done if that error is met once."""
    done: list[str] = []

    def attempt_blocking() -> str:
        done.append("tried")
        if len(done) == 1:
            raise error()
        return "answer"

    async def attempt() -> str:
        return attempt_blocking()

    try:
        if in_a_thread:
            done.append(await anyio.to_thread.run_sync(again_blocking, attempt_blocking, to, 60))
        else:
            done.append(await again(attempt, to, 60))
    except Exception as met:
        done.append(type(met).__name__)
    return done


each_place = pytest.mark.parametrize("in_a_thread", [False, True])


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_retry, "SHORTEST", 0.0001)


@each_place
@pytest.mark.parametrize("error", UNTAKEN, ids=lambda error: repr(error()))
@pytest.mark.usefixtures("no_pause")
async def test_what_nobody_has_taken_up_is_sent_again(error: Any, in_a_thread: bool) -> None:
    mailbox = Mailbox()
    register("steps", mailbox.pid)
    assert await tried(error, "steps", in_a_thread) == ["tried", "tried", "answer"]
    name = type(error()).__name__
    assert await tried(error, mailbox.pid, in_a_thread) == ["tried", name], (
        "a PID has no successor"
    )
    mailbox.close()


@each_place
@pytest.mark.parametrize("error", TAKEN, ids=lambda error: repr(error()))
async def test_what_may_have_been_taken_up_is_not(error: Any, in_a_thread: bool) -> None:
    mailbox = Mailbox()
    register("steps", mailbox.pid)
    assert await tried(error, "steps", in_a_thread) == ["tried", type(error()).__name__]
    mailbox.close()


class Refusing(GenServer[Any, Any]):
    """Refuses whatever it is asked, with an error that it may have met itself."""

    async def init(self) -> int:
        return 0

    async def handle_call(self, request: Any, from_: Call, asked: int) -> Any:
        how, error = request
        if how == "count":
            return asked, asked
        if how == "stop":
            raise Stop(reply=Raise(error))
        if how == "reply":
            reply(from_, Raise(error))
            return NO_REPLY, asked + 1
        if how == "later":
            await checkpoint()
        return Raise(error), asked + 1


@each_way
@pytest.mark.parametrize("how", ["at once", "later", "reply"])
@pytest.mark.parametrize("error", [*UNTAKEN, *TAKEN], ids=lambda error: repr(error()))
async def test_what_a_server_has_refused_is_never_sent_again(
    ask: Asks, how: str, error: Any
) -> None:
    async with running() as group:
        server = await Refusing.start(task_group=group, register_as="refusing")
        with pytest.raises(type(error())):
            await ask("refusing", (how, error()), wait=60)
        assert await call(server, ("count", None)) == 1
        exit(server)


@each_way
async def test_nor_is_it_by_its_last_answer(ask: Asks) -> None:
    async with running() as group:
        await Refusing.start(task_group=group, register_as="refusing")
        with pytest.raises(NoProcess, match="no living process behind 'database'"):
            await ask("refusing", ("stop", NoProcess("database")), wait=60)


@each_loop
def test_who_cannot_be_reached_is_left_alone_for_longer_each_time(simulated: Any) -> None:
    times: list[float] = []

    async def scenario() -> None:
        async def attempt() -> None:
            times.append(anyio.current_time())
            raise NoConnection("the server is away")

        mailbox = Mailbox()
        register("away", mailbox.pid)
        with pytest.raises(NoConnection):
            await again(attempt, "away", 4)
        mailbox.close()

    simulated(scenario)
    pauses = [round(later - sooner, 3) for sooner, later in pairwise(times)]
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 0.45]
