"""Mailboxes with room for so many: who waits for room, and what ends the wait."""

from __future__ import annotations

import re
import threading
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint
from conftest import task_group
from in_simulated_time import each_loop

from fauxtp import (
    ANY,
    Call,
    DeadLetter,
    GenServer,
    Mailbox,
    MailboxFull,
    NoProcess,
    ProcessExited,
    ReceiveTimeout,
    call,
    call_blocking,
    cast,
    cast_nowait,
    dead_letters,
    exit,
    reply,
    send,
    send_nowait,
)
from fauxtp._core.process import find_process
from fauxtp._loops.thread_waiter import ThreadWaiter
from fauxtp.registry import PID

pytestmark = pytest.mark.anyio


def same(message: Any) -> Any:
    return message


class Sending:
    """A task that sends one message to a mailbox."""

    def __init__(self, mailbox: Mailbox, message: Any) -> None:
        self.mailbox, self.message = mailbox, message
        self.scope = anyio.CancelScope()
        self.done = anyio.Event()

    async def send(self) -> None:
        with self.scope:
            await send(self.mailbox.pid, self.message)
            self.done.set()


async def queue(group: Any, mailbox: Mailbox, *messages: Any) -> list[Sending]:
    """Let one task for each message wait for room, in this order."""
    senders = [Sending(mailbox, message) for message in messages]
    for sender in senders:
        group.start_soon(sender.send)
        await anyio.wait_all_tasks_blocked()
    assert not any(sender.done.is_set() for sender in senders)
    return senders


async def test_send_waits_for_room() -> None:
    mailbox = Mailbox(max_size=2)
    async with task_group() as group:
        await send(mailbox.pid, 1)
        await send(mailbox.pid, 2)
        (sender,) = await queue(group, mailbox, 3)
        assert len(mailbox) == 2
        assert await mailbox.receive((ANY, same)) == 1
        await sender.done.wait()
        assert [await mailbox.receive((ANY, same)) for _ in range(2)] == [2, 3]


async def test_send_nowait_raises_when_there_is_no_room() -> None:
    mailbox = Mailbox(max_size=1)
    send_nowait(mailbox.pid, 1)
    text = rf"^the mailbox of {re.escape(repr(mailbox.pid))} is full: 1 messages$"
    for attempt in (send_nowait, cast_nowait):
        with pytest.raises(MailboxFull, match=text) as caught:
            attempt(mailbox.pid, 2)
        assert (caught.value.pid, caught.value.max_size) == (mailbox.pid, 1)
    assert await mailbox.receive((ANY, same)) == 1
    send_nowait(mailbox.pid, 2)
    assert len(mailbox) == 1
    mailbox.close()


async def test_messages_that_no_pattern_matches_take_room_too() -> None:
    mailbox = Mailbox(max_size=1)
    await send(mailbox.pid, "noise")
    with pytest.raises(ReceiveTimeout):
        await mailbox.receive((int, same), timeout=0)
    with pytest.raises(MailboxFull):
        send_nowait(mailbox.pid, 1)
    mailbox.close()


async def test_who_cannot_be_woken_is_the_first_in_the_line_as_before() -> None:
    class Sleeper:
        """Is woken at the second attempt, as there was no memory at the first."""

        attempts = 0

        def wake(self) -> bool:
            self.attempts += 1
            if self.attempts == 1:
                raise MemoryError
            return True

    mailbox, sleeper = Mailbox(max_size=1), Sleeper()
    queue_of: Any = mailbox._queue
    mailbox.put_nowait("message")
    queue_of.senders.join(sleeper)
    with pytest.raises(MemoryError):
        mailbox.take_nowait()
    queue_of.made_room()
    assert sleeper.attempts == 2
    assert queue_of.senders.keeps(sleeper)
    mailbox.close()


async def test_a_mailbox_tells_how_much_room_it_has() -> None:
    assert (Mailbox().max_size, Mailbox(max_size=3).max_size) == (0, 3)


async def test_a_message_whose_room_is_in_a_mailbox_that_closes_is_a_dead_letter() -> None:
    letters: list[DeadLetter] = []
    mailbox = Mailbox(max_size=1)
    async with task_group() as group:
        await send(mailbox.pid, "first")
        (sender,) = await queue(group, mailbox, "second")
        with dead_letters.observed_by(letters.append):
            mailbox.take_nowait()  # the room is kept for who waits
            mailbox.close()
            await sender.done.wait()
    assert [letter.message for letter in letters] == ["second"]


