"""Watching names: what is there, then what becomes of it; nothing is missed or told twice."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any
from weakref import ref

import anyio
import anyio.to_thread
import pytest
from conftest import ASYNCIO, PATIENCE, Run
from crew import Boom, Idle, Puppet, boom, running
from twins_of import FORMS, form_of

from fauxtp import (
    PID,
    Overflow,
    Registered,
    Unregistered,
    cast,
    exit,
    register,
    registered,
    unregister,
    wait_exit,
    watch_names,
    whereis,
)
from fauxtp._messaging import watch_names as module
from fauxtp.registry import default, withdraw

LOOPS = [*ASYNCIO, pytest.param(("trio", {}), id="trio")]
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", LOOPS, indirect=True)]


@pytest.fixture(autouse=True)
def no_name_is_left() -> Any:
    yield
    gc.collect()
    assert registered() == []
    assert not is_followed(), "somebody still follows the names"


def is_followed() -> bool:
    """Whether anybody follows the names: whoever does keeps the latest news."""
    pid, reason = PID(), Reason()
    register("a name for a moment", pid)
    withdraw(pid, reason)
    seen = ref(reason)
    del reason
    return seen() is not None


class Reason:
    """Something that can be seen to have gone."""


@asynccontextmanager
async def watching(prefix: str = "") -> AsyncIterator[Any]:
    async with aclosing(watch_names(prefix)) as watch:
        yield watch


async def take(watch: Any, count: int) -> list[Any]:
    with anyio.fail_after(PATIENCE):
        return [await anext(watch) for _ in range(count)]


async def asleep(watch: Any) -> None:
    """Wait until a task waits for what the watch yields next."""
    with anyio.fail_after(PATIENCE):
        while watch._place.waiter is None:
            await anyio.lowlevel.checkpoint()


async def test_first_comes_what_is_there_in_order() -> None:
    pids = [PID() for _ in range(3)]
    for name, pid in zip(("b:2", "a", "b:1"), pids, strict=True):
        register(name, pid)
    async with watching("b:") as watch:
        assert await take(watch, 2) == [Registered("b:2", pids[0]), Registered("b:1", pids[2])]
    async with watching() as watch:
        assert [each.name for each in await take(watch, 3)] == ["b:2", "a", "b:1"]
    for pid in pids:
        default.release(pid)


async def test_then_comes_what_becomes_of_it() -> None:
    one, other = PID(), PID()
    register("a:1", one)
    async with watching("a:") as watch:
        await take(watch, 1)
        register("a:2", other)
        register("b:1", other)
        unregister("a:1")
        register("a:1", other)
        default.transfer("a:1", other, one)
        default.release(other)
        default.release(one)
        assert await take(watch, 7) == [
            Registered("a:2", other),
            Unregistered("a:1", one, None),
            Registered("a:1", other),
            Unregistered("a:1", other, None),
            Registered("a:1", one),
            Unregistered("a:2", other, None),
            Unregistered("a:1", one, None),
        ]


async def test_an_end_is_told_with_its_reason() -> None:
    async with running() as group, watching("a:") as watch:
        one = await Idle.start(task_group=group, register_as="a:1")
        two = await Puppet.start(task_group=group, register_as="a:2")
        assert await take(watch, 2) == [Registered("a:1", one), Registered("a:2", two)]
        exit(one, "its time has come")
        await wait_exit(one)
        await cast(two, boom)
        await wait_exit(two)
        [first, second] = await take(watch, 2)
        assert first == Unregistered("a:1", one, "its time has come")  # type: ignore[arg-type]
        assert (second.name, type(second.reason.exception)) == ("a:2", Boom)


async def test_it_waits_for_what_comes_and_other_names_do_not_wake_it() -> None:
    pid, told = PID(), list[Any]()

    async def watch_them() -> None:
        async for change in watch:
            told.append(change)
            if len(told) == 2:
                break

    async with watching("a:") as watch, anyio.create_task_group() as group:
        group.start_soon(watch_them)
        await asleep(watch)
        waiter = watch._place.waiter
        register("b", pid)
        await anyio.lowlevel.checkpoint()
        assert watch._place.waiter is waiter
        assert not waiter.woken
        register("a:1", pid)
        default.release(pid)
    assert told == [Registered("a:1", pid), Unregistered("a:1", pid, None)]


async def test_any_thread_may_register() -> None:
    pids = [PID() for _ in range(50)]

    def work() -> None:
        for number, pid in enumerate(pids):
            register(f"a:{number}", pid)
            default.release(pid)

    async with watching("a:") as watch, anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, work)
        changes = list[Any]()
        with anyio.fail_after(PATIENCE):
            while not (changes and changes[-1] == Unregistered("a:49", pids[-1], None)):
                changes += await take(watch, 1)
    there = dict[str, PID]()
    for change in changes:
        if isinstance(change, Registered):
            assert change.name not in there
            there[change.name] = change.pid
        else:
            assert there.pop(change.name) is change.pid
    assert there == {}


async def test_what_comes_and_goes_while_it_begins_is_told_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between any two of its look-ups."""
    pids = [PID() for _ in range(4)]
    for number, pid in enumerate(pids):
        register(f"a:{number}", pid)
    looks = 0

    def look(name: str) -> PID | None:
        nonlocal looks
        looks += 1
        found = whereis(name)
        if looks == 1:
            unregister("a:0")
            register("a:0", pids[1])
            unregister("a:3")
            register("a:4", pids[2])
            unregister("a:4")
            register("a:5", pids[3])
        return found

    monkeypatch.setattr(module, "whereis", look)
    async with watching("a:") as watch:
        assert await take(watch, 4) == [
            Registered("a:1", pids[1]),
            Registered("a:2", pids[2]),
            Registered("a:0", pids[1]),
            Registered("a:5", pids[3]),
        ]
        assert default.release(pids[0]) == []
        unregister("a:1")
        assert await take(watch, 1) == [Unregistered("a:1", pids[1], None)]
    for pid in pids:
        default.release(pid)


