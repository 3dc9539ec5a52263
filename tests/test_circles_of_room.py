"""Who would wait for room that only itself can make is told so, at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from conftest import ASYNCIO
from crew import process_of, running

from fauxtp import (
    PID,
    Actor,
    Call,
    CallCycle,
    GenServer,
    call,
    cast,
    cast_nowait,
    exit,
    process_info,
    send,
    send_nowait,
    wait_exit,
)
from fauxtp.observe import events
from fauxtp.testing import explore

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


Sends = Callable[[PID, Any], Awaitable[None]]


class Narrow(GenServer[Any, Any]):
    """Has room for one message, and does what it is told."""

    mailbox_size = 1

    async def init(self) -> list[Any]:
        self.errors: list[CallCycle] = []
        self.go = anyio.Event()
        return []

    async def handle_call(self, work: Callable[[Any], Awaitable[Any]], _: Call, state: Any) -> Any:
        return await self.done(work), state

    async def handle_cast(self, work: Any, state: Any) -> Any:
        if callable(work):
            await self.done(work)
        return state

    async def handle_info(self, message: Any, state: Any) -> Any:
        return [*state, message]

    async def done(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        try:
            return await work(self)
        except CallCycle as error:
            self.errors.append(error)
            return error


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("sends", [send, cast])
async def test_who_has_no_room_itself_is_told(sends: Sends) -> None:
    async def to_itself(server: Narrow) -> None:
        await sends(server.pid, "one")
        await sends(server.pid, "two")

    async with running() as group:
        narrow = await Narrow.start(task_group=group)
        before = events.counts().get(("call_cycle", "Narrow"), 0)
        with anyio.fail_after(10):
            error = await call(narrow, to_itself)
        assert error.circle == [narrow, narrow]
        assert events.counts()["call_cycle", "Narrow"] == before + 1
        exit(narrow)


@pytest.mark.parametrize("number", [2, 3, 5])
async def test_a_circle_of_full_ones_is_told(number: int) -> None:
    async with running() as group:
        servers = [Narrow() for _ in range(number)]
        pids = [await start(server, group) for server in servers]
        entered = [anyio.Event() for _ in pids]

        def to_the_next(place: int) -> Callable[[Any], Awaitable[None]]:
            async def work(server: Narrow) -> None:
                entered[place].set()
                await server.go.wait()
                await send(pids[(place + 1) % number], "more")

            return work

        for place, pid in enumerate(pids):
            await cast(pid, to_the_next(place))
            await entered[place].wait()
            send_nowait(pid, "full")
        for server in servers:
            server.go.set()
        with anyio.fail_after(10):
            while sum(len(server.errors) for server in servers) < 1:
                await anyio.sleep(0)
        [error] = [error for server in servers for error in server.errors]
        assert len(error.circle) == number + 1
        assert error.circle[0] is error.circle[-1]
        assert {*error.circle} == {*pids}
        for pid in pids:
            exit(pid)


async def start(server: Narrow, group: Any) -> PID:
    from fauxtp._actors.actor import start_link  # noqa: PLC0415

    return (await start_link(server, group)).pid


async def test_who_calls_the_one_that_waits_for_its_room_is_told() -> None:
    async with running() as group:
        one, other = [await Narrow.start(task_group=group) for _ in range(2)]
        full = anyio.Event()

        async def fills(server: Narrow) -> None:
            await full.wait()
            await send(other, "more")

        async def calls(server: Narrow) -> Any:
            send_nowait(other, "full")
            full.set()
            while process_info(one).waiting_for is not other:
                await anyio.sleep(0)
            return await call(one, "never")

        await cast(one, fills)
        with anyio.fail_after(10):
            error = await call(other, calls)
        assert isinstance(error, CallCycle)
        assert error.circle == [other, one, other]
        exit(one)
        exit(other)


async def test_who_waits_for_room_elsewhere_waits() -> None:
    async with running() as group:
        busy, sender = [await Narrow.start(task_group=group) for _ in range(2)]
        free = anyio.Event()

        async def hold(server: Narrow) -> None:
            await free.wait()

        async def sends(server: Narrow) -> str:
            await send(busy, "waits")
            return "sent"

        await cast(busy, hold)
        while process_info(busy).handling is None:
            await anyio.sleep(0)
        send_nowait(busy, "full")

        async def open_later() -> None:
            while process_info(sender).waiting_for is not busy:
                await anyio.sleep(0)
            free.set()

        group.start_soon(open_later)
        assert await call(sender, sends) == "sent"
        assert process_of(sender).waiting_for is None
        exit(busy)
        exit(sender)


async def test_a_task_of_the_servers_waits_while_that_reads() -> None:
    async with running() as group:
        narrow = await Narrow.start(task_group=group)

        async def fill() -> None:
            for number in range(3):
                await send(narrow, number)

        async def child(server: Narrow) -> None:
            server.start_soon_child(fill)

        await call(narrow, child)

        async def read(server: Narrow) -> int:
            return len(process_of(server.pid).state)

        with anyio.fail_after(10):
            while await call(narrow, read) < 3:
                pass
        exit(narrow)


async def test_an_actor_is_told_too() -> None:
    class Filler(Actor):
        mailbox_size = 1

        async def run(self, state: Any) -> Any:
            while True:
                await send(self.pid, "more")

    async with running() as group:
        filler = await Filler.start(task_group=group)
        assert isinstance((await wait_exit(filler)).exception, CallCycle)


class Ring(Narrow):
    """Sends to the next what it gets, so many times."""

    async def handle_cast(self, message: Any, state: Any) -> Any:
        to, left = message
        if left:
            try:
                await cast(to, (self.pid, left - 1))
            except CallCycle:
                cast_nowait("rescued", left)
        return state


async def _ping_pong() -> None:
    """Two with room for one message each: whoever sends waits, or is told; none hangs."""
    async with anyio.create_task_group() as group:
        one, other = [await Ring.start(task_group=group) for _ in range(2)]
        with anyio.fail_after(60):
            async with anyio.create_task_group() as senders:
                for number in range(3):
                    senders.start_soon(cast, one, (other, number))
                    senders.start_soon(cast, other, (one, number))
            for pid in (one, other):
                while process_info(pid).handling is not None or process_info(pid).mailbox_length:
                    await anyio.sleep(0.01)
        exit(one)
        exit(other)


@pytest.mark.usefixtures("either_way")
def test_nobody_hangs_under_any_schedule() -> None:
    explore(_ping_pong, seeds=range(150))


def test_without_a_look_at_the_circle_they_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    from fauxtp._messaging import sending  # noqa: PLC0415

    monkeypatch.setattr(sending, "refuse_circle", lambda *_: None)
    with pytest.raises(Exception, match="TimeoutError"):
        explore(_ping_pong, seeds=range(150))


async def test_room_that_was_kept_is_no_wait() -> None:
    """Who is about to get room waits for nobody, although its task has yet to notice."""
    async with running() as group:
        one, other = [await Narrow.start(task_group=group) for _ in range(2)]
        told: list[Any] = []

        async def fills(server: Narrow) -> None:
            cast_nowait(other, back)  # which makes room as it is taken out
            await send(other, "more")

        async def then(server: Narrow) -> Any:
            await cast(one, fills)
            while process_info(one).waiting_for is not other:
                await anyio.sleep(0)
            send_nowait(one, "full")

        async def back(server: Narrow) -> None:
            told.append(await server.done(lambda _: send(one, "back")))

        await call(other, then)
        with anyio.fail_after(10):
            while not told:
                await anyio.sleep(0)
        assert told == [None]
        exit(one)
        exit(other)
