"""Calls that wait for a name that is away, and are sent again if they have had no effect."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest
from crew import Puppet, boom, pid_of, process_of, running, supervisor
from in_simulated_time import each_loop

from fauxtp import (
    PID,
    Call,
    ChildSpec,
    GenServer,
    Mailbox,
    NoProcess,
    ProcessExited,
    Stop,
    call,
    call_blocking,
    cast,
    exit,
    register,
    unregister,
    wait_exit,
    whereis,
)
from fauxtp._loops.thread_waiter import ThreadWaiter
from fauxtp._messaging.safe_retry import again_blocking

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
