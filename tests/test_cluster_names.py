"""Names that all nodes of a cluster know."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
import pytest
from anyio import to_thread
from clusters import TTL, diary, member, members, seen_by, until
from conftest import ASYNCIO, task_group
from crew import Idle, process_of
from in_simulated_time import explored

from fauxtp import (
    PID,
    ChildSpec,
    GenServer,
    Mailbox,
    NameTaken,
    NoProcess,
    Overflow,
    ReceiveTimeout,
    Ref,
    Registered,
    Supervisor,
    Unregistered,
    call,
    call_blocking,
    cast,
    exit,
    is_alive,
    monitor,
    send,
    wait_exit,
    wait_registered,
    whereis,
)
from fauxtp.cluster import Cluster, NoConnection
from fauxtp.cluster._engines.engine import Entry, Part
from fauxtp.cluster._keys.name_keys import Holding, key_of, name_of
from fauxtp.cluster._names import name_watches
from fauxtp.cluster._names.name_watches import ClusterNamesWatch
from fauxtp.cluster.memory_broker import MemoryBroker

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


class Till(GenServer[Any, Any]):
    """Answers with where it is."""

    def __init__(self, where: str) -> None:
        self.where = where

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return (self.where, request), state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        return state


async def test_a_name_is_known_everywhere_until_its_process_ends() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        till = await Till.start("a", task_group=group)
        assert await a.register("billing", till)
        assert a.whereis("billing") is till, "who writes it reads it"
        there = await b.wait_registered("billing", timeout=30)
        assert there is seen_by(b, a, till) is b.whereis("billing")
        assert await call(there, 1) == ("a", 1)
        exit(till)
        await wait_exit(till)
        assert a.whereis("billing") is None
        await until(lambda: b.whereis("billing") is None)
        claims = a._claims
        await until(lambda: not (claims._owned or claims._of or claims._busy))
        assert a._names.find("billing") is None


async def test_what_was_looked_up_is_known_no_more_when_anybody_hears_of_its_end() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        seen: list[PID | None] = []
        till = await Till.start("a", task_group=group)
        process_of(till).watch(Ref(), lambda *_: seen.append(a.whereis("billing")))
        assert await a.register("billing", till)
        there = await b.wait_registered("billing", timeout=30)
        assert (a.whereis("billing"), b.whereis("billing")) == (till, there)
        assert b._names.known == {"billing": there}, "it is looked up in a dict"
        exit(till)
        await wait_exit(till)
        assert seen == [None]
        await until(lambda: b.whereis("billing") is None)

        other = await Till.start("a", task_group=group)
        assert await a.register("billing", other)
        assert await b.wait_registered("billing", timeout=30) is seen_by(b, a, other)
        assert await a.unregister("billing")
        assert a.whereis("billing") is None
        await until(lambda: b.whereis("billing") is None)


@explored(seeds=20)
async def test_what_was_looked_up_is_known_no_more_when_anybody_hears_of_a_node_gone() -> None:
    broker = MemoryBroker("shop", delay=(0.001, 0.05))
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        till, post = await Idle.start(task_group=group), await Idle.start(task_group=group)
        seen: list[list[PID | None]] = []

        def look(*_: Any) -> None:
            seen.append([one.whereis(name) for one in (a, b) for name in ("till", "post")])

        assert await a.register("till", till)
        assert await b.register("post", post)
        post_at_a = await a.wait_registered("post", timeout=30)
        till_at_b = await b.wait_registered("till", timeout=30)
        for node in (a._node, b._node):  # the first who hear of a node that is gone
            node.monitors.down = look  # type: ignore[method-assign, assignment]
        look()
        broker.cut("a")
        await until(lambda: len(seen) == 3)
        assert seen[0] == [till, post_at_a, till_at_b, post]
        assert seen[1] == [None, None, till_at_b, post]
        assert seen[2] == [None, None, None, post]


@explored(seeds=1)
async def test_what_was_looked_up_is_known_no_more_when_the_own_node_is_another() -> None:
    broker = MemoryBroker("shop")
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        till = await Idle.start(task_group=group)
        assert await a.register("till", till)
        await b.wait_registered("till", timeout=30)
        b._node.peers.begin_as(4711)
        assert (b.whereis("till"), b._names.known) == (None, {})


async def test_a_look_up_that_is_interrupted_by_a_fence_is_not_remembered() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        till = await Idle.start(task_group=group)
        assert await a.register("till", till)
        await b.wait_registered("till", timeout=30)

        class Interrupted(dict[str, PID]):
            def __setitem__(self, name: str, pid: PID) -> None:
                super().__setitem__(name, pid)
                b._node.peers.own.is_up = False  # as a fence does, without telling

        b._names.known.clear()
        b._names.known = Interrupted()
        assert (b._names.look_up("till"), b._names.known) == (None, {})
        b._node.peers.own.is_up = True


async def test_a_name_is_had_by_one() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        one, other = await Idle.start(task_group=group), await Idle.start(task_group=group)
        assert await a.register("billing", one)
        assert await a.register("billing", one), "it has it already"
        assert not await a.register("billing", other)
        assert not await b.register("billing", other)
        assert not await b.unregister("billing"), "that is for the node that has it"
        assert await a.unregister("billing")
        assert not await a.unregister("billing")
        assert await b.register("billing", other)
        assert b.whereis("billing") is other
        assert is_alive(one)


async def test_who_looks_while_all_names_are_told_anew_sees_those_of_before_or_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = MemoryBroker("shop")
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        till = await Idle.start(task_group=group)
        for name in ("one", "two"):
            assert await a.register(name, till)
            await b.wait_registered(name, timeout=30)

        def look(words: str) -> Any:
            seen.append([b.whereis(name) for name in ("one", "two")])
            return name_of(words)

        seen: list[list[PID | None]] = []
        there = [seen_by(b, a, till)] * 2
        monkeypatch.setattr("fauxtp.cluster._names.name_reading.name_of", look)
        broker.cut("b")
        broker.heal("b")
        await until(lambda: len(seen) >= 2)
        assert all(one == there for one in seen)


async def test_a_name_can_be_called() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        name = b.name("billing")
        assert (name, name.name) == ("billing@shop", "billing")
        with pytest.raises(NoProcess, match="billing@shop"):
            await call(name, 1)
        till = await Till.start("a", task_group=group, register_as=a.name("billing"))
        assert a.whereis("billing") is till
        assert whereis("billing") is None, "that is a name of the program alone"
        await b.wait_registered("billing", timeout=30)
        assert await call(name, 2) == ("a", 2)
        await cast(name, 3)
        await send(name, 4)
        watcher = await diary(group)
        await call(watcher, partial(monitor, name))
        await until(lambda: process_of(till).watchers)
        with pytest.raises(NameTaken) as taken:
            await Till.start("b", task_group=group, register_as=name)
        assert taken.value.holder is b.whereis("billing")
        exit(name, "enough")
        assert await wait_exit(till) in {"enough", "noproc"}
        await until(lambda: process_of(watcher).state)
        assert process_of(watcher).state[0].name == "billing@shop"


async def test_who_is_restarted_has_its_name_again() -> None:
    async with members("a", "b") as (a, b), task_group() as group:

        class Shop(Supervisor):
            def child_specs(self) -> list[ChildSpec]:
                return [ChildSpec("till", Till, args=("a",), register_as=a.name("billing"))]

        await Shop.start(task_group=group)
        till = a.whereis("billing")
        assert till is not None
        exit(till, "a crash")
        await until(lambda: a.whereis("billing") not in {till, None})
        again = a.whereis("billing")
        assert again is not None
        await until(lambda: b.whereis("billing") is seen_by(b, a, again))
        assert await call(b.name("billing"), 1, wait=30) == ("a", 1)


async def test_a_name_that_is_away_is_waited_for() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        answers = []

        async def ask() -> None:
            answers.append(await call(b.name("billing"), 1, wait=30))

        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        await Till.start("a", task_group=group, register_as=a.name("billing"))
        await until(lambda: answers)
        with pytest.raises(ReceiveTimeout, match="nobody has registered 'cash'"):
            await b.wait_registered("cash", timeout=0)
        with pytest.raises(ReceiveTimeout, match="nobody has registered 'cash'"):
            await wait_registered(b.name("cash"), timeout=0)
        with pytest.raises(ReceiveTimeout, match="nobody has registered 'cash'"):
            await to_thread.run_sync(b._names.wait_registered_blocking, "cash", 0)
        assert not b._names._awaited._waiting


async def test_a_thread_waits_for_a_name_that_is_away() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        answers = []

        async def ask() -> None:
            ask_it = partial(call_blocking, b.name("billing"), 1, wait=30)
            answers.append(await to_thread.run_sync(ask_it))

        group.start_soon(ask)
        group.start_soon(wait_registered, b.name("billing"))
        await until(lambda: b._names._awaited._waiting)
        await Till.start("a", task_group=group, register_as=a.name("billing"))
        await until(lambda: answers)
        await until(lambda: not b._names._awaited._waiting)


async def test_who_waits_for_a_name_is_told_that_the_cluster_was_left() -> None:
    broker = MemoryBroker("shop")
    told: list[str] = []
    async with task_group() as group:

        async def wait(one: Cluster, timeout: float | None) -> None:
            with pytest.raises(NoConnection, match="the cluster was left"):
                await one.wait_registered("cash", timeout)
            told.append("left")

        async with member(broker, "a") as a:
            group.start_soon(wait, a, None)
            await until(lambda: a._names._awaited._waiting)
        await until(lambda: told)
        await wait(a, 30)
    assert not a._names._awaited._waiting


async def test_a_mailbox_may_have_a_name() -> None:
    async with members("a", "b") as (a, b):
        mailbox = Mailbox()
        assert await a.register("post", mailbox.pid)
        await send(await b.wait_registered("post", timeout=30), "hello")
        await until(lambda: len(mailbox))
        mailbox.close()
        assert a.whereis("post") is None
        with pytest.raises(NoProcess):
            await a.register("post", mailbox.pid)
        await until(lambda: b.whereis("post") is None)
        await until(lambda: (a._claims._owned, a._claims._of) == ({}, {}))


async def test_who_has_given_a_name_back_is_watched_no_more() -> None:
    async with members("a") as (a,), task_group() as group:
        one = await Idle.start(task_group=group)
        assert await a.register("billing", one)
        assert await a.register("cash", one)
        assert len(process_of(one).watchers) == 1
        assert await a.unregister("cash")
        assert len(process_of(one).watchers) == 1
        assert await a.unregister("billing")
        assert not process_of(one).watchers
        assert not a._claims._ends


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        (3, TypeError, "expected name to be a str, got int"),
        ("", ValueError, "expected name to have characters"),
        ("x" * 600, ValueError, "expected name to be at most some 370 bytes, got 600"),
        ("\ud800", ValueError, "expected name to be Unicode"),
    ],
)
async def test_what_is_no_name_is_refused(name: Any, error: type[Exception], says: str) -> None:
    async with members("a") as (a,), task_group() as group:
        pid = await Idle.start(task_group=group)
        for attempt in (
            lambda: a.register(name, pid),
            lambda: a.unregister(name),
            lambda: a.wait_registered(name),
        ):
            with pytest.raises(error, match=says):
                await attempt()
        with pytest.raises(error, match=says):
            a.name(name)


async def test_what_cannot_have_a_name_is_refused() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        pid = await Idle.start(task_group=group)
        with pytest.raises(TypeError, match="expected pid to be a PID, got str"):
            await a.register("x", "y")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="expected a process of node 'b'"):
            await b.register("x", seen_by(b, a, pid))
        with pytest.raises(NoProcess):
            await a.register("x", PID())
        with pytest.raises(TypeError, match="expected name to be a str, got int"):
            a.whereis(3)  # type: ignore[arg-type]


def test_names_are_keys_and_keys_are_names() -> None:
    for name in ("billing", "shop:billing", "a::b", ":", "Ü:ñ", "a.b c*>", "x" * 300):
        assert name_of(key_of(name).removeprefix("name.")) == name
    for junk in ("", "=", "a", "YQ==", "YQ.", "/w", "YR", "YWJ", "Y+Q"):
        assert name_of(junk) in {None, ""} or key_of(name_of(junk) or "x") == f"name.{junk}"


async def test_what_makes_no_sense_is_nobodys_name() -> None:
    broker = MemoryBroker("shop")
    async with members("a", broker=broker) as (a,), task_group() as group:
        vandal = broker.engine("vandal")
        await vandal.open()
        await vandal.create(key_of("billing"), b"junk")
        await vandal.create("name.YQ==", b"a 1 1")
        await vandal.create(
            key_of("cash"), Holding("a", a._node.peers.own.incarnation, 99).packed()
        )
        await until(lambda: a.malformed == 2)
        assert a.whereis("billing") is None
        till = await Till.start("a", task_group=group, register_as=a.name("billing"))
        assert a.whereis("billing") is till
        await until(lambda: a._names.find("cash") is None)
        await vandal.close()


async def test_names_of_who_has_left_can_be_taken() -> None:
    broker = MemoryBroker("shop")
    async with members("a", broker=broker) as (a,), task_group() as group:
        one, other = await Idle.start(task_group=group), await Idle.start(task_group=group)
        async with member(broker, "b") as b:
            assert await b.register("billing", one)
            assert await b.register("cash", other)
            await a.wait_registered("billing", timeout=30)
            assert await b.unregister("cash")
        await until(lambda: a._names.find("billing") is None)
        await until(lambda: not is_alive(one))  # or the name would have two holders
        assert is_alive(other), "it had given its name back"
        with pytest.raises(NoConnection):
            await b.register("billing", other)
        assert await a.register("billing", other)


async def test_without_a_connection_no_name_is_taken() -> None:
    broker = MemoryBroker("shop")
    async with members("a", broker=broker) as (a,), task_group() as group:
        pid = await Idle.start(task_group=group)
        broker.cut("a")
        with pytest.raises(NoConnection):
            await a.register("billing", pid)
        started = []

        async def start() -> None:
            started.append(await Till.start("a", task_group=group, register_as=a.name("cash")))

        group.start_soon(start)
        broker.heal("a")
        await until(lambda: started)
        assert a.whereis("cash") is started[0]


@explored(seeds=15)
async def test_names_of_a_node_that_is_gone_are_swept_and_taken_by_one() -> None:
    broker = MemoryBroker("shop", delay=(0.001, 0.05))
    async with members("a", "b", "c", broker=broker) as (a, b, c), task_group() as group:
        tills = {one.node: await Till.start(one.node, task_group=group) for one in (a, b, c)}
        for name in ("x", "y"):
            assert await c.register(name, tills["c"])
        await a.wait_registered("x", timeout=30)
        broker.freeze("c")
        await until(lambda: a.nodes() == b.nodes() == ["a", "b"])
        assert not is_alive(tills["c"]), "it was ended before others could have its name"
        assert a.whereis("x") is b.whereis("x") is None
        both = [False, False]

        async def take(which: int, one: Cluster) -> None:
            both[which] = await one.register("x", tills[one.node])

        async with anyio.create_task_group() as taking:
            taking.start_soon(take, 0, a)
            taking.start_soon(take, 1, b)
        assert sorted(both) == [False, True]
        await anyio.sleep(2 * TTL)
        assert a._names.find("y") is None, "it was swept"
        broker.heal("c")
        await until(lambda: c.nodes() == ["a", "b", "c"])
        assert c.whereis("x") is not None


@explored(seeds=20)
async def test_a_name_has_one_holder_at_any_moment() -> None:
    broker = MemoryBroker("shop", delay=(0.001, 0.1))
    async with (
        members("a", "b", "c", broker=broker) as nodes,
        anyio.create_task_group() as group,
    ):
        holds: dict[str, Any] = {}

        class Owner(GenServer[Any, Any]):
            def __init__(self, node: str) -> None:
                self.node = node

            async def init(self) -> None:
                assert not holds, holds
                holds[self.node] = self

            async def terminate(self, reason: Any, state: Any) -> None:
                del holds[self.node]

        async def keep(one: Cluster) -> None:
            while True:
                try:
                    name = one.name("it")
                    pid = await Owner.start(one.node, task_group=group, register_as=name)
                    await wait_exit(pid)
                except NameTaken:
                    await anyio.sleep(0.3)

        for one in nodes:
            group.start_soon(keep, one)
        for _ in range(6):
            await anyio.sleep(broker.random.uniform(1, 2 * TTL))
            node = broker.random.choice("abc")
            fault = broker.random.choice(
                [broker.cut, broker.freeze, broker.hold, broker.lose_answers]
            )
            fault(node)
            await anyio.sleep(broker.random.uniform(0.1, 2 * TTL))
            broker.heal(node)
        await until(lambda: all(one.nodes() == ["a", "b", "c"] for one in nodes))
        await until(lambda: all(one.whereis("it") for one in nodes))
        assert len(holds) == 1
        group.cancel_scope.cancel()


@explored(seeds=20)
async def test_a_sweep_without_revision_is_found() -> None:
    """What the tests of sweeping rest on: who deletes whatever is there takes a new owner's."""

    broker = MemoryBroker("shop", delay=(0.001, 0.1))
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        one, other = await Idle.start(task_group=group), await Idle.start(task_group=group)
        async with member(broker, "c") as c:
            await until(lambda: b.nodes() == ["a", "b", "c"])
            await c.register("x", one)
            await b.wait_registered("x", timeout=30)
            broker.cut("c")
        await until(lambda: b.nodes() == ["a", "b"])
        assert await b.register("x", other)
        entry = await a._node.engine.read(key_of("x"))
        assert entry is not None
        await a._node.engine.delete(entry.key, entry.revision)
        await anyio.sleep(1)
        assert is_alive(other)
        assert a.whereis("x") is not None, "its owner has taken it again"


