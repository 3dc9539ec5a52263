"""What an actor starts, ends with it: tasks, and other actors."""

from __future__ import annotations

import asyncio
import gc
import logging
import warnings
import weakref
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import anyio.to_thread
import pytest
from conftest import PATIENCE
from crew import Boom, Idle, Puppet, boom, pid_of, running

from fauxtp import (
    PID,
    Actor,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    NoProcess,
    ProcessExited,
    Supervisor,
    call,
    cast,
    exit,
    is_alive,
    processes,
    register,
    registered,
    start_child,
    unregister,
    wait_exit,
    whereis,
)
from fauxtp._actors.lifecycle import launch

pytestmark = pytest.mark.anyio


class Parent(Puppet):
    """A puppet whose tasks note when they end."""

    async def task(self, name: str) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self.diary.append(f"-{name}")


async def test_the_tasks_of_an_actor_end_with_it_before_terminate() -> None:
    diary: list[str] = []
    async with running() as task_group:
        process = await launch(parent := Parent("it", diary), task_group)
        parent.start_soon_child(parent.task, "task", name="a task")
        parent.children.start_soon(parent.task, "task")
        await anyio.wait_all_tasks_blocked()
        exit(process.pid)
        await wait_exit(process.pid)
        assert diary == ["+it", "-task", "-task", "-it"]
        with pytest.raises(RuntimeError, match="not running"):
            parent.children


async def test_the_tasks_of_an_actor_end_when_it_crashes() -> None:
    diary: list[str] = []
    async with running() as task_group:
        process = await launch(parent := Parent("it", diary), task_group)
        parent.start_soon_child(parent.task, "task")
        await anyio.wait_all_tasks_blocked()
        await cast(process.pid, boom)
        await wait_exit(process.pid)
        assert diary == ["+it", "-task", "-it"]


async def test_an_error_in_a_task_of_an_actor_ends_the_actor_and_nobody_else() -> None:
    async def fail() -> None:
        raise Boom

    async with running() as task_group:
        sibling = await Puppet.start(task_group=task_group)
        process = await launch(parent := Parent(), task_group)
        parent.start_soon_child(fail)
        reason = await wait_exit(process.pid)
        assert isinstance(reason.exception, Boom)
        assert await call(sibling, lambda: "alive") == "alive"


async def fails_when_told(told: anyio.Event) -> None:
    await told.wait()
    raise Boom


class Supervises(Supervisor):
    def __init__(self, told: anyio.Event) -> None:
        self.told = told

    async def init(self) -> None:
        self.start_soon_child(fails_when_told, self.told)

    def child_specs(self) -> list[ChildSpec]:
        return [ChildSpec("idle", Idle)]


class SupervisesMany(DynamicSupervisor):
    def __init__(self, told: anyio.Event) -> None:
        self.told = told

    async def init(self) -> None:
        self.start_soon_child(fails_when_told, self.told)


@pytest.mark.parametrize("kind", [Supervises, SupervisesMany])
async def test_an_error_in_a_task_of_a_supervisor_ends_it(
    kind: type[GenServer[Any, Any]],
) -> None:
    told = anyio.Event()
    async with running() as task_group:
        pid = await kind.start(told, task_group=task_group)
        if kind is SupervisesMany:
            await start_child(pid, ChildSpec("idle", Idle))
        told.set()
        with anyio.fail_after(PATIENCE):
            reason = await wait_exit(pid)
        assert isinstance(reason.exception, Boom)
        assert processes() == []


async def test_an_error_in_a_task_while_init_runs_is_raised_at_the_starter() -> None:
    class Fails(Idle):
        async def init(self) -> None:
            self.start_soon_child(self.fail)
            await anyio.sleep_forever()

        async def fail(self) -> None:
            raise Boom

    async with running() as task_group:
        with pytest.raises(Boom):
            await Fails.start(task_group=task_group)


async def test_two_tasks_that_fail_at_once_are_one_reason() -> None:
    async def fail(error: Exception) -> None:
        raise error

    async with running() as task_group:
        process = await launch(parent := Parent(), task_group)
        parent.start_soon_child(fail, Boom("one"))
        parent.start_soon_child(fail, Boom("two"))
        crash = (await wait_exit(process.pid)).exception
        assert isinstance(crash, ExceptionGroup)
        assert sorted(map(str, crash.exceptions)) == ["one", "two"]


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_task_that_fails_as_the_actor_ends_goes_not_unnoticed(
    caplog: pytest.LogCaptureFixture, cancelled: bool
) -> None:
    class Leaves(Parent):
        async def task(self, name: str) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                raise Boom(name)

    async with running():
        async with anyio.create_task_group() as task_group:
            process = await launch(parent := Leaves(), task_group)
            parent.start_soon_child(parent.task, "late")
            await anyio.wait_all_tasks_blocked()
            if cancelled:
                task_group.cancel_scope.cancel()
            else:
                await cast(process.pid, parent.stop)
        assert not is_alive(process.pid)
    [record] = caplog.records
    assert record.exc_info
    assert isinstance(record.exc_info[1], Boom)
    if not cancelled:
        assert process.reason == "normal"


