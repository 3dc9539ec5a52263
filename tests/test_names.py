"""Waiting for names, and starting who is to have one exactly once."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import anyio.to_thread
import pytest
from crew import Boom, Idle, Puppet, pid_of, running

from fauxtp import (
    PID,
    NameTaken,
    ReceiveTimeout,
    call,
    exit,
    is_alive,
    register,
    start_or_find,
    unregister,
    wait_exit,
    wait_registered,
    whereis,
)
from fauxtp._core.process import find_process

pytestmark = pytest.mark.anyio


class Waiting:
    """Any number of tasks that wait for a name, and whom they found."""

    def __init__(self, name: str, count: int, task_group: Any) -> None:
        self.found: list[PID] = []
        self.all = anyio.Event()
        for _ in range(count):
            task_group.start_soon(self._wait, name, count)

    async def _wait(self, name: str, count: int) -> None:
        self.found.append(await wait_registered(name))
        if len(self.found) == count:
            self.all.set()


async def test_a_name_that_somebody_has_is_found_at_once() -> None:
    pid = PID()
    register("here", pid)
    assert await wait_registered("here", timeout=0) is pid
    unregister("here")


async def test_all_who_wait_for_a_name_hear_when_it_is_registered() -> None:
    async with running() as task_group:
        waiting = Waiting("store", 5, task_group)
        other = Waiting("another", 1, task_group)
        await anyio.wait_all_tasks_blocked()  # it would not come to this if somebody polled
        assert waiting.found == []
        store = await Idle.start(task_group=task_group, register_as="store")
        await waiting.all.wait()
        assert waiting.found == [store] * 5
        assert other.found == []


async def test_the_name_may_be_registered_in_any_thread() -> None:
    pid = PID()
    async with running() as task_group:
        waiting = Waiting("store", 3, task_group)
        await anyio.wait_all_tasks_blocked()
        thread = threading.Thread(target=register, args=("store", pid))
        thread.start()
        await waiting.all.wait()
        assert waiting.found == [pid] * 3
        thread.join()
        unregister("store")


async def test_two_event_loops_find_each_other(anyio_backend: tuple[str, Any]) -> None:
    over = threading.Event()

    async def there() -> None:
        async with running() as task_group:
            here = await wait_registered("here")
            await Puppet.start(task_group=task_group, register_as="there")
            assert await call(here, lambda: "hello") == "hello"
            await anyio.to_thread.run_sync(over.wait)

    async with running() as task_group:
        run = lambda: anyio.run(there, backend=anyio_backend[0])  # noqa: E731
        async with anyio.create_task_group() as threads:
            threads.start_soon(anyio.to_thread.run_sync, run)
            await Puppet.start(task_group=task_group, register_as="here")
            other = await wait_registered("there")
            assert await call(other, lambda: "hi") == "hi"
            over.set()


async def test_who_waits_too_long_is_told() -> None:
    for timeout in (0, 0.001):
        with pytest.raises(ReceiveTimeout, match="nobody has registered 'nobody'"):
            await wait_registered("nobody", timeout)
    for bad, error in (("", ValueError), (7, TypeError)):
        with pytest.raises(error):
            await wait_registered(bad)  # type: ignore[arg-type]


async def test_who_gave_up_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    watching: list[str] = []

    class Watched:
        def watch(self, name: str, callback: object) -> None:
            watching.append(name)

        def unwatch(self, name: str, callback: object) -> None:
            watching.remove(name)

    monkeypatch.setattr("fauxtp._messaging.wait_registered.default", Watched())
    async with running() as task_group:
        task_group.start_soon(wait_registered, "late")
        await anyio.wait_all_tasks_blocked()
        assert watching == ["late"]
        with pytest.raises(ReceiveTimeout):
            await wait_registered("late", timeout=0)
        assert watching == ["late"]
    assert watching == []


async def test_a_name_registered_between_the_look_and_the_watch_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pid, looks = PID(), []

    def late(name: str) -> PID | None:
        looks.append(name)
        return None if len(looks) == 1 else pid

    monkeypatch.setattr("fauxtp._messaging.wait_registered.whereis", late)
    assert await wait_registered("late", timeout=0) is pid


async def test_a_name_that_comes_and_goes_wakes_whoever_waits() -> None:
    pid = PID()
    async with running() as task_group:
        waiting = Waiting("flash", 1, task_group)
        await anyio.wait_all_tasks_blocked()
        register("flash", pid)
        unregister("flash")
        await waiting.all.wait()
        assert waiting.found == [pid]


# start_or_find


async def test_of_many_callers_one_starts_it_and_all_get_it_ready() -> None:
    diary: list[str] = []
    go = anyio.Event()
    found: list[PID | None] = []

    class Slow(Puppet):
        async def init(self) -> None:
            await super().init()
            await go.wait()
            diary.append("ready")

    async def find() -> None:
        pid = await start_or_find("slow", Slow, "slow", diary, task_group=task_group)
        assert diary == ["+slow", "ready"]
        found.append(pid)

    async with running() as task_group:
        async with anyio.create_task_group() as callers:
            for _ in range(50):
                callers.start_soon(find)
            await anyio.wait_all_tasks_blocked()
            assert diary == ["+slow"]
            go.set()
        assert found == [whereis("slow")] * 50


async def test_callers_in_many_event_loops_get_the_same_one(
    anyio_backend: tuple[str, Any],
) -> None:
    diary: list[str] = []
    found: list[PID] = []
    gate = threading.Barrier(4)

    async def find() -> None:
        async with running() as task_group:
            await anyio.to_thread.run_sync(gate.wait)
            found.append(
                await start_or_find("shared", Puppet, "shared", diary, task_group=task_group)
            )
            await anyio.to_thread.run_sync(gate.wait)

    async with anyio.create_task_group() as threads:
        for _ in range(4):
            threads.start_soon(
                anyio.to_thread.run_sync, lambda: anyio.run(find, backend=anyio_backend[0])
            )
    assert len(set(found)) == 1
    assert diary == ["+shared", "-shared"]


async def test_if_the_first_fails_to_start_the_next_one_tries() -> None:
    go = anyio.Event()
    inits: list[int] = []
    outcomes: list[Any] = []

    class FailsOnce(Puppet):
        async def init(self) -> None:
            inits.append(1)
            if len(inits) == 1:
                await go.wait()
                raise Boom

    async def find() -> None:
        try:
            outcomes.append(await start_or_find("once", FailsOnce, task_group=task_group))
        except Boom:
            outcomes.append("failed")

    async with running() as task_group:
        async with anyio.create_task_group() as callers:
            for _ in range(5):
                callers.start_soon(find)
            await anyio.wait_all_tasks_blocked()
            go.set()
        assert len(inits) == 2
        assert outcomes.count("failed") == 1
        assert outcomes.count(whereis("once")) == 4


async def test_another_name_that_is_taken_is_an_error_like_any_other() -> None:
    class Greedy(Puppet):
        async def init(self) -> None:
            await Idle.start(task_group=self.children, register_as="taken")

    async with running() as task_group:
        await Idle.start(task_group=task_group, register_as="taken")
        with pytest.raises(NameTaken, match="'taken'"):
            await start_or_find("greedy", Greedy, task_group=task_group)


async def test_one_that_has_just_died_in_another_thread_is_not_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    corpse, looked = PID(), []

    def late(name: str) -> PID | None:
        looked.append(name)
        return corpse if len(looked) == 1 else whereis(name)

    monkeypatch.setattr("fauxtp._supervision.start_or_find.whereis", late)
    async with running() as task_group:
        assert is_alive(await start_or_find("store", Idle, task_group=task_group))
        assert pid_of("store") is not corpse
    assert looked


async def test_a_name_without_a_process_is_found_as_it_is() -> None:
    pid = PID()
    register("mine", pid)
    async with running() as task_group:
        assert await start_or_find("mine", Idle, task_group=task_group) is pid
    unregister("mine")


async def test_looking_for_one_that_runs_leaves_nothing_with_it() -> None:
    async with running() as task_group:
        pid = await Idle.start(task_group=task_group, register_as="store")
        for _ in range(3):
            assert await start_or_find("store", Idle, task_group=task_group) is pid
        process = find_process(pid)
        assert process is not None
        assert not process.starters
        exit(pid)
        await wait_exit(pid)


async def test_only_actors_are_started_under_a_name() -> None:
    async with running() as group:
        for cls in (5, object, Idle()):
            with pytest.raises(TypeError, match="expected actor_class to be a class of actors"):
                await start_or_find("kvstore", cls, task_group=group)  # type: ignore[arg-type]
