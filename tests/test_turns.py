"""Turns that a task gives another, by both twins."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextvars import Context, ContextVar, copy_context
from types import SimpleNamespace
from typing import Any

import pytest
from anyio import CancelScope
from conftest import ASYNCIO, EAGER
from twins_of import form_of

from fauxtp._base import switches
from fauxtp._loops.asyncio_internals import current_task, set_current_task
from fauxtp._loops.asyncio_loop import AsyncioHome

pytestmark = pytest.mark.anyio

DEPTH, TURNS = 16, 64  # as both twins have them

setting: ContextVar[str] = ContextVar("setting", default="unset")


@pytest.fixture(params=ASYNCIO + EAGER)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Only asyncio can do it."""
    return request.param


@pytest.fixture(autouse=True)
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switches, "hand_off", True)


@pytest.fixture
def turns(form: str) -> Any:
    """Each implementation: a module with create_started_task, may_run_others, give_turn, …"""
    return form_of("_hosting.turns", form)


@pytest.fixture
async def home() -> AsyncioHome:
    """The running loop, as a home of the test's own."""
    return AsyncioHome(asyncio.get_running_loop())


# Whether a turn can be given


async def test_one_turn_of_many_is_left_to_the_event_loop(turns: Any, home: AsyncioHome) -> None:
    can = [turns.may_run_others(home) for _ in range(3 * TURNS)]
    assert can == 3 * [*([True] * (TURNS - 1)), False]


@pytest.mark.parametrize(
    ("depth", "can"), [(0, True), (DEPTH - 1, True), (DEPTH, False), (DEPTH + 1, False)]
)
async def test_not_too_many_are_given_within_each_other(
    turns: Any, home: AsyncioHome, depth: int, can: bool
) -> None:
    home.depth = depth
    assert turns.may_run_others(home) is can


async def test_none_is_given_when_that_is_switched_off(turns: Any, home: AsyncioHome) -> None:
    assert turns.may_run_others(home) is True
    switches.hand_off = False
    assert turns.may_run_others(home) is False


async def test_where_no_task_runs_none_gives_its_turn(turns: Any, home: AsyncioHome) -> None:
    task = current_task(home.loop)
    set_current_task(home.loop, None)
    try:
        can = turns.may_run_others(home)
    finally:
        set_current_task(home.loop, task)
    assert can is False


