"""Messages and calls to processes of other nodes."""

from __future__ import annotations

import gc
import math
from functools import partial
from typing import Any
from weakref import ref

import anyio
import anyio.to_thread
import pytest
from clusters import TTL, member, members, seen_by, until
from conftest import ASYNCIO, task_group
from crew import process_of
from in_simulated_time import explored

from fauxtp import (
    NO_REPLY,
    PID,
    GenServer,
    Mailbox,
    NoProcess,
    ProcessExited,
    Raise,
    ReceiveTimeout,
    Ref,
    call,
    call_blocking,
    cast,
    dead_letters,
    is_alive,
    reply,
    send,
    send_nowait,
    start_call,
)
from fauxtp._core.bounded_queue import BoundedQueue
from fauxtp._core.calls import Call
from fauxtp._core.mailbox import find_elsewhere
from fauxtp.cluster import Cluster, NoConnection
from fauxtp.cluster._messages import calls_in
from fauxtp.cluster._wire.frames import packed
from fauxtp.cluster.memory_broker import MemoryBroker
from fauxtp.testing import explore

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


class Server(GenServer[Any, Any]):
    """Does with a call what that says, and notes all that it is told."""

    async def init(self) -> list[Any]:
        return []

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        match request:
            case ("echo", what):
                return what, state
            case ("refuse", error):
                return Raise(error), state
            case ("raise", error):
                raise error
            case "never":
                return NO_REPLY, [*state, from_]
            case "object":
                return object(), state
            case "caller":
                return from_.caller, state
        return state, state if request == "told" else [*state, request]

    async def handle_cast(self, request: Any, state: Any) -> Any:
        return [*state, ("cast", request)]

    async def handle_info(self, message: Any, state: Any) -> Any:
        return [*state, message]


class Slow(Server):
    """Does nothing else while it handles a cast, until it may go on."""

    def __init__(self) -> None:
        self.has_begun, self.goes_on = anyio.Event(), anyio.Event()

    async def handle_cast(self, request: Any, state: Any) -> Any:
        self.has_begun.set()
        await self.goes_on.wait()
        return state


class Narrow(Slow):
    mailbox_size = 1


async def kept_busy(there: PID, server: PID) -> anyio.Event:
    """Let a slow server handle a cast; return what it waits for."""
    slow: Any = process_of(server).actor
    await cast(there, "wait")
    await slow.has_begun.wait()
    goes_on: anyio.Event = slow.goes_on
    return goes_on


async def test_a_call_to_another_node_is_answered() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = seen_by(a, b, await Server.start(task_group=group))
        assert await call(server, ("echo", {"a": (1, {2})})) == {"a": (1, {2})}
        assert await start_call(server, ("echo", 2)) == 2
        assert await anyio.to_thread.run_sync(call_blocking, server, ("echo", 3)) == 3
        assert is_alive(server)
        with pytest.raises(ValueError, match="no apples"):
            await call(server, ("refuse", ValueError("no apples")))


async def test_a_call_that_finds_the_lease_over_fails_as_not_sent() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = seen_by(a, b, await Server.start(task_group=group))
        a._node.lease.drop()
        with pytest.raises(NoConnection, match="no lease"):
            await call(server, ("echo", 1))


async def test_messages_arrive_in_order_calls_among_them() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = seen_by(a, b, await Server.start(task_group=group))
        await send(server, 1)
        await cast(server, 2)
        send_nowait(server, 3)
        assert await call(server, "told") == [1, ("cast", 2), 3]


async def test_threads_may_send() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = seen_by(a, b, await Server.start(task_group=group))
        await anyio.to_thread.run_sync(lambda: list(map(partial(send_nowait, server), range(3))))
        assert await call(server, "told") == [0, 1, 2]


async def test_a_mailbox_that_stands_alone_can_be_elsewhere() -> None:
    async with members("a", "b") as (a, b):
        mailbox = Mailbox()
        there = seen_by(a, b, mailbox.pid)
        await send(there, "hello")
        await until(lambda: len(mailbox))
        assert mailbox.take_nowait() == "hello"
        pending = start_call(there, "who?")
        await until(lambda: len(mailbox))
        reply(mailbox.take_nowait(), "me")
        assert await pending == "me"


