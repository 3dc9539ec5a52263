"""Tasks beside a server: what `spawn_task` runs, and what the server hears of its end."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from conftest import task_group

from fauxtp import Call, GenServer, Mailbox, call, cast, exit, is_alive, wait_exit
from fauxtp.registry import PID

pytestmark = pytest.mark.anyio


class Spawner(GenServer[Any, Any]):
    """A server that spawns what it is called with, and passes on what it hears of the end."""

    def __init__(self, ends: Mailbox) -> None:
        self.ends = ends

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        func, args, kwargs = request
        return await self.spawn_task(func, *args, **kwargs), state

    async def handle_task_end(self, pid: PID, status: str, result: Any, state: Any) -> Any:
        await self.ends.put((pid, status, result))
        return state


async def spawn(server: PID, func: Any, *args: Any, **kwargs: Any) -> PID:
    pid: PID = await call(server, (func, args, kwargs), timeout=None)
    return pid


async def next_end(ends: Mailbox) -> tuple[PID, str, Any]:
    end: tuple[PID, str, Any] = await ends.receive((tuple, lambda end: end))
    return end


async def add(*numbers: int, extra: int = 0) -> int:
    return sum(numbers) + extra


async def test_the_server_hears_what_a_task_returned() -> None:
    ends = Mailbox()
    async with task_group() as group:
        server = await Spawner.start(ends, task_group=group)
        pid = await spawn(server, add, 1, 2, extra=3)
        assert pid is not server
        assert await next_end(ends) == (pid, "success", 6)
        await wait_exit(pid)


async def test_a_task_may_be_a_plain_function() -> None:
    ends = Mailbox()
    async with task_group() as group:
        server = await Spawner.start(ends, task_group=group)
        pid = await spawn(server, max, 1, 2)
        assert await next_end(ends) == (pid, "success", 2)


async def test_the_server_hears_why_a_task_failed_and_lives_on() -> None:
    async def fail() -> None:
        raise ZeroDivisionError("no")

    ends = Mailbox()
    async with task_group() as group:
        server = await Spawner.start(ends, task_group=group)
        pid = await spawn(server, fail)
        who, status, result = await next_end(ends)
        assert (who, status, result) == (pid, "failure", "ZeroDivisionError('no')")
        assert isinstance(result.exception, ZeroDivisionError)
        assert is_alive(server)


async def test_the_server_hears_that_a_task_was_ended() -> None:
    ends = Mailbox()
    async with task_group() as group:
        server = await Spawner.start(ends, task_group=group)
        pid = await spawn(server, anyio.sleep_forever)
        exit(pid, "not needed")
        who, status, result = await next_end(ends)
        assert (who, status, result) == (pid, "failure", "not needed")
        assert result.exception is None


async def test_tasks_run_beside_the_server() -> None:
    ends, release = Mailbox(), anyio.Event()
    async with task_group() as group:
        server = await Spawner.start(ends, task_group=group)
        slow = await spawn(server, release.wait)
        quick = await spawn(server, add, 1)
        assert (await next_end(ends))[0] is quick
        release.set()
        assert (await next_end(ends))[0] is slow


async def test_a_task_may_call_its_server() -> None:
    ends = Mailbox()
    async with task_group() as group:
        server = await Spawner.start(ends, task_group=group)
        pid = await spawn(server, spawn, server, add, 4)
        told = [await next_end(ends), await next_end(ends)]
        results = {who: result for who, _, result in told}
        grandchild = results.pop(pid)
        assert results == {grandchild: 4}


async def test_tasks_end_with_their_server() -> None:
    ends = Mailbox()
    async with task_group() as group:
        server = await Spawner.start(ends, task_group=group)
        pids = [await spawn(server, anyio.sleep_forever) for _ in range(3)]
        exit(server)
        await wait_exit(server)
        assert [is_alive(pid) for pid in pids] == [False] * 3
        assert len(ends) == 0


async def test_a_task_cannot_be_spawned_before_the_server_is_started() -> None:
    with pytest.raises(RuntimeError, match=r"^this Spawner is not started$"):
        await Spawner(Mailbox()).spawn_task(add)


async def test_a_server_that_does_not_care_for_its_tasks_need_not() -> None:
    class Careless(GenServer[Any, Any]):
        async def handle_cast(self, request: Any, state: Any) -> Any:
            await wait_exit(await self.spawn_task(add, 1))
            return state

        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            return "fine", state

    async with task_group() as group:
        server = await Careless.start(task_group=group)
        await cast(server, "go")
        assert await call(server, "still there?", timeout=None) == "fine"