@explored(seeds=50)
async def test_names_that_are_told_in_parts_are_known_all_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = MemoryBroker("shop", delay=(0.001, 0.05))
    monkeypatch.setattr("fauxtp.cluster._engines.memory_engine.PART", 2)
    async with members("a", broker=broker) as (a,), task_group() as group:
        till = await Till.start("a", task_group=group)
        for number in range(7):
            assert await a.register(f"till:{number}", till)
        async with member(broker, "b") as b:
            assert len(b._names) == 7
            broker.cut("b")
            for number in range(3):
                assert await a.unregister(f"till:{number}")
            assert await a.register("till:7", till)
            broker.heal("b")
            await anyio.sleep(broker.random.uniform(0, 0.8))
            assert await a.register("till:8", till)  # before the parts, among them or after
            seen = set[int]()
            while b._names.find("till:8") is None:
                seen.add(len(b._names))
                await anyio.sleep(0.001)
            assert seen <= {5, 7}
            assert sorted(b._names.holders.names()) == [f"till:{n}" for n in range(3, 9)]
            assert b.whereis("till:3") is seen_by(b, a, till)


@explored(seeds=50)
async def test_writes_that_were_lost_are_made_again() -> None:
    broker = MemoryBroker("shop", delay=(0.001, 0.05))
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        till = await Till.start("a", task_group=group)
        await anyio.sleep(1)
        assert await a.register("billing", till)
        broker.lose_writes(1)
        await until(lambda: a.whereis("billing") is till and b.whereis("billing"))
        assert is_alive(till)