async def test_a_pid_is_the_same_one_wherever_it_goes() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        here = await Server.start(task_group=group)
        there = seen_by(a, b, here)
        assert there is seen_by(a, b, here)
        assert there is not here
        came = await call(there, ("echo", [there, Mailbox().pid]))
        assert came[0] is there, "it has been at home, and come back"
        ref = Ref()
        assert await call(there, ("echo", ref)) is ref


async def test_a_server_knows_who_calls() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        there = seen_by(a, b, await Server.start(task_group=group))

        class Asker(GenServer[Any, Any]):
            async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
                return await call(there, "caller"), state

        asker = await Asker.start(task_group=group)
        assert await call(asker, None) is asker


async def test_what_has_ended_there_is_told() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await Server.start(task_group=group)
        there = seen_by(a, b, server)
        with pytest.raises(ProcessExited, match="KeyError") as exited:
            await call(there, ("raise", KeyError("y")))
        assert (exited.value.pid, exited.value.taken_up) == (there, True)
        with pytest.raises(NoProcess) as nobody:
            await call(there, "told")
        assert nobody.value.to is there
        before = dead_letters.counts().get("noproc", 0)
        await send(there, "hello")
        await until(lambda: dead_letters.counts().get("noproc", 0) == before + 1)


async def test_the_error_that_ended_it_is_the_cause() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        there = seen_by(a, b, await Server.start(task_group=group))
        with pytest.raises(ProcessExited) as exited:
            await call(there, ("raise", KeyError("x")))
        assert repr(exited.value.__cause__) == "KeyError('x')"


async def test_what_cannot_travel_is_refused_where_it_is_sent() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await Server.start(task_group=group)
        there = seen_by(a, b, server)
        with pytest.raises(TypeError, match="at message"):
            await call(there, ("echo", [object()]))
        with pytest.raises(TypeError, match=r"got builtins\.object at the top"):
            await send(there, object())
        with pytest.raises(ValueError, match="expected a message of at most"):
            await send(there, b"x" * 2_000_000)
        with pytest.raises(TypeError, match=r"builtins\.object"):
            await call(there, "object")
        assert await call(there, "told") == []


async def test_a_pid_of_another_cluster_is_refused() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        there = seen_by(a, b, await Server.start(task_group=group))
        other = MemoryBroker("other")
        async with Cluster.join(other.engine("a"), cluster="other", node="a") as stranger:
            alien = stranger._messenger.pids.elsewhere(stranger._node.peers.find("x", 1), 1)
            with pytest.raises(TypeError, match="expected a PID of this cluster"):
                await send(there, alien)


async def test_a_call_that_is_given_up_is_not_executed() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await Slow.start(task_group=group)
        there = seen_by(a, b, server)
        goes_on = await kept_busy(there, server)
        pending = start_call(there, "forget me")
        mailbox = process_of(server).mailbox
        await until(lambda: len(mailbox) == 1)
        pending.cancel()
        await until(lambda: len(mailbox) == 0)
        goes_on.set()
        assert await call(there, "told") == []
        await until(lambda: not b._messenger.calls_in._known)
        await until(lambda: not a._messenger.calls_out._known)


async def test_a_call_that_is_given_up_in_line_for_room_is_not_in_line_any_more() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await Narrow.start(task_group=group)
        there, mailbox = seen_by(a, b, server), process_of(server).mailbox
        assert isinstance(mailbox, BoundedQueue)
        goes_on = await kept_busy(there, server)
        await cast(there, "fill")
        await until(lambda: len(mailbox) == 1)
        pending = start_call(there, "forget me")
        await until(lambda: len(mailbox.senders) == 1)
        pending.cancel()
        await until(lambda: not b._messenger.calls_in._known and not len(mailbox.senders))
        assert (len(mailbox), mailbox.given_up.total) == (1, 0)
        goes_on.set()
        assert await call(there, "told") == []


