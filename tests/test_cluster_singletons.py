"""Children that run on one node of a cluster, and go on elsewhere when that is gone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest
from clusters import ACTS, TTL, member, members, until
from conftest import ASYNCIO, task_group
from crew import Idle, process_of
from in_simulated_time import explored

from fauxtp import (
    PID,
    Actor,
    ChildSpec,
    GenServer,
    Mailbox,
    ProcessExited,
    RestartType,
    Supervisor,
    call,
    cast,
    exit,
    is_alive,
    wait_exit,
    which_children,
)
from fauxtp.cluster import Cluster, NoConnection, NodeTaken, singleton
from fauxtp.cluster.memory_broker import MemoryBroker

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


class Book:
    """What the owners of one name do, which may be one at a time."""

    def __init__(self) -> None:
        self.now: list[str] = []
        self.all: list[str] = []
        self.ends: list[str] = []
        self.in_init: list[Callable[[PID], Any]] = []  # for one start each
        self.to_end = 0.0  # seconds
        self.tokens: list[int] = []


class Owner(GenServer[Any, Any]):
    def __init__(self, cluster: Cluster, book: Book) -> None:
        self.cluster = cluster
        self.book = book

    async def init(self) -> None:
        if self.book.in_init:
            await self.book.in_init.pop(0)(self.pid)
        assert not self.book.now, "there are two at once"
        self.book.now.append(self.cluster.node)
        self.book.all.append(self.cluster.node)

    async def handle_call(self, request: Any, from_: Any, state: None) -> Any:
        if request == "token":
            return await self.cluster.token("it"), state
        if request == "crash":
            raise ValueError("a crash")
        if request == "stop":
            self.stop()
        return self.cluster.node, state

    async def handle_cast(self, request: str, state: None) -> Any:
        self.stop(request)
        return state

    async def terminate(self, reason: Any, state: None) -> None:
        if self.book.to_end:
            await anyio.sleep(self.book.to_end)
        self.book.ends.append(str(reason))
        self.book.now.remove(self.cluster.node)


class Shop(Supervisor):
    def __init__(self, cluster: Cluster, book: Book, how: dict[str, Any]) -> None:
        self.spec = ChildSpec(
            "it", Owner, args=(cluster, book), register_as=cluster.name("it"), **how
        )

    def child_specs(self) -> list[ChildSpec]:
        return [singleton(self.spec)]


async def start(one: Cluster, book: Book, group: Any, **how: Any) -> PID:
    return await Shop.start(one, book, how, task_group=group)


async def restarts(shop: PID) -> list[int]:
    return [info.restarts for info in await which_children(shop)]


async def stop(*shops: PID) -> None:
    for shop in shops:
        exit(shop, "shutdown")
        await wait_exit(shop)


async def test_one_node_has_it_and_the_next_when_that_stops() -> None:
    book = Book()
    async with members("a", "b", "c") as nodes, task_group() as group:
        shops = {one.node: await start(one, book, group) for one in nodes}
        asked = nodes[0].name("it")
        had: list[str] = []
        while shops:
            has = await call(asked, "who?", wait=30)
            assert book.now == [has]
            assert has not in had
            had.append(has)
            await stop(shops.pop(has))
            assert book.ends == ["shutdown"] * len(had)
        assert sorted(had) == sorted(book.all) == ["a", "b", "c"]


async def test_who_waits_in_line_looks_at_nothing_until_the_name_is_free() -> None:
    book = Book()
    async with members("a", "b") as (a, b), task_group() as group:
        one = await start(a, book, group)
        await until(lambda: book.now == ["a"])
        other = await start(b, book, group)
        await until(lambda: b._names._awaited._waiting.get("it"))
        (waits,) = b._names._awaited._waiting["it"]
        await anyio.wait_all_tasks_blocked()
        mailbox = Mailbox()
        assert await a.register("other", mailbox.pid)
        await b.wait_registered("other", timeout=30)
        assert b._names._awaited._waiting["it"] == [waits]
        assert [info.pid is not None for info in await which_children(other)] == [True]
        await stop(one)
        await until(lambda: book.now == ["b"])
        await stop(other)
        await until(lambda: not a._names._awaited._waiting and not b._names._awaited._waiting)


async def test_a_crash_is_a_restart_by_the_rules_of_the_spec() -> None:
    book = Book()
    async with members("a") as (a,), task_group() as group:
        shop = await start(a, book, group, max_restarts=2, max_seconds=60.0)
        for count in range(3):
            await until(lambda: book.now == ["a"])
            assert await restarts(shop) == [count]  # none of its siblings' intensity
            before = len(book.all)
            with pytest.raises(Exception, match="a crash"):
                await call(a.name("it"), "crash", wait=30)
            await until(lambda: len(book.all) > before or count == 2)  # noqa: B023
        await until(lambda: a.whereis("it") is None)
        assert len(book.all) == 3
        assert is_alive(shop), "it is given up, and its supervisor goes on"
        await stop(shop)


@pytest.mark.parametrize("error", [ValueError("not today"), NoConnection("no token")])
async def test_an_init_that_fails_is_a_crash(error: Exception) -> None:
    async def fail(_: PID) -> None:
        raise error

    book = Book()
    book.in_init = [fail, fail]
    async with members("a") as (a,), task_group() as group:
        shop = await start(a, book, group)
        await until(lambda: book.now == ["a"])
        assert await restarts(shop) == [2]
        await stop(shop)


async def test_one_that_may_end_is_not_started_again_here() -> None:
    book = Book()
    async with members("a", "b") as (a, b), task_group() as group:
        shop = await start(a, book, group, restart=RestartType.TRANSIENT)
        await until(lambda: book.now == ["a"])
        other = await start(b, book, group, restart=RestartType.TRANSIENT)
        with pytest.raises(ProcessExited):
            await call(a.name("it"), "stop")
        await until(lambda: book.now == ["b"])
        await ended(shop)
        assert await restarts(shop) == [0]
        await stop(shop, other)


async def ended(shop: PID) -> None:
    """Wait until the child of `shop` has ended, and is not started again."""
    with anyio.fail_after(30):
        while (await which_children(shop))[0].pid is not None:
            await anyio.sleep(0.01)


async def test_one_that_ends_at_once_has_ended_as_it_says() -> None:
    book = Book()

    async def end(pid: PID) -> None:
        await cast(pid, "normal")

    book.in_init = [end]
    async with members("a") as (a,), task_group() as group:
        shop = await start(a, book, group, restart=RestartType.TRANSIENT)
        await until(lambda: book.ends == ["normal"])
        await ended(shop)
        assert await restarts(shop) == [0]
        assert book.all == ["a"]
        await stop(shop)


@pytest.mark.parametrize("at", ["in its init", "right after it"])
async def test_a_fence_while_it_starts_is_no_crash(at: str) -> None:
    book = Book()
    async with members("a") as (a,), task_group() as group:

        async def be_fenced(_: PID) -> None:
            a._node.fence()
            if at == "in its init":
                await anyio.sleep_forever()

        book.in_init = [be_fenced]
        shop = await start(a, book, group, restart=RestartType.TRANSIENT, max_restarts=0)
        await until(lambda: book.now == ["a"] and not book.in_init and a._node.may_act())
        assert await call(a.name("it"), "who?", wait=30) == "a"
        assert await restarts(shop) == [0]
        await stop(shop)


@pytest.mark.parametrize("reason", ["left", "fenced", "name lost"])
async def test_what_counts_is_that_the_name_was_lost_and_not_the_words(reason: str) -> None:
    book = Book()
    async with members("a") as (a,), task_group() as group:
        shop = await start(a, book, group, restart=RestartType.TEMPORARY)
        await until(lambda: book.now == ["a"])
        exit(await a.wait_registered("it", timeout=30), reason)
        await until(lambda: book.ends == [reason])
        await until(lambda: a.whereis("it") is None)
        with anyio.fail_after(30):
            while await which_children(shop):
                await anyio.sleep(0.01)
        assert book.all == ["a"]
        await stop(shop)


async def test_a_node_that_leaves_hands_it_over_when_that_has_ended() -> None:
    book = Book()
    broker = MemoryBroker("shop")
    async with members("a", broker=broker) as (a,), task_group() as group:
        async with member(broker, "b") as b:
            left = await start(b, book, group)
            await until(lambda: book.now == ["b"])
            shop = await start(a, book, group)
            book.to_end = 0.05
        assert book.ends == ["left"]
        await until(lambda: book.now == ["a"])
        assert await restarts(left) == [0], "it waits for nothing more, and that is no crash"
        await stop(shop, left)


@pytest.mark.parametrize("to_end", [0.5, 3.0])
@explored(seeds=10)
async def test_who_takes_it_from_one_that_leaves_waits_for_its_end(to_end: float) -> None:
    book = Book()
    broker = MemoryBroker("shop", delay=(0.001, 0.02))
    async with (
        members("a", broker=broker) as (a,),
        anyio.create_task_group() as group,
    ):
        async with member(broker, "b", ttl=2) as b:
            await start(b, book, group)
            await until(lambda: book.now == ["b"])
            await start(a, book, group)
            book.to_end = to_end
        await until(lambda: book.now == ["a"])
        assert book.ends == ["left"]
        group.cancel_scope.cancel()


async def test_who_leaves_in_its_own_end_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = MemoryBroker("shop")
    waited: list[PID] = []

    async def spy(pid: PID) -> None:
        waited.append(pid)
        await wait_exit(pid)

    monkeypatch.setattr("fauxtp.cluster._names.claims.wait_exit", spy)
    other, has_both = Mailbox(), anyio.Event()

    class Leaver(Actor):
        async def run(self, state: Any) -> None:
            async with member(broker, "b") as b:
                await b.register("it", self.pid)
                await b.register("other", other.pid)
                has_both.set()
                await anyio.sleep_forever()

    async with members("a", broker=broker) as (a,), task_group() as group:
        leaver = await Leaver.start(task_group=group)
        await a.wait_registered("it", timeout=30)
        await has_both.wait()
        exit(leaver)
        await until(lambda: a.nodes() == ["a"])
        assert waited == [other.pid], "it has not waited for itself"
        assert a.whereis("it") is None


@explored(seeds=15)
async def test_who_is_fenced_ends_it_before_another_starts_it() -> None:
    book = Book()
    broker = MemoryBroker("shop", delay=(0.001, 0.05))
    async with (
        members("a", "b", broker=broker) as (a, b),
        anyio.create_task_group() as group,
    ):
        shop = await start(a, book, group)
        await until(lambda: book.now == ["a"])
        await start(b, book, group)
        broker.freeze("a")
        began = anyio.current_time()
        await until(lambda: book.now == ["b"])
        assert anyio.current_time() - began > ACTS - 1
        assert book.ends == ["fenced"]
        broker.heal("a")
        await until(a._node.may_act)
        assert await call(a.name("it"), "who?") == "b"
        assert await restarts(shop) == [0], "that is no crash"
        group.cancel_scope.cancel()


@explored(seeds=5)
async def test_one_that_has_lost_the_name_has_its_shutdown_to_end() -> None:
    book = Book()
    broker = MemoryBroker("shop", delay=(0.001, 0.05))
    async with (
        members("a", "b", broker=broker) as (a, _),
        anyio.create_task_group() as group,
    ):
        await start(a, book, group, shutdown=0.2)
        await until(lambda: book.now == ["a"])
        book.to_end = 1e6
        pid = a.whereis("it")
        assert pid is not None
        broker.freeze("a")
        await until(lambda: process_of(pid).exit_request == "fenced")
        began = anyio.current_time()
        await until(lambda: not is_alive(pid))
        assert anyio.current_time() - began < 0.1 * TTL
        group.cancel_scope.cancel()


@explored(seeds=5)
async def test_one_that_takes_too_long_to_lose_the_name_is_no_crash() -> None:
    book = Book()
    broker = MemoryBroker("shop", delay=(0.001, 0.05))
    async with (
        members("a", broker=broker) as (a,),
        anyio.create_task_group() as group,
    ):
        shop = await start(a, book, group, shutdown=0.2, max_restarts=0)
        await until(lambda: book.now == ["a"])
        book.to_end = 1e6
        first = a.whereis("it")
        assert first is not None
        a._node.fence()
        await until(lambda: not is_alive(first))
        book.now.clear()
        assert await call(a.name("it"), "who?", wait=30) == "a"
        assert await restarts(shop) == [0]
        group.cancel_scope.cancel()


@explored(seeds=5)
async def test_one_whose_node_leaves_has_its_shutdown_to_end() -> None:
    book = Book()
    broker = MemoryBroker("shop", delay=(0.001, 0.05))
    async with (
        members("a", broker=broker) as (a,),
        anyio.create_task_group() as group,
    ):
        async with member(broker, "b") as b:
            await start(b, book, group, shutdown=0.2)
            await until(lambda: book.now == ["b"])
            await a.wait_registered("it", timeout=30)
            book.to_end = 1e6
            began = anyio.current_time()
        assert anyio.current_time() - began < 2
        assert a.whereis("it") is None
        group.cancel_scope.cancel()


@explored(seeds=8)
async def test_there_is_one_at_any_moment_and_in_the_end() -> None:
    book = Book()
    broker = MemoryBroker("shop", delay=(0.001, 0.1))
    chance = broker.random
    nodes: dict[str, Cluster] = {}

    async def live(name: str) -> None:
        """Be a node that comes and goes."""
        for stays in (False, False, True):
            async with anyio.create_task_group() as group:
                async with AsyncExitStack() as stack:
                    nodes[name] = one = await join(stack, name)
                    shop = await start(one, book, group)
                    await anyio.sleep(1e9 if stays else chance.uniform(5, 40))
                    if chance.random() < 0.5:
                        await stop(shop)
                await stop(shop)

    async def join(stack: AsyncExitStack, name: str) -> Cluster:
        while True:
            try:
                one: Cluster = await stack.enter_async_context(member(broker, name))
                return one
            except (NoConnection, NodeTaken, TimeoutError):
                await anyio.sleep(1)

    async def disturb() -> None:
        for _ in range(8):
            await anyio.sleep(chance.uniform(1, 2 * TTL))
            node = chance.choice("abc")
            faults: list[Callable[[str], None]] = [
                broker.cut,
                broker.freeze,
                broker.hold,
                broker.lose_answers,
                broker.lose_messages,
            ]
            chance.choice(faults)(node)
            await anyio.sleep(chance.uniform(0.1, 2 * TTL))
            broker.heal(node)

    async with anyio.create_task_group() as living:
        for name in "abc":
            living.start_soon(live, name)
        await disturb()
        await anyio.sleep(120)
        assert sorted(nodes) == ["a", "b", "c"]
        for one in nodes.values():
            assert one.nodes() == ["a", "b", "c"]
            assert [await call(one.name("it"), "who?", wait=30)] == book.now
        living.cancel_scope.cancel()


@explored(seeds=10)
async def test_a_token_grows_from_holder_to_holder() -> None:
    book = Book()
    broker = MemoryBroker("shop", delay=(0.001, 0.05))
    async with (
        members("a", "b", broker=broker) as (a, b),
        anyio.create_task_group() as group,
    ):
        for one in (a, b):
            await start(one, book, group)
        for _ in range(4):
            has = await call(a.name("it"), "who?", wait=30)
            book.tokens.append(await call(a.name("it"), "token"))
            assert book.tokens[-1] == await (a if has == "a" else b).token("it")
            assert await (b if has == "a" else a).token("it") is None
            broker.freeze(has)
            await until(lambda: book.now not in ([], [has]))  # noqa: B023
            broker.heal(has)
            await until(lambda: a._node.may_act() and b._node.may_act())
        assert book.tokens == sorted(set(book.tokens))
        group.cancel_scope.cancel()


async def test_who_does_not_have_a_name_has_no_token() -> None:
    broker = MemoryBroker("shop")
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        pid = await Idle.start(task_group=group)
        assert await a.token("it") is None
        assert await a.register("it", pid)
        revision = a._claims._owned["it"].revision
        assert await a.token("it") == revision
        assert await b.token("it") is None
        broker.cut("a")
        with pytest.raises(NoConnection):
            await a.token("it")
        broker.heal("a")
        with pytest.raises(TypeError, match="expected name to be a str, got int"):
            await a.token(3)  # type: ignore[arg-type]


async def test_who_stands_in_line_when_the_cluster_is_left_harms_nobody() -> None:
    book = Book()
    broker = MemoryBroker("shop")
    async with members("a", broker=broker) as (a,), task_group() as group:
        await start(a, book, group)
        await until(lambda: book.now == ["a"])
        async with member(broker, "b") as b:
            shop = await start(b, book, group)
            await until(lambda: b._names._awaited._waiting)
        assert is_alive(shop)
        await until(lambda: not b._names._awaited._waiting)
        assert await restarts(shop) == [0]
        await stop(shop)


async def test_one_that_waits_for_a_lease_can_be_stopped() -> None:
    book = Book()
    broker = MemoryBroker("shop")
    async with members("a", broker=broker) as (a,), task_group() as group:
        broker.cut("a")
        shop = await start(a, book, group)
        await anyio.wait_all_tasks_blocked()
        await stop(shop)
        assert book.all == []


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("till", TypeError, "expected spec to be a ChildSpec, got str"),
        (ChildSpec("till", Idle), ValueError, "the register_as of 'till' .* got NoneType"),
        (ChildSpec("till", Idle, register_as="x"), ValueError, "a name of a cluster, got str"),
    ],
)
def test_what_is_no_singleton_is_refused(spec: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        singleton(spec)
