"""Where a process waits: told by `process_info`, and found by who follows what a task awaits."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.to_thread
import pytest
from crew import Idle, process_of, running
from wrappers import FACTORIES

from fauxtp import PID, GenServer, call, cast, exit, process_info, send, wait_exit
from fauxtp._actors.lifecycle import launch
from fauxtp._base import switches
from fauxtp._core import await_chain
from fauxtp._core.process import find_process

pytestmark = pytest.mark.anyio

LOOPS = {
    "asyncio": ("asyncio", True),
    "not handed off": ("asyncio", False),
    "trio": ("trio", False),
}


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    kind, hands_off = LOOPS[request.param]
    monkeypatch.setattr(switches, "hand_off", hands_off)
    return kind, {}


class Sentence:
    """What awaits in a way of its own."""

    def __init__(self, gate: anyio.Event) -> None:
        self.gate = gate

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.gate.wait().__await__()


async def letters(gate: anyio.Event) -> AsyncIterator[str]:
    await gate.wait()
    yield "a"


class Worker(GenServer[Any, Any]):
    """Waits for a gate, below what it is asked to call."""

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        way, gate = request
        return await way(self, gate), state

    async def handle_info(self, message: Any, state: Any) -> Any:
        return state

    async def at_once(self, gate: anyio.Event) -> None:
        await gate.wait()

    async def deeper(self, gate: anyio.Event) -> None:
        await self.at_once(gate)

    async def after_a_turn(self, gate: anyio.Event) -> None:
        await anyio.sleep(0)
        await gate.wait()

    async def by_an_object(self, gate: anyio.Event) -> None:
        await Sentence(gate)

    async def by_a_generator(self, gate: anyio.Event) -> None:
        async for _ in letters(gate):
            pass

    async def by_a_task_group(self, gate: anyio.Event) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(gate.wait)

    async def after_an_error(self, gate: anyio.Event) -> None:
        for _ in range(3):
            with anyio.move_on_after(0):
                await anyio.sleep(0)
        await gate.wait()


Way = Callable[[Worker, anyio.Event], Any]
WAYS: dict[Way, list[str]] = {
    Worker.at_once: ["at_once", "wait"],
    Worker.deeper: ["deeper", "at_once", "wait"],
    Worker.after_a_turn: ["after_a_turn", "wait"],
    Worker.by_an_object: ["by_an_object", "wait"],
    Worker.by_a_generator: ["by_a_generator", "letters", "wait"],
    Worker.by_a_task_group: ["by_a_task_group", "__aexit__"],
    Worker.after_an_error: ["after_an_error", "wait"],
}


def names(pid: PID) -> list[str]:
    return [frame.name for frame in process_info(pid).stack]


def followed(pid: PID) -> Iterator[Any]:
    """Follow what the task awaits, as tools do."""
    process = find_process(pid)
    assert process is not None
    task = process.task
    awaited = task.get_coro() if process.home.is_asyncio else task.coro
    while awaited is not None:
        if hasattr(awaited, "cr_await"):
            yield awaited.cr_frame.f_code.co_name
            awaited = awaited.cr_await
        elif hasattr(awaited, "gi_yieldfrom"):
            yield awaited.gi_frame.f_code.co_name
            awaited = awaited.gi_yieldfrom
        else:
            return


def is_part(part: list[str], whole: list[str]) -> bool:
    return any(whole[at : at + len(part)] == part for at in range(len(whole)))


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("is_woken", [False, True], ids=["", "woken meanwhile"])
async def test_a_handler_that_waits_is_found(way: Way, is_woken: bool) -> None:
    gate = anyio.Event()
    async with running() as group:
        pid = await Worker.start(task_group=group)
        async with anyio.create_task_group() as callers:
            callers.start_soon(call, pid, (way, gate))
            await anyio.wait_all_tasks_blocked()
            if is_woken:  # then its own task goes on with the handler
                await send(pid, "a message")
                await anyio.wait_all_tasks_blocked()
            expected = ["handle_call", *WAYS[way]]
            assert is_part(expected, names(pid))
            if way not in {Worker.by_an_object, Worker.by_a_generator}:  # that show nothing
                assert is_part(expected, list(followed(pid)))
            gate.set()
        assert "handle_call" not in names(pid)
        assert "handle_call" not in list(followed(pid))


async def test_an_idle_process_waits_where_it_does() -> None:
    async with running() as group:
        server = await Worker.start(task_group=group)
        actor = await Idle.start(task_group=group)
        await anyio.wait_all_tasks_blocked()
        assert is_part(["_live", "serve"], names(server))
        assert is_part(["_live", "run", "wait"], names(actor))
        assert "".join(traceback.format_list(process_info(actor).stack)).count("File") >= 3


async def test_a_handler_can_look_at_itself() -> None:
    class Looks(Worker):
        async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
            return names(self.pid), state

    async with running() as group:
        pid = await Looks.start(task_group=group)
        assert await call(pid, None)  # how far up, depends on who runs it


async def test_servers_that_wait_for_each_other_are_found_each() -> None:
    gate = anyio.Event()

    async with running() as group:
        last = await Worker.start(task_group=group)

        async def pass_on(_: Worker, gate: anyio.Event) -> None:
            await call(last, (Worker.at_once, gate))

        first = await Worker.start(task_group=group)
        async with anyio.create_task_group() as callers:
            callers.start_soon(call, first, (pass_on, gate))
            await anyio.wait_all_tasks_blocked()
            assert is_part(["handle_call", "pass_on", "call"], names(first))
            assert is_part(["handle_call", "at_once", "wait"], names(last))
            gate.set()


async def test_what_stands_for_a_handler_looks_like_one(anyio_backend: Any) -> None:
    if anyio_backend[0] == "trio":
        pytest.skip("nobody else runs a handler there")
    gate = anyio.Event()
    async with running() as group:
        pid = await Worker.start(task_group=group)
        process = find_process(pid)
        assert process is not None
        waited = process.task.get_coro().cr_await.cr_await
        for name in ("cr_frame", "cr_await", "cr_running", "__qualname__", "throw", "close"):
            assert not hasattr(waited, name)
        if switches.hand_off:
            group.start_soon(call, pid, (Worker.at_once, gate))
            await anyio.wait_all_tasks_blocked()
            assert waited.__qualname__ == "Worker.handle_call"
            assert inspect.getcoroutinestate(waited) == inspect.CORO_SUSPENDED
            assert not hasattr(waited, "throw")
            gate.set()


SHOW_THEIR_COROUTINES = [name for name in FACTORIES if "takes the steps" not in name]


@pytest.mark.parametrize("factory", SHOW_THEIR_COROUTINES)
async def test_it_is_found_in_what_others_wrap(factory: str, anyio_backend: Any) -> None:
    if anyio_backend[0] == "trio":
        pytest.skip("trio has no task factories")
    gate = anyio.Event()
    async with running() as group:
        await Worker.start(task_group=group)
        await asyncio.sleep(0)
        asyncio.get_running_loop().set_task_factory(FACTORIES[factory])
        pid = await Worker.start(task_group=group)
        asyncio.get_running_loop().set_task_factory(None)
        group.start_soon(call, pid, (Worker.deeper, gate))
        await anyio.wait_all_tasks_blocked()
        assert is_part(["_live", "serve"], names(pid))
        assert is_part(["handle_call", "deeper", "at_once", "wait"], names(pid))
        gate.set()
        await call(pid, (Worker.at_once, gate))
        exit(pid)
        await wait_exit(pid)


@pytest.mark.parametrize("times", range(6))
async def test_what_shows_nothing_any_more_is_where_it_ends(times: int) -> None:
    left = [times]

    class Flickers(Sentence):
        """Shows a coroutine a few times, as one does that another thread goes on with."""

        def __getattr__(self, name: str) -> Any:
            left[0] -= 1
            if left[0] < 0 or not name.startswith("cr_"):
                raise AttributeError(name)
            return getattr(shown, name)

    async def waits(_: Worker, gate: anyio.Event) -> None:
        await flickers

    class Iterates(Flickers):
        def __await__(self) -> Any:
            return self

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> Any:
            if gate.is_set():
                raise StopIteration
            return next(real)

    gate = anyio.Event()
    shown = gate.wait()
    flickers = Iterates(gate)
    async with running() as group:
        pid = await Worker.start(task_group=group)
        real = gate.wait().__await__()
        group.start_soon(call, pid, (waits, gate))
        await anyio.wait_all_tasks_blocked()
        left[0] = times
        assert is_part(["handle_call", "waits"], names(pid))
        gate.set()
    shown.close()


async def test_other_threads_may_look_while_all_changes() -> None:
    over, failures = threading.Event(), []

    async with running() as group:
        pid = await Worker.start(task_group=group)

        def look() -> None:
            try:
                while not over.is_set():
                    names(pid)
            except BaseException as failure:
                failures.append(failure)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            for _ in range(50):
                gate = anyio.Event()
                async with anyio.create_task_group() as callers:
                    callers.start_soon(call, pid, (Worker.after_a_turn, gate))
                    await anyio.sleep(0)
                    gate.set()
        finally:
            over.set()
            await anyio.to_thread.run_sync(thread.join)
    assert not failures


class Computes(GenServer[Any, Any]):
    """Computes, until it is told that it was seen."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.seen = threading.Event(), threading.Event()

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        self.compute()
        return None, state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        self.compute()
        return state

    def compute(self) -> None:
        self.begun.set()
        while not self.seen.is_set():
            pass