async def test_a_node_that_is_fenced_answers_no_call_of_before() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await Slow.start(task_group=group)
        there = seen_by(a, b, server)
        taken_up = start_call(there, "never")
        await until(lambda: process_of(server).state)
        goes_on = await kept_busy(there, server)
        pending = start_call(there, "note")
        await until(lambda: len(b._messenger.calls_in._known) == 2)
        b._node.fence()
        assert not b._messenger.calls_in._known
        assert not reply(process_of(server).state[0], "too late")
        goes_on.set()
        for one in (taken_up, pending):
            with pytest.raises(ProcessExited, match="noconnection"):
                await one
        assert len(await call(server, "told")) == 1, "what was not taken up is not executed"


async def test_without_a_connection_nothing_is_sent() -> None:
    broker = MemoryBroker("shop")
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        server = await Server.start(task_group=group)
        there = seen_by(a, b, server)
        broker.cut("a")
        with pytest.raises(NoConnection):
            await call(there, ("note", 1))
        with pytest.raises(NoConnection):
            await anyio.to_thread.run_sync(call_blocking, there, ("note", 1))
        before = dead_letters.counts().get("noconnection", 0)
        await send(there, 2)
        assert dead_letters.counts()["noconnection"] == before + 1
        broker.heal("a")
        await until(lambda: a._node.engine.connected)
        assert await call(there, "told") == []


async def test_nobody_listens_where_a_node_has_left() -> None:
    async with members("a") as (a,):
        there = a._messenger.pids.elsewhere(a._node.peers.find("b", 4711), 1)
        assert is_alive(there), "nobody knows that incarnation, and it may yet come"
        with pytest.raises(NoConnection, match="node 'b' does not listen"):
            await call(there, "hello")
        before = dead_letters.counts().get("noconnection", 0)
        await send(there, "hello")
        await until(lambda: dead_letters.counts().get("noconnection", 0) == before + 1)


async def test_that_nobody_listens_is_believed_of_the_own_messages_alone() -> None:
    broker = MemoryBroker("shop")
    async with members("a", "b", "c", broker=broker) as (a, b, _), task_group() as group:
        server = await Server.start(task_group=group)
        pending = start_call(seen_by(a, b, server), "never")
        await until(lambda: process_of(server).state)
        (which,) = a._messenger.calls_out._known
        where = f"{a._node.subjects.prefix}to.a.{a._node.peers.own.incarnation}"
        for forged in (f"{where}.c.1.{which}", f"{where}.c.{which}", f"{where}.a.{which}"):
            assert broker.route(forged, None, None)
        await until(lambda: a.malformed == 3)
        assert list(a._messenger.calls_out._known) == [which]
        assert broker.route(f"{where}.a.1.{which}", None, None)
        with pytest.raises(NoConnection, match="node 'b' does not listen"):
            await pending


async def test_who_is_gone_has_no_processes() -> None:
    broker = MemoryBroker("shop")
    async with members("a", broker=broker) as (a,), task_group() as group:
        async with member(broker, "b") as b:
            await until(lambda: a.nodes() == ["a", "b"])
            server = await Server.start(task_group=group)
            there = seen_by(a, b, server)
            pending = start_call(there, "never")
            await until(lambda: process_of(server).state)
        await until(lambda: a.nodes() == ["a"])
        with pytest.raises(ProcessExited) as exited:
            await pending
        assert (exited.value.reason, exited.value.taken_up) == ("noconnection", True)
        assert not is_alive(there)
        with pytest.raises(NoProcess):
            await call(there, "told")


async def test_what_stands_for_a_process_elsewhere_is_kept_as_long_as_its_pid() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        there = seen_by(a, b, await Server.start(task_group=group))
        stand_in = find_elsewhere(there)
        assert stand_in is not None
        assert stand_in is find_elsewhere(there)
        assert stand_in.pid is there
        gone = ref(there)
        del there
        await until(lambda: gone() is None)


async def test_a_call_on_its_way_to_the_wire_as_its_node_goes_fails() -> None:
    broker = MemoryBroker("shop")
    async with members("a", broker=broker) as (a,), task_group() as group:
        async with member(broker, "b") as b:
            await until(lambda: a.nodes() == ["a", "b"])
            there = seen_by(a, b, await Server.start(task_group=group))
            stand_in = find_elsewhere(there)
        assert stand_in is not None
        await until(lambda: a.nodes() == ["a"])
        late = Call("late", there, None)
        stand_in.pass_on_call(late, None)
        with pytest.raises(NoProcess):
            late.result()
        assert a._messenger.calls_out._known == {}


