"""Processes of several nodes that wait for each other are told so, and nobody else is."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from clusters import members, seen_by, until
from conftest import ASYNCIO, task_group
from crew import process_of
from in_simulated_time import explored

from fauxtp import (
    PID,
    Call,
    CallCycle,
    GenServer,
    ReceiveTimeout,
    call,
    cast,
    cast_nowait,
    start_call,
)
from fauxtp.cluster import Cluster
from fauxtp.cluster.memory_broker import MemoryBroker
from fauxtp.observe import events

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker("shop")


class Asker(GenServer[Any, Any]):
    """Asks the first on a list to ask the others; at the end, waits if it is told to."""

    def __init__(self) -> None:
        self.goes_on = anyio.Event()

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        path, timeout = request
        if path == ["wait"]:
            await self.goes_on.wait()
        if not path or path == ["wait"]:
            return "the end", state
        later = path[0] == "later"
        path = path[later:]
        try:
            if later:
                return await start_call(path[0], (path[1:], timeout), timeout), state
            return await call(path[0], (path[1:], timeout), timeout), state
        except CallCycle as error:
            return error.circle, state
        except ReceiveTimeout:
            return "too late", state


def lets_go_on(worker: PID) -> None:
    actor: Any = process_of(worker).actor
    actor.goes_on.set()


def circles_of(cluster: Cluster) -> Any:
    return cluster._messenger.ways.circles


def probes_heard(*nodes: Cluster) -> list[int]:
    """Return a list that grows with each probe that comes to these nodes."""
    heard: list[int] = []
    for node in nodes:
        handlers = node._messenger.post.handlers

        def hears(*frame: Any, before: Any = handlers["probe"]) -> None:
            heard.append(frame[1])
            before(*frame)

        handlers["probe"] = hears
    return heard


@pytest.mark.parametrize("timeout", [None, 600])
async def test_two_on_two_nodes_that_call_each_other(timeout: float | None) -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        one = await Asker.start(task_group=group)
        other = seen_by(a, b, await Asker.start(task_group=group))
        heard = probes_heard(a, b)
        assert await call(one, ([other, one], timeout), None) == [other, one, other]
        assert len(heard) == 4, "once there; twice round; and that it is so"
        assert await call(one, ([other], timeout), None) == "the end"


async def test_three_on_three_nodes_that_call_each_other() -> None:
    async with members("a", "b", "c") as (a, b, c), task_group() as group:
        one = await Asker.start(task_group=group)
        two = seen_by(a, b, await Asker.start(task_group=group))
        three = seen_by(a, c, await Asker.start(task_group=group))
        path = [two, three, one]
        assert await call(one, (path, None), None) == [three, one, two, three]


async def test_a_circle_may_be_closed_within_a_node() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        one, last = [await Asker.start(task_group=group) for _ in range(2)]
        two = seen_by(a, b, await Asker.start(task_group=group))
        path = [two, last, one]
        assert await call(one, (path, None), None) == [last, one, two, last]
        assert len(process_of(one).mailbox) == 0, "the call that failed is taken out"
        assert await call(one, ([], None)) == "the end"


async def test_a_circle_may_go_through_several_of_a_node() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        one = await Asker.start(task_group=group)
        two, three = [seen_by(a, b, await Asker.start(task_group=group)) for _ in range(2)]
        path = [two, three, one]
        assert await call(one, (path, None), None) == [three, one, two, three]


async def test_a_circle_that_is_closed_at_both_ends_at_once() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        one, other = [await Asker.start(task_group=group) for _ in range(2)]
        first = start_call(one, ([seen_by(a, b, other)], None), None)
        second = start_call(other, ([seen_by(b, a, one)], None), None)
        ends = [await first, await second]
        assert ends != ["the end", "the end"]
        assert all(end == "the end" or isinstance(end, list) for end in ends)


async def test_who_waits_for_somebody_that_works_is_in_no_circle() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        here, worker = await Asker.start(task_group=group), await Asker.start(task_group=group)
        caller = await Asker.start(task_group=group)
        heard = probes_heard(a, b)
        busy = start_call(here, ([seen_by(a, b, worker), "wait"], None), None)
        await until(lambda: process_of(worker).handling is not None)
        asks = start_call(caller, ([seen_by(b, a, here)], None), None)
        await until(lambda: heard)
        lets_go_on(worker)
        assert (await busy, await asks) == ("the end", "the end")


async def test_who_waits_for_another_call_the_second_time_is_in_no_circle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        one = await Asker.start(task_group=group)
        there = seen_by(a, b, await Asker.start(task_group=group))
        heard, came_back = probes_heard(a, b), circles_of(b)._came_back

        def changes(*what: Any) -> None:
            seen = circles_of(a)._seen
            for key, calls in seen.items():
                seen[key] = [*calls[:-1], Call(None, there, one)]
            came_back(*what)

        monkeypatch.setattr(circles_of(b), "_came_back", changes)
        assert await call(one, ([there, one], 0.5), None) == "too late"
        assert len(heard) == 2, "once round, and as far as who waits for another"


@pytest.mark.parametrize("lap", [0, 1])
async def test_what_is_not_asked_by_a_probe_does_nothing(lap: int) -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        one = await Asker.start(task_group=group)
        worker = await Asker.start(task_group=group)
        pending = start_call(one, ([seen_by(a, b, worker), "wait"], None), None)
        await until(lambda: process_of(worker).handling is not None)
        (which,) = a._messenger.calls_out._known
        post, to = b._messenger.post, b._node.peers.up["a"]
        theirs = seen_by(b, a, one)
        forged: list[Any] = [None, [], [1, 2, 3], [-1, which, 1, [theirs]], [lap, which, 1, []]]
        forged += [[lap, which, 1, it] for it in ([1], [theirs] * 65, theirs)]
        forged += [[2**63, which, 1, [theirs]], [lap, which, "1", [theirs]]]
        for content in forged:
            post.send(to, ("probe", which, post.pack(content)))
        post.send(to, ("probe", which, b"junk"))
        await until(lambda: a.malformed == len(forged) + 1)
        for number in (0, which, 2**62):
            for circle in ([theirs], [theirs, theirs], [theirs, worker, theirs]):
                post.send(to, ("probe", number, post.pack([lap, which, 1, circle])))
        assert (
            await call(seen_by(b, a, await Asker.start(task_group=group)), ([], None)) == "the end"
        )
        lets_go_on(worker)
        assert await pending == "the end"


async def test_a_forged_second_round_ends_no_call() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        one, two = await Asker.start(task_group=group), await Asker.start(task_group=group)
        worker = await Asker.start(task_group=group)
        busy = start_call(one, ([seen_by(a, b, worker), "wait"], None), None)
        await until(lambda: process_of(worker).handling is not None)
        (which,) = a._messenger.calls_out._known
        post, to = b._messenger.post, b._node.peers.up["a"]
        asks = start_call(two, ([seen_by(b, a, one)], None), None)
        await until(lambda: a._messenger.calls_in._known)
        heard = probes_heard(a)
        ((_, number),) = a._messenger.calls_in._known
        circle = [seen_by(b, a, one), two]
        for lap in (0, 1, 4711):
            post.send(to, ("probe", number, post.pack([lap, which, 1, circle])))
        await until(lambda: len(heard) == 3)
        assert len(circles_of(a)._laps) == 1, "nobody knows the number of the second round"
        lets_go_on(worker)
        assert (await busy, await asks) == ("the end", "the end")


async def test_what_is_lost_on_the_way_is_sent_again(broker: MemoryBroker) -> None:
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        one = await Asker.start(task_group=group)
        other = seen_by(a, b, await Asker.start(task_group=group))
        handlers, lost = a._messenger.post.handlers, anyio.Event()
        hears, handlers["probe"] = handlers["probe"], lambda *_: lost.set()
        circle = start_call(one, ([other, one], None), 30)
        await lost.wait()
        handlers["probe"] = hears
        broker.cut("b")
        broker.heal("b")
        assert await circle == [other, one, other]


async def test_a_circle_within_a_node_that_was_not_found_is_looked_for_again() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        one, last = [await Asker.start(task_group=group) for _ in range(2)]
        two = seen_by(a, b, await Asker.start(task_group=group))
        handlers, lost = b._messenger.post.handlers, anyio.Event()
        hears, handlers["probe"] = handlers["probe"], lambda *_: lost.set()
        circle = start_call(one, ([two, last, one], None), 30)
        await lost.wait()
        handlers["probe"] = hears
        circles_of(a).look_again()
        assert await circle == [last, one, two, last]


@explored(seeds=10)
async def test_a_circle_is_found_however_often_it_is_looked_for() -> None:
    broker = MemoryBroker("shop", delay=(0.05, 0.2))
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        one = await Asker.start(task_group=group)
        other = seen_by(a, b, await Asker.start(task_group=group))
        before = events.counts().get(("call_cycle", "Asker"), 0)
        circle = start_call(one, ([other, one], None), 60)
        while not circle.done:
            circles_of(a).look_again()
            await anyio.sleep(0.05)
        assert await circle == [other, one, other]
        assert events.counts()["call_cycle", "Asker"] == before + 1


async def test_who_answers_soon_is_asked_for_no_circle() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        here, caller = [await Asker.start(task_group=group) for _ in range(2)]
        worker = await Asker.start(task_group=group)
        heard = probes_heard(a, b)
        busy = start_call(here, ([seen_by(a, b, worker), "wait"], None), None)
        await until(lambda: process_of(worker).handling is not None)
        asks = start_call(caller, ([here], None), None)
        await until(lambda: process_of(here).mailbox)
        lets_go_on(worker)
        assert (await busy, await asks, heard) == ("the end", "the end", [])


class Narrow(Asker):
    """Has its mailbox full as it asks, and tells how much is in there afterwards."""

    mailbox_size = 1

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        cast_nowait(self.pid, "fills it")
        waits = self.waits = anyio.Event()
        self.start_soon_child(self.waits_for_room, waits)
        await waits.wait()
        _, state = await super().handle_call(request, from_, state)
        return len(process_of(self.pid).mailbox.inbox), state

    async def waits_for_room(self, waits: anyio.Event) -> None:
        waits.set()
        await cast(self.pid, "waits for room")

    async def handle_cast(self, request: Any, state: Any) -> Any:
        return state


@pytest.mark.parametrize("is_closed_here", [False, True])
async def test_a_call_that_is_refused_in_line_makes_no_room(is_closed_here: bool) -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        one, last = await Narrow.start(task_group=group), await Asker.start(task_group=group)
        two = seen_by(a, b, await Asker.start(task_group=group))
        path = [two, last, "later", one] if is_closed_here else [two, one]
        assert await call(one, (path, None), None) == 1


async def test_without_probes_a_circle_ends_by_its_timeout() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        one = await Asker.start(task_group=group)
        other = seen_by(a, b, await Asker.start(task_group=group))
        a._messenger.post.handlers["probe"] = b._messenger.post.handlers["probe"] = print
        assert await call(one, ([other, one], 0.2), None) == "too late"


async def test_nothing_is_kept_of_circles_that_are_over() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        one, last = [await Asker.start(task_group=group) for _ in range(2)]
        two = seen_by(a, b, await Asker.start(task_group=group))
        await call(one, ([two, last, one], None), None)
        for node in (a, b):
            circles = circles_of(node)
            circles._forget()
            assert (circles._seen, circles._closing, circles._laps) == ({}, {}, {})