class PassesOn(GenServer[Any, Any]):
    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return await call(request, "compute"), state


async def by_call(pid: PID, _: Any) -> None:
    await call(pid, "compute")


async def by_cast(pid: PID, _: Any) -> None:
    await cast(pid, "compute")


async def by_another(pid: PID, group: Any) -> None:
    other = await PassesOn.start(task_group=group)
    await call(other, pid)


@pytest.mark.skipif(not await_chain._has_gil(), reason="frames are not looked at while they run")
@pytest.mark.parametrize("way", [by_call, by_cast, by_another], ids=lambda way: way.__name__)
async def test_what_a_handler_computes_is_seen_by_another_thread(way: Any) -> None:
    actor = Computes()
    async with running() as group:
        pid = (await launch(actor, group)).pid
        process = find_process(pid)
        assert process is not None

        def look() -> tuple[list[str], bool]:
            actor.begun.wait()
            try:
                stack, runs = await_chain.whereabouts(process)
                return [frame.name for frame in stack], runs
            finally:
                actor.seen.set()

        with ThreadPoolExecutor(1) as looks:
            seen = looks.submit(look)
            await way(pid, group)
            stack, runs = await anyio.to_thread.run_sync(seen.result)
            handler = "handle_cast" if way is by_cast else "handle_call"
            assert is_part([handler, "compute"], stack)
            assert runs
            assert looks.submit(await_chain.whereabouts, process).result()[1] is False


