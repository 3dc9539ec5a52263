"""Actors: from the constructor to the last word, and what may go wrong between."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import anyio
import anyio.to_thread
import pytest
from crew import Boom, Fatal, Idle, Puppet, boom, running

from fauxtp import (
    ANY,
    PID,
    Actor,
    Down,
    ExitReason,
    GenServer,
    Mailbox,
    NameTaken,
    ProcessExited,
    call,
    cast,
    exit,
    is_alive,
    link,
    monitor,
    register,
    send,
    unregister,
    wait_exit,
    whereis,
)
from fauxtp.actor import launch

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
    actor = Puppet("it", diary := [])
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
        assert await wait_exit(process.pid) == "from a thread"


async def test_stop_in_a_child_task_ends_the_actor() -> None:
    class Parent(Idle):
        async def init(self) -> None:
            self.start_soon_child(self.child)

        async def child(self) -> None:
            self.stop("said the child")

    async with running() as task_group:
        pid = (await launch(Parent(), task_group)).pid
        assert await wait_exit(pid) in {"said the child", "noproc"}


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


# Errors


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

    with pytest.raises(BaseExceptionGroup) as caught:
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
        await cast(pid, boom)
        for one in (pid, *others):
            assert isinstance((await wait_exit(one)).exception, Boom) or not is_alive(one)
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
