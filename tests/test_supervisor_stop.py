"""Supervisors: how they stop their children, and what may come in between."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from crew import Puppet, boom, running, supervisor, three

from fauxtp import (
    ChildSpec,
    FauxtpError,
    RestartStrategy,
    cast,
    dead_letters,
    exit,
    start_child,
    wait_exit,
    whereis,
)

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("shutdown", [0, 0.01])
async def test_a_child_that_does_not_end_in_time_is_cancelled(shutdown: float) -> None:
    ends: list[str] = []

    class Hangs(Puppet):
        async def terminate(self, reason: str, state: Any) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                ends.append(reason)

    async with running() as task_group:
        spec = ChildSpec("hangs", Hangs, shutdown=shutdown, register_as="hangs")
        chief = await supervisor(spec).start(task_group=task_group)
        exit(chief)
        await wait_exit(chief)
        assert ends == ["shutdown"]
        assert whereis("hangs") is None


async def test_a_supervisor_that_is_ended_while_it_stops_a_child_ends_that_one_too() -> None:
    diary: list[str] = []
    stopping = anyio.Event()

    class Hangs(Puppet):
        async def terminate(self, reason: str, state: Any) -> None:
            stopping.set()
            await anyio.sleep_forever()

    async with running() as task_group:
        first, _, _ = three(diary)
        hangs = ChildSpec("hangs", Hangs, shutdown=0.02, register_as="hangs")
        crashes = ChildSpec("crashes", Puppet, register_as="crashes")
        chief = supervisor(first, crashes, hangs, strategy=RestartStrategy.ONE_FOR_ALL)
        pid = await chief.start(task_group=task_group)
        await cast("crashes", boom)
        await stopping.wait()
        exit(pid)
        await wait_exit(pid)
        assert diary == ["+a", "-a"]


@pytest.mark.parametrize("how", ["exit", "cancel"])
async def test_a_supervisor_that_is_ended_while_a_child_restarts_ends_it_first(how: str) -> None:
    diary: list[str] = []
    begun = anyio.Event()

    class Slow(Puppet):
        generation = 0

        async def init(self) -> None:
            Slow.generation += 1
            if Slow.generation > 1:
                try:
                    begun.set()
                    await anyio.sleep_forever()
                finally:
                    with anyio.CancelScope(shield=True):
                        await anyio.sleep(0.01)
                    diary.append("-slow")

    async with running() as task_group:
        first, _, _ = three(diary)
        slow = ChildSpec("slow", Slow, register_as="slow")
        handle = await supervisor(first, slow).start_link(task_group=task_group)
        await cast("slow", boom)
        await begun.wait()
        if how == "exit":
            exit(handle.pid)
        else:
            handle.cancel_scope.cancel()
        await wait_exit(handle.pid)
        assert diary == ["+a", "-slow", "-a"]
        assert whereis("slow") is None


async def test_a_child_that_ends_while_its_supervisor_stops_is_not_restarted() -> None:
    diary: list[str] = []

    class Last(Puppet):
        async def terminate(self, reason: str, state: Any) -> None:
            exit("a", "at the last moment")
            await wait_exit("a")

    async with running() as task_group:
        first, _, _ = three(diary)
        chief = await supervisor(first, ChildSpec("last", Last)).start(task_group=task_group)
        exit(chief)
        await wait_exit(chief)
        assert diary == ["+a", "-a"]


async def test_a_cancelled_task_group_stops_the_children_in_order() -> None:
    diary: list[str] = []
    async with running():
        async with anyio.create_task_group() as task_group:
            await supervisor(*three(diary)).start(task_group=task_group)
            task_group.cancel_scope.cancel()
        assert diary == ["+a", "+b", "+c", "-c", "-b", "-a"]


async def test_a_supervisor_may_be_started_in_a_cancelled_task_group() -> None:
    async with running():
        async with anyio.create_task_group() as task_group:
            task_group.cancel_scope.cancel()
            await supervisor(*three([])).start(task_group=task_group)
        assert whereis("a") is None


async def test_an_orderly_end_leaves_no_dead_letters() -> None:
    letters: list[Any] = []
    async with running() as task_group:
        with dead_letters.observed_by(letters.append):
            chief = await supervisor(*three([])).start(task_group=task_group)
            exit(chief)
            await wait_exit(chief)
    assert not letters


async def test_a_supervisor_that_is_ended_while_it_adds_a_child_ends_that_one_first() -> None:
    diary: list[str] = []
    begun = anyio.Event()

    class Slow(Puppet):
        async def init(self) -> None:
            try:
                begun.set()
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.01)
                diary.append("-slow")

    async def add() -> None:
        with pytest.raises(FauxtpError):
            await start_child(chief, ChildSpec("slow", Slow))

    async with running() as task_group:
        first, _, _ = three(diary)
        chief = await supervisor(first).start(task_group=task_group)
        task_group.start_soon(add)
        await begun.wait()
        exit(chief)
        await wait_exit(chief)
        assert diary == ["+a", "-slow", "-a"]
