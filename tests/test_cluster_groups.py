"""Groups whose members are on several nodes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import pytest
from clusters import TTL, diary, member, members, seen_by, until
from conftest import ASYNCIO, task_group
from crew import Idle, process_of
from in_simulated_time import explored

import fauxtp
from fauxtp import PID, Joined, Left, Mailbox, NoProcess, call, dead_letters, demonitor, exit, send
from fauxtp.cluster import Cluster, NoConnection
from fauxtp.cluster._groups import memberships
from fauxtp.cluster._keys.group_keys import Membership, key_of, membership, place_of
from fauxtp.cluster._nodes.pids import Pids
from fauxtp.cluster.memory_broker import MemoryBroker
from fauxtp.testing import explore

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


def known(one: Cluster, group: str = "sport") -> int:
    return len(one.members(group))


def keys_of(one: Cluster) -> dict[str, bytes]:
    """Return the keys of groups that the broker holds."""
    engine: Any = one._node.engine
    held = engine._broker.keys._held
    return {key: it.entry.value for key, it in held.items() if key.startswith("group.")}


async def test_who_joins_a_group_is_told_what_any_node_publishes_there() -> None:
    async with members("a", "b", "c") as (a, b, c), task_group() as group:
        one, two, far = [await diary(group) for _ in range(3)]
        assert await a.join_group("sport", one)
        assert await a.join_group("sport", two)
        assert not await a.join_group("sport", one), "it is a member already"
        assert await b.join_group("sport", far)
        assert a.members("sport")[:2] == (one, two), "they are known here at once"
        await until(lambda: known(a) == known(b) == known(c) == 3)
        assert b.members("sport") == (far, seen_by(b, a, one), seen_by(b, a, two))
        assert c.members("sport")[2] is seen_by(c, b, far)
        assert await a.publish("sport", ("goal", {1})) == 3
        assert await c.publish("sport", "end") == 3
        for pid in (one, two, far):
            await until(lambda: len(process_of(pid).state) == 2)  # noqa: B023
            assert sorted(map(str, process_of(pid).state)) == ["('goal', {1})", "end"]
        assert fauxtp.members("sport") == (), "that is a group of the program alone"
        assert (await a.publish("none", 1), a.members("none")) == (0, ())


async def test_a_node_is_sent_one_frame_for_all_its_members(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = MemoryBroker("shop")
    async with members("a", "b", "c", broker=broker) as (a, b, c), task_group() as group:
        all_there = [await diary(group) for _ in range(5)]
        async with anyio.create_task_group() as joining:
            for pid in all_there:
                joining.start_soon(b.join_group, "sport", pid)
        await until(lambda: known(a) == known(c) == 5)
        sent: list[str] = []
        publish = a._node.engine.publish

        def spy(
            subject: str, payload: bytes, reply: str | None = None, *, at_once: bool = False
        ) -> None:
            sent.append(subject)
            publish(subject, payload, reply, at_once=at_once)

        monkeypatch.setattr(a._node.engine, "publish", spy)
        assert await a.publish("sport", "goal") == 5
        assert sent == [a._node.peers.up["b"].subject]
        await until(lambda: all(process_of(pid).state == ["goal"] for pid in all_there))


async def test_many_who_join_at_once_are_written_at_once() -> None:
    broker = MemoryBroker("shop", delay=(0.01, 0.01))
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        pids = [await Idle.start(task_group=group) for _ in range(50)]
        before = a._node.replica.revision
        async with anyio.create_task_group() as joining:
            for pid in pids:
                joining.start_soon(a.join_group, "sport", pid)
        await until(lambda: known(b) == 50)
        entry = await a._node.engine.read(key_of("sport", "a"))
        assert entry is not None
        assert entry.revision - before < 25, "most of them shared a write"


async def test_who_leaves_or_ends_is_a_member_no_longer() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        one, two = await diary(group), await diary(group)
        for pid in (one, two):
            assert await a.join_group("sport", pid)
            assert await a.join_group("news", pid)
        await until(lambda: known(b) == known(b, "news") == 2)
        assert await a.leave_group("sport", one)
        assert not await a.leave_group("sport", one)
        assert not await b.leave_group("sport", two), "that is for the node of it"
        assert await b.publish("sport", "goal") in {1, 2}
        await until(lambda: process_of(two).state == ["goal"])
        assert process_of(one).state == [], "who has left is told nothing"
        assert len(process_of(one).watchers) == 1
        exit(two)
        await until(lambda: known(b) == 0 and known(b, "news") == 1)
        exit(one)
        await until(lambda: known(a, "news") == known(b, "news") == 0)
        await until(lambda: not keys_of(a))
        kept = a._grouped.memberships
        await until(lambda: not (kept._of or kept._ends or kept._said or kept._busy))
        assert a._grouped.groups.own() == []


async def test_who_has_left_all_groups_is_watched_no_more() -> None:
    async with members("a") as (a,), task_group() as group:
        one = await Idle.start(task_group=group)
        assert await a.join_group("sport", one)
        assert await a.leave_group("sport", one)
        assert not process_of(one).watchers


async def test_a_mailbox_may_be_in_a_group() -> None:
    async with members("a", "b") as (a, b):
        mailbox, small = Mailbox(), Mailbox(max_size=1)
        assert await a.join_group("sport", mailbox.pid)
        assert await a.join_group("sport", small.pid)
        await until(lambda: known(b) == 2)
        before = dead_letters.counts().get("mailbox full", 0)
        assert await b.publish("sport", 1) == 2
        await until(lambda: len(mailbox) == len(small) == 1)
        assert await a.publish("sport", 2) == 1, "there was no room in one of them"
        assert dead_letters.counts()["mailbox full"] == before + 1
        mailbox.close()
        assert a.members("sport") == (small.pid,)
        await until(lambda: known(b) == 1)
        with pytest.raises(NoProcess):
            await a.join_group("sport", mailbox.pid)


async def test_what_is_published_and_sent_comes_in_that_order() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        one = await diary(group)
        assert await b.join_group("sport", one)
        await until(lambda: known(a) == 1)
        (there,) = a.members("sport")
        for number in range(0, 100, 2):
            await a.publish("sport", number)
            await send(there, number + 1)
        await until(lambda: len(process_of(one).state) == 100)
        assert process_of(one).state == list(range(100))


async def test_who_monitors_a_group_is_told_who_comes_and_goes() -> None:
    broker = MemoryBroker("shop")
    async with members("a", broker=broker) as (a,), task_group() as group:
        watcher, here, far = [await diary(group) for _ in range(3)]
        assert await a.join_group("sport", here)
        async with member(broker, "b") as b:
            ref = await call(watcher, partial(a.monitor_group, "sport"))
            await b.join_group("sport", far)
            there = seen_by(a, b, far)
            told: list[Any] = [Joined(ref, "sport", here), Joined(ref, "sport", there)]
            await until(lambda: process_of(watcher).state == told)
            await b.leave_group("sport", far)
            told.append(Left(ref, "sport", there, None))
            await until(lambda: process_of(watcher).state == told)
            await b.join_group("sport", far)
            told.append(Joined(ref, "sport", there))
            await until(lambda: process_of(watcher).state == told)
        told.append(Left(ref, "sport", there, None))
        await until(lambda: process_of(watcher).state == told)
        exit(here, "enough")
        await until(lambda: len(process_of(watcher).state) == 6)
        assert (process_of(watcher).state[-1].pid, process_of(watcher).state[-1].reason) == (
            here,
            "enough",
        )
        assert await call(watcher, partial(demonitor, ref)) is True
        assert not a._grouped.monitors._all
        assert not a._grouped.monitors._of
        await call(watcher, partial(a.monitor_group, "sport"))
        exit(watcher)
        await until(lambda: not a._grouped.monitors._all and not a._grouped.monitors._of)
        with pytest.raises(RuntimeError, match="monitor_group works for actors only"):
            a.monitor_group("sport")


async def test_who_has_ended_leaves_a_group_by_its_own_reason_and_no_other() -> None:
    """Also if something else is told while the hub has yet to hear of the end."""
    ended, told = threading.Event(), threading.Event()
    began: list[PID] = []

    def elsewhere() -> None:
        async def main() -> None:
            async with anyio.create_task_group() as group:
                began.append(await Idle.start(task_group=group))
                told.set()
                await fauxtp.wait_exit(began[0])
                ended.set()

        anyio.run(main)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await anyio.to_thread.run_sync(told.wait, 30)
    async with members("a") as (a,), task_group() as group:
        watcher, other = await diary(group), Mailbox()
        for pid in (began[0], other.pid):
            assert await a.join_group("sport", pid)
        ref = await call(watcher, partial(a.monitor_group, "sport"))
        await until(lambda: len(process_of(watcher).state) == 2)
        exit(began[0], "enough")
        assert ended.wait(30), "this event loop, that of the hub, does nothing meanwhile"
        a._grouped.monitors._changed("sport", None)  # as when a key of another node is told
        await until(lambda: len(process_of(watcher).state) == 3)
        left = process_of(watcher).state[-1]
        assert (left.ref, left.pid, left.reason) == (ref, began[0], "enough")
    await anyio.to_thread.run_sync(thread.join)


async def test_a_node_that_leaves_takes_its_members_along() -> None:
    broker = MemoryBroker("shop")
    async with members("a", broker=broker) as (a,), task_group() as group:
        one, other = await Idle.start(task_group=group), Mailbox()
        async with member(broker, "b") as b:
            assert await b.join_group("sport", one)
            assert await b.join_group("sport", other.pid)
            await until(lambda: known(a) == 2)
        await until(lambda: not keys_of(a))
        await until(lambda: known(a) == 0)
        await until(lambda: not process_of(one).watchers)  # and it lives on
        assert b.members("sport") == ()
        assert await b.publish("sport", 1) == 0
        with pytest.raises(NoConnection):
            await b.join_group("sport", one)


async def test_who_joins_without_a_connection_waits_and_who_gives_up_is_no_member() -> None:
    broker = MemoryBroker("shop")
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        one, other = await diary(group), await Idle.start(task_group=group)
        broker.cut("a")
        with anyio.move_on_after(0.01) as scope:
            await a.join_group("sport", other)
        assert scope.cancelled_caught
        assert a.members("sport") == ()
        joined: list[bool] = []

        async def join() -> None:
            joined.append(await a.join_group("sport", one))

        group.start_soon(join)
        await until(lambda: a.members("sport") == (one,))
        assert await a.publish("sport", "goal") == 1, "those here are told as ever"
        assert not joined
        broker.heal("a")
        await until(lambda: joined == [True] and known(b) == 1)


@pytest.mark.parametrize("between", ["nothing", "it leaves"])
async def test_who_gives_up_takes_nobody_else_s_membership(
    between: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = MemoryBroker("shop")
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        one, told = await Idle.start(task_group=group), dict[str, bool]()
        kept, came, waiting = a._grouped.memberships, 0, 0
        until_written = kept._until_written

        async def spy(name: str) -> None:
            nonlocal came, waiting
            came += 1
            waiting += 1
            try:
                await until_written(name)
            finally:
                waiting -= 1

        monkeypatch.setattr(kept, "_until_written", spy)

        async def join(who: str) -> None:
            told[who] = await a.join_group("sport", one)

        async def give_up() -> None:
            with scope:
                await join("first")

        broker.cut("a")
        scope = anyio.CancelScope()
        async with anyio.create_task_group() as joining:
            joining.start_soon(give_up)
            await until(lambda: a.members("sport") == (one,))
            if between == "it leaves":
                assert await a.leave_group("sport", one)
            joining.start_soon(join, "second")
            await until(lambda: a.members("sport") == (one,) and came == 2)
            scope.cancel()
            await until(lambda: waiting == 1)
            broker.heal("a")
        assert told["second"] is (between == "it leaves")  # the first may have ended by leaving
        assert a.members("sport") == (one,)
        await until(lambda: known(b) == 1)
        assert await a.leave_group("sport", one)


async def test_who_ends_while_it_joins_is_no_process() -> None:
    broker = MemoryBroker("shop")
    async with members("a", broker=broker) as (a,):
        mailbox = Mailbox()
        broker.cut("a")
        async with anyio.create_task_group() as joining:

            async def join() -> None:
                with pytest.raises(NoProcess):
                    await a.join_group("sport", mailbox.pid)

            joining.start_soon(join)
            await until(lambda: a.members("sport"))
            mailbox.close()
            broker.heal("a")


async def test_the_ends_of_many_are_little_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with members("a", "b") as (a, b):
        mailboxes, asked = [Mailbox() for _ in range(200)], 0
        async with anyio.create_task_group() as joining:
            for mailbox in mailboxes:
                joining.start_soon(a.join_group, "sport", mailbox.pid)
        await until(lambda: known(b) == 200)
        number_of = Pids.number_of

        def spy(pids: Pids, pid: PID) -> int:
            nonlocal asked
            asked += 1
            return number_of(pids, pid)

        monkeypatch.setattr(Pids, "number_of", spy)
        for mailbox in mailboxes[1:]:
            mailbox.close()
        await until(lambda: known(b) == 1)
        assert asked < 5 * 200, "each is looked at a few times"


async def test_after_a_fence_a_few_keys_at_a_time_are_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = MemoryBroker("shop", delay=(0.01, 0.01))
    monkeypatch.setattr(memberships, "AT_ONCE", 3)
    async with members("a", "b", broker=broker) as (a, b):
        mailbox, now, most = Mailbox(), 0, 0
        groups = [f"room:{number}" for number in range(12)]
        for name in groups:
            assert await a.join_group(name, mailbox.pid)
        update = a._node.engine.update

        async def spy(key: str, *args: Any, **how: Any) -> int:
            nonlocal now, most
            is_group = key.startswith("group.")
            now += is_group
            most = max(most, now)
            try:
                return await update(key, *args, **how)
            finally:
                now -= is_group

        monkeypatch.setattr(a._node.engine, "update", spy)
        was = a._node.peers.own
        a._node.fence()
        await until(lambda: a._node.peers.own is not was and a._node.may_act())
        await until(lambda: all(known(b, name) == 1 for name in groups))
        assert 1 <= most <= 3


async def test_what_cannot_travel_is_told_to_nobody_if_some_are_elsewhere() -> None:
    async with members("a", "b") as (a, b):
        here, there = Mailbox(), Mailbox()
        assert await a.join_group("sport", here.pid)
        assert await a.publish("sport", object()) == 1
        assert await b.join_group("sport", there.pid)
        await until(lambda: known(a) == 2)
        with pytest.raises(TypeError):
            await a.publish("sport", object())
        with pytest.raises(ValueError, match="expected a message of at most"):
            await a.publish("sport", b"x" * a._node.engine.max_payload)
        assert len(here) == 1


async def test_what_cannot_be_sent_is_a_dead_letter() -> None:
    broker = MemoryBroker("shop")
    async with members("a", "b", broker=broker) as (a, b):
        there = Mailbox()
        assert await b.join_group("sport", there.pid)
        await until(lambda: known(a) == 1)
        before = dead_letters.counts().get("noconnection", 0)
        broker.cut("a")
        assert await a.publish("sport", "goal") == 1
        assert dead_letters.counts()["noconnection"] == before + 1


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        (3, TypeError, "expected group to be a str, got int"),
        ("", ValueError, "expected group to have characters"),
        ("x" * 400, ValueError, "expected group to be at most 330 bytes, got 400"),
        ("\ud800", ValueError, "expected group to be Unicode"),
    ],
)
async def test_what_is_no_group_is_refused(name: Any, error: type[Exception], says: str) -> None:
    async with members("a") as (a,), task_group() as group:
        pid = await Idle.start(task_group=group)
        attempts: list[Callable[[], Any]] = [
            lambda: a.join_group(name, pid),
            lambda: a.leave_group(name, pid),
            lambda: a.publish(name, 1),
        ]
        for attempt in attempts:
            with pytest.raises(error, match=says):
                await attempt()
        for look in (a.members, a.monitor_group):
            with pytest.raises(error, match=says):
                look(name)


async def test_who_cannot_be_in_a_group_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        pid, other = await Idle.start(task_group=group), await Idle.start(task_group=group)
        for attempt in (a.join_group, a.leave_group):
            with pytest.raises(TypeError, match="expected pid to be a PID, got str"):
                await attempt("x", "y")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="expected a process of node 'b'"):
            await b.join_group("x", seen_by(b, a, pid))
        with pytest.raises(NoProcess):
            await a.join_group("x", PID())
        assert await a.join_group("x", pid)
        monkeypatch.setattr(a._node.engine, "max_payload", 257)
        with pytest.raises(ValueError, match="expected group 'x' to have at most 1 members here"):
            await a.join_group("x", other)
        assert a.members("x") == (pid,)


def test_groups_are_keys_and_keys_are_groups() -> None:
    for group in ("sport", "room:1", "Ü:ñ", "a.b c*>", "x" * 320):
        assert place_of(key_of(group, "a").removeprefix("group.")) == (group, "a")
    for junk in ("", "a", "YQ==.a", "YQ.a.b", ".a", "YQ.", "YQ.a/b", "/w.a"):
        assert place_of(junk) is None, junk
    for value in (b"", b"junk", b"1", b"1 ", b"1 2 2", b"1 -2", b"x 2", b"1 " + b"9" * 30):
        assert membership(value) is None, value


async def test_what_makes_no_sense_is_nobody_s_membership() -> None:
    broker = MemoryBroker("shop")
    async with members("a", "b", broker=broker) as (a, b):
        vandal, mailbox = broker.engine("vandal"), Mailbox()
        await vandal.open()
        await vandal.create(key_of("sport", "c"), b"junk")
        await vandal.create("group.YQ==.c", b"1 1")
        await vandal.create(key_of("sport", "a"), b"junk")
        await vandal.create(key_of("news", "a"), Membership(4711, (1,)).packed())
        await vandal.create(key_of("sport", "gone"), Membership(4711, (1,)).packed())
        await until(lambda: b.malformed == 3)
        assert b.members("sport") == b.members("news") == ()
        await until(lambda: not {key_of("sport", "a"), key_of("news", "a")} & keys_of(a).keys())
        assert await a.join_group("sport", mailbox.pid)
        await until(lambda: known(b) == 1)
        peer = a._node.peers.up["b"]
        for content in (b"\xc1", b._messenger.post.pack(3), b._messenger.post.pack([1, 2, 3])):
            b._messenger.post.send(b._node.peers.up["a"], ("publish", content))
        await until(lambda: a.malformed == 3 + 3)
        assert await b.publish("sport", 1) == 1
        await until(lambda: len(mailbox) == 1)
        assert peer.is_up
        await vandal.close()


@explored(seeds=15)
async def test_a_fence_ends_no_membership_and_is_told() -> None:
    broker = MemoryBroker("shop", delay=(0.001, 0.05))
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        watcher, one, far = [await diary(group) for _ in range(3)]
        assert await a.join_group("sport", one)
        assert await b.join_group("sport", far)
        await call(watcher, partial(b.monitor_group, "sport"))
        await until(lambda: known(a) == known(b) == 2)
        broker.freeze("a")
        await until(lambda: b.members("sport") == (far,))
        await until(lambda: a.members("sport") == (one,))
        broker.heal("a")
        await until(lambda: known(a) == known(b) == 2)
        told = [
            (type(it).__name__, getattr(it, "reason", None)) for it in process_of(watcher).state
        ]
        assert told == [("Joined", None)] * 2 + [("Left", "noconnection"), ("Joined", None)]
        assert await b.publish("sport", "goal") == 2
        await until(lambda: process_of(one).state == process_of(far).state == ["goal"])


@explored(seeds=40)
async def test_keys_that_were_lost_are_written_again() -> None:
    broker = MemoryBroker("shop", delay=(0.001, 0.05))
    async with members("a", "b", broker=broker) as (a, b):
        one, two = Mailbox(), Mailbox()
        assert await a.join_group("sport", one.pid)
        await anyio.sleep(1)
        assert await a.join_group("sport", two.pid)
        broker.lose_writes(broker.random.choice([1, 2]))
        await until(lambda: known(b) < 2 or broker.keys.read(key_of("sport", "a")) is not None)
        await anyio.sleep(TTL)
        assert known(b) == known(a) == 2


def test_the_keys_of_who_is_gone_expire_and_those_of_who_lives_do_not() -> None:
    async def scenario() -> None:
        broker = MemoryBroker("shop", delay=(0.001, 0.05))
        async with members("a", "b", broker=broker) as (a, b):
            one, two = Mailbox(), Mailbox()
            assert await a.join_group("sport", one.pid)
            assert await b.join_group("sport", two.pid)
            await until(lambda: known(a) == 2)
            gone: list[int] = []
            told = a._grouped.groups._told

            def spy(words: str, value: bytes | None, revision: int) -> None:
                if value is None:
                    gone.append(revision)
                told(words, value, revision)

            a._node.replica.on_group = spy
            broker.freeze("b")
            await anyio.sleep(50)
            assert set(keys_of(a)) == {key_of("sport", "a")}
            assert a.members("sport") == (one.pid,)
            assert len(gone) == 1, "that of who lives was always there"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memberships, "TTL", 20)
        explore(scenario, seeds=10)


@explored(seeds=25)
async def test_all_nodes_know_who_is_there_whatever_happens_in_between() -> None:
    broker = MemoryBroker("shop", delay=(0.001, 0.1))
    chance = broker.random
    async with (
        members("a", "b", "c", broker=broker) as nodes,
        anyio.create_task_group() as group,
    ):
        true: dict[str, dict[PID, None]] = {one.node: {} for one in nodes}

        async def come_and_go(one: Cluster) -> None:
            there = true[one.node]
            for _ in range(12):
                await anyio.sleep(chance.uniform(0, TTL))
                if there and chance.random() < 0.4:
                    pid = chance.choice(list(there))
                    del there[pid]
                    if chance.random() < 0.5:
                        assert await one.leave_group("sport", pid)
                    exit(pid)
                else:
                    pid = await Idle.start(task_group=group)
                    there[pid] = None
                    assert await one.join_group("sport", pid)

        async def disturb() -> None:
            for _ in range(6):
                await anyio.sleep(chance.uniform(0.5, TTL))
                node = chance.choice("abc")
                faults: list[Callable[[str], None]] = [
                    broker.cut,
                    broker.freeze,
                    broker.hold,
                    broker.lose_answers,
                    broker.lose_messages,
                    lambda _: broker.lose_writes(2),
                ]
                fault = chance.choice(faults)
                fault(node)
                await anyio.sleep(chance.uniform(0.1, 2 * TTL))
                broker.heal(node)

        async with anyio.create_task_group() as work:
            work.start_soon(disturb)
            for one in nodes:
                work.start_soon(come_and_go, one)
        await until(lambda: all(one.nodes() == ["a", "b", "c"] for one in nodes))
        await anyio.sleep(2 * TTL)
        for one in nodes:
            told = {
                pid if other is one else seen_by(one, other, pid)
                for other in nodes
                for pid in true[other.node]
            }
            assert set(one.members("sport")) == told
            assert len(one.members("sport")) == len(told)
        group.cancel_scope.cancel()