async def test_none_is_given_deep_down_in_the_stack(turns: Any, home: AsyncioHome) -> None:
    def at(depth: int) -> bool:
        return at(depth - 1) if depth else turns.may_run_others(home)

    assert at(sys.getrecursionlimit() // 2) is False
    assert at(10) is True


# Giving one


async def test_who_has_a_turn_runs_as_no_task_and_the_giver_goes_on(
    turns: Any, home: AsyncioHome
) -> None:
    seen = []

    def turn() -> None:
        seen.append((current_task(home.loop), home.depth))

    mine = current_task(home.loop)
    assert turns.give_turn(home, turn) is None
    assert seen == [(None, 1)]
    assert (current_task(home.loop), home.depth) == (mine, 0)


async def test_a_turn_that_fails_fails_for_the_giver_who_goes_on(
    turns: Any, home: AsyncioHome
) -> None:
    error = KeyError("now")

    def turn() -> None:
        raise error

    mine = current_task(home.loop)
    with pytest.raises(KeyError) as raised:
        turns.give_turn(home, turn)
    assert raised.value is error
    assert (current_task(home.loop), home.depth) == (mine, 0)


# A task that begins at once


def plain(loop: Any, work: Any, **options: Any) -> Any:
    return asyncio.Task(work, loop=loop, **options)


@pytest.fixture(params=[None, plain], ids=["its own", "plain"])
async def factory(request: pytest.FixtureRequest, home: AsyncioHome) -> AsyncIterator[None]:
    """What the running loop makes tasks with: its own way, or a factory as of a user."""
    before = home.loop.get_task_factory()
    home.loop.set_task_factory(request.param or before)
    yield
    home.loop.set_task_factory(before)


@pytest.mark.parametrize("ours", [False, True])
async def test_a_task_has_its_first_turn_as_itself_and_the_rest_later(
    turns: Any, home: AsyncioHome, factory: None, ours: bool
) -> None:
    seen: list[Any] = []

    async def work() -> None:
        seen.append((current_task(home.loop), setting.get(), home.depth))
        await asyncio.sleep(0)
        seen.append(current_task(home.loop))

    context = copy_context()
    context.run(setting.set, "its own")
    mine, call_soon = current_task(home.loop), home.loop.call_soon
    task = turns.create_started_task(home, work(), "its name", context, ours)
    assert seen == [(task, "its own", 1)]
    assert (task.get_name(), task.done()) == ("its name", False)
    assert (current_task(home.loop), home.depth) == (mine, 0)
    assert home.loop.call_soon == call_soon
    await task
    assert seen[1:] == [task]
    assert setting.get() == "unset"


async def returns() -> None: ...


async def raises() -> None:
    raise KeyError("at once")


@pytest.mark.parametrize("work", [returns, raises])
async def test_what_ends_in_its_first_turn_is_over(
    turns: Any, home: AsyncioHome, factory: None, work: Any
) -> None:
    task = turns.create_started_task(home, work(), "short", Context())
    assert task.done()
    assert (type(task.exception()) is KeyError) is (work is raises)


@pytest.mark.parametrize("ours", [False, True])
async def test_the_factory_is_asked_but_for_what_is_ours(
    turns: Any, home: AsyncioHome, ours: bool
) -> None:
    asked = []

    def asking(loop: Any, work: Any, **options: Any) -> Any:
        asked.append(home.depth)
        return plain(loop, work, **options)

    before = home.loop.get_task_factory()
    home.loop.set_task_factory(asking)
    task = turns.create_started_task(home, returns(), "asked", Context(), ours)
    home.loop.set_task_factory(before)
    assert asked == ([] if ours else [1])
    await task


async def test_what_others_make_meanwhile_begins_in_its_own_time(
    turns: Any, home: AsyncioHome
) -> None:
    begun, others = [], []

    async def work(name: str) -> None:
        begun.append(name)

    def busy(loop: Any, coroutine: Any, **options: Any) -> Any:
        others.append(plain(loop, work("another")))
        loop.call_soon(begun.append, "a callback")
        return plain(loop, coroutine, **options)

    before = home.loop.get_task_factory()
    home.loop.set_task_factory(busy)
    task = turns.create_started_task(home, work("it"), "it", Context())
    home.loop.set_task_factory(before)
    assert begun == ["it"]
    await asyncio.gather(task, *others)
    await asyncio.sleep(0)
    assert sorted(begun) == ["a callback", "another", "it"]


async def test_a_factory_that_fails_leaves_nothing_behind(turns: Any, home: AsyncioHome) -> None:
    error = KeyError("no task")

    def failing(loop: Any, coroutine: Any, **options: Any) -> Any:
        raise error

    before, call_soon = home.loop.get_task_factory(), home.loop.call_soon
    work = returns()
    home.loop.set_task_factory(failing)
    with pytest.raises(KeyError) as raised:
        turns.create_started_task(home, work, "none", Context())
    home.loop.set_task_factory(before)
    assert raised.value is error
    assert home.depth == 0
    assert home.loop.call_soon == call_soon
    work.close()


# What a server without messages awaits


async def test_who_is_idle_yields_its_waiter_once(turns: Any) -> None:
    waiter = SimpleNamespace(_asyncio_future_blocking=False)
    idle = turns.Idle(waiter)
    assert idle.__await__() is iter(idle) is idle
    assert next(idle) is waiter
    assert waiter._asyncio_future_blocking is True
    with pytest.raises(StopIteration) as end:
        next(idle)
    assert end.value.value is None


async def test_who_is_idle_shows_what_its_waiter_shows(turns: Any) -> None:
    idle = turns.Idle(SimpleNamespace(shows=lambda name: [name]))
    assert (idle.cr_await, idle.cr_frame) == (["cr_await"], ["cr_frame"])


async def test_only_what_an_idle_one_is_made_for_can_be_done_with_it(turns: Any) -> None:
    with pytest.raises(TypeError):
        turns.Idle()
    idle = turns.Idle(SimpleNamespace())
    with pytest.raises(AttributeError):
        idle.more = 1


# Whether the running task is to be cancelled


Ask = Callable[[], None]


def nothing(task: Any, ask: Ask) -> None:
    ask()


def its_task(task: Any, ask: Ask) -> None:
    task.cancel()
    ask()


def its_scope(task: Any, ask: Ask) -> None:
    with CancelScope() as scope:
        scope.cancel()
        ask()


def a_scope_around_it(task: Any, ask: Ask) -> None:
    with CancelScope() as scope, CancelScope(), CancelScope():
        scope.cancel()
        ask()


def a_scope_from_which_it_is_shielded(task: Any, ask: Ask) -> None:
    with CancelScope() as scope, CancelScope(shield=True), CancelScope():
        scope.cancel()
        ask()


def a_scope_within_the_shield(task: Any, ask: Ask) -> None:
    with CancelScope(shield=True), CancelScope() as scope:
        scope.cancel()
        ask()


def a_scope_that_was_left(task: Any, ask: Ask) -> None:
    with CancelScope() as scope:
        scope.cancel()
        ask()
    ask()


CASES = {
    nothing: [False],
    its_task: [True],
    its_scope: [True],
    a_scope_around_it: [True],
    a_scope_from_which_it_is_shielded: [False],
    a_scope_within_the_shield: [True],
    a_scope_that_was_left: [True, False],
}


class TaskInPython(asyncio.tasks._PyTask):  # type: ignore[name-defined, misc]
    """A task whose flags are those of Python."""


@pytest.mark.parametrize("kind", [asyncio.Task, TaskInPython])
@pytest.mark.parametrize("case", CASES)
async def test_a_task_knows_whether_it_is_to_be_cancelled(
    turns: Any, home: AsyncioHome, case: Callable[..., None], kind: Any
) -> None:
    came: list[bool] = []

    def ask() -> None:
        came.append(turns.has_pending_cancel(home))

    async def work() -> None:
        known.append(asyncio.current_task())
        for _ in range(2):  # the first time, it asks anyio what that knows of the task
            case(current_task(home.loop), ask)

    known: list[asyncio.Task[Any] | None] = []
    task = kind(work(), loop=home.loop)
    await asyncio.wait([task])
    if known == [None]:
        pytest.skip("asyncio itself does not know tasks of this kind here")
    assert came == CASES[case] * 2


async def test_where_no_task_runs_none_is_to_be_cancelled(turns: Any, home: AsyncioHome) -> None:
    asked = []
    home.loop.call_soon(lambda: asked.append(turns.has_pending_cancel(home)))
    await asyncio.sleep(0)
    assert asked == [False]