@each_loop
def test_a_call_that_has_waited_for_room_waits_less_for_its_answer(simulated: Any) -> None:
    took = []

    async def scenario() -> None:
        async def make_room() -> None:
            await anyio.sleep(3)
            mailbox.take_nowait()

        mailbox = Mailbox(max_size=1)
        await send(mailbox.pid, "first")
        async with task_group() as group:
            group.start_soon(make_room)
            began = anyio.current_time()
            with pytest.raises(ReceiveTimeout):
                await call(mailbox.pid, "second", timeout=5)
            took.append(anyio.current_time() - began)
        mailbox.close()

    simulated(scenario)
    assert took == [pytest.approx(5)]


async def test_a_call_that_is_late_for_a_mailbox_that_is_closed_hears_of_that() -> None:
    mailbox = Mailbox(max_size=1)
    pending = Call("late", mailbox.pid, None)
    mailbox.close()
    queue_of: Any = mailbox._queue
    assert queue_of.use_room(ThreadWaiter(), pending, in_time=False)
    with pytest.raises(NoProcess):
        pending.result()


async def test_senders_get_room_in_the_order_in_which_they_came() -> None:
    mailbox = Mailbox(max_size=1)
    async with task_group() as group:
        await send(mailbox.pid, 0)
        await queue(group, mailbox, 1, 2, 3, 4)
        assert [await mailbox.receive((ANY, same)) for _ in range(5)] == [0, 1, 2, 3, 4]


async def test_a_sender_that_is_cancelled_sends_nothing_and_others_move_up() -> None:
    mailbox = Mailbox(max_size=1)
    async with task_group() as group:
        await send(mailbox.pid, 0)
        first, second = await queue(group, mailbox, 1, 2)
        first.scope.cancel()
        await anyio.wait_all_tasks_blocked()
        assert await mailbox.receive((ANY, same)) == 0
        await second.done.wait()
        assert await mailbox.receive((ANY, same)) == 2


async def test_a_sender_that_is_cancelled_when_it_is_its_turn_loses_no_wake_up() -> None:
    mailbox = Mailbox(max_size=1)
    async with task_group() as group:
        await send(mailbox.pid, 0)
        first, second = await queue(group, mailbox, 1, 2)
        assert await mailbox.receive((ANY, same)) == 0  # wakes the first, which cannot run yet
        first.scope.cancel()
        got = [await mailbox.receive((ANY, same))]
        if got == [1]:  # it was woken before it was cancelled
            got = [await mailbox.receive((ANY, same))]
        assert got == [2]
        await second.done.wait()


async def test_room_for_two_wakes_two() -> None:
    mailbox = Mailbox(max_size=2)
    async with task_group() as group:
        await send(mailbox.pid, 0)
        await send(mailbox.pid, 1)
        senders = await queue(group, mailbox, 2, 3)
        await mailbox.receive((ANY, same))
        await mailbox.receive((ANY, same))
        for sender in senders:
            await sender.done.wait()
        assert len(mailbox) == 2
        mailbox.close()


async def test_closing_wakes_who_waits_for_room() -> None:
    mailbox = Mailbox(max_size=1)
    seen: list[DeadLetter] = []
    async with task_group() as group:
        await send(mailbox.pid, 0)
        senders = await queue(group, mailbox, 1, 2)
        with dead_letters.observed_by(seen.append):
            mailbox.close()
            for sender in senders:
                await sender.done.wait()
    seen.sort(key=lambda letter: letter.message)  # who is woken at once may run in any order
    assert seen == [DeadLetter(mailbox.pid, number, "exited") for number in range(3)]


async def test_a_call_waits_for_room_and_for_the_answer_within_one_timeout() -> None:
    mailbox = Mailbox(max_size=1)
    await mailbox.put("in the way")
    told = r"^no answer from <PID \d+> within 0\.01 s: the request was not taken up"
    with pytest.raises(ReceiveTimeout, match=told):
        await call(mailbox.pid, "stats", timeout=0.01)
    assert await mailbox.receive((ANY, same)) == "in the way"
    assert len(mailbox) == 0