async def test_a_name_that_is_given_back_while_it_is_taken_again_is_not_kept() -> None:
    broker = MemoryBroker("shop", delay=(0.02, 0.02))
    async with members("a", broker=broker) as (a,), task_group() as group:
        one, other = await Idle.start(task_group=group), await Idle.start(task_group=group)
        assert await a.register("billing", one)
        vandal = broker.engine("vandal")
        await vandal.open()
        await vandal.delete(key_of("billing"), a._claims._owned["billing"].revision)
        await until(lambda: a._claims._again)
        gave_back: list[bool] = []

        async def give_back() -> None:
            gave_back.append(await a.unregister("billing"))

        group.start_soon(give_back)
        while not await a.register("billing", other):
            pass
        await until(lambda: not a._claims._again and not a._claims._busy)
        assert gave_back == [True]
        assert a.whereis("billing") is other
        assert is_alive(one), "it has given it back, and lost nothing"
        assert is_alive(other)
        await vandal.close()


@explored(seeds=20)
async def test_a_name_that_is_taken_as_it_is_given_back_stays() -> None:
    broker = MemoryBroker("shop")
    async with (
        member(broker, "a", timeout=0.2) as a,
        member(broker, "b") as b,
        task_group() as group,
    ):
        one = await Idle.start(task_group=group)
        assert await a.register("billing", one)
        broker.lose_answers("a")  # so that what is done is done again
        gave_back: list[bool] = []

        async def give_back() -> None:
            gave_back.append(await a.unregister("billing"))

        group.start_soon(give_back)
        await until(lambda: a._names.find("billing") is None)
        assert not gave_back
        assert await a.register("billing", one)
        revision = a._claims._owned["billing"].revision
        await until(lambda: gave_back)
        await until(lambda: not a._claims._busy)
        entry = await b._node.engine.read(key_of("billing"))
        assert entry is not None
        assert entry.revision == revision, "it was never away"
        assert a.whereis("billing") is one


