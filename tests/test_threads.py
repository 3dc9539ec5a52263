"""Senders and callers in other threads: none lost, none twice, woken promptly."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint
from conftest import task_group

from fauxtp import (
    ANY,
    Call,
    DeadLetter,
    GenServer,
    Mailbox,
    MailboxClosed,
    NoProcess,
    ProcessExited,
    call,
    call_blocking,
    cast_nowait,
    dead_letters,
    exit,
    send,
    send_nowait,
    wait_exit,
)
from fauxtp.registry import PID

THREADS, EACH = 8, 10_000

LOOPS: list[Any] = [
    pytest.param(("asyncio", {}), id="asyncio"),
    pytest.param(("trio", {}), id="trio"),
]
try:
    import uvloop  # noqa: F401
except ImportError:
    pass
else:
    LOOPS.append(pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"))

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", LOOPS)]

Work = Callable[[PID, int], None]


class Adder(GenServer[int, int]):
    async def init(self) -> int:
        return 0

    async def handle_call(self, request: int, from_: Call, state: int) -> Any:
        return state + request, state + request

    async def handle_cast(self, request: int, state: int) -> int:
        return state + request


class Tally(GenServer[Any, Any]):
    """A server that notes what it is sent."""

    def __init__(self, seen: list[Any]) -> None:
        self.seen = seen

    async def handle_cast(self, request: Any, state: Any) -> Any:
        self.seen.append(request)

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        self.seen.append(request)
        return request, state


def run_there(number: int, function: Callable[..., Any], *args: Any) -> None:
    """Run the async `function` in an event loop of this thread, of this or that kind."""
    anyio.run(function, *args, backend=("asyncio", "trio")[number % 2])


async def in_threads(count: int, work: Callable[[int], None]) -> None:
    async with anyio.create_task_group() as threads:
        limiter = anyio.CapacityLimiter(count)
        for number in range(count):
            threads.start_soon(_in_thread, work, number, limiter)


async def _in_thread(work: Callable[[int], None], number: int, limiter: Any) -> None:
    await anyio.to_thread.run_sync(work, number, limiter=limiter)


# Nothing lost, nothing twice


async def test_of_8_threads_times_10000_messages_none_is_lost_and_none_comes_twice() -> None:
    mailbox = Mailbox()

    def work(number: int) -> None:
        if number % 4 < 2:
            for count in range(EACH):
                send_nowait(mailbox.pid, (number, count))
        else:
            run_there(number, send_all, number)

    async def send_all(number: int) -> None:
        for count in range(EACH):
            await send(mailbox.pid, (number, count))

    got: list[list[int]] = [[] for _ in range(THREADS)]

    async def read() -> None:
        for _ in range(THREADS * EACH):
            number, count = await mailbox.receive((ANY, lambda message: message))
            got[number].append(count)

    async with task_group():
        async with anyio.create_task_group() as reading:
            reading.start_soon(read)
            await in_threads(THREADS, work)
        assert got == [list(range(EACH))] * THREADS
        assert len(mailbox) == 0


async def test_of_8_threads_times_10000_casts_a_server_handles_each_once() -> None:
    seen: list[Any] = []

    async with task_group() as group:
        pid = await Tally.start(seen, task_group=group)

        def work(number: int) -> None:
            for count in range(EACH):
                cast_nowait(pid, (number, count))

        await in_threads(THREADS, work)
        await call(pid, "end", timeout=None)
        assert seen.pop() == "end"
        for number in range(THREADS):
            assert [count for who, count in seen if who == number] == list(range(EACH))


# Prompt answers


async def test_threads_without_event_loops_call_a_server() -> None:
    async with task_group() as group:
        pid = await Adder.start(task_group=group)

        def work(number: int) -> None:
            for _ in range(100):
                call_blocking(pid, 1, timeout=None)

        await in_threads(4, work)
        assert await call(pid, 0, timeout=None) == 400


async def test_threads_with_event_loops_of_their_own_call_a_server() -> None:
    async with task_group() as group:
        pid = await Adder.start(task_group=group)

        async def call_often() -> None:
            for _ in range(100):
                await call(pid, 1, timeout=None)

        await in_threads(4, lambda number: run_there(number, call_often))
        assert await call(pid, 0, timeout=None) == 400


@pytest.mark.parametrize("kind", [0, 1], ids=["to asyncio", "to trio"])
async def test_a_receiver_that_sleeps_is_woken_by_each_single_message(kind: int) -> None:
    here, there = Mailbox(), Mailbox()

    async def echo() -> None:
        for _ in range(300):
            await there.receive((ANY, lambda message: send_nowait(here.pid, message)))

    async with task_group() as group:
        group.start_soon(in_threads, 1, lambda _: run_there(kind, echo))
        for number in range(300):
            send_nowait(there.pid, number)
            assert await here.receive((ANY, lambda message: message)) == number


# Ends


async def close_under_fire() -> Counter[Any]:
    """Close a mailbox while threads send to it; count what was handled, and what was lost."""
    mailbox, handled, fate = Mailbox(), list[Any](), list[Any]()

    def work(number: int) -> None:
        for count in range(300):
            send_nowait(mailbox.pid, (number, count))

    async def read() -> None:
        even = (lambda message: message[1] % 2 == 0, handled.append)  # the others are kept
        with suppress(MailboxClosed):
            while True:
                await mailbox.receive(even)

    async def close() -> None:
        while len(handled) < 100:
            await checkpoint()
        await anyio.to_thread.run_sync(mailbox.close)

    def note(letter: DeadLetter) -> None:
        fate.append(letter.message)

    with dead_letters.observed_by(note):
        async with anyio.create_task_group() as racing:
            racing.start_soon(read)
            racing.start_soon(close)
            await in_threads(4, work)
    assert mailbox.closed
    return Counter([*handled, *fate])


async def test_messages_that_race_with_close_are_handled_or_dead_letters_exactly_once() -> None:
    async with task_group():
        for _ in range(10):
            counts = await close_under_fire()
            expected = [(number, count) for number in range(4) for count in range(300)]
            assert counts == Counter(expected)


async def end_under_fire(group: Any) -> tuple[list[Any], list[Any]]:
    """End a server while threads call it; return the answers (or None), and what it handled."""
    handled, outcomes = list[Any](), list[Any]()
    pid = await Tally.start(handled, task_group=group)

    def work(number: int) -> None:
        for count in range(50):
            try:
                outcomes.append(call_blocking(pid, (number, count), timeout=None))
            except (NoProcess, ProcessExited):
                outcomes.append(None)

    async def end() -> None:
        while len(handled) < 20:
            await checkpoint()
        await anyio.to_thread.run_sync(exit, pid)
        await wait_exit(pid)

    async with anyio.create_task_group() as racing:
        racing.start_soon(end)
        await in_threads(4, work)
    return outcomes, handled


async def test_calls_that_race_with_a_death_are_answered_or_fail_exactly_once() -> None:
    async with task_group() as group:
        for _ in range(5):
            outcomes, handled = await end_under_fire(group)
            answers = [outcome for outcome in outcomes if outcome is not None]
            assert len(outcomes) == 200
            assert len(set(handled)) == len(handled)
            assert len(set(answers)) == len(answers)
            assert set(answers) <= set(handled)


async def test_who_waited_in_an_event_loop_that_has_closed_harms_nobody() -> None:
    mailbox = Mailbox(max_size=1)
    mailbox.put_nowait("in the way")

    def abandon(number: int) -> None:
        loop = asyncio.new_event_loop()
        task = loop.create_task(send(mailbox.pid, "never"))
        loop.run_until_complete(asyncio.sleep(0))
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        abandoned.append(task)
        loop.close()

    abandoned: list[Any] = []
    async with task_group() as group:
        await in_threads(1, abandon)
        assert mailbox._queue.in_line == 1
        sent = anyio.Event()

        async def send_one() -> None:
            await send(mailbox.pid, "after")
            sent.set()

        group.start_soon(send_one)
        await anyio.wait_all_tasks_blocked()
        assert await mailbox.receive((ANY, lambda message: message)) == "in the way"
        await sent.wait()
        assert await mailbox.receive((ANY, lambda message: message)) == "after"


async def test_who_received_in_an_event_loop_that_has_closed_harms_no_sender() -> None:
    mailbox = Mailbox()

    def abandon(number: int) -> None:
        loop = asyncio.new_event_loop()
        task = loop.create_task(mailbox.receive((ANY, lambda message: message)))
        loop.run_until_complete(asyncio.sleep(0))
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        abandoned.append(task)
        loop.close()

    abandoned: list[Any] = []
    async with task_group():
        await in_threads(1, abandon)
        send_nowait(mailbox.pid, "hello")
        assert await mailbox.receive((ANY, lambda message: message)) == "hello"
