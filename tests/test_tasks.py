"""Tasks under a supervisor: awaited or not, one by one or many, and nobody else is harmed."""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest
from conftest import task_group
from crew import Boom, boom
from in_simulated_time import each_loop

from fauxtp import (
    DynamicSupervisor,
    NoProcess,
    ProcessExited,
    Supervisor,
    TooManyChildren,
    count_children,
    exit,
    is_alive,
    map_tasks,
    processes,
    run_task,
    wait_exit,
    which_children,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("either_way")]


class Tasks(DynamicSupervisor):
    pass


async def begun(group: Any, **settings: Any) -> Any:
    kind: Any = type("Tasks", (Tasks,), settings)
    return await kind.start(task_group=group, register_as="tasks")


async def double(number: int) -> int:
    await anyio.sleep(0)
    return 2 * number


async def fail(*_: Any) -> None:
    boom()


async def ends_an_iteration(*_: Any) -> None:
    raise StopAsyncIteration


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_task_cannot_end_the_iteration(ordered: bool) -> None:
    async with task_group() as group:
        tasks = await Tasks.start(task_group=group)
        results = map_tasks(tasks, ends_an_iteration, range(3), max_concurrency=1, ordered=ordered)
        with pytest.raises(RuntimeError, match="a task raised StopAsyncIteration"):
            await anext(results)
        exit(tasks)


async def test_a_function_that_is_not_async_is_named_as_such() -> None:
    async with task_group() as group:
        tasks = await Tasks.start(task_group=group)
        with pytest.raises(TypeError, match="of a task returns to be awaitable, got int"):
            await run_task(tasks, lambda: 3)  # type: ignore[arg-type,return-value]
        exit(tasks)


async def test_who_awaits_it_gets_the_value_or_the_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with task_group() as group:
        chief = await begun(group)
        assert await run_task("tasks", double, 21) == 42
        handle = run_task(chief, fail)
        for _ in range(2):
            with pytest.raises(Boom):
                await handle
        assert is_alive(chief)
        crashes = [record for record in caplog.records if "crashed" in record.getMessage()]
        assert len(crashes) == 1
        assert await which_children(chief) == []


async def test_nobody_needs_to_await_it() -> None:
    done = anyio.Event()

    async def note() -> None:
        done.set()

    async with task_group() as group:
        await begun(group)
        run_task("tasks", note)
        await done.wait()
        seen: list[str] = []

        async def told() -> None:
            seen.append("in the loop of the supervisor")

        handle = await anyio.to_thread.run_sync(run_task, "tasks", told)
        await handle
        assert seen


async def test_it_goes_on_without_who_waits_and_ends_when_it_is_told_to() -> None:
    async with task_group() as group:
        await begun(group)
        handle = run_task("tasks", anyio.sleep_forever)
        with anyio.move_on_after(0.01):
            await handle
        assert is_alive(handle.pid)
        exit(handle.pid, "enough")
        with pytest.raises(ProcessExited, match="enough"):
            await handle


async def test_it_ends_with_its_supervisor() -> None:
    async with task_group() as group:
        chief = await begun(group)
        handle = run_task("tasks", anyio.sleep_forever)
        await anyio.sleep(0.01)
        exit(chief)
        await wait_exit(chief)
        assert processes() == []
        with pytest.raises(NoProcess):
            run_task("tasks", double, 1)
        assert await wait_exit(handle.pid) == "noproc"


async def test_what_keeps_it_from_being_started_is_told() -> None:
    async with task_group() as group:
        await begun(group, max_children=1)
        first = run_task("tasks", anyio.sleep_forever)
        with pytest.raises(TooManyChildren):
            await run_task("tasks", double, 1)
        exit(first.pid)

        class Other(Supervisor):
            pass

        await Other.start(task_group=group, register_as="other")
        with pytest.raises(TypeError, match="'other' to be a DynamicSupervisor, got Other"):
            run_task("other", double, 1)
        with pytest.raises(TypeError, match="fn to be callable, got int"):
            run_task("tasks", 5)  # type: ignore[arg-type]


async def test_many_come_in_order() -> None:
    async def slower_first(number: int) -> int:
        await anyio.sleep(0.01 / (number + 1))
        return number

    async with task_group() as group:
        await begun(group)
        results = [
            it async for it in map_tasks("tasks", slower_first, range(9), max_concurrency=4)
        ]
        assert results == list(range(9))
        assert [it async for it in map_tasks("tasks", double, [], max_concurrency=1)] == []