async def test_a_child_actor_ends_with_its_parent() -> None:
    diary: list[str] = []
    ends: list[tuple[PID, str]] = []

    async def on_exit(pid: PID, reason: str) -> None:
        ends.append((pid, reason))

    async with running() as task_group:
        process = await launch(parent := Parent("parent", diary), task_group)
        handle = await parent.spawn_child_actor(Puppet, "child", diary, on_exit=on_exit)
        exit(process.pid)
        await wait_exit(process.pid)
        assert diary == ["+parent", "+child", "-child", "-parent"]
        assert ends == [(handle.pid, "cancelled")]


async def test_a_child_actor_that_crashes_leaves_its_parent_alone() -> None:
    async with running() as task_group:
        process = await launch(parent := Parent(), task_group)
        handle = await parent.spawn_child_actor(Puppet)
        await cast(handle.pid, boom)
        assert isinstance((await wait_exit(handle.pid)).exception, Boom)
        assert is_alive(process.pid)


async def test_a_cancelled_task_group_ends_its_actors_with_terminate_in_full() -> None:
    diary: list[str] = []

    class Thorough(Puppet):
        async def terminate(self, reason: str, state: Any) -> None:
            await anyio.sleep(0)
            diary.append(f"-{self.name}: {reason}")

    async with running():
        async with anyio.create_task_group() as task_group:
            parent = Thorough("parent")
            await launch(parent, task_group, register_as="parent")
            await parent.spawn_child_actor(Thorough, "child", register_as="child")
            task_group.cancel_scope.cancel()
        assert diary == ["-child: cancelled", "-parent: cancelled"]
        assert not processes()
        assert not registered()


async def test_nothing_is_left_of_a_cancelled_task_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("fauxtp"), "disabled", True)  # pytest keeps tracebacks
    left: list[weakref.ref[Any]] = []

    async def everything() -> None:
        async with anyio.create_task_group() as task_group:
            actors: list[Actor] = [Puppet("server"), Idle(), Parent("parent")]
            for number, actor in enumerate(actors):
                process = await launch(actor, task_group, register_as=f"left:{number}")
                left.extend(map(weakref.ref, (actor, process, process.mailbox, process.pid)))
            parent = actors[-1]
            parent.start_soon_child(anyio.Event().wait)
            await parent.spawn_child_actor(Puppet, register_as="left:child")
            left.append(weakref.ref(pid_of("left:child")))
            await cast("left:0", boom)
            await anyio.wait_all_tasks_blocked()
            task_group.cancel_scope.cancel()
        assert not registered("left:")

    async with running():
        await everything()
        for _ in range(3):  # the event loop may hold on to what it ran last
            await anyio.wait_all_tasks_blocked()
            gc.collect()
        assert not [one for one in left if one() is not None]


async def test_a_server_that_is_named_by_hand_loses_the_name_with_its_life() -> None:
    class KVStore(GenServer[Any, dict[str, int]]):
        async def init(self) -> dict[str, int]:
            register("kvstore", self.pid)
            return {"reads": 0}

        async def handle_call(self, request: Any, from_: Any, state: dict[str, int]) -> Any:
            return state, state

        async def terminate(self, reason: str, state: Any) -> None:
            unregister("kvstore")

    async with running():
        async with anyio.create_task_group() as task_group:
            await KVStore.start(task_group=task_group)
            store = whereis("kvstore")
            assert store is not None
            assert await call(store, "stats") == {"reads": 0}
            task_group.cancel_scope.cancel()
        assert whereis("kvstore") is None


async def test_children_that_are_cancelled_before_they_begin_end_the_actor_and_leave_nothing() -> (
    None
):
    started = False

    async def child() -> None:
        nonlocal started
        await anyio.lowlevel.checkpoint()
        started = True

    async with running() as task_group:
        process = await launch(Puppet(), task_group)

        def cancel_at_once(puppet: Any) -> None:
            puppet.start_soon_child(child)
            puppet.children.cancel_scope.cancel()

        actor = weakref.ref(process.actor)
        await cast(process.pid, partial(cancel_at_once, process.actor))
        assert await wait_exit(process.pid) == "cancelled"
        del process
        await anyio.wait_all_tasks_blocked()
        gc.collect()
        assert actor() is None
    assert not started


async def test_an_actor_that_ends_starts_no_children() -> None:
    refusals = []

    class Late(Puppet):
        async def terminate(self, reason: str, state: Any) -> None:
            try:
                self.start_soon_child(anyio.sleep_forever)
            except RuntimeError as error:
                refusals.append(error)
            self.children.cancel_scope.cancel()  # there is nothing to cancel

    async with running() as group:
        for _ in range(2):
            exit(await Late.start(task_group=group))
            await anyio.wait_all_tasks_blocked()
        assert len(refusals) == 2


