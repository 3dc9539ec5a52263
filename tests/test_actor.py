"""Actors: from the constructor to the last word, and what may go wrong between."""

from __future__ import annotations

import math
from typing import Any

import anyio
import anyio.to_thread
import pytest
from crew import Boom, Idle, Puppet, end_of, running

from fauxtp import (
    PID,
    Actor,
    ExitReason,
    NameTaken,
    ProcessExited,
    exit,
    is_alive,
    send,
    wait_exit,
    whereis,
)
from fauxtp._actors.lifecycle import launch

pytestmark = pytest.mark.anyio


class Life(Actor):
    """Notes what happens to it, and stops in its third round."""

    def __init__(self, diary: list[Any]) -> None:
        self.diary = diary

    async def init(self) -> int:
        self.diary.append(("init", whereis("life") is self.pid))
        return 1

    async def run(self, state: int) -> int:
        self.diary.append(("run", state))
        if state == 3:
            self.stop("had enough")
            self.diary.append("never")
        return state + 1

    async def terminate(self, reason: str, state: int) -> None:
        self.diary.append(("terminate", reason, state, whereis("life") is self.pid))


async def test_an_actor_lives_from_init_through_rounds_of_run_to_terminate() -> None:
    diary: list[Any] = []

    async def on_exit(pid: PID, reason: str) -> None:
        diary.append(("on_exit", pid, reason, is_alive(pid), whereis("life")))

    async with running() as task_group:
        handle = await Life.start_link(
            diary, task_group=task_group, on_exit=on_exit, register_as="life"
        )
        reason = await wait_exit(handle.pid)
        await anyio.wait_all_tasks_blocked()
    assert diary == [
        ("init", True),
        ("run", 1),
        ("run", 2),
        ("run", 3),
        ("terminate", "had enough", 3, True),
        ("on_exit", handle.pid, "had enough", False, None),
    ]
    assert isinstance(reason, ExitReason)
    assert (reason.abnormal, reason.exception) == (False, None)


async def test_start_returns_when_init_has_finished() -> None:
    go, begun, diary = anyio.Event(), anyio.Event(), []

    class Slow(Idle):
        async def init(self) -> None:
            begun.set()
            await go.wait()
            diary.append("init")

    async def start() -> None:
        await Slow.start(task_group=task_group)
        diary.append("started")

    async with running() as task_group:
        task_group.start_soon(start)
        await begun.wait()
        await anyio.wait_all_tasks_blocked()
        assert not diary
        go.set()
        await anyio.wait_all_tasks_blocked()
        assert diary == ["init", "started"]


async def test_start_raises_what_the_constructor_or_init_raised() -> None:
    error = Boom()

    class Fails(Idle):
        def __init__(self, early: bool) -> None:
            if early:
                raise error

        async def init(self) -> None:
            raise error

        async def terminate(self, reason: str, state: Any) -> None:
            raise AssertionError("there is nothing to clean up")

    async with running() as task_group:
        for early in (True, False):
            with pytest.raises(Boom) as caught:
                await Fails.start(early, task_group=task_group, register_as="fails")
            assert caught.value is error
            assert whereis("fails") is None


async def test_an_actor_that_stops_in_init_was_never_started() -> None:
    class Quits(Idle):
        async def init(self) -> None:
            self.stop("not today")

    async with running() as task_group:
        with pytest.raises(ProcessExited, match="not today"):
            await Quits.start(task_group=task_group)


async def test_what_is_no_name_is_told_to_the_starter() -> None:
    async with running() as task_group:
        with pytest.raises(ValueError, match="name"):
            await Idle.start(task_group=task_group, register_as="")
        with pytest.raises(TypeError, match="name"):
            await Idle.start(task_group=task_group, register_as=7)  # type: ignore[arg-type]


async def test_a_name_that_is_taken_stays_with_its_holder() -> None:
    diary: list[str] = []
    async with running() as task_group:
        holder = await Idle.start(task_group=task_group, register_as="store")
        with pytest.raises(NameTaken) as caught:
            await Puppet.start("late", diary, task_group=task_group, register_as="store")
        assert (caught.value.name, caught.value.holder) == ("store", holder)
        assert whereis("store") is holder
    assert not diary


async def test_an_actor_cannot_be_started_twice() -> None:
    async with running() as task_group:
        actor = Idle()
        process = await launch(actor, task_group)
        with pytest.raises(RuntimeError, match="started before"):
            await launch(actor, task_group)
        assert is_alive(process.pid)