async def test_what_was_seen_before_a_connection_was_lost_does_not_count_after_it() -> None:
    broker = MemoryBroker("shop")
    async with members("a", broker=broker) as (a,), task_group() as group:
        seen = a._node.replica.revision
        broker.cut("a")
        group.start_soon(a._node.replica.seen, seen)
        await until(lambda: a._node.replica._awaited)
        broker.heal("a")
        await until(lambda: not a._node.replica._awaited)
        assert a._node.replica.revision >= seen


async def changes_of(watch: ClusterNamesWatch, told: list[Any]) -> None:
    async for change in watch:
        told.append(change)  # noqa: PERF401  (each as it comes)


def words(told: list[Any]) -> list[str]:
    """Return what was told, in short."""
    signs = {Registered: "+", Unregistered: "-", Overflow: "!"}
    return [signs[type(it)] + getattr(it, "name", "") for it in told]


async def test_who_watches_names_is_told_of_all_that_are_and_come_and_go() -> None:
    told: dict[str, list[Any]] = {"a": [], "b": []}
    async with members("a", "b") as (a, b), task_group() as group:
        till = await Till.start("a", task_group=group)
        assert await a.register("till:1", till)
        assert await a.register("other", till)
        await b.wait_registered("till:1")
        watches = {"a": a.watch_names("till:"), "b": b.watch_names("till:")}
        for node, watch in watches.items():
            group.start_soon(changes_of, watch, told[node])
        await until(lambda: words(told["a"]) == words(told["b"]) == ["+till:1"])
        assert told["a"][0].pid is till
        assert told["b"][0].pid is seen_by(b, a, till)
        assert await a.unregister("till:1")
        mailbox = Mailbox()
        assert await b.register("till:2", mailbox.pid)
        assert await a.register("till:1", till)
        exit(till)
        expected = ["+till:1", "-till:1", "+till:2", "+till:1", "-till:1"]
        for node in "ab":
            await until(lambda: sorted(words(told[node])) == sorted(expected))  # noqa: B023
            assert [it for it in words(told[node]) if "1" in it] == expected[:2] + expected[3:]
        for watch in watches.values():
            watch.close()
        await until(lambda: not a._watches._all and not b._watches._all)


