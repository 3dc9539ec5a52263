"""The simulated clock: time passes also where the loop always has something to run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from fauxtp import GenServer, call, exit
from fauxtp.testing import SeedFailed, explore

SEEDS = 30  # of which each third has another pace


async def finished(work: asyncio.Future[Any]) -> None:
    """Wait for the end of `work`, whoever is cancelled meanwhile."""
    while not work.done():
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            pass


async def finishes_its_work_while_it_is_cancelled() -> None:
    started = anyio.current_time()
    with anyio.fail_after(60), anyio.move_on_after(1):
        await finished(asyncio.ensure_future(asyncio.sleep(5)))
    assert 5 <= anyio.current_time() - started < 6


async def several_of_them() -> None:
    async with anyio.create_task_group() as task_group:
        for _ in range(3):
            task_group.start_soon(finishes_its_work_while_it_is_cancelled)


async def one_after_the_other_and_for_long() -> None:
    for _ in range(10):
        with anyio.move_on_after(1):
            await finished(asyncio.ensure_future(asyncio.sleep(60)))


async def finishes_while_others_go_on() -> None:
    ticks = 0

    async def tick(work: asyncio.Future[None]) -> None:
        nonlocal ticks
        while not work.done():
            await asyncio.sleep(1)
            ticks += 1

    work = asyncio.ensure_future(asyncio.sleep(20))
    ticking = asyncio.ensure_future(tick(work))
    with anyio.move_on_after(1):
        await finished(work)
    await ticking
    assert 15 < ticks <= 21


async def finishes_a_call_while_it_is_cancelled() -> None:
    class Slow(GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
            await anyio.sleep(3)
            return request, state

    async with anyio.create_task_group() as task_group:
        slow = await Slow.start(task_group=task_group)
        asking = asyncio.ensure_future(call(slow, "question"))
        with anyio.move_on_after(1):
            await finished(asking)
        assert asking.result() == "question"
        exit(slow)


async def looks_again_and_again_whether_it_is_time() -> None:
    over: list[bool] = []
    with anyio.fail_after(60):
        asyncio.get_running_loop().call_later(5, over.append, True)
        while not over:
            await anyio.sleep(0)


async def looks_at_the_clock_again_and_again() -> None:
    with anyio.fail_after(60):
        end = anyio.current_time() + 5
        while anyio.current_time() < end:
            await anyio.sleep(0)


async def is_called_again_and_again() -> None:
    class Poll:
        over = False

        def again(self) -> None:
            if not self.over:
                asyncio.get_running_loop().call_soon(self.again)

    poll = Poll()
    poll.again()
    await asyncio.sleep(5)
    poll.over = True


SCENARIOS: list[Callable[[], Awaitable[None]]] = [
    finishes_its_work_while_it_is_cancelled,
    several_of_them,
    one_after_the_other_and_for_long,
    finishes_while_others_go_on,
    finishes_a_call_while_it_is_cancelled,
    is_called_again_and_again,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_who_waits_for_the_time_gets_there(scenario: Callable[[], Awaitable[None]]) -> None:
    explore(scenario, SEEDS)


@pytest.mark.parametrize(
    "scenario",
    [looks_again_and_again_whether_it_is_time, looks_at_the_clock_again_and_again],
    ids=lambda scenario: scenario.__name__,
)
def test_who_keeps_the_loop_busy_gets_there(scenario: Callable[[], Awaitable[None]]) -> None:
    explore(scenario, 6)


def test_who_was_cancelled_and_waits_for_nothing_is_stuck() -> None:
    async def waits_for_nobody() -> None:
        with anyio.move_on_after(1):
            await finished(asyncio.get_running_loop().create_future())

    with pytest.raises(SeedFailed, match="not done after 100,000 steps"):
        explore(waits_for_nobody, 1)


def test_a_cancellation_is_delivered_before_the_time_passes() -> None:
    async def is_cancelled_at_once() -> None:
        with anyio.fail_after(60):
            for swallowed in range(5):
                with anyio.CancelScope() as scope:
                    scope.cancel()
                    for _ in range(swallowed):
                        try:
                            await anyio.sleep(30)
                        except asyncio.CancelledError:
                            pass
                    await anyio.sleep(30)
                assert scope.cancelled_caught
        assert anyio.current_time() < 30

    explore(is_cancelled_at_once, SEEDS)