# Who is slow


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few names that nobody has taken be too many."""
    monkeypatch.setattr(module, "MOST", 20)
    for form in FORMS:
        monkeypatch.setattr(form_of("registry", form), "EACH", 10)


@pytest.mark.usefixtures("narrow")
async def test_who_is_too_slow_is_told_and_begins_anew() -> None:
    pid = PID()
    async with watching("a:") as watch:
        register("a:0", pid)
        await take(watch, 1)
        for number in range(1, 40):
            register(f"a:{number}", pid)
            unregister(f"a:{number - 1}")
        assert await take(watch, 2) == [Overflow(), Registered("a:39", pid)]
        unregister("a:39")
        assert await take(watch, 1) == [Unregistered("a:39", pid, None)]


@pytest.mark.usefixtures("narrow")
async def test_what_nobody_takes_is_not_kept() -> None:
    async with watching("a:") as watch:
        register("a:0", keeper := PID())
        await take(watch, 1)
        seen: list[ref[Reason]] = []
        for number in range(100):
            reason = Reason()
            seen.append(ref(reason))
            register(f"a:{number + 1}", pid := PID())
            withdraw_and_tell(pid, reason)
            del reason
        gc.collect()
        assert sum(each() is not None for each in seen) <= 15
        assert await take(watch, 2) == [Overflow(), Registered("a:0", keeper)]
    default.release(keeper)


def withdraw_and_tell(pid: PID, reason: Any) -> None:
    for tell in withdraw(pid, reason):
        tell()


@pytest.mark.usefixtures("narrow")
async def test_who_waits_for_names_that_never_come_is_not_slow() -> None:
    """However many others come: it keeps up with them, and keeps none."""
    pid, told = PID(), list[Any]()

    async def watch_them() -> None:
        told.append(await anext(watch))

    async with watching("a:") as watch, anyio.create_task_group() as group:
        group.start_soon(watch_them)
        await asleep(watch)
        for number in range(200):
            register(f"b:{number}", pid)
            await asleep(watch)
            await anyio.wait_all_tasks_blocked()
        register("a:1", pid)
    assert told == [Registered("a:1", pid)]
    default.release(pid)


# Its end


async def test_who_leaves_it_watches_no_longer() -> None:
    register("a:1", pid := PID())
    async for change in watch_names("a:"):
        assert change == Registered("a:1", pid)
        assert is_followed()
        break
    assert not is_followed()
    default.release(pid)


async def test_one_that_is_closed_yields_nothing_more() -> None:
    register("a:1", pid := PID())
    register("a:2", pid)
    watch = watch_names("a:")
    await take(watch, 1)
    watch.close()
    assert [change async for change in watch] == []
    watch.close()
    default.release(pid)


async def test_whoever_waits_for_one_that_is_closed_is_told() -> None:
    watch = watch_names("a:")
    async with anyio.create_task_group() as group:

        async def watch_them() -> None:
            assert [change async for change in watch] == []

        group.start_soon(watch_them)
        await asleep(watch)
        watch.close()


async def test_who_is_cancelled_as_it_waits_has_missed_nothing() -> None:
    pid, told = PID(), list[Any]()

    async def watch_them() -> None:
        async for change in watch:
            told.append(change.name)

    async with watching("a:") as watch:
        for number in range(5):
            async with anyio.create_task_group() as group:
                group.start_soon(watch_them)
                await asleep(watch)
                register(f"a:{number}", pid)
                group.cancel_scope.cancel()
        register("a:5", pid)
        while len(told) < 6:
            told.append((await anext(watch)).name)
    assert told == [f"a:{number}" for number in range(6)]
    default.release(pid)


async def test_it_is_for_one_task_at_a_time() -> None:
    async with watching("a:") as watch, anyio.create_task_group() as group:
        group.start_soon(anext, watch)
        await asleep(watch)
        with pytest.raises(RuntimeError, match="another task waits for these names already"):
            await anext(watch)
        group.cancel_scope.cancel()


async def test_others_have_their_turn_while_there_are_changes() -> None:
    pid, turns = PID(), 0
    for number in range(1_000):
        register(f"a:{number}", pid)

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with watching("a:") as watch, anyio.create_task_group() as group:
        group.start_soon(count)
        for _ in range(1_000):
            await anext(watch)
        group.cancel_scope.cancel()
    assert turns >= 1_000 // module.BUDGET - 1
    default.release(pid)


@pytest.mark.parametrize("bad", [None, 1, b"a:", ["a:"]])
async def test_a_bad_prefix_is_refused_where_it_is_given(bad: Any) -> None:
    with pytest.raises(TypeError, match="expected prefix to be a str, got "):
        watch_names(bad)


async def test_a_watch_that_never_begins_costs_nothing() -> None:
    watch = watch_names()
    assert not is_followed()
    del watch


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
async def test_a_child_after_fork_watches_nothing_and_can_begin(run: Run) -> None:
    done = run(
        """
