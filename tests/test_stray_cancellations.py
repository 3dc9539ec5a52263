"""Cancellations that nobody asked for: they are errors of the code that raises them."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
from conftest import ASYNCIO, task_group
from crew import end_of, process_of

import fauxtp
from fauxtp import (
    PID,
    ChildInfo,
    ChildSpec,
    ExitReason,
    GenServer,
    ProcessExited,
    Supervisor,
    Task,
    call,
    cast,
    dead_letters,
    exit,
    get_state,
    is_alive,
    replace_state,
    send,
    send_nowait,
    wait_exit,
    wait_registered,
    whereis,
)
from fauxtp._base.redaction import described
from fauxtp._base.texts import shown
from fauxtp.observe import events

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("either_way"),
    pytest.mark.parametrize("anyio_backend", ASYNCIO),
]


async def stray() -> None:
    """Wait for a task that was cancelled, as who ends a job of its own does."""
    job = asyncio.ensure_future(asyncio.sleep(60))
    await asyncio.sleep(0)
    job.cancel()
    await job


class Careless(GenServer[Any, Any]):
    """Does so where it is told to."""

    def __init__(self, where: str = "") -> None:
        self.where = where

    async def init(self) -> Any:
        if self.where == "init":
            await stray()
        if self.where == "task":
            self.start_soon_child(stray)
        return []

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        await stray()
        return None, state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        await stray()
        return state

    async def handle_info(self, message: Any, state: Any) -> Any:
        await stray()
        return state

    async def terminate(self, reason: str, state: Any) -> None:
        if self.where == "terminate":
            await stray()


async def calls(server: PID) -> None:
    with pytest.raises(ProcessExited) as caught:
        await call(server, 1)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)


async def casts(server: PID) -> None:
    await cast(server, 1)


async def sends(server: PID) -> None:
    await send(server, 1)


@pytest.mark.parametrize("provoke", [calls, casts, sends])
async def test_a_handler_that_is_cancelled_by_itself_has_crashed(
    provoke: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with task_group() as group:
        server = await Careless.start(task_group=group)
        process = process_of(server)
        await provoke(server)
        reason = await end_of(process)
        assert isinstance(reason.exception, asyncio.CancelledError)
        assert (reason.abnormal, str(reason)) == (True, "error: CancelledError()")
    [record] = caplog.records
    assert record.getMessage() == f"Careless {server!r} crashed"
    assert "in stray" in caplog.text


async def test_an_init_that_is_cancelled_by_itself_fails_and_its_starter_does_not() -> None:
    async with task_group() as group:
        with pytest.raises(ProcessExited, match="CancelledError") as caught:
            await Careless.start("init", task_group=group)
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)


async def test_a_task_of_its_own_that_is_cancelled_by_itself_ends_it_by_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with task_group() as group:
        server = await Careless.start("task", task_group=group)
        process = process_of(server)
        reason = await end_of(process)
        assert isinstance(reason.exception, RuntimeError)
        assert isinstance(reason.exception.__cause__, asyncio.CancelledError)
        assert str(reason.exception) == "a task of the actor's own was cancelled by itself"
    [record] = caplog.records
    assert record.getMessage() == f"Careless {server!r} crashed"
    assert "in stray" in caplog.text


async def test_a_task_of_its_own_may_be_cancelled_by_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By its scope, and as all tasks are as the event loop ends."""

    async def waits() -> None:
        tasks.append(asyncio.current_task())
        with anyio.CancelScope() as inner:
            scopes.append(inner)
            await anyio.sleep_forever()
        await anyio.sleep_forever()

    tasks: list[Any] = []
    scopes: list[anyio.CancelScope] = []
    async with task_group() as group:
        server = await Careless.start(task_group=group)
        actor = process_of(server).actor
        for _ in range(2):
            actor.start_soon_child(waits)  # type: ignore[attr-defined]
        await anyio.wait_all_tasks_blocked()
        scopes[0].cancel()
        await anyio.wait_all_tasks_blocked()
        assert is_alive(server)
        tasks[1].cancel()
        assert await wait_exit(server) == "cancelled"
    assert caplog.records == []


async def test_who_has_a_task_of_its_own_is_told_of_bad_arguments_at_once() -> None:
    async with task_group() as group:
        server = await Careless.start(task_group=group)
        actor: Any = process_of(server).actor
        with pytest.raises(TypeError, match="positional argument"):
            actor.start_soon_child(stray, 1)
        with pytest.raises(TypeError, match=r"Expected .*len\(\) to return a coroutine"):
            actor.start_soon_child(len, "")
        with pytest.raises((TypeError, AttributeError)):
            actor.start_soon_child(None)
        exit(server)