async def test_or_in_the_order_of_their_ends() -> None:
    gates = [anyio.Event() for _ in range(3)]

    async def wait(number: int) -> int:
        await gates[number].wait()
        return number

    async with task_group() as group:
        await begun(group)
        results = map_tasks("tasks", wait, range(3), max_concurrency=3, ordered=False)
        for number in (1, 2, 0):
            gates[number].set()
            assert await anext(results) == number
        with pytest.raises(StopAsyncIteration):
            await anext(results)


@pytest.mark.parametrize("ordered", [True, False])
async def test_there_are_never_more_than_may_be(ordered: bool) -> None:
    taken: list[int] = []
    running = most = 0

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    async def work(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.sleep(0.001)
        running -= 1
        return number

    async with task_group() as group:
        await begun(group)
        yielded = 0
        async for _ in map_tasks("tasks", work, items(), max_concurrency=3, ordered=ordered):
            yielded += 1
            assert len(taken) <= yielded + 2 + 1
        assert (yielded, most) == (20, 3)


@pytest.mark.parametrize("ordered", [True, False])
async def test_the_others_end_when_it_is_left_early(ordered: bool) -> None:
    async def work(number: int) -> int:
        if number:
            await anyio.sleep_forever()
        return number

    async with task_group() as group:
        chief = await begun(group)
        async for _ in map_tasks("tasks", work, range(9), max_concurrency=3, ordered=ordered):
            break
        gc.collect()
        await nobody_left(chief)
        results = map_tasks("tasks", work, range(1, 9), max_concurrency=3, ordered=ordered)
        with anyio.move_on_after(0.01):
            await anext(results)
        await nobody_left(chief)
        with pytest.raises(StopAsyncIteration):
            await anext(results)
        async with contextlib.aclosing(map_tasks("tasks", work, [0, 1], max_concurrency=2)) as it:
            assert await anext(it) == 0
        await nobody_left(chief)


async def nobody_left(chief: Any) -> None:
    with anyio.fail_after(5):
        while (await count_children(chief))["specs"]:
            await anyio.sleep(0.001)


@pytest.mark.parametrize("ordered", [True, False])
async def test_an_error_comes_in_its_place_and_ends_the_others(
    ordered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(number: int) -> int:
        if number == 1:
            boom()
        if number > 1:
            await anyio.sleep_forever()
        return number

    async with task_group() as group:
        chief = await begun(group)
        results = map_tasks("tasks", work, range(9), max_concurrency=3, ordered=ordered)
        came: list[int] = []

        async def take() -> None:
            async for result in results:
                came[len(came) :] = [result]

        with pytest.raises(Boom), caplog.at_level(logging.CRITICAL):
            await take()
        assert came in ([0], []) if not ordered else came == [0]
        await nobody_left(chief)
        assert is_alive(chief)


async def test_an_error_of_the_items_ends_them() -> None:
    def items() -> Iterator[int]:
        yield 1
        boom()

    async with task_group() as group:
        chief = await begun(group)
        results = map_tasks("tasks", double, items(), max_concurrency=2)
        with pytest.raises(Boom):
            await anext(results)
        await nobody_left(chief)


@each_loop
def test_who_takes_too_long_ends(simulated: Any) -> None:
    async def work(number: int) -> int:
        await anyio.sleep(number)
        return number

    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            await begun(group)
            results = map_tasks("tasks", work, [1, 9], max_concurrency=2, timeout=5)
            assert await anext(results) == 1
            with pytest.raises(TimeoutError, match=r"^the task for 9 took longer than 5 s$"):
                await anext(results)
            exit("tasks")

    logging.getLogger("fauxtp").disabled = True
    try:
        simulated(scenario)
    finally:
        logging.getLogger("fauxtp").disabled = False


BAD: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: map_tasks("tasks", 5, [], max_concurrency=1), TypeError, "fn to be callable"),  # type: ignore[arg-type]
    (lambda: map_tasks("tasks", double, 5, max_concurrency=1), TypeError, "items to be iterable"),  # type: ignore[arg-type]
    (
        lambda: map_tasks("tasks", double, [], max_concurrency=True),
        TypeError,
        "max_concurrency to be an int, got bool",
    ),
    (lambda: map_tasks("tasks", double, [], max_concurrency=0), ValueError, "at least 1, got 0"),
    (
        lambda: map_tasks("tasks", double, [], max_concurrency=1, ordered=1),  # type: ignore[arg-type]
        TypeError,
        "ordered to be a bool",
    ),
    (
        lambda: map_tasks("tasks", double, [], max_concurrency=1, timeout="1"),  # type: ignore[arg-type]
        TypeError,
        "timeout to be a number",
    ),
]


@pytest.mark.parametrize(("make", "error", "text"), BAD, ids=[text for _, _, text in BAD])
async def test_bad_input_is_refused(
    make: Callable[[], object], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        make()
