"""Room in a bounded mailbox goes to those who wait for it, in the order in which they came."""

from __future__ import annotations

import threading
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
    GenServer,
    Mailbox,
    MailboxFull,
    call,
    cast,
    cast_nowait,
    exit,
    get_state,
    send,
    send_nowait,
    start_call,
)
from fauxtp._core.mailbox import find_queue
from fauxtp._core.wait_for_room import put_later
from fauxtp._loops.current import current_home

pytestmark = pytest.mark.anyio


def same(message: Any) -> Any:
    return message


async def test_who_waits_does_not_starve_beside_who_takes_whatever_room_there_is() -> None:
    async def greedy() -> None:
        while True:
            try:
                box.put_nowait("greedy")
            except MailboxFull:
                await checkpoint()

    async def reader() -> None:
        while True:
            got.append(await box.receive((ANY, same)))
            await checkpoint()

    box, got = Mailbox(max_size=1), list[str]()
    async with task_group() as group:
        box.put_nowait("greedy")
        group.start_soon(greedy)
        group.start_soon(reader)
        for number in range(20):
            await send(box.pid, f"fair {number}")
        await checkpoint()
        while "fair 19" not in got:
            await checkpoint()
        assert len(got) < 20 * 5
    box.close()


async def test_nobody_overtakes_who_was_woken_and_is_not_awake_yet() -> None:
    box = Mailbox(max_size=1)
    async with task_group() as group:
        box.put_nowait("first")
        group.start_soon(send, box.pid, "second")
        await anyio.wait_all_tasks_blocked()
        assert await box.receive((ANY, same)) == "first"  # wakes the second
        with pytest.raises(MailboxFull):
            send_nowait(box.pid, "third")
        assert len(box) == 0
        assert await box.receive((ANY, same)) == "second"
        send_nowait(box.pid, "third")
        box.close()


async def test_nobody_overtakes_a_line_in_which_room_is_kept() -> None:
    async def put(number: int) -> None:
        await box.put(number)

    box = Mailbox(max_size=2)
    async with task_group() as group:
        for number in range(6):
            group.start_soon(put, number)
            await anyio.wait_all_tasks_blocked()
        got = [box.take_nowait(), box.take_nowait()]
        with pytest.raises(MailboxFull):
            box.put_nowait("overtakes")
        group.start_soon(put, 6)
        got += [await box.receive((ANY, same)) for _ in range(5)]
    assert sorted(got) == list(range(7))
    assert all(abs(number - place) <= 1 for place, number in enumerate(got))  # two at a time
    box.close()


async def test_what_is_put_in_later_does_not_overtake_what_was_called_up() -> None:
    home, box = current_home(), Mailbox(max_size=2)
    queue = find_queue(box.pid)
    assert home is not None
    assert queue is not None
    for message in (1, 2, 3):
        put_later(queue, message, home)
    assert [await box.receive((ANY, same)), await box.receive((ANY, same))] == [1, 2]
    for message in (4, 5):
        put_later(queue, message, home)
    assert [await box.receive((ANY, same)) for _ in range(3)] == [3, 4, 5]


async def test_room_that_was_kept_for_who_gives_up_is_the_next_ones() -> None:
    async def put(number: int) -> None:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            await box.put(number)

    box, scopes = Mailbox(max_size=1), list[anyio.CancelScope]()
    async with task_group() as group:
        for number in range(5):
            group.start_soon(put, number)
            await anyio.wait_all_tasks_blocked()
        for scope in (scopes[1], scopes[3]):
            scope.cancel()
        await anyio.wait_all_tasks_blocked()
        assert [await box.receive((ANY, same)) for _ in range(3)] == [0, 2, 4]
        send_nowait(box.pid, "room again")
    box.close()


async def test_a_thread_keeps_its_place_too() -> None:
    box, in_time = Mailbox(max_size=1), list[bool]()

    def put() -> None:
        in_time.append(box.put_blocking("thread", None))

    box.put_nowait(0)
    thread = threading.Thread(target=put)
    thread.start()
    while not box._queue.in_line:
        await checkpoint()
    assert box.take_nowait() == 0  # keeps the room for the thread, awake or not
    with pytest.raises(MailboxFull):  # it has the room, or has used it
        box.put_nowait("overtakes")
    await anyio.to_thread.run_sync(thread.join)
    assert in_time == [True]
    assert await box.receive((ANY, same)) == "thread"
    box.close()


async def test_a_thread_that_does_not_get_room_in_time_leaves_the_line() -> None:
    box = Mailbox(max_size=1)
    box.put_nowait(0)
    assert await anyio.to_thread.run_sync(box.put_blocking, 1, 0.001) is False
    assert not box._queue.in_line
    assert box.take_nowait() == 0
    box.put_nowait(2)
    box.close()


async def test_a_thread_waits_for_room_for_no_odd_time() -> None:
    box = Mailbox(max_size=1)
    box.put_nowait(0)
    assert box.put_blocking(1, -1) is False
    with pytest.raises(TypeError, match="expected timeout to be a number or None, got str"):
        box.put_blocking(1, "1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="nan"):
        box.put_blocking(1, float("nan"))
    assert box.take_nowait() == 0
    box.close()


async def test_who_waits_when_the_mailbox_closes_goes_on() -> None:
    box = Mailbox(max_size=1)
    async with task_group() as group:
        box.put_nowait(0)
        done = anyio.Event()

        async def put() -> None:
            await box.put(1)
            done.set()

        group.start_soon(put)
        await anyio.wait_all_tasks_blocked()
        box.close()
        await done.wait()
    assert len(box) == 0


class Slow(GenServer[Any, list[Any]]):
    """Has room for two messages, and remembers all."""

    mailbox_size = 2

    async def init(self) -> list[Any]:
        return []

    async def handle_call(self, request: Any, from_: Call, state: list[Any]) -> Any:
        return request, [*state, request]

    async def handle_cast(self, request: Any, state: list[Any]) -> list[Any]:
        return [*state, request]

    async def handle_info(self, message: Any, state: list[Any]) -> list[Any]:
        return [*state, message]


@pytest.mark.parametrize("way", [call, cast, send, cast_nowait, send_nowait])
@pytest.mark.parametrize("turns", range(6))
async def test_what_comes_later_does_not_overtake_a_pending_call(way: Any, turns: int) -> None:
    """Of the same sender, and whenever it comes: also as that has its room already."""
    async with task_group() as group:
        server = await Slow.start(task_group=group)
        await cast(server, 1)
        await cast(server, 2)
        pending = start_call(server, 3)
        for _ in range(turns):
            await checkpoint()
        with suppress(MailboxFull):
            if (waits := way(server, 4)) is not None:
                await waits
            assert await pending == 3
            assert await call(server, 5) == 5
            assert await get_state(server) == [1, 2, 3, 4, 5]
        exit(server)
        pending.cancel()
