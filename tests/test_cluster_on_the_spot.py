"""Calls between nodes that need fewer turns of the event loop, where one comes by itself."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from clusters import members, seen_by, until
from conftest import ASYNCIO, task_group
from crew import process_of

from fauxtp import PID, GenServer, call, exit, send, send_nowait
from fauxtp._base import switches
from fauxtp._core.calls import NO_REPLY, Call, reply
from fauxtp._loops.current import current_home, new_waiter
from fauxtp._messaging.outcome import withdraw
from fauxtp.cluster import Cluster
from fauxtp.cluster._messages.on_the_spot import handle, resume
from fauxtp.cluster._messages.parcels import parcel
from fauxtp.cluster._wire.frames import packed, unpacked
from fauxtp.cluster._wire.wire import Wire

pytestmark = pytest.mark.anyio

WIRE = Wire()


@pytest.fixture(params=ASYNCIO)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Only asyncio can do it."""
    return request.param


@pytest.fixture(autouse=True)
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switches, "hand_off", True)


class Server(GenServer[Any, Any]):
    """Answers with what it is asked, in one way or another."""

    async def init(self) -> list[Any]:
        self.may_go_on = anyio.Event()
        return []

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        if request == "waits":
            await self.may_go_on.wait()
        elif request == "gives way":
            await checkpoint()
        elif request == "replies":
            reply(from_, request)
            return NO_REPLY, [*state, request]
        elif request == "crashes":
            raise ValueError(request)
        return request, [*state, request]

    async def handle_info(self, message: Any, state: Any) -> Any:
        return [*state, message]


def hear(there: Cluster, here: Cluster, payload: bytes) -> list[bytes]:
    """Let `here` hear what node `there` tells it; return what it has sent when that is over."""
    sent: list[bytes] = []
    engine: Any = here._node.engine
    publish = engine.publish
    engine.publish = lambda subject, payload, *_, **__: sent.append(payload)
    try:
        subject = there._node.peers.up[here._node.name].subject
        here._messenger.post._received(subject, payload, None)
    finally:
        engine.publish = publish
    return sent


def call_of(server: PID, here: Cluster, request: Any, which: int = 7) -> bytes:
    number = here._messenger.pids.number_of(server)
    return packed("call", number, which, 5.0, 0, WIRE.encode(request))


# Those of others


async def test_a_call_that_comes_by_itself_is_answered_on_the_spot() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await Server.start(task_group=group)
        (answer,) = hear(a, b, call_of(server, b, "hello"))
        assert unpacked(answer) == ("answer", (7, "ok", True, WIRE.encode("hello")))
        await checkpoint()  # else it would go with what else is sent in this turn
        (answer,) = hear(a, b, call_of(server, b, "replies", 8))
        assert unpacked(answer) == ("answer", (8, "ok", True, WIRE.encode("replies")))
        assert not b._messenger.calls_in._known
        await until(lambda: process_of(server).state == ["hello", "replies"])
        exit(server)


async def test_many_that_come_together_wait_for_the_servers_turn() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await Server.start(task_group=group)
        frames = [call_of(server, b, number, number) for number in (1, 2, 3)]
        assert hear(a, b, parcel(frames)) == []
        assert process_of(server).state == []
        await until(lambda: process_of(server).state == [1, 2, 3])
        exit(server)


async def test_a_call_does_not_overtake_what_was_sent_before() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await Server.start(task_group=group)
        send_nowait(server, "first")
        assert hear(a, b, call_of(server, b, "second")) == []
        await until(lambda: process_of(server).state == ["first", "second"])
        exit(server)


class Bounded(Server):
    mailbox_size = 1


async def test_a_call_does_not_overtake_what_waits_for_room() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await Bounded.start(task_group=group)
        number = b._messenger.pids.number_of(server)
        for message in ("first", "second"):
            hear(a, b, packed("send", number, WIRE.encode(message)))
        process = process_of(server)
        assert hear(a, b, call_of(server, b, "third")) == []
        await until(lambda: len(process.state) == 3)
        assert process.state == ["first", "second", "third"]
        exit(server)


async def test_a_call_to_a_bounded_mailbox_is_answered_on_the_spot_where_nobody_waits() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await Bounded.start(task_group=group)
        (answer,) = hear(a, b, call_of(server, b, "hello"))
        assert unpacked(answer) == ("answer", (7, "ok", True, WIRE.encode("hello")))
        await until(lambda: process_of(server).state == ["hello"])
        exit(server)


async def test_a_call_does_not_overtake_who_was_called_up_and_is_yet_to_come_in() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await Bounded.start(task_group=group)
        process = process_of(server)
        mailbox: Any = process.mailbox
        assert hear(a, b, call_of(server, b, "waits")) == []  # nobody takes anything out
        send_nowait(server, "first")
        group.start_soon(send, server, "second")
        await until(lambda: mailbox.in_line)
        actor: Any = process.actor
        actor.may_go_on.set()
        while mailbox.inbox or not process.idle:
            await checkpoint()
        assert (mailbox.in_line, mailbox.senders.kept) == (0, 1), "there is room, but for one"
        assert hear(a, b, call_of(server, b, "third", 8)) == []
        await until(lambda: len(process.state) == 4)
        assert process.state == ["waits", "first", "second", "third"]
        exit(server)