async def test_names_of_a_node_that_goes_are_told_with_its_reason() -> None:
    broker, told = MemoryBroker("shop"), list[Any]()
    async with members("a", broker=broker) as (a,), task_group() as group:
        group.start_soon(changes_of, a.watch_names(), told)
        async with member(broker, "b") as b:
            assert await b.register("till", (await Till.start("b", task_group=group)))
            await until(lambda: words(told) == ["+till"])
        await until(lambda: words(told) == ["+till", "-till"])
        assert not a._watches._all[0].known
    assert not a._watches._all, "the iterator has ended with the cluster"


async def test_who_watches_too_slowly_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_watches, "MOST", 4)
    async with members("a", "b") as (a, b):
        mailbox = Mailbox()
        watch = b.watch_names()
        assert await a.register("first", mailbox.pid)
        assert await anext(watch) == Registered("first", seen_by(b, a, mailbox.pid))
        for number in range(6):
            assert await a.register(f"{number}", mailbox.pid)
        await b.wait_registered("5")
        assert await anext(watch) == Overflow()
        for number in range(6):
            assert await a.unregister(f"{number}")
        await until(lambda: len(b._names) == 1)
        assert words([await anext(watch)]) == ["+first"]
        assert await a.register("last", mailbox.pid)
        assert words([await anext(watch)]) == ["+last"]
        watch.close()
        with pytest.raises(StopAsyncIteration):
            await anext(watch)