class Lazy:
    """Looks like what it stands for, and is that not yet."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("it is nothing yet")


class Waits(Computes):
    lazy = Lazy()

    async def handle_info(self, message: Any, state: Any) -> Any:
        await anyio.sleep_forever()


@pytest.mark.skipif(not await_chain._has_gil(), reason="frames are not looked at while they run")
@pytest.mark.parametrize("way", [by_call, by_cast], ids=lambda way: way.__name__)
async def test_only_of_who_runs_frames_are_looked_at_that_run(
    way: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = Waits()
    looked: list[int] = []
    frames = sys._current_frames

    def spy() -> Any:
        looked.append(1)
        return frames()

    monkeypatch.setattr(sys, "_current_frames", spy)
    async with running() as group:
        pid, waits = (await launch(actor, group)).pid, await Waits.start(task_group=group)
        await send(waits, "wait")
        while process_of(waits).handling is None:
            await anyio.sleep(0)

        def look() -> None:
            actor.begun.wait()
            try:
                assert await_chain.whereabouts(process_of(waits))[1] is False
                assert not looked
                stack, runs = await_chain.whereabouts(process_of(pid))
                assert runs
                assert "compute" in [frame.name for frame in stack[-2:]]
                assert looked
            finally:
                actor.seen.set()

        with ThreadPoolExecutor(1) as looks:
            seen = looks.submit(look)
            await way(pid, group)
            await anyio.to_thread.run_sync(seen.result)
