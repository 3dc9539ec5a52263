"""Calls that are given up while they lie in a mailbox: nothing is left of them but a count."""

from __future__ import annotations

import gc
import tracemalloc
from contextlib import suppress
from typing import Any

import anyio
import anyio.to_thread
import pytest
from conftest import task_group
from crew import begun_and_left

from fauxtp import (
    ANY,
    Call,
    Cast,
    GenServer,
    Mailbox,
    MailboxFull,
    NoProcess,
    ReceiveTimeout,
    call,
    call_blocking,
    cast,
    dead_letters,
    process_info,
    processes,
    send,
    send_nowait,
    start_or_find,
    tree,
)
from fauxtp._core.given_up import LEAST
from fauxtp._core.process import find_process
from fauxtp.registry import PID

pytestmark = pytest.mark.anyio

MANY = 10 * LEAST


class Hangs(GenServer[Any, list[Any]]):
    """Hangs in its first call until it may go on; then it notes what comes."""

    def __init__(self) -> None:
        self.go_on = anyio.Event()

    async def init(self) -> list[Any]:
        return []

    async def handle_call(self, request: Any, from_: Call, state: list[Any]) -> Any:
        if request == "hang":
            await self.go_on.wait()
        return list(state), [*state, request]

    async def handle_cast(self, request: Any, state: list[Any]) -> list[Any]:
        return [*state, request]


class Small(Hangs):
    mailbox_size = 2


def lying(pid: PID) -> int:
    """Return how many messages there are, of whatever kind."""
    process = find_process(pid)
    assert process is not None
    return len(process.mailbox.inbox) + len(process.mailbox.kept)


async def hanging(group: Any, cls: type[Hangs] = Hangs) -> tuple[PID, Any]:
    pid = await cls.start(task_group=group)
    group.start_soon(lambda: call(pid, "hang", timeout=None))
    await anyio.wait_all_tasks_blocked()
    process = find_process(pid)
    assert process is not None
    return pid, process.actor


async def give_up(pid: PID, request: Any = "given up") -> None:
    with pytest.raises(ReceiveTimeout):
        await call(pid, request, timeout=0)


async def cancelled(pid: PID) -> None:
    with anyio.move_on_after(0):
        await call(pid, "given up", timeout=None)


@pytest.mark.parametrize("how", [give_up, cancelled])
async def test_calls_that_were_given_up_are_counted_apart(how: Any) -> None:
    async with task_group() as group:
        pid, _ = await hanging(group)
        await cast(pid, "first")
        for _ in range(10):
            await how(pid)
        info = process_info(pid)
        assert (info.mailbox_length, info.calls_given_up) == (1, 10)
        assert "(1 waiting)" in tree()


@pytest.mark.parametrize("how", [give_up, cancelled])
async def test_a_server_that_hangs_keeps_a_bounded_number_of_them(how: Any) -> None:
    async with task_group() as group:
        pid, _ = await hanging(group)
        most = 0
        for _ in range(MANY):
            await how(pid)
            most = max(most, lying(pid))
        assert most <= LEAST + 1
        assert process_info(pid).calls_given_up == MANY


async def test_what_is_left_takes_no_memory() -> None:
    async with task_group() as group:
        pid, _ = await hanging(group)
        await give_up(pid)
        gc.collect()
        tracemalloc.start()
        try:
            for _ in range(MANY):
                await give_up(pid, bytearray(10_000))
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] < (LEAST + 10) * 12_000
        finally:
            tracemalloc.stop()


async def test_other_messages_stay_in_order_and_calls_that_are_waited_for_too() -> None:
    answers: list[Any] = []

    async def wait(number: int) -> None:
        answers.append(await call(pid, number, timeout=None))

    async with task_group() as group:
        pid, actor = await hanging(group)
        for number in range(0, 3 * LEAST, 3):
            await cast(pid, number)
            group.start_soon(wait, number + 1)
            await anyio.wait_all_tasks_blocked()
            for _ in range(4):
                await give_up(pid)
        assert lying(pid) < 4 * LEAST + 2
        actor.go_on.set()
        wanted = ["hang", *(number for number in range(3 * LEAST) if number % 3 != 2)]
        assert await call(pid, "end") == wanted
        await anyio.wait_all_tasks_blocked()
        assert len(answers) == LEAST
        assert process_info(pid).mailbox_length == 0
        assert process_info(pid).calls_given_up == 4 * LEAST


async def test_one_that_was_taken_up_is_none_that_lies_there() -> None:
    async with task_group() as group:
        pid = await Hangs.start(task_group=group)
        await begun_and_left(call, pid, "hang")
        info = process_info(pid)
        assert (info.mailbox_length, info.calls_given_up) == (0, 0)


