"""The world in which explore runs a scenario: its order, its clock, and what it leaves."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from conftest import Run
from crew import Cell
from hostile.scenes import together

from fauxtp import (
    PID,
    ChildSpec,
    Mailbox,
    RestartStrategy,
    Supervisor,
    call,
    cast,
    exit,
    groups,
    join,
    leave,
    members,
    register,
    registered,
    unregister,
    whereis,
)
from fauxtp._base import switches
from fauxtp.testing import SeedFailed, explore
from fauxtp.testing.simulation import Simulations


class Cells(Supervisor):
    strategy = RestartStrategy.ONE_FOR_ALL
    max_restarts = 1000

    def child_specs(self) -> list[ChildSpec]:
        return [ChildSpec(name, Cell, register_as=name) for name in ("a", "b", "c")]


async def turmoil() -> None:
    """Calls, casts, crashes, restarts, cancellations and timeouts, at random."""

    async def meddle() -> None:
        for _ in range(5):
            try:
                with anyio.move_on_after(0.01 * random.random()):
                    what = random.choice(["get", "never", 5, "crash"])
                    await call(random.choice("abc"), what, timeout=0.01 * random.random())
            except Exception:
                pass

    async def branch(depth: int) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                if depth:
                    group.start_soon(branch, depth - 1)
                else:
                    group.start_soon(anyio.sleep_forever)

    async def prune() -> None:
        with anyio.move_on_after(0.005):
            await branch(2)

    async def flood() -> None:
        for _ in range(200):
            await cast("a", 1)

    async with anyio.create_task_group() as group:
        cells = await Cells.start(task_group=group)
        await together(meddle, meddle, meddle, prune, flood)
        exit(cells)


def traces(seeds: int) -> list[int]:
    """Return by which way each seed goes; between them, memory is not what it was."""
    found, junk = [], []
    with Simulations.begun() as simulations:
        for seed in range(seeds):
            junk.append([object() for _ in range(random.SystemRandom().randrange(1000))])
            end = simulations.run(turmoil, seed)
            assert end.error is None
            found.append(end.trace)
    return found


# Replay


def test_a_seed_goes_the_same_way_again() -> None:
    first = traces(60)
    assert traces(60) == first
    assert len(set(first)) == 60


def test_a_seed_goes_the_same_way_in_another_process(run: Run) -> None:
    program = "import json, test_simulation; print(json.dumps(test_simulation.traces(20)))"
    for hash_seed in ("1", "2"):
        done = run(program, PYTHONPATH=str(Path(__file__).parent), PYTHONHASHSEED=hash_seed)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == traces(20)


def test_tasks_that_are_cancelled_together_are_so_in_the_same_order() -> None:
    junk: list[Any] = []
    orders: list[list[int]] = []

    async def scenario() -> None:
        async def wait(number: int) -> None:
            future = asyncio.get_running_loop().create_future()
            future.add_done_callback(lambda _: order.append(number))
            await future

        order: list[int] = []
        async with anyio.create_task_group() as group:
            for number in range(20):
                junk.append(bytes(random.SystemRandom().randrange(2000)))
                group.start_soon(wait, number)
            await anyio.sleep(1)
            group.cancel_scope.cancel()
        orders.append(order)

    explore(scenario, [17] * 5)
    assert sorted(orders[0]) == list(range(20))
    assert orders == [orders[0]] * 5


def test_one_seed_draws_the_same_numbers_and_another_does_not() -> None:
    drawn = []

    async def draw() -> None:
        drawn.append(random.random())

    explore(draw, [1, 2, 1])
    assert drawn[0] == drawn[2] != drawn[1]


def test_what_a_seed_does_not_decide_is_told() -> None:
    times = iter([False, True])

    async def fails_once() -> None:
        assert next(times)

    with pytest.raises(SeedFailed, match="does not replay it: more than the schedule decides"):
        explore(fails_once)


def test_both_ways_of_calling_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    async def look() -> None:
        seen.append(switches.hand_off)

    monkeypatch.setattr(switches, "hand_off", True)
    explore(look, 20)
    assert set(seen) == {False, True}
    assert switches.hand_off

    seen.clear()
    monkeypatch.setattr(switches, "hand_off", False)
    explore(look, 20)
    assert set(seen) == {False}


# Its world


def test_an_hour_takes_no_time() -> None:
    async def scenario() -> None:
        started = anyio.current_time()
        mailbox = Mailbox()
        with pytest.raises(TimeoutError):
            await call(mailbox.pid, "anything", timeout=3600)
        assert 3600 <= anyio.current_time() - started < 3601

    started = time.monotonic()
    explore(scenario, 100)
    assert time.monotonic() - started < 30


def test_timers_go_off_in_the_order_of_their_times() -> None:
    async def scenario() -> None:
        async def wait(delay: float) -> None:
            loop.call_later(delay, order.append, delay)

        loop = asyncio.get_running_loop()
        order: list[Any] = []
        await together(*[lambda delay=delay: wait(delay) for delay in (3, 1, 2)])
        loop.call_later(1.5, order.append, "never").cancel()
        await anyio.sleep(4)
        assert order == [1, 2, 3]

    explore(scenario, 50)


def test_callbacks_run_in_order_and_no_task_overtakes_one() -> None:
    async def scenario() -> None:
        async def note() -> None:
            order.append("task")

        loop = asyncio.get_running_loop()
        order: list[Any] = []
        loop.call_soon(order.append, 1)
        loop.call_soon(order.append, 2)
        task = loop.create_task(note())
        loop.call_soon(order.append, 3)
        await task
        await anyio.sleep(1)
        assert order in ([1, 2, "task", 3], [1, 2, 3, "task"])
        orders.add(tuple(order))

    orders: set[Any] = set()
    explore(scenario, 50)
    assert len(orders) == 2


def test_each_seed_begins_with_an_empty_registry_and_leaves_the_old_one() -> None:
    async def scenario() -> None:
        assert registered() == []
        assert register("of the scenario", PID())
        assert register("from before", PID())
        assert groups() == []
        assert join("from before", PID())

    pid = PID()
    register("from before", pid)
    join("from before", pid)
    try:
        explore(scenario, 3)
        assert (registered(), whereis("from before")) == (["from before"], pid)
        assert members("from before") == (pid,)
    finally:
        unregister("from before")
        leave("from before", pid)


def test_what_is_global_is_as_before() -> None:
    async def scenario() -> None:
        random.random()

    def world() -> list[Any]:
        logger = logging.getLogger("fauxtp")
        return [
            random.getstate(),
            switches.hand_off,
            gc.isenabled(),
            list(logger.handlers),
            logger.propagate,
            logger.level,
        ]

    before = world()
    explore(scenario, 3)
    assert world() == before


def test_asynchronous_generators_are_closed() -> None:
    async def scenario() -> None:
        async def numbers(name: str) -> AsyncIterator[int]:
            try:
                yield 1
                yield 2
            finally:
                await asyncio.sleep(0)
                closed.append(name)

        async for _ in numbers("dropped"):
            break
        await anyio.sleep(1)
        kept.append(numbers("kept"))
        await anext(kept[-1])

    closed: list[str] = []
    kept: list[AsyncIterator[int]] = []
    explore(scenario, 3)
    assert closed == ["dropped", "kept"] * 3
