"""Whatever can be awaited lets others run often enough, and notices that it is cancelled.

A loop over any public coroutine function, as whoever tries again and again writes it, must
not keep others from changing what it waits for, whatever comes of each round.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any, get_type_hints

import anyio
import pytest
from conftest import ASYNCIO, task_group
from crew import Puppet
from rounds import INSIDE, ROWS, Does, Row, World, nothing

import fauxtp
import fauxtp.testing
from fauxtp import (
    ANY,
    Actor,
    ChildSpec,
    Mailbox,
    NoProcess,
    Supervisor,
    call,
    exit,
    register,
    send_nowait,
    unregister,
)
from fauxtp._base import switches
from fauxtp.testing import TestActor, with_timeout

pytestmark = pytest.mark.anyio

ROUNDS = 128  # at most, before a turn of the event loop
TURNS = 2  # of it, before others have had theirs: on trio, who goes first is left to chance

HOOKS = {  # what users define
    *("init", "run", "terminate"),
    *(
        "handle_call",
        "handle_cast",
        "handle_info",
        "handle_continue",
        "handle_timeout",
        "handle_task_end",
        "handle_event",
        "handle_enter",
    ),
}


def awaited(function: Any) -> bool:
    """Return whether what `function` returns is to be awaited."""
    if inspect.iscoroutinefunction(function):
        return True
    answer = str(getattr(function, "__annotations__", {}).get("return"))
    return answer.startswith(("Awaitable", "Coroutine"))


def lasts(function: Any) -> bool:
    """Return whether what `function` returns is iterated over, or a block, with awaits in it."""
    if not inspect.isfunction(function) or function.__module__.startswith("fauxtp.testing"):
        return False
    answer = get_type_hints(function, vars(sys.modules[function.__module__])).get("return")
    return hasattr(answer, "__anext__") or hasattr(answer, "__aenter__")


def public_coroutine_functions() -> Iterator[str]:
    for module in (fauxtp, fauxtp.testing):
        for name in module.__all__:
            found = getattr(module, name)
            if awaited(found) or lasts(found):
                yield name
            elif inspect.isclass(found) and found.__module__.startswith("fauxtp"):
                for method, raw in vars(found).items():
                    known = method.startswith("_") or method in HOOKS
                    if not known and awaited(getattr(raw, "__func__", raw)):
                        yield f"{name}.{method}"


def test_no_public_coroutine_function_is_forgotten() -> None:
    rows = {name for name, *_ in [*ROWS, *INSIDE]}
    assert set(public_coroutine_functions()) == rows
    assert TestActor.__mro__[1] is Actor  # its own `run` is one of the hooks


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def _handed_off(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switches, "hand_off", request.param)


EITHER_WAY = pytest.mark.parametrize(
    ("anyio_backend", "_handed_off"),
    [
        pytest.param(("asyncio", {}), True, id="asyncio, on the spot"),
        pytest.param(("asyncio", {}), False, id="asyncio, by the mailbox"),
        pytest.param(("asyncio", {"use_uvloop": True}), True, id="uvloop, on the spot"),
        pytest.param(("asyncio", {"use_uvloop": True}), False, id="uvloop, by the mailbox"),
        pytest.param(("trio", {}), True, id="trio"),  # where all go by the mailbox
    ],
    indirect=True,
)


def ids(row: Row) -> str:
    return f"{row[0]} {row[1]}"


async def one_round(world: World, row: Row) -> None:
    _, _, error, go = row
    try:
        await go(world)
    except Exception as came:
        if error is None or not isinstance(came, error):
            raise
    else:
        assert error is None


async def until_others_run(world: World, row: Row) -> None:
    ran: list[int] = []

    async def other() -> None:
        ran.append(1)

    world.group.start_soon(other)
    for _ in range(TURNS * ROUNDS + 1):
        await one_round(world, row)
        if ran:
            return
    pytest.fail("nobody else has run")


async def until_it_is_cancelled(world: World, row: Row) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        for _ in range(TURNS * ROUNDS + 1):
            await one_round(world, row)
    assert scope.cancelled_caught


LOOPS = [until_others_run, until_it_is_cancelled]


@pytest.mark.usefixtures("_handed_off")
@EITHER_WAY
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("row", ROWS, ids=ids)
async def test_a_loop_of_a_task(row: Row, loop: Any) -> None:
    register("nothing", fauxtp.PID())
    async with task_group() as group:
        world = World(group)
        await world.begin()
        await loop(world, row)
    unregister("nothing")
    world.box.close()


@pytest.mark.usefixtures("_handed_off")
@EITHER_WAY
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("row", [*INSIDE, *ROWS], ids=ids)
async def test_a_loop_of_a_handler(row: Row, loop: Any) -> None:
    async def work(server: Does) -> None:
        world.me = server
        await loop(world, row)

    register("nothing", fauxtp.PID())
    async with task_group() as group:
        world = World(group)
        await world.begin()
        server = await Does.start(task_group=group)
        await call(server, work, timeout=None)
    unregister("nothing")
    world.box.close()


async def test_who_is_cancelled_as_it_receives_has_taken_nothing_out() -> None:
    box, got = Mailbox(), []
    for number in range(10 * ROUNDS):
        send_nowait(box.pid, number)
    with anyio.CancelScope() as scope:
        scope.cancel()
        while True:
            got.append(await box.receive((ANY, lambda message: message)))
    rest = len(box)
    assert 0 < len(got) < ROUNDS or not got
    got += [await box.receive((ANY, lambda message: message)) for _ in range(rest)]
    assert got == list(range(10 * ROUNDS))


async def test_a_name_that_comes_back_is_found_by_who_tries_again_and_again() -> None:
    class Named(Supervisor):
        def child_specs(self) -> list[ChildSpec]:
            return [ChildSpec("puppet", Puppet, register_as="puppet")]

    async with task_group() as group:
        await Named.start(task_group=group)
        exit("puppet")
        await fauxtp.wait_exit("puppet")
        while True:
            try:
                await call("puppet", nothing)
                break
            except NoProcess:
                pass


async def test_a_coroutine_that_is_not_awaited_any_more_is_closed() -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await with_timeout(nothing())
    assert scope.cancelled_caught


@pytest.mark.once
async def test_a_retry_that_keeps_others_from_running_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fauxtp._loops.current.checkpoint", nothing)
    row = next(row for row in ROWS if row[1] == "nobody")
    async with task_group() as group:
        world = World(group)
        with pytest.raises(pytest.fail.Exception, match="nobody else has run"):
            await until_others_run(world, row)