async def test_an_actor_that_has_died_starts_no_children() -> None:
    actor = Puppet()
    refusals = []

    async def on_exit(*_: object) -> None:
        with pytest.raises(RuntimeError, match="has ended") as refused:
            actor.start_soon_child(anyio.sleep_forever)
        refusals.append(refused.value)

    async with running() as task_group:
        process = await launch(actor, task_group, on_exit=on_exit)
        exit(process.pid)
        await wait_exit(process.pid)
        await anyio.wait_all_tasks_blocked()
    assert len(refusals) == 1


async def test_what_children_raise_at_the_end_of_an_actor_that_has_failed_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def child() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            boom()

    async with running() as task_group:
        process = await launch(parent := Parent(), task_group)
        await call(process.pid, partial(parent.start_soon_child, child))
        await anyio.wait_all_tasks_blocked()
        await cast(process.pid, partial(int, "no number"))
        reason = await wait_exit(process.pid)
    assert type(reason.exception) is ValueError
    assert "Boom" in caplog.text


async def test_an_actor_that_has_not_begun_has_no_children() -> None:
    actor = Puppet()
    refused = False

    async def start() -> None:
        await launch(actor, group)

    async with running() as group:
        group.start_soon(start)
        while not refused:
            await anyio.lowlevel.cancel_shielded_checkpoint()
            if actor._fauxtp_process is not None and actor._fauxtp_process.task is None:
                with pytest.raises(RuntimeError, match="not running"):
                    actor.start_soon_child(anyio.sleep_forever)
                refused = True
            elif actor._fauxtp_process is not None:
                break  # it has begun already
        await anyio.wait_all_tasks_blocked()
        assert is_alive(actor.pid)


async def test_children_are_started_in_the_event_loop_of_their_parent() -> None:
    actor = Puppet()

    async def look() -> None:
        with pytest.raises(RuntimeError, match="another event loop"):
            actor.start_soon_child(anyio.sleep_forever)

    async with running() as group:
        await launch(actor, group)
        await anyio.to_thread.run_sync(asyncio.run, look())
        assert is_alive(actor.pid)


def keepers() -> list[asyncio.Task[Any]]:
    """Return the tasks that end the processes of a task group with it."""
    return [task for task in asyncio.all_tasks() if task.get_name() == "the keeper of processes"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # only there a single task can be
async def test_a_task_group_whose_tasks_are_cancelled_twice_ends_after_its_processes() -> None:
    may_end = anyio.Event()

    class Slow(Puppet):
        async def terminate(self, reason: str, state: Any) -> None:
            await may_end.wait()

    async with anyio.create_task_group() as group:
        slow = await Slow.start(task_group=group)
        (keeper,) = keepers()
        for _ in range(2):
            keeper.cancel()
            await anyio.wait_all_tasks_blocked()
        alive = is_alive(slow), keeper.done()
        may_end.set()
    assert alive == (True, False)
    assert not is_alive(slow)


def test_nothing_is_left_of_an_event_loop_that_cancels_all_its_tasks() -> None:
    loops = []

    async def start(group: anyio.abc.TaskGroup) -> None:
        await Puppet.start(task_group=group)

    async def main() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        async with anyio.create_task_group() as group:
            group.start_soon(start, group)
            while not keepers():
                await asyncio.sleep(0)
            asyncio.current_task().cancel()  # type: ignore[union-attr]
            for task in keepers():
                task.cancel()  # before it has begun

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of what never began
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(main())
        for _ in range(3):
            gc.collect()
    assert loops[0]() is None


class Nursery(GenServer[Any, Any]):
    """Starts what it is asked to, and knows what of that still runs."""

    def __init__(self) -> None:
        self.alive = 0

    async def handle_call(self, request: str, from_: Any, state: Any) -> Any:
        if request == "crash":
            self.start_soon_child(self.crash)
        elif request == "actor":
            await self.spawn_child_actor(Idle)
        else:
            self.start_soon_child(self.live)
        return "started", state

    async def crash(self) -> None:
        raise Boom

    async def live(self) -> None:
        self.alive += 1
        try:
            await anyio.sleep_forever()
        finally:
            self.alive -= 1


@pytest.mark.parametrize("what", ["task", "actor"])
async def test_what_is_started_while_another_child_fails_ends_too(what: str) -> None:
    before = len(processes())
    for turns in range(12):
        async with running() as task_group:
            process = await launch(server := Nursery(), task_group)
            await call(process.pid, what)
            await call(process.pid, "crash")
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            with suppress(ProcessExited, NoProcess):
                await call(process.pid, what)
            reason: Any = await wait_exit(process.pid, timeout=5.0)
            if reason != "noproc":
                assert isinstance(reason.exception, Boom), reason
            assert server.alive == 0
        assert len(processes()) == before
