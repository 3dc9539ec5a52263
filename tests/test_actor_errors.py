"""Actors: what may go wrong in each part of a life, and whom it concerns."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.abc import TaskGroup
from conftest import PATIENCE
from crew import Boom, Fatal, Idle, Puppet, boom, end_of, process_of, running

from fauxtp import (
    ANY,
    PID,
    Actor,
    Down,
    ExitReason,
    GenServer,
    Mailbox,
    ProcessExited,
    Stop,
    call,
    cast,
    exit,
    link,
    monitor,
    processes,
    register,
    send,
    unregister,
    wait_exit,
    whereis,
)

pytestmark = pytest.mark.anyio


async def test_an_error_in_run_ends_the_actor_and_nobody_else() -> None:
    reasons: list[str] = []

    class Crashes(Puppet):
        async def terminate(self, reason: str, state: Any) -> None:
            reasons.append(reason)

    async with running() as task_group:
        sibling = await Puppet.start(task_group=task_group)
        pid = await Crashes.start(task_group=task_group)
        await cast(pid, boom)
        reason = await wait_exit(pid)
        assert reasons == [reason] == ["error: Boom()"]
        assert reason.abnormal
        assert isinstance(reason.exception, Boom)
        assert await call(sibling, lambda: "alive") == "alive"


async def test_a_terminate_that_raises_changes_nothing_of_the_death(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[Any] = []

    class Sloppy(Puppet):
        async def terminate(self, reason: str, state: Any) -> None:
            raise Boom("in terminate")

    async def on_exit(pid: PID, reason: str) -> None:
        told.append((pid, reason))

    async with running() as task_group:
        sibling = await Puppet.start(task_group=task_group)
        pid, _ = await _start_link(Sloppy, task_group, on_exit=on_exit, register_as="sloppy")
        exit(pid)
        assert await wait_exit(pid) == "shutdown"
        assert whereis("sloppy") is None
        await anyio.wait_all_tasks_blocked()
        assert told == [(pid, "shutdown")]
        assert await call(sibling, lambda: "alive") == "alive"
    [record] = [one for one in caplog.records if "terminate" in one.getMessage()]
    assert "'sloppy'" in record.getMessage()
    assert record.exc_info


async def _start_link(cls: type[Actor], task_group: Any, **kwargs: Any) -> tuple[PID, Any]:
    handle = await cls.start_link(task_group=task_group, **kwargs)
    return handle.pid, handle.cancel_scope


async def test_an_on_exit_that_raises_is_logged_and_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def on_exit(pid: PID, reason: str) -> None:
        raise Boom

    async with running() as task_group:
        sibling = await Puppet.start(task_group=task_group)
        pid, scope = await _start_link(Idle, task_group, on_exit=on_exit)
        scope.cancel()
        reason = await wait_exit(pid)
        assert (reason, reason.abnormal) == ("cancelled", True)
        await anyio.wait_all_tasks_blocked()
        assert await call(sibling, lambda: "alive") == "alive"
    assert [repr(pid) in one.getMessage() for one in caplog.records] == [True]


@pytest.mark.parametrize("where", ["init", "run", "terminate", "on_exit", "child"])
async def test_what_is_no_exception_ends_the_actor_and_reaches_the_task_group(where: str) -> None:
    ends: list[str] = []

    async def fail(place: str) -> None:
        if place == where:
            raise Fatal

    class Doomed(Actor):
        async def init(self) -> None:
            await fail("init")

        async def run(self, state: Any) -> Any:
            self.start_soon_child(fail, "child")
            if where == "child":
                await anyio.sleep_forever()
            await self.receive(("go", lambda: None))
            await fail("run")
            self.stop()

        async def terminate(self, reason: str, state: Any) -> None:
            await fail("terminate")

    async def on_exit(pid: PID, reason: str) -> None:
        ends.append(reason)
        await fail("on_exit")

    async def main() -> None:
        async with anyio.create_task_group() as task_group:
            pid, _ = await _start_link(Doomed, task_group, on_exit=on_exit, register_as="doomed")
            await send(pid, "go")

    with anyio.fail_after(PATIENCE), pytest.raises(BaseExceptionGroup) as caught:
        await main()
    _, others = caught.value.split(Fatal)
    assert others is None
    assert ends == ["normal" if where in {"terminate", "on_exit"} else "error: Fatal()"]
    assert whereis("doomed") is None


async def test_a_starter_that_is_cancelled_takes_its_actor_along() -> None:
    begun, ended = anyio.Event(), anyio.Event()

    class Slow(Idle):
        async def init(self) -> None:
            begun.set()
            try:
                await anyio.sleep_forever()
            finally:
                ended.set()

    async def start(scope: anyio.CancelScope) -> None:
        with scope:
            await Slow.start(task_group=task_group, register_as="slow")

    async with running() as task_group:
        task_group.start_soon(start, scope := anyio.CancelScope())
        await begun.wait()
        pid = whereis("slow")
        assert pid is not None
        scope.cancel()
        await wait_exit(pid)
        assert ended.is_set()
        assert whereis("slow") is None


async def test_an_exit_while_init_runs_is_told_to_the_starter() -> None:
    begun = anyio.Event()

    class Slow(Idle):
        async def init(self) -> None:
            begun.set()
            await anyio.sleep_forever()

    async def kill_it() -> None:
        await begun.wait()
        assert exit("slow", "changed my mind")

    async with running() as task_group:
        task_group.start_soon(kill_it)
        with pytest.raises(ProcessExited) as caught:
            await Slow.start(task_group=task_group, register_as="slow")
        assert caught.value.reason == "changed my mind"


async def test_an_exit_before_the_actor_has_begun_is_told_to_the_starter() -> None:
    class Hasty:
        """A task group in which others are quicker."""

        def start_soon(self, *args: Any, **kwargs: Any) -> None:
            task_group.start_soon(*args, **kwargs)
            exit(processes()[0], "too early")

    class Slow(Idle):
        async def init(self) -> None:
            await anyio.Event().wait()

    async with running() as task_group:
        with pytest.raises(ProcessExited, match="too early"):
            await Slow.start(task_group=Hasty())


async def test_a_cancelled_task_group_lets_on_exit_finish_when_the_actor_is_gone() -> None:
    told: list[str] = []

    async def on_exit(pid: PID, reason: str) -> None:
        with pytest.raises(RuntimeError, match="works for actors"):
            monitor(pid)
        await anyio.sleep(0)
        told.append(reason)

    async with running():
        async with anyio.create_task_group() as task_group:
            await _start_link(Idle, task_group, on_exit=on_exit)
            task_group.cancel_scope.cancel()
        assert told == ["cancelled"]


async def test_in_a_cancelled_task_group_an_actor_begins_and_ends_at_once() -> None:
    diary: list[str] = []
    async with anyio.create_task_group() as task_group:
        task_group.cancel_scope.cancel()
        await Puppet.start("it", diary, task_group=task_group, register_as="late")
    assert diary in ([], ["+it", "-it"])
    assert whereis("late") is None


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # only there a single task can be
async def test_a_terminate_that_the_event_loop_cancels_is_a_death_all_the_same() -> None:
    class Stubborn(GenServer[Any, Any]):
        async def terminate(self, reason: str, state: Any) -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await anyio.sleep_forever()

    async with running() as task_group:
        pid = await Stubborn.start(task_group=task_group, register_as="stubborn")
        exit(pid)
        with anyio.CancelScope(shield=True):
            await wait_exit(pid)
        assert whereis("stubborn") is None


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # trio itself raises it at the group
@pytest.mark.parametrize("actor", [Idle, Puppet])
async def test_a_scope_that_init_leaves_open_is_a_crash_and_nobody_elses_affair(
    actor: type[Actor],
) -> None:
    class Open(actor):  # type: ignore[misc, valid-type]
        async def init(self) -> Any:
            self.scope = anyio.CancelScope()
            self.scope.__enter__()
            await anyio.lowlevel.checkpoint()

    async with running() as task_group:
        process = process_of(await Open.start(task_group=task_group))
        exit(process.pid)
        reason = await end_of(process)
        assert isinstance(reason.exception, RuntimeError)
        await anyio.wait_all_tasks_blocked()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("actor", [Idle, Puppet])
async def test_a_scope_that_an_init_leaves_open_which_does_not_wait_harms_nobody(
    actor: type[Actor],
) -> None:
    class Open(actor):  # type: ignore[misc, valid-type]
        async def init(self) -> Any:
            self.scope = anyio.CancelScope()
            self.scope.__enter__()

    async with running() as task_group:
        first = process_of(await Open.start(task_group=task_group))
        second = process_of(await Open.start(task_group=task_group))
        for process in (first, second):
            exit(process.pid)
            assert await end_of(process)
        await anyio.wait_all_tasks_blocked()
        assert not anyio.get_current_task().has_pending_cancellation()


async def test_an_actor_that_never_waits_lets_others_run() -> None:
    class Busy(Actor):
        async def run(self, state: Any) -> Any:
            return state

    async with running() as task_group:
        busy = await Busy.start(task_group=task_group)
        await anyio.sleep(0)
        exit(busy)
        assert await wait_exit(busy) == "shutdown"


async def test_a_crash_is_logged_once_with_its_traceback_name_and_pid(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class KVStore(Puppet):
        async def terminate(self, reason: str, state: Any) -> None:
            unregister("kvstore")

    async with running() as task_group:
        pid = await KVStore.start(task_group=task_group, register_as="kvstore")
        others = [await Puppet.start(task_group=task_group) for _ in range(3)]
        for one, other in zip([pid, *others], others, strict=False):
            await call(one, lambda other=other: link(other))
        all_of_them = [process_of(one) for one in (pid, *others)]
        await cast(pid, boom)
        for process in all_of_them:
            assert isinstance((await end_of(process)).exception, Boom)
    [record] = caplog.records
    assert (record.name, record.levelno) == ("fauxtp", logging.ERROR)
    assert record.getMessage() == f"KVStore 'kvstore' {pid!r} crashed"
    assert record.exc_info
    assert isinstance(record.exc_info[1], Boom)
    assert "in boom" in caplog.text


async def test_whoever_hears_of_a_death_can_take_the_name_at_once() -> None:
    mailbox = Mailbox()
    took: list[bool] = []

    class Heir(Puppet):
        async def handle_info(self, message: Any, state: Any) -> Any:
            assert isinstance(message, Down)
            took.append(register("throne", self.pid) and register("by hand", self.pid))
            await send(mailbox.pid, "long live")

    async with running() as task_group:
        king = await Puppet.start(task_group=task_group, register_as="throne")
        assert register("by hand", king)
        heir = await Heir.start(task_group=task_group)
        await call(heir, lambda: monitor(king))
        exit(king)
        await mailbox.receive((ANY, str))
        assert took == [True]
        assert whereis("throne") is heir


class Unspeakable(Exception):
    def __repr__(self) -> str:
        raise Boom


async def test_an_error_that_cannot_be_printed_ends_its_own_actor_only() -> None:
    def fail() -> None:
        raise Unspeakable

    async with running() as group:
        one = await Puppet.start(task_group=group)
        other = await Puppet.start(task_group=group)
        process = process_of(one)
        await cast(one, fail)
        assert await end_of(process) == "error: Unspeakable"
        assert await call(other, lambda: "alive") == "alive"


async def test_a_reason_is_a_text() -> None:
    for reason in (None, 5, b"normal"):
        with pytest.raises(TypeError, match="expected text to be a str, got "):
            ExitReason(reason)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="expected reason to be a str, got "):
            Stop(reason)  # type: ignore[arg-type]


async def test_an_actor_starts_in_a_task_group() -> None:
    for group in (None, 5, "group", TaskGroup, asyncio.TaskGroup):
        with pytest.raises(TypeError, match="expected task_group to be a task group of anyio or "):
            await Idle.start(task_group=group)  # type: ignore[arg-type]
    assert processes() == []


async def test_on_exit_can_be_called() -> None:
    async with running() as group:
        with pytest.raises(TypeError, match="expected on_exit to be callable, got int"):
            await Idle.start_link(task_group=group, on_exit=5)  # type: ignore[arg-type]
