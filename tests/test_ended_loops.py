"""Event loops that end before their processes do: those are dead, and whoever waits is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from conftest import PATIENCE, task_group
from lost import ENDED, Full, Plain, Server, seen, start

from fauxtp import (
    PID,
    Down,
    Exit,
    NoProcess,
    ProcessExited,
    call,
    call_blocking,
    cast,
    cast_nowait,
    dead_letters,
    exit,
    is_alive,
    link,
    monitor,
    process_info,
    process_infos,
    processes,
    send,
    send_nowait,
    start_or_find,
    tree,
    wait_exit,
    wait_registered,
    whereis,
)
from fauxtp.testing import TestActor


def by_its_method(loop: asyncio.AbstractEventLoop) -> None:
    loop.close()


def unnoticed(loop: asyncio.AbstractEventLoop) -> None:
    type(loop).close(loop)


# Whoever meets a process of a loop that has ended finds it dead.

Meet = Callable[[PID], Awaitable[object]]


def no_process(meet: Callable[[PID], Awaitable[object]]) -> Meet:
    async def meets(pid: PID) -> None:
        with pytest.raises((NoProcess, ProcessExited)):
            await meet(pid)

    return meets


def says(expected: object, ask: Callable[[PID], object]) -> Meet:
    async def asks(pid: PID) -> None:
        assert ask(pid) == expected

    return asks


def is_a_dead_letter(send_to: Callable[[PID], Any]) -> Meet:
    async def sends(pid: PID) -> None:
        letters: list[Any] = []
        with dead_letters.observed_by(letters.append):
            sent = send_to(pid)
            if sent is not None:
                await sent
        assert "message" in [getattr(it.message, "request", it.message) for it in letters]

    return sends


async def looked_into(pid: PID) -> None:
    process_info(pid)


async def found_by_its_class(pid: PID) -> None:
    TestActor.of(pid)


async def registered_anew(pid: PID) -> None:
    async with task_group() as group:
        assert await Plain.start(task_group=group, register_as="lost") is whereis("lost") != pid


async def found_anew(pid: PID) -> None:
    async with task_group() as group:
        assert await start_or_find("lost", Plain, task_group=group) != pid


async def awaited_anew(pid: PID) -> None:
    async with task_group() as group:
        group.start_soon(registered_anew, pid)
        assert await wait_registered("lost") != pid


async def exit_awaited(pid: PID) -> None:
    assert await wait_exit(pid) in (ENDED, "noproc")


def tells(bind: Callable[[PID], object], kind: type) -> Meet:
    async def binds(pid: PID) -> None:
        async def bound(state: list[Any]) -> None:
            bind(pid)

        async with task_group() as group:
            me = await Server.start(task_group=group)
            await call(me, bound)
            (told,) = await call(me, seen)
            assert (type(told), told.pid, told.reason) == (kind, pid, "noproc")

    return binds


MEETINGS: dict[str, Meet] = {
    "call": no_process(lambda pid: call(pid, 1, timeout=PATIENCE)),
    "call by name": no_process(lambda _: call("lost", 1, timeout=PATIENCE)),
    "call_blocking": no_process(lambda pid: anyio.to_thread.run_sync(call_blocking, pid, 1, 60)),
    "send": is_a_dead_letter(lambda pid: send(pid, "message")),
    "send_nowait": is_a_dead_letter(lambda pid: send_nowait(pid, "message")),
    "cast": is_a_dead_letter(lambda _: cast("lost", "message")),
    "cast_nowait": is_a_dead_letter(lambda _: cast_nowait("lost", "message")),
    "exit": says(False, exit),
    "kill": says(False, lambda pid: exit(pid, "kill")),
    "is_alive": says(False, is_alive),
    "process_info": no_process(looked_into),
    "process_infos": says([], lambda _: process_infos()),
    "TestActor.of": no_process(found_by_its_class),
    "processes": says([], lambda _: processes()),
    "tree": says("", lambda _: tree()),
    "start": registered_anew,
    "start_or_find": found_anew,
    "wait_registered": awaited_anew,
    "wait_exit": exit_awaited,
    "monitor": tells(monitor, Down),
    "link": tells(link, Exit),
}


@pytest.mark.parametrize("close", [by_its_method, unnoticed])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("meet", MEETINGS.values(), ids=MEETINGS)
def test_whoever_meets_a_process_of_a_closed_loop_finds_it_dead(
    loop: asyncio.AbstractEventLoop, meet: Meet, backend: str, close: Callable[[Any], None]
) -> None:
    pid = start(loop, register_as="lost")
    close(loop)
    anyio.run(meet, pid, backend=backend)
    assert (is_alive(pid), whereis("lost"), processes()) == (False, None, [])


@pytest.mark.parametrize("close", [by_its_method, unnoticed])
@pytest.mark.parametrize("meet", ["send", "send_nowait", "cast", "cast_nowait", "call"])
def test_nobody_waits_for_room_in_a_mailbox_of_a_closed_loop(
    loop: asyncio.AbstractEventLoop, meet: str, close: Callable[[Any], None]
) -> None:
    pid = start(loop, Full, register_as="lost")
    cast_nowait(pid, "fills it")
    close(loop)
    anyio.run(MEETINGS[meet], pid)


def test_a_name_is_free_as_soon_as_the_loop_is_closed(loop: asyncio.AbstractEventLoop) -> None:
    start(loop, register_as="lost")
    loop.close()
    assert whereis("lost") is None
