"""Context variables whose values go with messages, whichever way these go."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any

import anyio
import pytest
from anyio import to_thread
from conftest import ASYNCIO, EAGER
from crew import boom, process_of, running

from fauxtp import (
    ANY,
    PID,
    POSTPONE,
    Actor,
    Call,
    Cast,
    ChildSpec,
    Continue,
    DynamicSupervisor,
    GenServer,
    Mailbox,
    MailboxFull,
    NextEvent,
    OnDemand,
    ProcessExited,
    Reply,
    StateMachine,
    StateTimeout,
    Stop,
    call,
    call_blocking,
    call_many,
    carry,
    cast,
    cast_after,
    cast_nowait,
    dead_letters,
    exit,
    join,
    leave,
    process_info,
    publish,
    reply,
    run_task,
    send,
    send_after,
    send_every,
    send_nowait,
    start_call,
    start_child,
    wait_exit,
)
from fauxtp._base import carrying
from fauxtp._base.carried import Carried
from fauxtp._messaging.delivery import begin
from fauxtp.observe import events, reports

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("either_way", "carried")]

user: ContextVar[Any] = ContextVar("user", default="nobody")
other: ContextVar[Any] = ContextVar("other")  # which is not carried


@pytest.fixture(params=[*ASYNCIO, *EAGER, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def carried() -> None:
    carry(user)
    carry(user)


Seen = list[tuple[Any, Any]]


class Server(GenServer[Any, Any]):
    """Notes of whatever it handles which user that was for; it may wait, and go on later."""

    def __init__(self, seen: Mailbox, how: str = "") -> None:
        self.seen, self.how = seen, how

    async def note(self, what: Any) -> None:
        self.seen.put_nowait((what, user.get()))
        if self.how == "waits":
            await anyio.sleep(0)
            assert (await to_thread.run_sync(user.get)) == user.get()
            self.seen.put_nowait((what, user.get()))

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        await self.note(request)
        match self.how:
            case "continues":
                return "answer", state, Continue(request)
            case "answers later":
                return self.reply_later(from_, self.found, request), state
            case "starts a task":
                self.start_soon_child(self.note, request)
        return "answer", state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        await self.note(request)
        return (state, Continue(request)) if self.how == "continues" else state

    async def handle_info(self, message: Any, state: Any) -> Any:
        await self.note(message)
        return (state, Continue(message)) if self.how == "continues" else state

    async def handle_continue(self, request: Any, state: Any) -> Any:
        await self.note(request)
        if request == "twice":
            return state, Continue("and again")
        return state

    async def found(self, request: Any) -> str:
        await self.note(request)
        return "answer"


class Machine(StateMachine[Any, Any]):
    def __init__(self, seen: Mailbox, how: str = "") -> None:
        self.seen = seen

    async def init(self) -> Any:
        return "on", None

    async def handle_event(self, event: Any, state: Any, data: Any) -> Any:
        what = event.request if isinstance(event, Call | Cast) else event
        self.seen.put_nowait((what, user.get()))
        if isinstance(event, Call):
            return state, data, Reply(event, "answer")
        return state, data


class Receiver(Actor):
    """An actor that receives by itself, calls, casts and all."""

    def __init__(self, seen: Mailbox, how: str = "") -> None:
        self.seen = seen

    async def run(self, state: Any) -> None:
        message = await self.receive((ANY, self.same))
        what = message.request if isinstance(message, Call | Cast) else message
        self.seen.put_nowait((what, user.get()))
        if isinstance(message, Call):
            reply(message, "answer")

    async def same(self, message: Any) -> Any:
        before = user.get()
        await anyio.sleep(0)
        assert user.get() is before
        return message


async def by_publish(to: PID, message: Any) -> None:
    join("all of them", to)
    assert publish("all of them", message) == 1
    leave("all of them", to)


async def by_every(to: PID, message: Any) -> None:
    timer = send_every(60, to, message, first=0)
    await anyio.sleep(0.001)
    del timer


async def by_wait(to: PID, message: Any) -> None:
    await call(to, message, wait=1)


async def by_many(to: PID, message: Any) -> None:
    answers, failures = await call_many([to], message)
    assert answers == {to: "answer"}, failures


async def by_start_call(to: PID, message: Any) -> None:
    pending = start_call(to, message)
    user.set("somebody else")  # it has been sent
    assert await pending == "answer"


async def in_a_thread(send: Callable[..., Any], to: PID, message: Any) -> None:
    await to_thread.run_sync(send, to, message)


async def at_once(send: Callable[..., Any], to: PID, message: Any) -> None:
    send(to, message)


WAYS: dict[str, Callable[[PID, Any], Awaitable[Any]]] = {
    "call": call,
    "call, with patience": by_wait,
    "call_blocking": partial(in_a_thread, call_blocking),
    "start_call": by_start_call,
    "call_many": by_many,
    "cast": cast,
    "cast_nowait": partial(at_once, cast_nowait),
    "cast_nowait in a thread": partial(in_a_thread, cast_nowait),
    "send": send,
    "send_nowait": partial(at_once, send_nowait),
    "send_nowait in a thread": partial(in_a_thread, send_nowait),
    "publish": by_publish,
    "send_after": partial(at_once, partial(send_after, 0)),
    "cast_after": partial(at_once, partial(cast_after, 0)),
    "send_every": by_every,
}

HOWS: dict[str, tuple[type[Any], str, int]] = {
    "a server": (Server, "", 1),
    "a server that waits": (Server, "waits", 2),
    "a server that continues": (Server, "continues", 2),
    "a server that answers later": (Server, "answers later", 2),
    "a server with a task": (Server, "starts a task", 2),
    "a state machine": (Machine, "", 1),
    "an actor that receives": (Receiver, "", 1),
}


async def next_of(seen: Mailbox) -> Any:
    return await seen.receive((ANY, lambda it: it))


async def as_user(name: str, fn: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
    """Await `fn` in a task of its own, for the user of that name; for nobody if that is empty."""

    async def work() -> None:
        if name:
            user.set(name)
        await fn(*arguments)

    async with anyio.create_task_group() as task_group:
        task_group.start_soon(work)


@pytest.mark.parametrize("size", [0, 8], ids=["", "bounded"])
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("way", WAYS)
async def test_a_value_goes_with_the_message_and_no_further(
    way: str, how: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, detail, times = HOWS[how]
    if detail in {"answers later", "starts a task"} and "call" not in way:
        times = 1  # nobody waits for an answer
    monkeypatch.setattr(kind, "mailbox_size", size)
    seen = Mailbox()
    async with running() as task_group:
        to = await kind.start(seen, detail, task_group=task_group)
        for name in ("Anna", "", "Bert", "Anna", ""):
            await as_user(name, WAYS[way], to, "message")
            for _ in range(times):
                assert await next_of(seen) == ("message", name or "nobody")
            assert await next_of_looks(to, seen, times if "call" in way else 1) == "nobody"
        assert user.get() == "nobody"
        assert len(seen) == 0


async def next_of_looks(to: PID, seen: Mailbox, times: int) -> Any:
    """Return what a message sees that carries nothing, from who has nothing."""
    send_nowait(to, "look")
    while True:
        what, who = await next_of(seen)
        if what == "look":
            if process_of(to).kind is Server:
                how = process_of(to).actor.how  # type: ignore[attr-defined]
                for _ in range(1 if how in {"waits", "continues"} else 0):
                    assert await next_of(seen) == (what, who)
            return who


async def test_a_message_without_a_value_sees_what_the_server_has_itself() -> None:
    class Keeps(GenServer[Any, Any]):
        async def init(self) -> None:
            user.set("the server")

        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            before = user.get()
            if request == "set":
                user.set("changed")
            return before, state

    async with running() as task_group:
        keeps = await Keeps.start(task_group=task_group)
        assert await call(keeps, "get") == "the server"
        token = user.set("Anna")
        assert await call(keeps, "set") == "Anna"
        user.reset(token)
        assert await call(keeps, "get") == "the server"
        assert await call(keeps, "set") == "the server"
        assert await call(keeps, "get") == "the server"  # whoever has changed it
        assert await call(keeps, "set") == "the server"


async def test_what_a_handler_sets_is_not_there_for_others() -> None:
    bare_: ContextVar[str] = ContextVar("bare_")
    carry(bare_)
    sent = Mailbox()

    class Logs(GenServer[Any, Any]):
        idle_timeout = 60.0
        logged: Any = None

        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            before = user.get(), bare_.get("none")
            await send(self.logged, "for whom?")
            if request != "look":
                user.set(request)
                bare_.set(request)
            await anyio.sleep(0)
            return before, state, Continue(request)

        async def handle_cast(self, request: Any, state: Any) -> Any:
            bare_.set(request)
            return state

        async def handle_info(self, message: Any, state: Any) -> Any:
            sent.put_nowait((user.get(), bare_.get("none")))
            return state

        async def handle_continue(self, request: Any, state: Any) -> Any:
            await send(self.logged, "and now?")
            if request != "look":
                user.set("continued")
            return state

    class Log(Logs):
        pass

    try:
        async with running() as task_group:
            logs = await Logs.start(task_group=task_group)
            log = await Log.start(task_group=task_group)
            process_of(logs).actor.logged = log  # type: ignore[attr-defined]
            nobody = ("nobody", "none")
            for request in ("Eve", "look", "Carl", "look"):
                assert await call(logs, request) == nobody
                assert [await next_of(sent) for _ in range(2)] == [nobody, nobody]
                await cast(logs, "by a cast")
                await as_user("Anna", call, logs, "look")
                assert [await next_of(sent) for _ in range(2)] == [("Anna", "none")] * 2
                await send(logs, "look")
                assert await next_of(sent) == nobody
    finally:
        carrying.carry_no_more(bare_)


async def test_a_value_goes_on_through_servers() -> None:
    class Asks(GenServer[Any, Any]):
        def __init__(self, to: PID | None = None) -> None:
            self.to = to

        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            answer = user.get() if self.to is None else await call(self.to, request)
            assert answer == user.get()
            return answer, state

    async with running() as task_group:
        to: PID | None = None
        for _ in range(20):  # deeper than calls are handed off
            to = await Asks.start(to, task_group=task_group)
        assert to is not None
        user.set("Anna")
        assert await call(to, "who?") == "Anna"


class Fails(GenServer[Any, Any]):
    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        if request == "wait":
            await anyio.sleep_forever()
        if request == "stop":
            raise Stop(reply=user.get())
        if request == "fail":
            await anyio.sleep(0)
            boom()
        return user.get(), state

    async def terminate(self, reason: Any, state: Any) -> None:
        ended.append(user.get())


ended: list[Any] = []


@pytest.mark.parametrize("request_", ["wait", "stop", "fail"])
async def test_a_server_that_ends_is_for_nobody_any_more(request_: str) -> None:
    ended.clear()
    async with running() as task_group:
        server = await Fails.start(task_group=task_group)
        token = user.set("Anna")
        pending = start_call(server, request_)
        user.reset(token)
        if request_ == "wait":
            while process_info(server).handling is None:
                await anyio.sleep(0)
            exit(server)
        if request_ == "stop":
            assert await pending == "Anna"
        else:
            with pytest.raises(ProcessExited):
                await pending
        await wait_exit(server)
        assert ended == ["nobody"]


async def test_what_is_started_in_a_request_belongs_to_none() -> None:
    born: list[Any] = []

    class Child(GenServer[Any, Any]):
        def __init__(self, key: str = "") -> None:
            pass

        async def init(self) -> None:
            born.append(user.get())

        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            return user.get(), state

    class Starts(GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            child = await Child.start(task_group=self.children)
            pid = await start_child("children", ChildSpec("child", Child))
            return (child, pid), state

    async def task() -> None:
        born.append(user.get())

    async with running() as task_group:
        await DynamicSupervisor.start(task_group=task_group, register_as="children")
        starts = await Starts.start(task_group=task_group)
        token = user.set("Anna")
        children = await call(starts, "start")
        await run_task("children", task)
        on_demand = OnDemand(Child, supervisor="children", prefix="child:")
        assert await call(on_demand["Bert"], "who?") == "Anna"
        user.reset(token)
        assert born == ["nobody"] * 4
        for child in (*children, on_demand["Bert"]):
            assert await call(child, "who?") == "nobody"


async def test_a_message_that_waits_for_a_successor_keeps_its_value() -> None:
    seen = Mailbox()

    class Short(Server):
        idle_timeout = 60.0

        async def init(self) -> None:
            self.seen, self.how = seen, ""

        def __init__(self, key: str) -> None:
            pass

        async def handle_info(self, message: Any, state: Any) -> Any:
            await super().handle_info(message, state)
            if message == "end":
                return Stop()
            return state

    async with running() as task_group:
        await DynamicSupervisor.start(task_group=task_group, register_as="short")
        short = OnDemand(Short, supervisor="short", prefix="short:")["1"]
        for name, message in [("Anna", "end"), ("Bert", "late"), ("", "later"), ("Anna", "last")]:
            token = user.set(name) if name else None
            send_nowait(short, message)
            if token is not None:
                user.reset(token)
        told = [await next_of(seen) for _ in range(4)]
        assert told == [("end", "Anna"), ("late", "Bert"), ("later", "nobody"), ("last", "Anna")]


async def test_messages_that_wait_for_room_keep_their_values() -> None:
    class Slow(Receiver):
        mailbox_size = 1

    seen = Mailbox()
    async with running() as task_group:
        slow = await Slow.start(seen, task_group=task_group)
        async with anyio.create_task_group() as senders:
            for name in ("Anna", "Bert", "Anna", "Bert"):
                senders.start_soon(as_user, name, send, slow, name)
                senders.start_soon(as_user, name, cast, slow, name)
                send_after(0, slow, "nobody")
        for _ in range(12):
            what, who = await next_of(seen)
            assert what == who


async def test_events_of_a_machine_are_for_who_has_caused_each() -> None:
    seen: list[Any] = []

    class Gate(StateMachine[Any, Any]):
        async def init(self) -> Any:
            return "closed", None

        async def handle_enter(self, old: Any, state: Any, data: Any) -> Any:
            seen.append((f"enter {state}", user.get()))
            return state, data

        async def handle_event(self, event: Any, state: Any, data: Any) -> Any:
            what = event.request if isinstance(event, Call | Cast) else event
            seen.append((what, user.get()))
            match state, what:
                case "closed", "open":
                    return "open", data, NextEvent("opened"), StateTimeout(0, "wide")
                case "closed", _:
                    return state, data, POSTPONE
                case "open", "knock":
                    return state, data, Reply(event, user.get())
                case "open", StateTimeout("wide"):
                    return state, data, StateTimeout(0.001, "late")
                case "open", StateTimeout("late"):
                    done.set()
            return state, data

    done = anyio.Event()
    async with running() as task_group:
        gate = await Gate.start(task_group=task_group)
        await send(gate, "plain")  # for nobody
        user.set("Anna")
        knock = start_call(gate, "knock")
        user.set("Bert")
        await cast(gate, "leaf")
        user.set("Carl")
        await send(gate, "open")
        user.set("Dora")
        assert await knock == "Anna"
        await done.wait()
    Timeout = StateTimeout  # noqa: N806
    assert seen == [
        ("enter closed", "nobody"),
        ("plain", "nobody"),
        ("knock", "Anna"),
        ("leaf", "Bert"),
        ("open", "Carl"),
        ("enter open", "Carl"),
        (NextEvent("opened"), "Carl"),
        ("plain", "nobody"),
        ("knock", "Anna"),
        ("leaf", "Bert"),
        (Timeout(0, "wide"), "Carl"),
        (Timeout(0.001, "late"), "Carl"),
    ]


async def test_what_a_machine_sets_for_one_event_is_not_there_for_the_next() -> None:
    seen: list[Any] = []
    done = anyio.Event()

    class Gate(StateMachine[Any, Any]):
        async def init(self) -> Any:
            return "closed", None

        async def handle_event(self, event: Any, state: Any, data: Any) -> Any:
            seen.append((event, user.get()))
            if event == "open":
                user.set("the machine")
                return "open", data
            if state == "closed":
                return state, data, POSTPONE
            done.set()
            return state, data

    async with running() as task_group:
        gate = await Gate.start(task_group=task_group)
        for name, event in [("Anna", "knock"), ("", "open")]:
            await as_user(name, send, gate, event)
        await done.wait()
    assert seen == [("knock", "Anna"), ("open", "nobody"), ("knock", "Anna")]


class Never:
    """What nobody goes on with."""

    def __await__(self) -> Any:
        yield


async def test_what_a_handler_sets_that_is_no_coroutine_function_is_not_there_for_others() -> None:
    class Answers(GenServer[Any, Any]):
        def handle_call(self, request: Any, from_: Any, state: Any) -> Coroutine[Any, Any, Any]:
            answer = user.get()
            user.set(request)
            return self.leave((answer, state))

        def handle_cast(self, request: Any, state: Any) -> Coroutine[Any, Any, Any]:
            user.set(request)
            return self.leave(state)

        async def leave(self, result: Any) -> Any:
            return result

    async with running() as task_group:
        answers = await Answers.start(task_group=task_group)
        for _ in range(2):
            await cast(answers, "by a cast")
            assert await call(answers, "by a call") == "nobody"  # handled by its own task
            assert await call(answers, "another") == "nobody"  # handled on the spot
            assert user.get() == "nobody"


async def test_a_handler_that_is_closed_elsewhere_puts_nothing_back_there() -> None:
    class Sets(GenServer[Any, Any]):
        async def handle_info(self, message: Any, state: Any) -> Any:
            user.set("the server")
            await Never()

    async with running() as task_group:
        sets = await Sets.start(task_group=task_group)
        handling: Any = begin(process_of(sets), "message").handle_info("message", None)
        process_of(sets).handling = None  # it has not come by its mailbox
        handling = handling.__await__()
        copy_context().run(next, handling)
        user.set("Anna")
        handling.close()
        assert user.get() == "Anna"


async def test_an_actor_has_the_last_value_until_it_receives_again() -> None:
    told: list[Any] = []

    class Reads(Actor):
        async def run(self, state: Any) -> None:
            told.append(await self.receive(("first", user.get)))
            told.append(user.get())
            await self.child(told)
            for timeout in (0, None):
                try:
                    told.append(await self.receive(("second", user.get), timeout=timeout))
                except TimeoutError:
                    told.append(("too late", user.get()))
                    send_nowait(self.pid, "second")
            self.stop()

        async def child(self, told: list[Any]) -> None:
            """A task beside the actor has the value, too, and takes none from it."""
            done = anyio.Event()

            async def work() -> None:
                send_nowait(self.pid, "third")
                told.append(user.get())
                user.set("the task")
                await self.receive(("third", user.get))
                done.set()

            self.start_soon_child(work)
            await done.wait()
            told.append(user.get())

    async with running() as task_group:
        reads = await Reads.start(task_group=task_group)
        await as_user("Anna", send, reads, "first")
        await wait_exit(reads)
    assert told == ["Anna", "Anna", "Anna", "Anna", ("too late", "nobody"), "nobody"]


@pytest.mark.parametrize("waits", [False, True])
async def test_a_task_beside_an_actor_handles_each_message_for_its_sender(waits: bool) -> None:
    told: list[Any] = []

    class Reads(Actor):
        async def run(self, state: Any) -> None:
            told.append(await self.receive((str, self.read)))
            self.start_soon_child(self.others)
            await anyio.sleep_forever()

        async def others(self) -> None:
            for _ in range(2):
                told.append(await self.receive((str, self.read)))
                assert user.get() == "Anna"  # as it was when the task began
            user.set("the task")
            for _ in range(2):
                told.append(await self.receive((str, self.read)))
                assert user.get() == "the task"
            self.exit()

        def exit(self) -> None:
            exit(self.pid)

        def read(self, text: str) -> Any:
            return self.later(text) if waits else (text, user.get(), another.get("none"))

        async def later(self, text: str) -> Any:
            before = user.get()
            await anyio.sleep(0)
            assert await to_thread.run_sync(user.get) == before
            try:
                with anyio.fail_after(0):
                    await anyio.sleep_forever()
            except TimeoutError:
                assert user.get() == before
            return text, user.get(), another.get("none")

    another: ContextVar[str] = ContextVar("another")
    carry(another)

    async def both(to: PID, text: str) -> None:
        another.set(text)
        await send(to, text)

    try:
        async with running() as task_group:
            reads = await Reads.start(task_group=task_group)
            await as_user("Anna", both, reads, "by Anna")
            await as_user("Bert", send, reads, "by Bert")
            for name in ("", "Carl", ""):
                await as_user(name, send, reads, f"by {name}")
            await wait_exit(reads)
    finally:
        carrying.carry_no_more(another)
    assert told == [
        ("by Anna", "Anna", "by Anna"),
        ("by Bert", "Bert", "none"),
        ("by ", "nobody", "none"),
        ("by Carl", "Carl", "none"),
        ("by ", "the task", "none"),
    ]


async def test_a_server_that_receives_within_a_handler_works_for_its_caller() -> None:
    class Waits(GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            await self.receive(("help", lambda: None))
            return user.get(), state

    async with running() as task_group:
        waits = await Waits.start(task_group=task_group)
        user.set("Anna")
        pending = start_call(waits, "who?")
        while process_info(waits).handling is None:
            await anyio.sleep(0)
        user.set("Bert")
        await send(waits, "help")
        assert await pending == "Anna"


async def test_nobody_is_shown_more_than_the_message(caplog: pytest.LogCaptureFixture) -> None:
    user.set("a secret")

    class Crashes(GenServer[Any, Any]):
        async def handle_info(self, message: Any, state: Any) -> Any:
            if message == ("crash", 1):
                info = process_info(self.pid)
                assert info.handling == ("crash", 1)
                boom()
            return state

    reports.configure(contents=True)
    letters: list[Any] = []
    told: list[Any] = []
    kinds = events.SENT | events.HANDLED | events.DEAD_LETTER | events.MAILBOX_FULL
    full = Mailbox(max_size=1)
    mailbox = Mailbox()
    try:
        with dead_letters.observed_by(letters.append), events.listen(told.append, kinds):
            async with running() as task_group:
                crashes = await Crashes.start(task_group=task_group)
                send_nowait(crashes, ("crash", 1))
                send_nowait(crashes, ("never", 2))
                await wait_exit(crashes)
                send_nowait("nobody", ("nobody", 3))
                send_nowait(full.pid, "one")
                with pytest.raises(MailboxFull):
                    send_nowait(full.pid, "two")
                send_nowait(mailbox.pid, ("kept", 4))
                assert mailbox.take_nowait() == ("kept", 4)
                cast_nowait(mailbox.pid, "reset")
                await mailbox.receive((Cast, told.append))
    finally:
        reports.configure(contents=False)
    assert [letter.message for letter in letters] == [("never", 2), ("nobody", 3)]
    shown = repr([*told, *letters]) + caplog.text + repr([vars(one) for one in caplog.records])
    assert "('crash', 1)" in shown
    assert "secret" not in shown
    assert "Carried" not in shown
    messages = [event.details.get("message") for event in told if type(event) is events.Event]
    assert not [one for one in messages if isinstance(one, Carried)]


async def test_patterns_match_what_was_sent() -> None:
    user.set("Anna")
    mailbox = Mailbox()
    await send(mailbox.pid, "noise")
    await send(mailbox.pid, ("add", 3))
    await send(mailbox.pid, ("add", 4))
    assert await mailbox.receive((("add", int), lambda number: number)) == 3
    assert await mailbox.receive((("add", int), lambda number: number)) == 4
    assert await mailbox.receive((str, lambda text: text)) == "noise"
    assert user.get() == "Anna"  # a mailbox is nobody who works for somebody


async def test_a_value_is_never_compared_nor_asked_anything() -> None:
    class Hostile:
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(name)

        def __bool__(self) -> bool:
            raise AssertionError

        def __eq__(self, other: object) -> bool:
            raise AssertionError

        __hash__ = None  # type: ignore[assignment]

    value = Hostile()
    seen = Mailbox()
    async with running() as task_group:
        server = await Server.start(seen, "continues", task_group=task_group)
        user.set(value)
        await call(server, "a")
        await send(server, "b")
        for _ in range(4):
            assert (await next_of(seen))[1] is value
        user.set(None)  # a value like any other
        await call(server, "c")
        assert await next_of(seen) == ("c", None)


async def test_a_task_of_a_handler_goes_on_with_its_value() -> None:
    seen: list[Any] = []
    go = anyio.Event()

    class Begins(GenServer[Any, Any]):
        async def handle_cast(self, request: Any, state: Any) -> Any:
            self.start_soon_child(self.work)
            return state

        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            return user.get(), state

        async def work(self) -> None:
            await go.wait()
            seen.append(user.get())
            user.set("its own")
            done.set()

    done = anyio.Event()
    async with running() as task_group:
        begins = await Begins.start(task_group=task_group)
        await as_user("Anna", cast, begins, "begin")
        assert await call(begins, "who?") == "nobody"
        go.set()
        await done.wait()
        assert await call(begins, "who?") == "nobody"
        assert seen == ["Anna"]


async def test_several_at_once_get_their_own() -> None:
    class Late(GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            return self.reply_later(from_, self.answer, request), state

        async def answer(self, request: Any) -> Any:
            for _ in range(request % 3):
                await anyio.sleep(0)
            return user.get()

    async def ask(number: int) -> None:
        if number % 5:
            user.set(number)
        assert await call(late, number) == (number if number % 5 else "nobody")

    async with running() as task_group:
        late = await Late.start(task_group=task_group)
        async with anyio.create_task_group() as callers:
            for number in range(100):
                callers.start_soon(ask, number)


async def test_a_handler_may_set_and_reset_the_variable_itself() -> None:
    class Sets(GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            token = user.set("inner")
            if request == "reset":
                user.reset(token)
            return user.get(), state

    async with running() as task_group:
        sets = await Sets.start(task_group=task_group)
        await as_user("Anna", call, sets, "set")
        await as_user("Anna", call, sets, "reset")
        assert await call(sets, "reset") == "nobody"


async def test_no_value_is_kept_by_who_has_handled_it() -> None:
    class Value:
        pass

    seen = Mailbox()
    async with running() as task_group:
        server = await Server.start(seen, "continues", task_group=task_group)
        receiver = await Receiver.start(seen, task_group=task_group)

        async def ask() -> Any:
            user.set(Value())
            reference = weakref.ref(user.get())
            await call(server, "a")
            await send(server, "b")
            await send(receiver, "c")  # which keeps calls, with their callers, for a while
            for _ in range(5):
                await next_of(seen)
            return reference

        gone: list[Any] = []

        async def work() -> None:
            gone.append(await ask())

        async with anyio.create_task_group() as callers:
            callers.start_soon(work)
        await call(server, "for nobody")
        await call(receiver, "for nobody")
        gc.collect()
        assert gone[0]() is None


async def test_who_stops_carrying_still_delivers_what_was_sent() -> None:
    seen = Mailbox()
    async with running() as task_group:
        server = await Server.start(seen, task_group=task_group)
        user.set("Anna")
        send_nowait(server, "sent before")
        cast_nowait(server, "cast before")
        carrying.carry_no_more(user)
        send_nowait(server, "sent after")
        for told in [("sent before", "Anna"), ("cast before", "Anna"), ("sent after", "nobody")]:
            assert await next_of(seen) == told


async def test_a_timer_that_was_set_before_carries_nothing() -> None:
    carrying.carry_no_more(user)
    seen = Mailbox()
    async with running() as task_group:
        server = await Server.start(seen, task_group=task_group)
        user.set("Anna")
        send_after(0.001, server, "tick")
        carry(user)
        assert await next_of(seen) == ("tick", "nobody")


async def test_the_last_of_a_timer_that_is_unread_is_known() -> None:
    class Full(Receiver):
        mailbox_size = 8

    user.set("Anna")
    mailbox = Mailbox()
    send_every(0.001, mailbox.pid, "tick", first=0)
    await anyio.sleep(0.02)
    assert len(mailbox) == 1
    assert mailbox.take_nowait() == "tick"


@pytest.mark.parametrize("came", [None, "user", ContextVar, object()])
def test_what_is_no_variable_is_refused(came: Any) -> None:
    before = carrying._variables
    with pytest.raises(TypeError, match="expected variable to be a ContextVar, got"):
        carry(came)
    assert carrying._variables is before


def test_any_thread_may_name_one_and_once_is_enough() -> None:
    threads = [threading.Thread(target=carry, args=(user,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert carrying._variables == (user,)


def test_what_is_applied_is_left_where_it_was() -> None:
    applied = carrying.Applied(((user, "Anna"),))
    applied.enter()
    copy_context().run(applied.leave)  # that of a task, say: nothing happens
    assert user.get() == "Anna"
    applied.leave()
    assert user.get() == "nobody"
    applied.leave()


def test_other_loops_in_threads_are_told_too() -> None:
    """A server in another event loop, and a caller in this one."""
    ready, done = threading.Event(), threading.Event()
    pids: list[PID] = []
    seen: list[Any] = []

    class Far(GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            seen.append(user.get())
            return user.get(), state

    async def far() -> None:
        async with anyio.create_task_group() as task_group:
            pids.append(await Far.start(task_group=task_group))
            ready.set()
            await to_thread.run_sync(done.wait)
            exit(pids[0])

    async def near() -> None:
        user.set("Anna")
        assert await call(pids[0], "who?") == "Anna"
        user.set("Bert")
        assert await call(pids[0], "who?") == "Bert"

    thread = threading.Thread(target=anyio.run, args=(far,))
    thread.start()
    try:
        assert ready.wait(30)
        anyio.run(near, backend="trio")
        asyncio.run(near())
    finally:
        done.set()
        thread.join()
    assert seen == ["Anna", "Bert"] * 2


async def stream() -> AsyncIterator[Any]:
    token = user.set("the generator")
    try:
        yield 1
        yield 2
    finally:
        user.reset(token)


async def test_a_generator_that_is_left_in_a_request_leaves_nothing() -> None:
    class Streams(GenServer[Any, Any]):
        async def init(self) -> list[Any]:
            return []

        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            if request == "begin":
                state = [*state, stream()]
                await anext(state[0])
            elif request == "end":
                await state.pop().aclose()  # which sets what was there as it began
            return user.get(), state

    async with running() as task_group:
        streams = await Streams.start(task_group=task_group)
        token = user.set("Anna")
        assert await call(streams, "begin") == "the generator"
        user.reset(token)
        assert await call(streams, "who?") == "nobody"
        user.set("Bert")
        assert await call(streams, "who?") == "Bert"
        assert await call(streams, "end") == "Anna"
        assert await call(streams, "who?") == "Bert"
