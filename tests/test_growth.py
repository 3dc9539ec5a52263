"""What is done n times takes n times as long, however much lies, waits or watches meanwhile.

Counted are the steps of the interpreter, and what lists and deques have to move or search: never
the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from crew import Puppet
from steps import Steps

from fauxtp import (
    ANY,
    Mailbox,
    ReceiveTimeout,
    call,
    exit,
    link,
    monitor,
    wait_exit,
    wait_registered,
)
from fauxtp._core.calls import OwedCalls
from fauxtp._core.process import find_process
from fauxtp.registry import default

FEW = 60
TIMES = 4
WEIGHT = 20  # of what is moved, or the small numbers here would hide it

Work = Callable[[int], Awaitable[object]]


class Moving(list[Any]):
    """A list that counts what it has to move."""

    moved = 0

    def pop(self, at: Any = -1) -> Any:
        Moving.moved += 0 if at == -1 else len(self) - at
        return super().pop(at)

    def __delitem__(self, at: Any) -> None:
        Moving.moved += len(self) - at
        super().__delitem__(at)

    def remove(self, item: Any) -> None:
        Moving.moved += len(self)
        super().remove(item)


def filled(number: int) -> Mailbox:
    box = Mailbox()
    for message in range(number):
        box.put_nowait(message)
    return box


async def scanned(number: int) -> Mailbox:
    """Return a mailbox with that many messages, of which a receiver wanted none."""
    box = filled(number)
    box._queue.keep_next()
    box._queue.kept = Moving(box._queue.kept)
    with pytest.raises(ReceiveTimeout):
        await box.receive((str, str), timeout=0)
    return box


async def close_after_a_look(number: int) -> None:
    (await scanned(number)).close()


async def take_after_a_look(number: int) -> None:
    box = await scanned(number)
    for _ in range(number):
        box.take_nowait()


async def receive_after_a_look(number: int) -> None:
    box = await scanned(number)
    for _ in range(number):
        await box.receive((ANY, str))


async def receive_behind_one_that_stays(number: int) -> None:
    box = Mailbox()
    box.put_nowait("stays")
    for message in range(number):
        box.put_nowait(message)
    box._queue.keep_next()
    box._queue.kept = Moving(box._queue.kept)
    with pytest.raises(ReceiveTimeout):
        await box.receive((float, str), timeout=0)
    for _ in range(number):
        await box.receive((int, str))
    box.close()


async def all_at_once(number: int, wait: Callable[[], Any], end: Callable[[], object]) -> None:
    """Let that many tasks wait, and then end."""
    async with anyio.create_task_group() as group:
        for _ in range(number):
            group.start_soon(wait)
        await anyio.sleep(0)
        await anyio.sleep(0)
        end()
        await anyio.sleep(0)
        group.cancel_scope.cancel()


async def wait_for_room(number: int) -> None:
    box = Mailbox(max_size=1)
    box.put_nowait(0)
    await all_at_once(number, lambda: box.put(1), lambda: None)
    box.close()


async def wait_for_room_and_get_it(number: int) -> None:
    box = Mailbox(max_size=1)
    box.put_nowait(0)
    async with anyio.create_task_group() as group:
        for _ in range(number):
            group.start_soon(box.put, 1)
        await anyio.sleep(0)
        for _ in range(number + 1):
            await box.receive((ANY, str))


async def wait_for_a_closed_mailbox(number: int) -> None:
    async def put() -> None:
        await box.put(1)

    box = Mailbox(max_size=1)
    box.put_nowait(0)
    await all_at_once(number, put, box.close)


async def wait_for_messages(number: int) -> None:
    box = Mailbox()
    await all_at_once(number, lambda: box.receive((ANY, str)), lambda: None)


async def get_messages(number: int) -> None:
    def end() -> None:
        for message in range(number):
            box.put_nowait(message)

    box = Mailbox()
    await all_at_once(number, lambda: box.receive((ANY, str)), end)


async def wait_for_a_name(number: int) -> None:
    await all_at_once(number, lambda: wait_registered("nobody"), lambda: None)


async def watch_a_name(number: int) -> None:
    watchers: list[list[Any]] = [[] for _ in range(number)]
    for heard in watchers:
        default.watch("nobody", heard.append)
    for heard in watchers:
        assert default.unwatch("nobody", heard.append)


async def give_up_calls(number: int) -> None:
    box = Mailbox()
    for _ in range(number):
        with pytest.raises(ReceiveTimeout):
            await call(box.pid, 1, timeout=0)
    box.close()


async def owe_answers(number: int) -> None:
    class Asked:
        settled = False

    owed: Any = OwedCalls()
    for _ in range(number):
        owed.add(Asked())


async def watch_a_process(number: int) -> None:
    async with anyio.create_task_group() as group:
        pid = await Puppet.start(task_group=group)
        process = find_process(pid)
        assert process is not None
        others = [await Puppet.start(task_group=group) for _ in range(number)]
        for other in others:
            await call(other, lambda: monitor(pid))
            await call(other, lambda: link(pid))
        exit(pid)
        await wait_exit(pid)
        group.cancel_scope.cancel()


WORK: list[Work] = [
    *(close_after_a_look, take_after_a_look, receive_after_a_look, receive_behind_one_that_stays),
    *(wait_for_room, wait_for_room_and_get_it, wait_for_a_closed_mailbox),
    *(wait_for_messages, get_messages, wait_for_a_name, watch_a_name),
    *(give_up_calls, owe_answers, watch_a_process),
]


def steps_of(work: Work, number: int) -> int:
    """Return how many steps it takes, and how much is moved."""

    async def counted() -> int:
        Moving.moved = 0
        with Steps() as steps:
            await work(number)
        return steps.count + WEIGHT * Moving.moved

    return asyncio.run(counted())


@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_it_grows_as_its_number(work: Work) -> None:
    steps_of(work, 2)  # what is done once only
    few, many = steps_of(work, FEW), steps_of(work, TIMES * FEW)
    assert many < 1.2 * TIMES * few, f"{few} steps for {FEW}, {many} for {TIMES * FEW}"


@pytest.mark.once
def test_what_grows_faster_is_found() -> None:
    async def from_the_front(number: int) -> None:
        items = Moving(range(number))
        for _ in range(number):
            items.pop(0)

    async def again_and_again(number: int) -> None:
        waiting: tuple[int, ...] = ()
        for item in range(number):
            waiting = (*(other for other in waiting if other != item), item)

    for work in (from_the_front, again_and_again):
        assert steps_of(work, TIMES * FEW) > 1.2 * TIMES * steps_of(work, FEW)