async def test_they_take_no_room_of_a_bounded_mailbox() -> None:
    async with task_group() as group:
        pid, actor = await hanging(group, Small)
        for _ in range(MANY):
            await give_up(pid)
        send_nowait(pid, Cast(1))
        send_nowait(pid, Cast(2))
        with pytest.raises(MailboxFull):
            send_nowait(pid, Cast(3))
        await give_up(pid)  # which had no room, and never lay there
        assert process_info(pid).calls_given_up == MANY
        actor.go_on.set()
        assert await call(pid, "end") == ["hang", 1, 2]


async def test_who_waits_for_room_has_that_of_one_who_gives_up() -> None:
    async def impatient() -> None:
        with impatience:
            await call(pid, "given up", timeout=None)

    async def wait() -> None:
        await cast(pid, 2)
        done.set()

    impatience, done = anyio.CancelScope(), anyio.Event()
    async with task_group() as group:
        pid, actor = await hanging(group, Small)
        await cast(pid, 1)
        for task in (impatient, wait):
            group.start_soon(task)
            await anyio.wait_all_tasks_blocked()
        assert not done.is_set()
        impatience.cancel()
        await done.wait()
        actor.go_on.set()
        assert await call(pid, "end") == ["hang", 1, 2]


@pytest.mark.parametrize("by_pattern", [False, True])
async def test_who_finds_one_that_was_given_up_makes_no_room(by_pattern: bool) -> None:
    box = Mailbox(max_size=1)
    async with task_group() as group:
        await give_up(box.pid)
        send_nowait(box.pid, 1)
        group.start_soon(send, box.pid, 2)
        await anyio.wait_all_tasks_blocked()
        if by_pattern:
            group.start_soon(box.receive, (Call, str), (3, str))
        else:
            box._queue.forget(box.take_nowait())  # as a server does
        await anyio.wait_all_tasks_blocked()
        assert len(box) == 1
        assert [await box.receive((int, int)) for _ in range(2)] == [1, 2]
        group.cancel_scope.cancel()


async def test_threads_that_give_up_leave_nothing_either() -> None:
    def ask() -> None:
        for _ in range(2 * LEAST):
            with pytest.raises(ReceiveTimeout):
                call_blocking(pid, "given up", timeout=0)

    async with task_group() as group:
        pid, _ = await hanging(group)
        async with anyio.create_task_group() as threads:
            for _ in range(2):
                threads.start_soon(anyio.to_thread.run_sync, ask)
        await anyio.wait_all_tasks_blocked()
        assert lying(pid) <= LEAST + 1
        assert process_info(pid).calls_given_up == 4 * LEAST
        assert process_info(pid).mailbox_length == 0


@pytest.mark.parametrize("read", [False, True])
async def test_a_mailbox_that_stands_alone_keeps_a_bounded_number_too(read: bool) -> None:
    box = Mailbox()
    async with task_group() as group:
        if read:  # by whom looks for something else
            group.start_soon(box.receive, ("else", print))
            await anyio.wait_all_tasks_blocked()
        send_nowait(box.pid, "kept")
        for _ in range(MANY):
            await give_up(box.pid)
        await anyio.wait_all_tasks_blocked()
        assert len(box._queue.inbox) + len(box._queue.kept) <= LEAST + 2
        assert (len(box), box.given_up) == (1, MANY)
        assert await box.receive((ANY, lambda message: message)) == "kept"
        assert len(box) == 0
    box.close()
    assert (len(box), box.given_up) == (0, MANY)


async def test_who_gives_up_waiting_for_a_start_leaves_nothing_with_it() -> None:
    class Slow(Hangs):
        async def init(self) -> list[Any]:
            await anyio.sleep_forever()
            return []

    async def find() -> None:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            await start_or_find("slow", Slow, task_group=group)

    scopes: list[anyio.CancelScope] = []
    async with task_group() as group:
        group.start_soon(find)
        await anyio.wait_all_tasks_blocked()
        for _ in range(10):
            group.start_soon(find)
        await anyio.wait_all_tasks_blocked()
        (pid,) = processes()
        process = find_process(pid)
        assert process is not None
        for scope in scopes[1:]:
            scope.cancel()
        await anyio.wait_all_tasks_blocked()
        assert process.starters is not None
        assert len(process.starters) <= 2  # of the first one only


async def test_a_mailbox_that_is_closed_while_it_is_swept_loses_nothing_uncounted() -> None:
    class Closing(list[Any]):
        def append(self, message: Any) -> None:
            mailbox.close()  # another thread does it while this one has a message in hand
            super().append(message)

    mailbox = Mailbox()
    mailbox._queue.kept = Closing()
    mailbox.put_nowait("message")
    before = dead_letters.total()
    for _ in range(LEAST + 1):
        with suppress(NoProcess):
            await give_up(mailbox.pid)
    assert len(mailbox) == 0
    assert dead_letters.total() - before == 1