@pytest.mark.parametrize("request_", ["waits", "gives way"])
async def test_what_takes_longer_is_answered_later(request_: str) -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await Server.start(task_group=group)
        assert hear(a, b, call_of(server, b, request_)) == []
        (known,) = b._messenger.calls_in._known.values()
        assert known.call.taken
        assert not known.call.settled
        actor: Any = process_of(server).actor
        actor.may_go_on.set()
        await until(lambda: not b._messenger.calls_in._known)
        assert known.call.result() == request_
        assert await call(server, "next") == "next"
        exit(server)


async def test_one_that_is_given_up_meanwhile_leaves_nothing_in_the_mailbox() -> None:
    async with task_group() as group:
        server = await Server.start(task_group=group)
        process = process_of(server)
        pending = Call("waits", server, None)
        assert handle(process, pending)
        assert pending.give_up()
        withdraw(pending)
        assert not process.mailbox.given_up
        actor: Any = process.actor
        actor.may_go_on.set()
        assert await call(server, "next") == "next"
        exit(server)


async def test_an_error_ends_the_server_and_is_told_by_it() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await Server.start(task_group=group)
        there = seen_by(a, b, server)
        assert hear(a, b, call_of(server, b, "crashes")) == []
        await until(lambda: not b._messenger.calls_in._known)
        with pytest.raises(Exception, match="no living process"):
            await call(there, "anything")


async def test_what_is_not_idle_gets_it_into_its_mailbox() -> None:
    async with task_group() as group:
        server = await Server.start(task_group=group)
        process = process_of(server)
        assert handle(process, Call("waits", server, None))
        second = Call("second", server, None)
        assert not handle(process, second)
        assert not second.taken
        actor: Any = process.actor
        actor.may_go_on.set()
        exit(server)


# Those of here


async def test_who_waits_for_an_answer_that_comes_by_itself_goes_on_at_once() -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await Server.start(task_group=group)
        there, answers = seen_by(a, b, server), list[Any]()

        async def ask() -> None:
            answers.append(await call(there, "hello"))
            answers.append(asyncio.current_task())

        asked = asyncio.create_task(ask())
        await checkpoint()
        (which,) = a._messenger.calls_out._known
        hear(b, a, packed("answer", which, "ok", True, WIRE.encode("early")))
        assert answers == ["early", asked]
        assert asyncio.current_task() is not asked
        exit(server)


async def test_without_a_task_that_hears_it_who_waits_is_woken_as_ever() -> None:
    home = current_home()
    assert home is not None
    pending, waiter = Call("?", PID(), None), new_waiter()
    pending.wake = waiter.wake
    assert pending.has_answered(42)
    asyncio.get_running_loop().call_soon(resume, pending, home)
    await waiter.wait(None)
    assert pending.result() == 42


async def test_of_another_loop_or_another_kind_who_waits_is_woken_as_ever() -> None:
    home, woken = current_home(), list[int]()
    assert home is not None
    pending = Call("?", PID(), None)
    assert pending.has_answered(42)
    resume(pending, home)  # nobody waits yet
    pending.wake = lambda: woken.append(1)
    resume(pending, home)
    assert woken == [1]

    begun, loop = anyio.Event(), asyncio.get_running_loop()

    async def wait() -> None:
        waiter = new_waiter()
        pending.wake = waiter.wake
        loop.call_soon_threadsafe(begun.set)
        await waiter.wait(None)

    thread = asyncio.create_task(asyncio.to_thread(asyncio.run, wait()))
    await begun.wait()
    resume(pending, home)
    await thread


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("loops", ["asyncio", "uvloop"])
def test_what_ends_the_event_loop_does_not_end_who_reads(
    loops: str, error: type[BaseException]
) -> None:
    read: list[str] = []
    tasks: list[asyncio.Task[None]] = []

    async def ends_all(pending: Call) -> None:
        waiter = new_waiter()
        pending.wake = waiter.wake
        await waiter.wait(None)
        read.append("an answer")
        raise error

    async def reads() -> None:
        home, pending = current_home(), Call("?", PID(), None)
        assert home is not None
        tasks.append(asyncio.create_task(ends_all(pending)))
        await checkpoint()
        assert pending.has_answered(42)
        resume(pending, home)
        read.append("what came then")
        await asyncio.wait(tasks)

    factory: Any = pytest.importorskip(loops).new_event_loop
    with pytest.raises(error), asyncio.Runner(loop_factory=factory) as runner:
        runner.run(reads())
    assert read == ["an answer", "what came then"]
    assert isinstance(tasks[0].exception(), error)
