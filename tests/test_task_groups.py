"""Task groups that are not anyio's: those of asyncio, and nurseries of trio."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import sniffio
import trio
from conftest import ASYNCIO, EAGER, PATIENCE
from crew import Boom, Puppet, boom, supervisor

from fauxtp import (
    ChildSpec,
    GenServer,
    MaxRestartsExceeded,
    Task,
    call,
    cast,
    exit,
    is_alive,
    processes,
    start_or_find,
    wait_exit,
    whereis,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("either_way")]
BACKENDS = [*ASYNCIO, *EAGER, pytest.param(("trio", {}), id="trio")]


@pytest.fixture(params=BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@asynccontextmanager
async def own_group() -> AsyncIterator[Any]:
    """Open a task group of the event loop's own library."""
    with anyio.fail_after(PATIENCE):
        if sniffio.current_async_library() == "trio":
            async with trio.open_nursery() as nursery:
                yield nursery
        else:
            async with asyncio.TaskGroup() as group:
                yield group


def start_soon(group: Any, work: Callable[[], Any]) -> None:
    if isinstance(group, asyncio.TaskGroup):
        group.create_task(work())
    else:
        group.start_soon(work)


async def test_processes_live_in_it_and_it_waits_for_them() -> None:
    async with own_group() as group:
        pid = await Puppet.start(task_group=group, register_as="puppet")
        other = await Puppet.start(task_group=group)
        assert await call(pid, lambda: call(other, lambda: "served")) == "served"
        handle = await Puppet.start_link(task_group=group)
        handle.cancel_scope.cancel()
        assert await wait_exit(handle.pid) == "cancelled"
        assert await (await Task.spawn(sixth, group)).join() == 6

        async def end_them() -> None:
            await anyio.wait_all_tasks_blocked()
            exit(pid)
            await wait_exit(pid)
            exit(other)

        start_soon(group, end_them)
    assert processes() == []


async def sixth() -> int:
    await anyio.sleep(0)
    return 6


async def test_a_name_is_found_in_it() -> None:
    async with own_group() as group:
        first = await start_or_find("puppet", Puppet, task_group=group)
        assert await start_or_find("puppet", Puppet, task_group=group) is first
        exit(first)


async def test_processes_end_with_it() -> None:
    ended: list[str] = []

    class Last(Puppet):
        async def terminate(self, reason: Any, state: Any) -> None:
            await anyio.sleep(0)
            ended.append(str(reason))

    async def fail() -> None:
        async with own_group() as group:
            await Last.start(task_group=group)
            await Last.start(task_group=group)
            boom()

    with pytest.raises(BaseExceptionGroup) as caught:
        await fail()
    assert [type(error) for error in caught.value.exceptions] == [Boom]
    assert ended == ["cancelled", "cancelled"]
    assert processes() == []


async def test_who_is_cancelled_around_it_ends_them() -> None:
    with anyio.CancelScope() as scope:
        async with own_group() as group:
            pid = await Puppet.start(task_group=group)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert not is_alive(pid)


async def test_a_crash_is_nobody_elses_affair_and_giving_up_is() -> None:
    cancelled: list[str] = []

    async def bystander() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append("bystander")

    async def give_up() -> None:
        async with own_group() as group:
            start_soon(group, bystander)
            pid = await Puppet.start(task_group=group)
            await cast(pid, boom)
            await wait_exit(pid)
            assert cancelled == []
            chief = supervisor(ChildSpec("a", Puppet, register_as="a"), max_restarts=0)
            await chief.start(task_group=group)
            await Puppet.start(task_group=group, register_as="sibling")
            await cast("a", boom)

    with pytest.raises(BaseExceptionGroup) as caught:
        await give_up()
    [error] = caught.value.exceptions
    assert isinstance(error, MaxRestartsExceeded)
    assert cancelled == ["bystander"]
    assert whereis("sibling") is None


async def test_a_start_in_vain_raises_what_it_raised_and_leaves_the_group_alone() -> None:
    class Fails(Puppet):
        async def init(self) -> Any:
            boom()

    async with own_group() as group:
        for _ in range(2):
            with pytest.raises(Boom):
                await Fails.start(task_group=group)
        pid = await Puppet.start(task_group=group)
        assert await call(pid, lambda: "served") == "served"
        exit(pid)


async def test_one_that_is_over_is_refused_and_nothing_is_left() -> None:
    async with own_group() as group:
        pass
    with pytest.raises(RuntimeError):
        await Puppet.start(task_group=group)
    assert processes() == []
    gc.collect()  # nobody complains of a coroutine that was never awaited


@pytest.mark.parametrize("anyio_backend", [*ASYNCIO, *EAGER])
async def test_one_that_nobody_has_entered_is_refused() -> None:
    with pytest.raises(RuntimeError, match="not been entered"):
        await Puppet.start(task_group=asyncio.TaskGroup())
    assert processes() == []
    gc.collect()


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_one_of_asyncio_is_none_for_trio() -> None:
    with pytest.raises(TypeError, match=r"a task group of anyio or a trio.Nursery, got TaskGroup"):
        await Puppet.start(task_group=asyncio.TaskGroup())


async def test_a_server_that_begins_in_one_is_known_at_once() -> None:
    """As from any group: who starts two in a row can call both."""

    class Counter(GenServer[Any, int]):
        async def init(self) -> int:
            return 0

        async def handle_call(self, request: Any, from_: Any, state: int) -> Any:
            return state, state + 1

    async def count(pid: Any) -> None:
        for number in range(3):
            assert await call(pid, "next") == number

    async with own_group() as group:
        pids = [await Counter.start(task_group=group) for _ in range(3)]
        counts: list[Awaitable[None]] = [count(pid) for pid in pids]
        for one in counts:
            await one
        for pid in pids:
            exit(pid)