async def test_a_call_that_waited_for_room_is_answered() -> None:
    mailbox = Mailbox(max_size=1)
    await mailbox.put("in the way")

    async def serve() -> None:
        await anyio.wait_all_tasks_blocked()
        await mailbox.receive((str, same))
        await mailbox.receive((Call, lambda asked: reply(asked, "fine")))

    async with task_group() as group:
        group.start_soon(serve)
        assert await call(mailbox.pid, "stats", timeout=None) == "fine"


async def call_in_thread(to: PID, request: Any, timeout: float | None) -> Any:
    return await anyio.to_thread.run_sync(call_blocking, to, request, timeout)


class Stuck(GenServer[Any, Any]):
    """A server with room for one message, that never ends what it has begun."""

    mailbox_size = 1

    async def handle_cast(self, request: Any, state: Any) -> Any:
        request.set()
        await anyio.sleep_forever()


async def test_callers_that_wait_for_room_at_a_process_hear_of_its_end() -> None:
    errors: list[BaseException] = []
    heard = anyio.Event()

    async def ask(blocking: bool) -> None:
        with pytest.raises(ProcessExited, match=r"exited: killed for a test$") as caught:
            await (call_in_thread if blocking else call)(pid, "stats", None)
        errors.append(caught.value)
        if len(errors) == 3:
            heard.set()

    async with task_group() as group:
        pid, busy = await Stuck.start(task_group=group), anyio.Event()
        await cast(pid, busy)
        await busy.wait()
        await send(pid, "in the way")
        for number in range(3):
            group.start_soon(ask, number == 0)
        process = find_process(pid)
        assert process is not None
        while process.mailbox.in_line < 3:
            await checkpoint()
        exit(pid, "killed for a test")
        await heard.wait()


async def test_a_thread_waits_for_room_no_longer_than_its_timeout() -> None:
    mailbox = Mailbox(max_size=1)
    await mailbox.put("in the way")
    text = r"^no room at <PID \d+> within 0\.01 s$"
    with pytest.raises(ReceiveTimeout, match=text):
        await anyio.to_thread.run_sync(call_blocking, mailbox.pid, "stats", 0.01)
    assert await mailbox.receive((ANY, same)) == "in the way"
    assert len(mailbox) == 0


async def test_a_thread_that_waits_for_room_is_woken() -> None:
    mailbox = Mailbox(max_size=1)
    await mailbox.put("in the way")
    async with task_group() as group:
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(
                await anyio.to_thread.run_sync(call_blocking, mailbox.pid, "stats", None)
            )

        group.start_soon(ask)
        await mailbox.receive((str, same))
        await mailbox.receive((Call, lambda asked: reply(asked, "fine")))
        while not answers:
            await checkpoint()
    assert answers == ["fine"]


async def test_a_thread_that_waits_for_room_hears_that_the_mailbox_closes() -> None:
    mailbox = Mailbox(max_size=1)
    await mailbox.put("in the way")
    refused = threading.Event()

    def ask() -> None:
        with pytest.raises(NoProcess):
            call_blocking(mailbox.pid, "stats", None)
        refused.set()

    async with task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, ask)
        while not mailbox._queue.in_line:
            await checkpoint()
        mailbox.close()
        while not refused.is_set():
            await checkpoint()


async def test_many_threads_and_tasks_never_overfill_a_mailbox_and_lose_nothing() -> None:
    mailbox, each, longest = Mailbox(max_size=3), 300, 0

    def send_from_thread(number: int) -> None:
        async def send_all() -> None:
            for count in range(each):
                await send(mailbox.pid, (number, count))

        anyio.run(send_all, backend=("asyncio", "trio")[number % 2])

    async with task_group() as group:
        for number in range(4):
            group.start_soon(anyio.to_thread.run_sync, send_from_thread, number)
        got = []
        for turn in range(4 * each):
            if turn % 2:  # messages of the others wait meanwhile among those that were seen
                mine = (lambda m, odd=turn // 2 % 2: m[0] % 2 == odd, same)
                try:
                    got.append(await mailbox.receive(mine, timeout=0))
                except ReceiveTimeout:
                    got.append(await mailbox.receive((ANY, same)))
            else:
                got.append(await mailbox.receive((ANY, same)))
            longest = max(longest, len(mailbox))
    assert longest <= 3
    assert sorted(got) == [(number, count) for number in range(4) for count in range(each)]
    for number in range(4):
        assert [count for who, count in got if who == number] == list(range(each))