def test_an_actor_that_is_not_started_has_no_pid_and_no_children() -> None:
    with pytest.raises(RuntimeError, match="not started"):
        Idle().pid
    with pytest.raises(RuntimeError, match="not running"):
        Idle().children
    with pytest.raises(RuntimeError, match="not started"):
        Idle().stop()


def test_an_actor_needs_an_event_loop() -> None:
    start = Idle.start(task_group=None)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="no event loop"):
        start.send(None)


# Stopping


async def test_stop_from_outside_interrupts_run_and_is_a_normal_end() -> None:
    diary: list[str] = []
    actor = Puppet("it", diary)
    async with running() as task_group:
        process = await launch(actor, task_group)
        actor.stop("enough")
        reason = await wait_exit(process.pid)
    assert (reason, reason.abnormal) == ("enough", False)
    assert diary == ["+it", "-it"]


async def test_stop_may_be_called_by_a_thread() -> None:
    async with running() as task_group:
        process = await launch(actor := Puppet(), task_group)
        await anyio.to_thread.run_sync(actor.stop, "from a thread")
        assert await end_of(process) == "from a thread"


async def test_stop_in_a_child_task_ends_the_actor_and_returns() -> None:
    returned: list[bool] = []

    class Parent(Idle):
        async def init(self) -> None:
            self.start_soon_child(self.child)

        async def child(self) -> None:
            self.stop("said the child")
            returned.append(True)

    async with running() as task_group:
        process = await launch(Parent(), task_group)
        assert await end_of(process) == "said the child"
        assert returned == [True]


async def test_stop_in_a_task_group_of_the_actors_own_is_a_normal_end() -> None:
    class Parallel(Actor):
        async def run(self, state: Any) -> Any:
            async with anyio.create_task_group() as task_group:
                task_group.start_soon(anyio.sleep_forever)
                await self.receive(("stop", lambda: None))
                self.stop("in the middle")

    async with running() as task_group:
        pid = await Parallel.start(task_group=task_group)
        await send(pid, "stop")
        reason = await wait_exit(pid)
        assert (reason, reason.abnormal) == ("in the middle", False)
        await anyio.wait_all_tasks_blocked()
        assert not task_group.cancel_scope.cancel_called


async def test_stop_in_terminate_changes_nothing() -> None:
    class Insists(Puppet):
        async def terminate(self, reason: str, state: Any) -> None:
            self.stop("again")

    async with running() as task_group:
        pid = await Insists.start(task_group=task_group)
        exit(pid, "once")
        assert await wait_exit(pid) == "once"


async def test_the_scope_of_a_handle_ends_the_actor_when_cancelled_or_at_its_deadline() -> None:
    async with running() as task_group:
        cancelled = await Idle.start_link(task_group=task_group)
        timed = await Idle.start_link(task_group=task_group)
        spared = await Idle.start_link(task_group=task_group)
        assert not cancelled.cancel_scope.cancel_called
        cancelled.cancel_scope.cancel()
        assert cancelled.cancel_scope.cancel_called
        spared.cancel_scope.deadline = anyio.current_time() + 3600
        spared.cancel_scope.deadline = math.inf
        timed.cancel_scope.deadline = anyio.current_time()
        for handle in (cancelled, timed):
            await wait_exit(handle.pid)
            assert handle.cancel_scope.cancel_called
        assert cancelled.cancel_scope.cancelled_caught
        assert not spared.cancel_scope.cancelled_caught
        assert is_alive(spared.pid)
        assert spared.cancel_scope.deadline == math.inf


async def test_what_the_scope_of_a_handle_cannot_do_it_refuses() -> None:
    async with running() as task_group:
        handle = await Idle.start_link(task_group=task_group)
        with pytest.raises(ValueError, match=r"(?i)nan"):
            handle.cancel_scope.deadline = math.nan
        with pytest.raises(RuntimeError), handle.cancel_scope:
            raise AssertionError("nobody can enter the scope of another")
        assert not handle.cancel_scope.shield
        assert is_alive(handle.pid)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # on trio it is the scope of its children
async def test_a_process_is_not_shielded_from_outside() -> None:
    async with running() as task_group:
        handle = await Idle.start_link(task_group=task_group)
        handle.cancel_scope.shield = False
        with pytest.raises(RuntimeError, match="shielded"):
            handle.cancel_scope.shield = True
