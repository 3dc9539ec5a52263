"""explore: it finds what only some schedules show, and tells how to see it again."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest
from conftest import Run
from crew import Cell
from hostile.scenes import together

from fauxtp import (
    NO_REPLY,
    PID,
    Call,
    ChildSpec,
    GenServer,
    Supervisor,
    call,
    cast,
    exit,
    processes,
    register,
    registered,
    reply,
    whereis,
)
from fauxtp.testing import SeedFailed, explore

Scenario = Callable[[], Awaitable[object]]


def failing_seed(scenario: Scenario, seeds: int = 300) -> int:
    """Return the first seed that fails, after another run that fails in the same way."""
    with pytest.raises(SeedFailed) as first:
        explore(scenario, seeds)
    with pytest.raises(SeedFailed) as second:
        explore(scenario, [first.value.seed])
    texts = [re.sub(r"<PID \d+>", "<PID>", str(failed.value)) for failed in (first, second)]
    assert texts[0] == texts[1]
    assert str(first.value).endswith("replays it")
    return first.value.seed


# Planted faults


def test_a_lost_update_is_found() -> None:
    async def scenario() -> None:
        async def increment() -> None:
            await call("cell", await call("cell", "get") + 1)

        async with anyio.create_task_group() as group:
            await Cell.start(task_group=group, register_as="cell")
            await together(increment, increment)
            assert await call("cell", "get") == 2
            exit("cell")

    failing_seed(scenario)


def test_an_update_by_one_message_is_not_lost() -> None:
    async def scenario() -> None:
        async def increment() -> None:
            await cast("cell", 1)

        async with anyio.create_task_group() as group:
            await Cell.start(task_group=group, register_as="cell")
            await together(increment, increment)
            assert await call("cell", "get") == 2
            exit("cell")

    explore(scenario, 300)


def test_a_name_that_is_looked_up_before_it_is_taken_is_found() -> None:
    async def scenario() -> None:
        async def take() -> None:
            if whereis("store") is None:
                await anyio.sleep(0)
                assert register("store", PID())

        await together(take, take)

    failing_seed(scenario)


def test_an_order_that_is_taken_for_granted_is_found() -> None:
    async def scenario() -> None:
        began: list[int] = []

        async def begin(number: int) -> None:
            began.append(number)

        await together(lambda: begin(1), lambda: begin(2), lambda: begin(3))
        assert began != [3, 1, 2]

    failing_seed(scenario)


def test_somebody_who_is_late_by_many_turns_is_found() -> None:
    async def scenario() -> None:
        turns = 0

        async def work() -> None:
            nonlocal turns
            for _ in range(30):
                await anyio.sleep(0)
                turns += 1

        async def begin() -> None:
            assert turns < 30

        await together(begin, work)

    failing_seed(scenario, 1000)


def test_two_timeouts_end_in_either_order() -> None:
    winners = set()

    async def scenario() -> None:
        async def wait(name: str) -> None:
            await anyio.sleep(0)
            await anyio.sleep(0.01)
            order.append(name)

        order: list[str] = []
        await together(lambda: wait("a"), lambda: wait("b"))
        winners.add(order[0])

    explore(scenario, 50)
    assert winners == {"a", "b"}


def test_a_timeout_that_an_answer_may_miss_is_found() -> None:
    class Slow(GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            await anyio.sleep(0.010)
            return "done", state

    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            slow = await Slow.start(task_group=group)
            assert await call(slow, "work", timeout=0.0105) == "done"
            exit(slow)

    failing_seed(scenario)


def test_a_deadlock_is_found_and_shows_who_waits() -> None:
    class Fork(GenServer[Any, Any]):
        """Is had by one at a time."""

        async def init(self) -> list[Call]:
            return []

        async def handle_call(self, request: Any, from_: Call, queue: list[Call]) -> Any:
            if request == "take":
                queue.append(from_)
                if len(queue) == 1:
                    reply(from_, None)
                return NO_REPLY, queue
            queue.pop(0)
            if queue:
                reply(queue[0], None)
            return None, queue

    async def scenario() -> None:
        async def dine(*forks: PID) -> None:
            for fork in forks:
                await call(fork, "take", timeout=None)
            for fork in forks:
                await call(fork, "put", timeout=None)

        async with anyio.create_task_group() as group:
            a = await Fork.start(task_group=group)
            b = await Fork.start(task_group=group)
            await together(lambda: dine(a, b), lambda: dine(b, a))
            exit(a)
            exit(b)

    with pytest.raises(SeedFailed, match="nothing is left to run") as caught:
        explore(scenario)
    assert "dine > call" in str(caught.value)
    assert len(re.findall(r"Fork <PID \d+>, in", str(caught.value))) == 2


def test_who_waits_for_a_thread_is_told_that_there_is_none() -> None:
    told = threading.Event()

    async def scenario() -> None:
        threading.Thread(target=told.wait, name="a helper", daemon=True).start()
        await anyio.sleep_forever()

    try:
        words = r"nothing is left to run but threads \(a helper\): a simulated loop has one thread"
        with pytest.raises(SeedFailed, match=words):
            explore(scenario, seeds=[1])
    finally:
        told.set()


def test_a_wake_up_that_comes_too_early_is_found() -> None:
    class Bell:
        """Wakes who waits, and forgets that somebody might be about to."""

        def __init__(self) -> None:
            self.waiter: anyio.Event | None = None

        def ring(self) -> None:
            if self.waiter is not None:
                self.waiter.set()

        async def wait(self) -> None:
            await anyio.sleep(0)
            self.waiter = anyio.Event()
            await self.waiter.wait()

    async def scenario() -> None:
        async def ring() -> None:
            await anyio.sleep(0)
            await anyio.sleep(0)
            bell.ring()

        bell = Bell()
        await together(bell.wait, ring)

    failing_seed(scenario)


# What counts as a failure


def test_the_error_is_the_cause_and_the_message_tells_how_to_replay() -> None:
    async def scenario() -> None:
        raise KeyError("a key")

    with pytest.raises(SeedFailed) as caught:
        explore(scenario, [17])
    assert caught.value.seed == 17
    assert str(caught.value) == (
        "seed 17: KeyError: 'a key'\nexplore(scenario, seeds=[17]) replays it"
    )
    assert isinstance(caught.value.__cause__, KeyError)
    assert isinstance(caught.value, AssertionError)


def test_an_error_in_a_task_group_is_told_by_itself() -> None:
    async def scenario() -> None:
        async def fail() -> None:
            raise KeyError("a key")

        await together(fail)

    with pytest.raises(SeedFailed, match="seed 0: KeyError: 'a key'"):
        explore(scenario)


def test_several_errors_are_all_told() -> None:
    async def scenario() -> None:
        async def fail(name: str) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                raise KeyError(name)

        async with anyio.create_task_group() as group:
            group.start_soon(together, lambda: fail("b"), lambda: fail("c"))
            await anyio.sleep(1)
            raise KeyError("a")

    with pytest.raises(SeedFailed) as caught:
        explore(scenario)
    assert all(f"KeyError: '{name}'" in str(caught.value) for name in "abc")


def test_a_crash_is_shown_with_the_failure_and_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            await Cell.start(task_group=group, register_as="cell")
            await call("cell", "crash")

    with pytest.raises(SeedFailed) as caught:
        explore(scenario)
    assert "Cell 'cell' <PID " in caught.value.__notes__[0]
    assert "ValueError: a crash" in caught.value.__notes__[0]
    assert caplog.records == []


def test_a_process_that_is_left_running_is_a_failure() -> None:
    async def scenario() -> None:
        group = await anyio.create_task_group().__aenter__()
        await Cell.start(task_group=group, register_as="left")

    with pytest.raises(SeedFailed, match=r"left running:\n  Cell 'left' <PID \d+>, running"):
        explore(scenario)
    assert (processes(), registered()) == ([], [])


def test_an_error_that_nobody_hears_of_is_a_failure() -> None:
    async def in_a_task() -> None:
        async def fail() -> None:
            raise KeyError("unheard")

        asyncio.get_running_loop().create_task(fail())
        await anyio.sleep(1)

    nothing: dict[str, None] = {}

    async def in_a_callback() -> None:
        asyncio.get_running_loop().call_soon(nothing.__getitem__, "unheard")
        await anyio.sleep(1)

    for scenario in (in_a_task, in_a_callback):
        with pytest.raises(SeedFailed, match="KeyError: 'unheard'"):
            explore(scenario)


def test_an_assertion_that_fails_in_a_process_is_a_failure() -> None:
    class Careful(Cell):
        async def handle_cast(self, request: Any, value: int) -> int:
            assert request > 0, "expected more than nothing"
            return await super().handle_cast(request, value)

    class Carefree(Supervisor):
        def child_specs(self) -> list[ChildSpec]:
            return [ChildSpec("careful", Careful, register_as="careful")]

    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            supervisor = await Carefree.start(task_group=group)
            await cast("careful", 0)
            await anyio.sleep(1)
            exit(supervisor)

    with pytest.raises(SeedFailed, match="expected more than nothing"):
        explore(scenario)


def test_who_goes_round_in_a_circle_is_stopped() -> None:
    async def scenario() -> None:
        while True:
            await anyio.sleep(0)

    with pytest.raises(SeedFailed, match="not done after 100,000 steps; unfinished:\n  the sce"):
        explore(scenario)


def test_what_waits_for_ever_does_not_hide_a_deadlock() -> None:
    async def scenario() -> None:
        await together(anyio.sleep_forever, anyio.Event().wait)

    with pytest.raises(SeedFailed, match="nothing is left to run"):
        explore(scenario)


def test_who_cannot_be_cancelled_is_thrown_away() -> None:
    ended = []

    async def scenario() -> None:
        async def stay() -> None:
            try:
                while True:
                    try:
                        await asyncio.get_running_loop().create_future()
                    except asyncio.CancelledError:
                        pass
            finally:
                ended.append(True)

        stayed.append(asyncio.get_running_loop().create_task(stay()))
        await anyio.sleep(1)
        stayed.clear()

    stayed: list[asyncio.Task[None]] = []
    with pytest.raises(SeedFailed, match="Task was destroyed but it is pending"):
        explore(scenario)
    assert ended


def test_threads_are_refused() -> None:
    async def by_asyncio() -> None:
        await asyncio.to_thread(time.sleep, 0)

    async def by_anyio() -> None:
        await anyio.to_thread.run_sync(time.sleep, 0)

    with pytest.raises(SeedFailed, match="has one thread"):
        explore(by_asyncio)
    with pytest.raises(SeedFailed, match="run_sync_in_worker_thread"):
        explore(by_anyio)


def test_what_another_thread_schedules_is_refused() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon_threadsafe(seen.append, "from its own")
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(seen.append, "other"))
        thread.start()
        thread.join()
        await anyio.sleep(1)

    seen: list[str] = []
    with pytest.raises(SeedFailed, match="has one thread"):
        explore(scenario)
    assert set(seen) == {"from its own"}


def test_an_interrupt_comes_through_and_leaves_nothing() -> None:
    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            await Cell.start(task_group=group, register_as="cell")
            raise KeyboardInterrupt

    with pytest.raises(BaseExceptionGroup) as caught:
        explore(scenario, [17])
    assert caught.group_contains(KeyboardInterrupt)
    assert caught.value.__notes__ == ["explore was at seed 17"]
    assert (processes(), registered()) == ([], [])


# Arguments


def test_seeds_are_tried_in_order_until_one_fails() -> None:
    async def scenario() -> None:
        tried.append(None)
        assert len(tried) < 3

    tried: list[None] = []
    with pytest.raises(SeedFailed) as caught:
        explore(scenario, iter([5, 6, 7, 8]))
    assert caught.value.seed == 7
    assert len(tried) == 4  # the last one twice


@pytest.mark.parametrize(
    ("seeds", "error"),
    [(0, ValueError), (-1, ValueError), ([], ValueError), (1.5, TypeError), (None, TypeError)],
)
def test_bad_seeds_are_refused(seeds: Any, error: type[Exception]) -> None:
    async def scenario() -> None:
        raise AssertionError

    with pytest.raises(error, match="expected seeds to be"):
        explore(scenario, seeds)


def test_a_seed_that_is_no_number_is_refused() -> None:
    async def scenario() -> None:
        pass

    with pytest.raises(TypeError, match="expected each seed to be an int, got str"):
        explore(scenario, "12")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected seeds to be a number or numbers, got bool"):
        explore(scenario, True)


def test_what_is_no_scenario_is_refused() -> None:
    with pytest.raises(TypeError, match="expected scenario to be callable, got str"):
        explore("scenario")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="async function, it returns int"):
        explore(lambda: 5)  # type: ignore[arg-type,return-value]


@pytest.mark.anyio
async def test_where_an_event_loop_runs_already_it_is_refused() -> None:
    async def scenario() -> None:
        pass

    with pytest.raises(RuntimeError, match="here one runs already"):
        explore(scenario)


def test_the_helpers_for_tests_do_without_trio(run: Run) -> None:
    done = run("import sys, fauxtp.testing; assert 'trio' not in sys.modules")
    assert done.returncode == 0, done.stderr