import os, anyio
from fauxtp import PID, Registered, register, unregister, watch_names

async def child():
    register("a:2", PID())
    async for change in watch_names("a:"):
        print(change.name, flush=True)
        if change.name == "a:2":
            break

async def main():
    register("a:1", pid := PID())
    watch = watch_names("a:")
    assert (await anext(watch)).name == "a:1"
    if (number := os.fork()) == 0:
        register("in the child", PID())
        return True
    assert os.waitpid(number, 0)[1] == 0
    register("a:3", pid)
    assert (await anext(watch)).name == "a:3"

if anyio.run(main):
    anyio.run(child)
"""
    )
    assert (done.returncode, done.stdout) == (0, "a:1\na:2\n"), done.stderr


async def test_names_that_threads_fight_for_are_told_as_they_were() -> None:
    """Each step that is told can follow the one before, and the last is what there is."""
    pids = [PID() for _ in range(3)]
    start, over = threading.Barrier(3), PID()

    def work(mine: PID) -> None:
        start.wait(PATIENCE)
        for turn in range(200):
            name = f"a:{turn % 5}"
            if not register(name, mine):
                unregister(name)
        default.release(mine)

    async def fight() -> None:
        async with anyio.create_task_group() as threads:
            for pid in pids:
                threads.start_soon(anyio.to_thread.run_sync, work, pid)
        register("a:over", over)

    there = dict[str, PID]()
    async with watching("a:") as watch, anyio.create_task_group() as group:
        group.start_soon(fight)
        with anyio.fail_after(PATIENCE):
            async for change in watch:
                match change:
                    case Registered("a:over"):
                        break
                    case Registered(name, pid):
                        assert name not in there, "told to come twice"
                        there[name] = pid
                    case Unregistered(name, pid, None):
                        assert there.pop(name) is pid, "told to go by another"
                    case _:
                        raise AssertionError(change)
    assert there == {name: whereis(name) for name in registered() if name != "a:over"} == {}
    default.release(over)
