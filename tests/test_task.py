"""Tasks: functions that run as processes, and what comes of them."""

from __future__ import annotations

import traceback
from typing import Any

import anyio
import pytest
from conftest import PATIENCE
from crew import Boom, Fatal, Idle, end_of, process_of, running

from fauxtp import (
    ANY,
    Actor,
    Mailbox,
    ProcessExited,
    Task,
    exit,
    is_alive,
    link,
    wait_exit,
    whereis,
)
from fauxtp._core.running_process import current_process

pytestmark = pytest.mark.anyio


async def forever() -> None:
    await anyio.Event().wait()


async def test_join_gives_the_value_as_often_as_it_is_asked() -> None:
    async def add() -> int:
        return 1 + 2

    async with running() as task_group:
        handle = await Task.spawn(add, task_group)
        assert [await handle.join() for _ in range(3)] == [3, 3, 3]
        assert not is_alive(handle.pid)


async def test_join_raises_the_real_exception_as_often_as_it_is_asked() -> None:
    error = Boom()

    async def fail() -> None:
        raise error

    async with running() as task_group:
        handle = await Task.spawn(fail, task_group)
        for _ in range(3):
            with pytest.raises(Boom) as caught:
                await handle.join()
            assert caught.value is error


async def test_an_error_carries_nothing_of_those_who_joined_before() -> None:
    """Neither their frames, with all that is in them, nor what they were about to handle."""

    async def fails() -> None:
        try:
            raise KeyError("before")
        except KeyError:
            raise Boom  # noqa: B904

    async def join() -> tuple[int, object]:
        try:
            raise LookupError("of whoever joins")
        except LookupError:
            with pytest.raises(Boom) as caught:
                await handle.join()
        frames = traceback.walk_tb(caught.value.__traceback__)
        return sum(1 for _ in frames), caught.value.__context__

    async with running() as task_group:
        handle = await Task.spawn(fails, task_group)
        first, context = await join()
        assert repr(context) == "KeyError('before')"
        for _ in range(3):
            assert await join() == (first, context)


async def test_any_number_may_join_while_it_runs() -> None:
    go, values = anyio.Event(), []

    async def work() -> str:
        await go.wait()
        return "done"

    async def join() -> None:
        values.append(await handle.join())

    async with running() as task_group:
        handle = await Task.spawn(work, task_group)
        async with anyio.create_task_group() as joiners:
            for _ in range(5):
                joiners.start_soon(join)
            await anyio.wait_all_tasks_blocked()
            assert values == []
            go.set()
        assert values == ["done"] * 5


async def test_a_task_that_is_ended_from_outside_has_no_value() -> None:
    async with running() as task_group:
        handle = await Task.spawn(forever, task_group)
        exit(handle.pid, "no more")
        for _ in range(2):
            with pytest.raises(ProcessExited) as caught:
                await handle.join()
            assert (caught.value.pid, caught.value.reason) == (handle.pid, "no more")


async def test_a_task_that_fails_harms_nobody_but_fatal_errors_do() -> None:
    async def fatal() -> None:
        raise Fatal

    async def fail() -> None:
        raise Boom

    async def main() -> None:
        async with anyio.create_task_group() as task_group:
            failed = await Task.spawn(fail, task_group)
            await wait_exit(failed.pid)
            assert not task_group.cancel_scope.cancel_called
            await Task.spawn(fatal, task_group)

    with anyio.fail_after(PATIENCE), pytest.raises(BaseExceptionGroup) as caught:
        await main()
    assert caught.value.split(Fatal)[1] is None


async def test_who_waits_may_give_up_and_the_task_goes_on() -> None:
    async with running() as task_group:
        handle = await Task.spawn(forever, task_group)
        with anyio.move_on_after(0):
            await handle.join()
        assert is_alive(handle.pid)


async def test_a_task_is_a_process_that_can_link() -> None:
    async with running() as task_group:
        other = await Idle.start(task_group=task_group)

        async def fail() -> None:
            process = current_process()
            assert process is not None
            link(other)
            raise Boom(f"{process.pid!r}")

        victim = process_of(other)
        handle = await Task.spawn(fail, task_group)
        with pytest.raises(Boom, match=repr(handle.pid)):
            await handle.join()
        assert isinstance((await end_of(victim)).exception, Boom)


async def test_a_task_cannot_be_launched_twice() -> None:
    async with running() as task_group:
        task = Task(forever)
        await task.launch(task_group)
        with pytest.raises(RuntimeError, match="started before"):
            await task.launch(task_group)


async def test_the_parent_is_sent_the_outcome() -> None:
    outside = Mailbox()

    async def work() -> str:
        return "value"

    async def fail() -> None:
        raise Boom

    async def outcome() -> tuple[Any, ...]:
        told: tuple[Any, ...] = await outside.receive((tuple, lambda message: message))
        return told

    async with running() as task_group:
        good = await Task.spawn_and_notify(work, task_group, outside.pid, "good", "bad")
        assert await outcome() == ("good", good.pid, "value")
        plain = await Task.spawn_and_notify(work, task_group, outside.pid)
        assert await outcome() == ("$$success", plain.pid, "value")
        for name, names in (("$$failure", ()), ("bad", ("good", "bad"))):
            bad = await Task.spawn_and_notify(fail, task_group, outside.pid, *names)
            word, pid, reason = await outcome()
            assert (word, pid, reason) == (name, bad.pid, "Boom()")
            assert isinstance(reason.exception, Boom)
        ended = await Task.spawn_and_notify(forever, task_group, outside.pid)
        exit(ended.pid, "no more")
        word, pid, reason = await outcome()
        assert (word, pid, reason, reason.exception) == ("$$failure", ended.pid, "no more", None)


async def test_a_parent_that_is_gone_is_no_trouble() -> None:
    async def work() -> str:
        return "value"

    async with running() as task_group:
        handle = await Task.spawn_and_notify(work, task_group, "nobody")
        assert await handle.join() == "value"


async def test_a_cancelled_task_group_ends_tasks_and_tells_of_it() -> None:
    outside = Mailbox()
    async with running():
        async with anyio.create_task_group() as task_group:
            handle = await Task.spawn_and_notify(forever, task_group, outside.pid)
            task_group.cancel_scope.cancel()
        told = await outside.receive((("$$failure", handle.pid, ANY), str))
        assert told == "cancelled"
        with pytest.raises(ProcessExited, match="cancelled"):
            await handle.join()


def test_a_task_is_an_actor() -> None:
    assert issubclass(Task, Actor)
    assert whereis("task") is None


async def test_what_cannot_be_called_or_told_is_no_task() -> None:
    async with running() as group:
        coroutine = forever()
        with pytest.raises(TypeError, match="expected func to be callable, got coroutine"):
            await Task.spawn(coroutine, group)  # type: ignore[arg-type]
        coroutine.close()
        with pytest.raises(TypeError, match="expected a PID or a name, got int"):
            await Task.spawn_and_notify(forever, group, 5)  # type: ignore[arg-type]