async def test_a_node_owes_another_no_more_answers_than_it_can_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls_in, "MOST_OWED", 2)
    async with members("a", "b") as (a, b), task_group() as group:
        there = seen_by(a, b, await Server.start(task_group=group))
        stuck = [start_call(there, "never", 60) for _ in range(2)]
        with pytest.raises(NoConnection, match="node 'b' owes this one too many answers"):
            await call(there, ("echo", 1))
        for one in stuck:
            one.cancel()
        await until(lambda: not a._node.peers.up["b"].owed)
        await until(lambda: not b._node.peers.up["a"].owed)
        assert not b._messenger.calls_in._known


async def test_what_makes_no_sense_is_counted_and_dropped() -> None:
    broker = MemoryBroker("shop")
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        server = await Server.start(task_group=group)
        there = seen_by(a, b, server)
        post, peer = a._messenger.post, b._node.peers.own
        call_, answer = packed("call", 1, 2, 3.0, 0, b""), packed("answer", 1, "ok", True, b"")
        frames = [
            b"", b"\x01", b"\x02" + call_[1:], b"\x01\xff", b"\xff" * 100, call_[:-1],
            packed("send", -1, b""), packed("cancel", -1), packed("cancel", 1) + b" ",
            packed("call", 1, 2, -1.0, 0, b""), packed("call", 1, 2, math.nan, 0, b""),
            packed("call", 1, 2, None, -1, b""), answer[:-1] + b"\x0e", packed("ask") + b"x",
        ]  # fmt: skip
        to = a._node.peers.find("b", peer.incarnation)
        for frame in frames:
            a._node.engine.publish(to.subject, frame)
        a._node.engine.publish(to.subject + ".x", packed("ask"))
        await until(lambda: b.malformed == len(frames) + 1)
        number = b._messenger.pids.number_of(server)
        post.send(to, ("send", number, b"\xff"))
        post.send(to, ("call", number, 99, None, 0, b"\xff"))  # whose answer nobody waits for
        post.send(to, ("answer", 98, "ok", True, b"\xff"))
        assert await call(there, "told") == []
        assert b.malformed == len(frames) + 2


async def test_nothing_of_a_pid_is_left_that_nobody_refers_to() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await Server.start(task_group=group)
        assert await call(seen_by(a, b, server), ("echo", 1)) == 1
        await until(lambda: gc.collect() >= 0 and not len(a._messenger.pids._there))


@explored(seeds=50)
async def test_a_frozen_node_serves_nothing_on_waking() -> None:
    broker = MemoryBroker("shop", delay=(0.001, 0.02))
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        server = await Server.start(task_group=group)
        there = seen_by(a, b, server)
        broker.freeze("b")
        await send(there, "as it is frozen")
        pending = start_call(there, "note", timeout=None)
        await anyio.sleep(2 * TTL)
        with pytest.raises(ProcessExited, match="noconnection"):
            await pending
        broker.heal("b")
        await until(lambda: b.nodes() == ["a", "b"])
        await anyio.sleep(1)
        assert await call(server, "told") == []
        again = seen_by(a, b, server)
        assert again is not there
        assert await call(again, ("echo", 1)) == 1


@explored(seeds=30)
async def test_what_a_node_had_sent_is_not_heard_when_it_is_gone() -> None:
    broker = MemoryBroker("shop", delay=(0.001, 0.02))
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        server = await Server.start(task_group=group)
        await send(seen_by(b, a, server), "early")
        await until(lambda: process_of(server).state)
        broker.hold("b")
        await send(seen_by(b, a, server), "late")
        await until(lambda: a.nodes() == ["a"])
        broker.heal("b")
        await until(lambda: a.nodes() == b.nodes() == ["a", "b"])
        await anyio.sleep(1)
        assert await call(server, "told") == ["early"]


