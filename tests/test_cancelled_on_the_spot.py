"""Who is cancelled by whom it calls, starts or ends on the spot: as if it had waited for them."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import cache, partial
from typing import Any

import anyio
import cancelling
import pytest
from cancelling import HOWS, PLACES, WAYS, How, Way, all_had_turns, outcome
from conftest import task_group

from fauxtp import NO_REPLY, GenServer, call, cast_nowait, exit, is_alive, wait_exit
from fauxtp._base import switches
from fauxtp._core.process import find_process

LOOPS = [pytest.param({}, id="asyncio"), pytest.param({"use_uvloop": True}, id="uvloop")]
OF_ASYNCIO = {cancelling.its_task, cancelling.its_task_but_not_really}


@pytest.fixture(autouse=True)
def no_log() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@cache
def handed_off(place: Way, way: Way, how: How) -> list[str]:
    """Return what comes of it on asyncio with hand-off, which is compared with several others."""
    assert switches.hand_off
    return outcome(place, way, how, "asyncio")


def both(
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[[], Any],
    run_with: Callable[[], Any] | None = None,
) -> tuple[Any, Any]:
    """Return what comes of `run` without hand-off and with it, or of `run_with` with it."""
    monkeypatch.setattr(switches, "hand_off", False)
    never = run()
    monkeypatch.setattr(switches, "hand_off", True)
    return never, (run_with or run)()


def programs() -> Iterator[tuple[Way, How]]:
    for way in WAYS:
        for how in HOWS if way is not cancelling.nobody else HOWS[:1]:
            if not can_be_taken_back(way, how):
                yield way, how


def can_be_taken_back(way: Way, how: How) -> bool:
    """Whether others take back at once that they have cancelled the victim's task.

    From CPython 3.13 on, that makes a difference to a task that runs, as it does with hand-off,
    and none to one that waits.
    """
    by_itself = way.__name__.startswith("itself")
    last = sys.version_info >= (3, 13)
    return how is cancelling.its_task_but_not_really and last and not by_itself


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_with_hand_off_all_is_as_without(place: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    different = {}
    for way, how in programs():
        run = partial(outcome, place, way, how, "asyncio")
        never, auto = both(monkeypatch, run, partial(handed_off, place, way, how))
        if never != auto:
            different[way.__name__, how.__name__] = never, auto
    assert not different


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
@pytest.mark.parametrize("loop", ["uvloop", "trio"])
def test_on_each_event_loop_all_is_as_on_that_of_asyncio(
    place: Way, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switches, "hand_off", True)
    on: dict[str, Any] = (
        {"backend": "trio"} if loop == "trio" else {"backend": "asyncio", "use_uvloop": True}
    )
    different = {}
    for way, how in programs():
        if loop != "trio" or how not in OF_ASYNCIO:
            there, known = outcome(place, way, how, **on), handed_off(place, way, how)
            if there != known:
                different[way.__name__, how.__name__] = there, known
    assert not different


# What a handler does with its own task


class Server(GenServer[Any, Any]):
    """Does what it is told to, and notes how it ends."""

    def __init__(self, notes: list[Any]) -> None:
        self.notes = notes

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        if not callable(request):
            self.notes.append(request)
            return request, state
        return await request(self), state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        self.notes.append(f"cast: {request}")
        await anyio.lowlevel.checkpoint()
        self.notes.append("not cancelled in the cast")

    async def terminate(self, reason: str, state: Any) -> None:
        self.notes.append(f"terminates: {reason}")
        await anyio.lowlevel.checkpoint()
        self.notes.append("has terminated")


def own_task() -> Any:
    return asyncio.current_task()


async def answers(server: Server) -> str:
    own_task().cancel()
    return "answer"


async def answers_later(server: Server) -> Any:
    own_task().cancel()
    return NO_REPLY


async def fails(server: Server) -> None:
    own_task().cancel()
    raise ValueError


async def finds_a_message(server: Server) -> str:
    own_task().cancel()
    cast_nowait(server.pid, "work")
    return "answer"


async def finds_a_message_from_before(server: Server) -> str:
    cast_nowait(server.pid, "work")
    own_task().cancel()
    return "answer"


async def ends_too(server: Server) -> str:
    own_task().cancel()
    exit(server.pid, "enough")
    return "answer"


async def takes_it_back(server: Server) -> str:
    own_task().cancel()
    own_task().uncancel()
    return "answer"


async def takes_it_back_and_waits(server: Server) -> str:
    own_task().cancel()
    own_task().uncancel()
    await asyncio.sleep(0)
    return "answer"


async def swallows_it(server: Server) -> str:
    own_task().cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    await asyncio.sleep(0)
    return "answer"


async def is_cancelled_and_goes_on(server: Server) -> str:
    asyncio.get_running_loop().call_soon(own_task().cancel)
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return "answer"


async def is_cancelled_twice(server: Server) -> str:
    own_task().cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
    own_task().cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return "answer"


async def times_out(server: Server) -> str:
    own_task().cancel()
    try:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
    except TimeoutError:
        return "timed out"
    return "answer"


async def catches_a_failed_task(server: Server) -> str:
    async def fail() -> None:
        raise ValueError

    loop = asyncio.get_running_loop()
    eager = getattr(asyncio, "eager_task_factory", None)
    if eager is not None and type(loop).__module__.startswith("asyncio"):
        loop.set_task_factory(eager)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
    except* ValueError:
        pass
    finally:
        loop.set_task_factory(None)
    return "answer"


HANDLERS: list[Callable[[Server], Awaitable[Any]]] = [
    answers,
    answers_later,
    fails,
    finds_a_message,
    finds_a_message_from_before,
    ends_too,
    takes_it_back,
    takes_it_back_and_waits,
    swallows_it,
    is_cancelled_and_goes_on,
    is_cancelled_twice,
    times_out,
    catches_a_failed_task,
]


async def attempt(what: Awaitable[Any], notes: list[Any]) -> None:
    try:
        notes.append(await what)
    except Exception as error:
        notes.append(type(error).__name__)


def life_with(handler: Callable[[Server], Awaitable[Any]], options: dict[str, Any]) -> list[Any]:
    """Return what comes of a server whose handler does that, and of its next calls."""
    notes: list[Any] = []
    answers: list[Any] = []

    async def main() -> None:
        async with task_group() as group:
            exit(await Server.start([], task_group=group))
            pid = await Server.start(notes, task_group=group)
            await all_had_turns()
            await attempt(call(pid, handler), answers)
            await attempt(call(pid, "at once"), answers)
            await all_had_turns()
            await attempt(call(pid, "later"), answers)
            answers.append(is_alive(pid))
            exit(pid, "the end")
            await wait_exit(pid)

    anyio.run(main, backend_options=options)
    return notes + answers


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: handler.__name__)
@pytest.mark.parametrize("options", LOOPS)
def test_a_handler_may_do_with_its_task_what_it_may_without_hand_off(
    handler: Callable[[Server], Awaitable[Any]],
    options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    never, auto = both(monkeypatch, lambda: life_with(handler, options))
    assert auto == never


@pytest.mark.parametrize("options", LOOPS)
def test_an_idle_server_whose_task_is_cancelled_takes_no_more_calls(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> list[Any]:
        notes: list[Any] = []
        anyio.run(end_one, notes, backend_options=options)
        return notes

    async def end_one(notes: list[Any]) -> None:
        async with task_group() as group:
            pid = await Server.start(notes, task_group=group)
            await all_had_turns()
            find_process(pid).task.cancel()  # type: ignore[union-attr]
            await attempt(call(pid, "work"), notes)
            await wait_exit(pid)

    never, auto = both(monkeypatch, run)
    assert auto == never
    assert "work" not in auto
