"""Monitors, links and exits between processes of different nodes."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from clusters import diary, member, members, seen_by, until
from conftest import ASYNCIO, task_group
from crew import Idle, end_of, process_of
from in_simulated_time import explored

from fauxtp import (
    PID,
    Down,
    Exit,
    GenServer,
    ReceiveTimeout,
    Ref,
    call,
    cast,
    demonitor,
    exit,
    link,
    monitor,
    unlink,
    wait_exit,
)
from fauxtp.cluster import NodeDown, NodeUp
from fauxtp.cluster._messages import links, watches
from fauxtp.cluster._nodes.peers import NO_CONNECTION
from fauxtp.cluster.memory_broker import MemoryBroker

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


def told(pid: PID) -> Any:
    return process_of(pid).state


def linked(pid: PID) -> object:
    return process_of(pid).links


def fails(*_: Any, **__: Any) -> None:
    raise RuntimeError("planted")


class Bonded(GenServer[Any, Any]):
    """Does what a cast tells it."""

    async def handle_cast(self, request: Any, state: Any) -> Any:
        request()
        return state


class Trapping(Bonded):
    trap_exit = True

    async def init(self) -> list[Any]:
        return []

    async def handle_info(self, message: Any, state: Any) -> Any:
        return [*state, message]


async def test_a_monitor_is_told_of_an_end_elsewhere() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        target = await Idle.start(task_group=group)
        there, watcher = seen_by(a, b, target), await diary(group)
        ref = await call(watcher, partial(monitor, there))
        second = await call(watcher, partial(monitor, there))
        assert await call(watcher, partial(demonitor, second))
        await until(lambda: len(process_of(target).watchers) == 1)
        exit(target, "enough")
        await until(lambda: told(watcher))
        assert told(watcher) == [Down(ref, there, told(watcher)[0].reason)]
        assert (told(watcher)[0].reason, told(watcher)[0].reason.abnormal) == ("enough", True)
        ref = await call(watcher, partial(monitor, there))
        await until(lambda: len(told(watcher)) == 2)
        assert (told(watcher)[1].ref, told(watcher)[1].reason) == (ref, "noproc")


async def test_the_end_of_who_watches_is_told_too() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        target = await Idle.start(task_group=group)
        watcher = await diary(group)
        await call(watcher, partial(monitor, seen_by(a, b, target)))
        await until(lambda: len(process_of(target).watchers) == 1)
        exit(watcher)
        await until(lambda: not process_of(target).watchers)
        await until(lambda: not any(b._messenger.watches._theirs.values()))


async def test_an_end_elsewhere_is_waited_for() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        target = await Idle.start(task_group=group)
        there = seen_by(a, b, target)
        with pytest.raises(ReceiveTimeout):
            await wait_exit(there, timeout=0)
        assert exit(there, "from afar")
        assert await wait_exit(there) in {"from afar", "noproc"}
        assert await wait_exit(target) == "noproc"
        assert await wait_exit(there) == "noproc"


async def test_who_traps_exits_is_told_of_one_from_afar() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        target = await Trapping.start(task_group=group)
        there = seen_by(a, b, target)
        assert exit(there, "please")
        await until(lambda: told(target))
        assert told(target) == [Exit(None, told(target)[0].reason)]
        process = process_of(target)
        assert exit(there, "kill")
        assert await end_of(process) == "kill"


async def test_a_node_has_no_more_monitors_than_are_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watches, "MOST", 2)
    async with members("a", "b") as (a, b), task_group() as group:
        target, watcher = await Idle.start(task_group=group), await diary(group)
        there = seen_by(a, b, target)
        first, second, third = [await call(watcher, partial(monitor, there)) for _ in range(3)]
        await until(lambda: told(watcher))
        assert told(watcher) == [Down(third, there, told(watcher)[0].reason)]
        assert told(watcher)[0].reason == "full"
        assert len(process_of(target).watchers) == 2
        a._messenger.watches.ask_again(a._node.peers.up["b"])  # which counts for none
        assert await call(watcher, partial(demonitor, first))
        await until(lambda: len(process_of(target).watchers) == 1)
        again = await call(watcher, partial(monitor, there))
        await until(lambda: len(process_of(target).watchers) == 2)
        exit(target, "enough")
        await until(lambda: len(told(watcher)) == 3)
        assert {one.ref for one in told(watcher)[1:]} == {second, again}


async def test_a_node_has_no_more_links_than_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MOST", 1)
    async with members("a", "b") as (a, b), task_group() as group:
        target = await Bonded.start(task_group=group)
        one, other = [await Trapping.start(task_group=group) for _ in range(2)]
        there = seen_by(a, b, target)
        await cast(one, partial(link, there))
        await until(lambda: process_of(target).links)
        await cast(other, partial(link, there))
        await until(lambda: told(other))
        assert told(other) == [Exit(there, told(other)[0].reason)]
        assert (told(other)[0].reason, told(other)[0].reason.abnormal) == ("full", True)
        await until(lambda: len(a._node.peers.up["b"].links) == 1)
        exit(target, "enough")
        await until(lambda: told(one))
        await cast(other, partial(link, there))
        await until(lambda: len(told(other)) == 2)
        assert told(other)[1].reason == "noproc"


async def test_a_link_takes_along_who_is_elsewhere() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        ends: list[bool] = [True, False]
        for first_ends in ends:
            one = await Bonded.start(task_group=group)
            other = await Bonded.start(task_group=group)
            await cast(one, partial(link, seen_by(a, b, other)))
            await until(partial(linked, other))
            taken_along = process_of(other if first_ends else one)
            exit(one if first_ends else other, "an accident")
            assert await end_of(taken_along) == "an accident"
        await until(lambda: not a._node.peers.up["b"].links)
        await until(lambda: not b._node.peers.up["a"].links)


async def test_who_traps_exits_is_told_of_the_end_of_a_link() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        one = await Trapping.start(task_group=group)
        other = await Bonded.start(task_group=group)
        there = seen_by(a, b, other)
        await cast(one, partial(link, there))
        await until(lambda: process_of(other).links)
        exit(other, "an accident")
        await until(lambda: told(one))
        assert told(one) == [Exit(there, told(one)[0].reason)]
        await cast(one, partial(link, there))
        await until(lambda: len(told(one)) == 2)
        assert told(one)[1].reason == "noproc"


async def test_a_link_can_be_ended() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        one = await Bonded.start(task_group=group)
        other = await Bonded.start(task_group=group)
        there = seen_by(a, b, other)
        await cast(one, partial(link, there))
        await until(lambda: process_of(other).links)
        await cast(one, partial(unlink, there))
        await until(lambda: not process_of(other).links)
        assert not process_of(one).links
        exit(other, "an accident")
        await wait_exit(other)
        await cast(one, lambda: None)
        assert process_of(one).exit_request is None


async def test_of_a_node_that_is_gone_all_have_ended() -> None:
    broker = MemoryBroker("shop")
    async with members("a", broker=broker) as (a,), task_group() as group:
        watcher, one = await diary(group), await Bonded.start(task_group=group)
        async with member(broker, "b") as b:
            await until(lambda: a.nodes() == ["a", "b"])
            other = await Bonded.start(task_group=group)
            there = seen_by(a, b, other)
            ref = await call(watcher, partial(monitor, there))
            await cast(one, partial(link, there))
            await until(lambda: process_of(other).links and process_of(other).watchers)
        assert await wait_exit(one) in {"noconnection", "noproc"}
        await until(lambda: told(watcher))
        assert told(watcher) == [Down(ref, there, told(watcher)[0].reason)]
        assert told(watcher)[0].reason == "noconnection"
        assert await wait_exit(other) in {"noconnection", "noproc"}, "at both ends"
        late = await diary(group)
        ref = await call(late, partial(monitor, there))
        await until(lambda: told(late))
        assert told(late) == [Down(ref, there, told(late)[0].reason)]


async def test_who_does_not_listen_cannot_be_watched() -> None:
    async with members("a") as (a,), task_group() as group:
        watcher, one = await diary(group), await Bonded.start(task_group=group)
        there = a._messenger.pids.elsewhere(a._node.peers.find("b", 4711), 1)
        await call(watcher, partial(monitor, there))
        await until(lambda: told(watcher))
        assert told(watcher)[0].reason == "noconnection"
        await cast(one, partial(link, there))
        assert await wait_exit(one) in {"noconnection", "noproc"}


@explored(seeds=50)
async def test_an_end_that_was_not_told_is_asked_for() -> None:
    broker = MemoryBroker("shop", delay=(0.001, 0.05))
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        target = await Bonded.start(task_group=group)
        watcher, one = await diary(group), await Bonded.start(task_group=group)
        there = seen_by(a, b, target)
        await call(watcher, partial(monitor, there))
        await cast(one, partial(link, there))
        await until(lambda: process_of(target).links and process_of(target).watchers)
        whose = broker.random.choice("ab")
        broker.cut(whose)
        exit(target, "unseen")
        await wait_exit(target)
        broker.heal(whose)
        assert await wait_exit(one) == "noproc"
        await until(lambda: told(watcher))
        assert told(watcher)[0].reason in {"noproc", "unseen"}


@explored(seeds=30)
async def test_a_node_that_is_fenced_takes_the_others_for_gone() -> None:
    broker = MemoryBroker("shop", delay=(0.001, 0.05))
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        target, here = await Bonded.start(task_group=group), await diary(group)
        watcher = await diary(group)
        await call(watcher, partial(monitor, seen_by(b, a, target)))
        await call(here, partial(monitor, seen_by(a, b, watcher)))
        broker.cut("b")
        await until(lambda: told(watcher) and told(here))
        assert told(watcher)[0].reason == told(here)[0].reason == "noconnection"
        broker.heal("b")
        await until(lambda: a.nodes() == b.nodes() == ["a", "b"])


@explored(seeds=5)
async def test_whoever_fails_when_a_node_is_fenced_the_others_are_told() -> None:
    broker = MemoryBroker("shop")
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        node, peers = a._node, b._node.peers
        everybody: list[list[Any]] = [
            node.on_fence, node.on_beat, node.on_snapshot, peers.on_up, peers.on_gone
        ]  # fmt: skip
        for listeners in everybody:
            listeners.insert(0, fails)
        watcher = await diary(group)
        ref = await call(watcher, partial(b.monitor_node, "a"))
        named = await diary(group, register_as=a.name("till"))
        broker.cut("a")
        assert await wait_exit(named) == "fenced"
        broker.heal("a")
        await until(lambda: a._node.may_act() and a.nodes() == b.nodes() == ["a", "b"])
        await until(lambda: len(told(watcher)) == 2)
        assert told(watcher) == [NodeDown(ref, "a", NO_CONNECTION), NodeUp(ref, "a")]


@explored(seeds=5)
async def test_a_node_goes_on_whatever_its_engine_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    async with members("a") as (a,):
        with monkeypatch.context() as planted:
            planted.setattr(a._node.engine, "update", fails)
            await until(lambda: not a._node.may_act())
        await until(a._node.may_act)


async def test_processes_may_end_while_their_peer_is_taken_for_gone() -> None:
    async with members("a", "b") as (a, b):
        mine, peer = b._messenger.watches, b._node.peers.up["a"]

        class Theirs(dict[int, Any]):
            """Another thread ends what is watched, as it is gone through."""

            def pop(self, which: int, *default: Any) -> Any:
                super().pop(which + 1, None)
                return super().pop(which, *default)

        mine._theirs[peer] = Theirs({which: (PID(), Ref()) for which in (1, 2, 3)})
        mine._gone(peer, NO_CONNECTION)
        assert not mine._theirs
        assert a.nodes() == ["a", "b"]