@explored(seeds=100)
async def test_each_call_is_executed_at_most_once_and_answered_or_not() -> None:
    broker = MemoryBroker("shop", delay=(0.001, 0.1))
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        server = await Server.start(task_group=group)
        there = seen_by(a, b, server)
        answered, unsure = [], []

        async def ask(number: int) -> None:
            await anyio.sleep(number / 10)
            try:
                await call(there, ("note", number), timeout=0.5)
                answered.append(number)
            except NoConnection:
                pass
            except (ReceiveTimeout, ProcessExited):
                unsure.append(number)
            except NoProcess:
                pass

        async with anyio.create_task_group() as asking:
            for number in range(30):
                asking.start_soon(ask, number)
            await anyio.sleep(0.5)
            broker.cut("b")
            await anyio.sleep(0.5)
            broker.heal("b")
            await anyio.sleep(0.7)
            broker.hold("a")
            await anyio.sleep(0.5)
            broker.heal("a")
        await anyio.sleep(5)
        noted = [number for _, number in await call(server, "told")]
        assert len(noted) == len(set(noted))
        assert set(answered) <= set(noted) <= {*answered, *unsure}


@explored(seeds=20)
async def test_who_waits_no_longer_is_told_that_it_may_have_been_executed() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await Server.start(task_group=group)
        there = seen_by(a, b, server)
        pending = start_call(there, "never", timeout=1.0)
        await until(lambda: process_of(server).state)
        with pytest.raises(ReceiveTimeout) as late:
            await pending
        assert late.value.taken_up
        (from_,) = await call(there, ("echo", 1)) and process_of(server).state
        await until(lambda: not b._messenger.calls_in._known)
        assert not reply(from_, "too late")


def test_an_answer_that_is_lost_is_sent_again_or_told_to_be_unknown() -> None:
    outcomes: set[object] = set()

    async def scenario() -> None:
        broker = MemoryBroker("shop", delay=(0.001, 0.05))
        async with members("a", "b", broker=broker) as (a, b), task_group() as group:
            server = await Server.start(task_group=group)
            pending = start_call(seen_by(a, b, server), "never", timeout=None)
            await until(lambda: process_of(server).handled)
            (asked,) = await call(server, "told")
            whose = broker.random.choice("ab")
            first = broker.random.random() < 0.5
            if first:
                reply(asked, "an answer")
                await anyio.sleep(broker.random.uniform(0, 0.05))
            broker.cut(whose)
            if not first:
                reply(asked, "an answer")
            await anyio.sleep(broker.random.uniform(0, 1))
            broker.heal(whose)
            try:
                outcomes.add(await pending)
            except ProcessExited as error:
                outcomes.add((error.reason, error.taken_up))
            await until(lambda: not b._messenger.calls_in._unsent)

    explore(scenario, seeds=60)
    assert outcomes == {"an answer", ("noconnection", True)}


@explored(seeds=10)
async def test_a_call_that_came_too_fast_is_told_to_be_unknown() -> None:
    broker = MemoryBroker("shop", delay=(0.001, 0.01))
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        server = await Server.start(task_group=group)
        there = seen_by(a, b, server)
        broker.lose_messages("b")
        with pytest.raises(ProcessExited) as lost:
            await call(there, "note", timeout=None)
        assert (lost.value.reason, lost.value.taken_up) == ("noconnection", True)
        assert "note" not in await call(there, "told")


@explored(seeds=30)
async def test_a_lost_cancel_is_made_good_by_the_time_that_travels() -> None:
    broker = MemoryBroker("shop", delay=(0.001, 0.01))
    async with members("a", "b", broker=broker) as (a, b), task_group() as group:
        server = await Slow.start(task_group=group)
        there = seen_by(a, b, server)
        goes_on = await kept_busy(there, server)
        pending = start_call(there, "forget me", timeout=1.0)
        await until(lambda: len(process_of(server).mailbox) == 1)
        broker.lose_messages("b", 6)  # heartbeats among them
        with pytest.raises(ReceiveTimeout):
            await pending
        await anyio.sleep(TTL)
        goes_on.set()
        assert await call(server, "told") == []