async def test_the_server_knows_what_a_node_has_yet_to_hear() -> None:
    broker = MemoryBroker("shop")
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        assert await b.whereis_sure("till") is None
        till = await Till.start("a", task_group=group)
        broker.lose_messages("b", 1)
        assert await a.register("till", till)
        assert b.whereis("till") is None
        assert await b.whereis_sure("till") is seen_by(b, a, till)
        assert await a.whereis_sure("till") is till
        exit(till)
        await until(lambda: not is_alive(till))
        assert await a.whereis_sure("till") is None
        for bad, kind in ((3, TypeError), ("", ValueError)):
            with pytest.raises(kind):
                await a.whereis_sure(bad)  # type: ignore[arg-type]
        await a._node.engine.create(key_of("junk"), b"junk")
        await a._node.engine.create(key_of("gone"), Holding("a", 4711, 1).packed())
        assert await b.whereis_sure("junk") is await b.whereis_sure("gone") is None
        broker.cut("b")
        with pytest.raises(NoConnection):
            await b.whereis_sure("till")
        broker.heal("b")


async def test_one_task_at_a_time_watches() -> None:
    async with members("a") as (a,), task_group() as group:
        watch = a.watch_names()
        group.start_soon(changes_of, watch, [])
        await until(lambda: watch._seen.waiter)
        with pytest.raises(RuntimeError, match="another task waits for these names already"):
            await anext(watch)
        with pytest.raises(TypeError, match="expected prefix to be a str, got int"):
            a.watch_names(3)  # type: ignore[arg-type]
        await a.watch_names().aclose()
        watch.close()


@explored(seeds=5)
async def test_without_a_lease_all_names_go_and_then_come_back() -> None:
    broker, told = MemoryBroker("shop"), list[Any]()
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        assert await a.register("till", (await Till.start("a", task_group=group)))
        watch = b.watch_names()
        group.start_soon(changes_of, watch, told)
        await until(lambda: words(told) == ["+till"])
        broker.cut("b")
        await until(lambda: words(told) == ["+till", "-till"])
        assert told[1].reason == "noconnection"
        broker.heal("b")
        await until(lambda: words(told) == ["+till", "-till", "+till"])
        watch.close()


async def test_names_of_a_snapshot_that_never_came_mean_nobody() -> None:
    broker = MemoryBroker("shop")
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        till = await Idle.start(task_group=group)
        await a.register("billing", till)
        await b.wait_registered("billing", timeout=30)
        holder = b._names.find("billing")
        assert holder is not None
        lost = Entry(key_of("lost"), holder.holding.packed(), 1)
        b._node._followed(Part([lost], is_first=True))
        b._node._followed(broker.keys.snapshot())
        assert list(b._names.all_of("")) == ["billing"]
        exit(till)