async def test_a_hook_that_meets_a_cancelled_future_does_not_break_its_supervisor(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Chief(Supervisor):
        def child_specs(self) -> list[ChildSpec]:
            return [ChildSpec("a", Careless, register_as="a")]

        def on_restart(self, child: ChildInfo, reason: ExitReason, count: int) -> None:
            cancelled_future()

    async with task_group() as group:
        chief = await Chief.start(task_group=group)
        before = whereis("a")
        assert before is not None
        await cast(before, 1)
        await wait_exit(before)
        assert await wait_registered("a") is not before
        exit(chief)
    assert "on_restart of Chief" in caplog.text


async def test_a_listener_that_meets_a_cancelled_future_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with events.listen(cancelled_future, events.DEAD_LETTER):
        send_nowait("nobody", 1)
    with dead_letters.observed_by(cancelled_future):
        send_nowait("nobody", 1)
    assert len(caplog.records) == 2


async def test_a_change_of_a_state_that_meets_a_cancelled_future_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with task_group() as group:
        server = await Careless.start(task_group=group)
        with pytest.raises(
            RuntimeError, match="what was to change the state was cancelled"
        ) as told:
            await replace_state(server, cancelled_future)
        assert isinstance(told.value.__cause__, asyncio.CancelledError)
        assert await get_state(server) == []
        exit(server)
    assert caplog.records == []


class Unprintable:
    """Its `repr` asks a future that was cancelled."""

    def __repr__(self) -> str:
        cancelled_future()
        return ""


async def test_a_message_whose_text_meets_a_cancelled_future_is_told_of_by_its_type(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert "Unprintable" in shown(Unprintable())
    assert "Unprintable" in described(Unprintable())
    async with task_group() as group:
        server = await Careless.start(task_group=group)
        process = process_of(server)
        await cast(server, Unprintable())
        reason = await end_of(process)
        assert isinstance(reason.exception, asyncio.CancelledError)
    [record] = caplog.records
    assert record.getMessage() == f"Careless {server!r} crashed"
    assert "Unprintable" in caplog.text


def cancelled_future(*_: object) -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    future.result()


async def test_a_terminate_that_is_cancelled_by_itself_is_logged_and_on_exit_runs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[tuple[PID, str]] = []

    async def on_exit(pid: PID, reason: str) -> None:
        told.append((pid, reason))

    async with task_group() as group:
        handle = await Careless.start_link("terminate", task_group=group, on_exit=on_exit)
        exit(handle.pid)
        assert await wait_exit(handle.pid) == "shutdown"
    assert told == [(handle.pid, "shutdown")]
    [record] = caplog.records
    assert record.getMessage() == f"terminate of Careless {handle.pid!r} failed"


async def test_an_on_exit_that_is_cancelled_by_itself_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def on_exit(pid: PID, reason: str) -> None:
        await stray()

    async with task_group() as group:
        handle = await Careless.start_link(task_group=group, on_exit=on_exit)
        other = await Careless.start(task_group=group)
        exit(handle.pid)
        await wait_exit(handle.pid)
        await asyncio.sleep(0)
        assert is_alive(other)
    assert [record.getMessage().split()[0] for record in caplog.records] == ["on_exit"]


async def test_on_exit_runs_though_the_event_loop_cancels_terminate() -> None:
    told: list[str] = []

    class Slow(GenServer[Any, Any]):
        async def terminate(self, reason: str, state: Any) -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(60)

    async def on_exit(pid: PID, reason: str) -> None:
        await asyncio.sleep(0)
        told.append(reason)

    async with task_group() as group:
        handle = await Slow.start_link(task_group=group, on_exit=on_exit)
        exit(handle.pid, "enough")
        await wait_exit(handle.pid)
    assert told == ["enough"]


async def test_a_task_that_is_cancelled_by_itself_does_not_cancel_who_joins_it() -> None:
    async with task_group() as group:
        handle = await Task.spawn(stray, group)
        for _ in range(2):
            with pytest.raises(ProcessExited) as caught:
                await handle.join()
            assert isinstance(caught.value.__cause__, asyncio.CancelledError)


async def test_a_supervisor_that_gives_up_for_it_says_so() -> None:
    class Top(Supervisor):
        max_restarts = 0

        def child_specs(self) -> list[ChildSpec]:
            return [ChildSpec("careless", Careless, register_as="careless")]

    async def falls() -> None:
        async with task_group() as group:
            await Top.start(task_group=group)
            await cast("careless", 1)
            await asyncio.Event().wait()

    with pytest.raises(BaseExceptionGroup) as caught:
        await falls()
    [error] = caught.value.exceptions
    assert isinstance(error, fauxtp.MaxRestartsExceeded)
    assert isinstance(error.__cause__, asyncio.CancelledError)


async def test_who_was_asked_to_end_is_cancelled_and_has_not_crashed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Waits(GenServer[Any, Any]):
        async def handle_cast(self, request: Any, state: Any) -> Any:
            request.set()
            await asyncio.sleep(60)

    async with task_group() as group:
        waits, begun = await Waits.start(task_group=group), asyncio.Event()
        process = process_of(waits)
        await cast(waits, begun)
        await begun.wait()
        exit(waits, "enough")
        assert await end_of(process) == ExitReason("enough")
    assert not caplog.records
