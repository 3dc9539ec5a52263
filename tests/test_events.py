"""Events: what is counted, what is told to whom, and that nobody is harmed by who listens."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from copy import copy, deepcopy
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any
from weakref import ref

import anyio
import anyio.to_thread
import pytest
from conftest import Run, task_group
from crew import Boom, Puppet, boom, crash, process_of, supervisor
from event_kinds import COUNTED, OFTEN
from twins_of import form_of

from fauxtp import (
    PID,
    Actor,
    Call,
    CallCycle,
    Cast,
    ChildSpec,
    Down,
    DynamicSupervisor,
    ExitReason,
    GenServer,
    Mailbox,
    MailboxFull,
    MaxRestartsExceeded,
    ProcessExited,
    ReceiveTimeout,
    Reply,
    StateMachine,
    call,
    call_blocking,
    call_many,
    cast,
    cast_nowait,
    exit,
    get_state,
    join,
    monitor,
    publish,
    resume,
    send,
    send_after,
    send_nowait,
    start_call,
    start_child,
    suspend,
    wait_exit,
    whereis,
)
from fauxtp._base import events as seam
from fauxtp._base import switches
from fauxtp._base.carrying import carry_also, carry_no_more
from fauxtp._base.exit_reason import AT_REST
from fauxtp._core.death import bury
from fauxtp._core.mailbox import find_queue
from fauxtp._core.process import Process
from fauxtp._loops.current import current_home
from fauxtp.observe import events
from fauxtp.observe.events import Event, Kind

pytestmark = pytest.mark.anyio

Keys = Counter[tuple[str, ...]]

TESTS = Path(__file__).parent
EVERY = COUNTED | OFTEN


@contextmanager
def counting() -> Iterator[Counter[tuple[str, ...]]]:
    """Yield what is filled, at the end, with what was counted meanwhile."""
    counted: Counter[tuple[str, ...]] = Counter()
    gc.collect()  # a mailbox of an earlier test
    before = Counter(events.counts())
    yield counted
    counted += Counter(events.counts()) - before


class Quiet(Actor):
    """Ends at once, as it is told: by itself, by an error, or later."""

    async def init(self) -> None:
        if self.how == "init":
            raise Boom

    def __init__(self, how: str) -> None:
        self.how = how

    async def run(self, state: Any) -> None:
        if self.how == "error":
            raise Boom
        if self.how == "wait":
            await anyio.Event().wait()
        self.stop()

    async def terminate(self, reason: str, state: Any) -> None:
        if self.how == "terminate":
            raise Boom


class Stubborn(Puppet):
    """Does not end when it is asked to."""

    async def terminate(self, reason: str, state: Any) -> None:
        await anyio.Event().wait()


class Narrow(Puppet):
    mailbox_size = 1


class Roomy(Puppet):
    mailbox_size = 10


async def ended(kind: Callable[..., Awaitable[PID]], *arguments: Any) -> None:
    async with task_group() as group:
        with suppress(Boom):
            await wait_exit(await kind(*arguments, task_group=group))


async def by_itself() -> None:
    await ended(Quiet.start, "end")


async def by_an_error() -> None:
    await ended(Quiet.start, "error")


async def in_init() -> None:
    await ended(Quiet.start, "init")


async def in_terminate() -> None:
    await ended(Quiet.start, "terminate")


async def from_outside() -> None:
    async with task_group() as group:
        pid = await Quiet.start("wait", task_group=group)
        exit(pid, "normal")  # somebody else wants it, whatever it is called
        await wait_exit(pid)


async def killed() -> None:
    async with task_group() as group:
        pid = await Quiet.start("wait", task_group=group)
        exit(pid, "kill")
        await wait_exit(pid)


async def linked_to_an_error() -> None:
    async with task_group() as group:
        pid = await Puppet.start(task_group=group)
        process_of(pid).linked_exit(None, ExitReason.error(Boom()))
        await wait_exit(pid)


async def restarted() -> None:
    child = ChildSpec("kid", Puppet, register_as="kid")
    async with task_group() as group:
        chief = await supervisor(child).start(task_group=group)
        await crash("kid")
        exit(chief, "shutdown")
        await wait_exit(chief)


async def too_often() -> None:
    child = ChildSpec("kid", Puppet, register_as="kid")
    with suppress(BaseExceptionGroup):
        async with task_group() as group:
            chief = await supervisor(child, max_restarts=0).start(task_group=group)
            await cast("kid", boom)
            with suppress(MaxRestartsExceeded):
                await wait_exit(chief)


class Pool(DynamicSupervisor):
    pass


async def restarted_in_a_pool() -> None:
    async with task_group() as group:
        chief = await Pool.start(task_group=group)
        await start_child(chief, ChildSpec("user 4711", Puppet, register_as="kid"))
        await crash("kid")
        exit(chief, "shutdown")
        await wait_exit(chief)


async def too_late() -> None:
    async with task_group() as group:
        pid = await Puppet.start(task_group=group)
        with pytest.raises(ReceiveTimeout):
            await call(pid, anyio.Event().wait, timeout=0)
        pending = start_call(pid, anyio.Event().wait, timeout=0)
        for _ in range(2):  # it is one call
            with pytest.raises(ReceiveTimeout):
                await pending
        blocking = partial(call_blocking, pid, boom, timeout=0)
        with pytest.raises(ReceiveTimeout):
            await anyio.to_thread.run_sync(blocking)


async def no_room_in_time() -> None:
    async with task_group() as group:
        pid = await Narrow.start(task_group=group)
        await suspend(pid)
        await send(pid, "one")
        with pytest.raises(ReceiveTimeout):
            await call(pid, boom, timeout=0)
        blocking = partial(call_blocking, pid, boom, timeout=0)
        with pytest.raises(ReceiveTimeout):
            await anyio.to_thread.run_sync(blocking)


async def in_a_circle() -> None:
    async with task_group() as group:
        pid = await Puppet.start(task_group=group)

        async def call_itself() -> None:
            with pytest.raises(CallCycle):
                await call(pid, boom)

        await call(pid, call_itself)


async def full() -> None:
    mailbox = Mailbox(max_size=1)
    mailbox.put_nowait(1)
    with pytest.raises(MailboxFull):
        mailbox.put_nowait(2)
    with pytest.raises(MailboxFull):
        send_nowait(mailbox.pid, 2)
    async with task_group() as group:
        pid = await Narrow.start(task_group=group)
        await suspend(pid)
        send_nowait(pid, 1)
        with pytest.raises(MailboxFull):
            cast_nowait(pid, 2)


async def to_nobody() -> None:
    send_nowait("nobody", 1)
    await send("nobody", 2)
    await cast(PID(), 3)


SHUT: dict[tuple[str, ...], int] = {("started", "Puppet"): 1, ("ended", "Puppet", "shutdown"): 1}
ONE: dict[tuple[str, ...], int] = {("started", "Quiet"): 1}
CHIEF: dict[tuple[str, ...], int] = {
    ("handled", "Chief"): 1,
    ("started", "Chief"): 1,
    ("ended", "Chief", "shutdown"): 1,
}
CRASH: dict[tuple[str, ...], int] = {
    ("crashed", "Puppet", "Boom"): 1,
    ("ended", "Puppet", "error"): 1,
}
HANDLED: dict[tuple[str, ...], int] = {("handled", "Puppet"): 1}

SELDOM: dict[Callable[[], Awaitable[None]], dict[tuple[str, ...], int]] = {
    by_itself: ONE | {("ended", "Quiet", "normal"): 1},
    by_an_error: ONE | {("ended", "Quiet", "error"): 1, ("crashed", "Quiet", "Boom"): 1},
    in_init: {("init_failed", "Quiet"): 1},
    in_terminate: ONE | {("ended", "Quiet", "normal"): 1, ("terminate_failed", "Quiet"): 1},
    from_outside: ONE | {("ended", "Quiet", "shutdown"): 1},
    killed: ONE | {("ended", "Quiet", "killed"): 1},
    linked_to_an_error: {("started", "Puppet"): 1, ("ended", "Puppet", "error"): 1},
    restarted: CHIEF
    | CRASH
    | HANDLED
    | {
        ("started", "Puppet"): 2,
        ("restarted", "Chief", "kid"): 1,
        ("ended", "Puppet", "shutdown"): 1,
    },
    too_often: CRASH
    | HANDLED
    | {
        ("started", "Puppet"): 1,
        ("started", "Chief"): 1,
        ("handled", "Chief"): 2,  # that it has ended, and that it cannot be started again
        ("restarts_exceeded", "Chief", "kid"): 1,
        ("ended", "Chief", "error"): 1,
        ("crashed", "Chief", "MaxRestartsExceeded"): 1,
    },
    restarted_in_a_pool: CRASH
    | {
        ("started", "Pool"): 1,
        ("ended", "Pool", "shutdown"): 1,
        ("handled", "Puppet"): 1,
        ("handled", "Pool"): 2,  # to start a child, and that it has ended
        ("started", "Puppet"): 2,
        ("restarted", "Pool", "Puppet"): 1,
        ("ended", "Puppet", "shutdown"): 1,
    },
    too_late: SHUT | HANDLED | {("call_timed_out", "Puppet"): 3},
    no_room_in_time: {
        ("started", "Narrow"): 1,
        ("ended", "Narrow", "shutdown"): 1,
        ("dead_letter", "exited"): 1,
        ("call_timed_out", "Narrow"): 2,
    },
    in_a_circle: SHUT | HANDLED | {("call_cycle", "Puppet"): 1},
    full: {
        ("mailbox_full", "Mailbox"): 2,
        ("mailbox_full", "Narrow"): 1,
        ("started", "Narrow"): 1,
        ("ended", "Narrow", "shutdown"): 1,
        ("dead_letter", "exited"): 2,
    },
    to_nobody: {("dead_letter", "noproc"): 3},
}


@pytest.mark.parametrize("listens", [False, True])
@pytest.mark.parametrize("scenario", SELDOM, ids=lambda scenario: scenario.__name__)
async def test_what_is_seldom_is_counted_and_told_once(
    scenario: Callable[[], Awaitable[None]], listens: bool
) -> None:
    told: Counter[tuple[str, ...]] = Counter()

    def note(event: Event) -> None:
        told[str(event.kind.name).lower(), *event.labels] += 1

    with counting() as counted:
        if listens:
            with events.listen(note, COUNTED):
                await scenario()
        else:
            await scenario()
        gc.collect()  # a mailbox that nobody knows any more
    expected = SELDOM[scenario]
    assert dict(counted) == expected
    if listens:
        assert dict(told) == {key: n for key, n in expected.items() if key[0] != "handled"}


# What is done again and again


class Log:
    """Keeps what it is told, in order."""

    def __init__(self) -> None:
        self.told: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.told.append(event)

    @property
    def short(self) -> list[tuple[str, ...]]:
        return [(str(event.kind.name), *event.labels) for event in self.told]


@contextmanager
def logged(kinds: Kind) -> Iterator[Log]:
    log = Log()
    with events.listen(log, kinds):
        yield log


CALLED = Kind.CALL_BEGUN | Kind.CALL_ENDED


async def _suspends() -> str:
    await anyio.sleep(0)
    return "later"


@pytest.mark.parametrize("request_", [lambda: "at once", _suspends], ids=["at once", "later"])
@pytest.mark.usefixtures("either_way")
async def test_a_call_is_told_as_it_begins_and_as_it_ends(request_: Any) -> None:
    async with task_group() as group:
        pid = await Puppet.start(task_group=group, register_as="puppet")
        with logged(CALLED) as log:
            answer = await call("puppet", request_)
        assert answer in {"at once", "later"}
    begun, ended = log.told
    assert begun == Event(Kind.CALL_BEGUN, pid, ("Puppet",), {"to": "puppet", "request": request_})
    assert ended[:3] == (Kind.CALL_ENDED, pid, ("Puppet",))
    assert 0 <= ended.details["seconds"] < monotonic()
    assert ended.details["error"] is None


@pytest.mark.parametrize("kind", list(CALLED))
async def test_one_end_of_a_call_is_told_without_the_other(kind: Kind) -> None:
    async with task_group() as group:
        pid = await Puppet.start(task_group=group)
        with logged(kind) as log:
            await call(pid, lambda: 1)
    assert [event.kind for event in log.told] == [kind]


async def _fails(pid: PID, how: str) -> None:
    if how == "timed out":
        await call(pid, anyio.Event().wait, timeout=0)
    elif how == "nobody":
        await call("nobody", 1)
    elif how == "crashed":
        await call(pid, boom)
    elif how == "in a circle":
        await call(pid, partial(call, pid, boom))
    elif how == "cancelled":
        with anyio.CancelScope() as scope:
            scope.cancel()
            await call(pid, anyio.Event().wait)
    elif how == "no address":
        await call(3, 1)  # type: ignore[call-overload]
    elif how == "blocking":
        await anyio.to_thread.run_sync(call_blocking, "nobody", 1)
    elif how == "pending":
        await start_call(pid, anyio.Event().wait, timeout=0)
    else:
        start_call(pid, anyio.Event().wait).cancel()


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("timed out", "ReceiveTimeout"),
        ("nobody", "NoProcess"),
        ("crashed", "ProcessExited"),
        ("in a circle", "CallCycle"),
        ("cancelled", "Cancelled"),
        ("no address", None),
        ("blocking", "NoProcess"),
        ("pending", "ReceiveTimeout"),
        ("taken back", "RuntimeError"),
    ],
)
@pytest.mark.usefixtures("either_way")
async def test_a_call_that_fails_ends_once(how: str, error: str | None) -> None:
    async with task_group() as group:
        pid = await Puppet.start(task_group=group)
        with logged(CALLED) as log, suppress(Exception):
            await _fails(pid, how)
    kinds = [event.kind for event in log.told]
    assert kinds.count(Kind.CALL_BEGUN) == kinds.count(Kind.CALL_ENDED)
    ends = [event.details["error"] for event in log.told if event.kind is Kind.CALL_ENDED]
    names = [type(end).__name__ for end in ends]
    if error is None:
        assert names == []
    else:
        assert any(name.startswith(error) for name in names), names


async def test_pending_calls_are_told_once_each() -> None:
    async with task_group() as group:
        pids = [await Puppet.start(task_group=group) for _ in range(3)]
        with logged(CALLED) as log:
            answers, failures = await call_many(pids, lambda: 7)
            one = start_call(pids[0], lambda: 8)
            assert [await one, await one] == [8, 8]
            two = start_call(pids[0], lambda: 9)
            await call(pids[0], lambda: 10)
            del two, one  # there is an answer, which nobody has awaited
        assert (len(answers), failures) == (3, {})
    assert Counter(log.short) == {("CALL_BEGUN", "Puppet"): 6, ("CALL_ENDED", "Puppet"): 6}
    assert [e.details["error"] for e in log.told if e.kind is Kind.CALL_ENDED] == [None] * 6


async def test_messages_are_told_as_they_are_sent() -> None:
    mailbox = Mailbox()
    async with task_group() as group:
        pid = await Puppet.start("", None, mailbox, task_group=group, register_as="puppet")
        with logged(Kind.SENT) as log:
            await send(pid, "a")
            await cast("puppet", boom)
            send_nowait(mailbox.pid, "b")
            cast_nowait("nobody", "c")
    assert [(event.pid, *event.labels, event.details["to"]) for event in log.told][:4] == [
        (pid, "Puppet", pid),
        (pid, "Puppet", "puppet"),
        (mailbox.pid, "Mailbox", mailbox.pid),
        (None, "_GONE", "nobody"),
    ]
    assert log.told[0].details["message"] == "a"
    assert isinstance(log.told[1].details["message"], Cast)


async def _suspends_and_fails() -> None:
    await anyio.sleep(0)
    raise Boom


@pytest.mark.parametrize(
    "how", ["call", "suspends", "cast", "info", "crash", "call crash", "late crash"]
)
@pytest.mark.usefixtures("either_way")
async def test_what_is_handled_is_told_at_its_end(how: str) -> None:
    outside = Mailbox()
    async with task_group() as group:
        pid = await Puppet.start("", None, outside, task_group=group)
        with logged(Kind.HANDLED) as log:
            match how:
                case "call":
                    await call(pid, lambda: 1)
                case "suspends":
                    await call(pid, _suspends)
                case "cast":
                    await cast(pid, lambda: None)
                    await call(pid, lambda: 1)
                    log.told.pop()
                case "info":
                    await send(pid, "hello")
                    await outside.receive((str, str))
                    await call(pid, lambda: 1)
                    log.told.pop()
                case "crash":
                    await cast(pid, boom)
                    await wait_exit(pid)
                case _:
                    with pytest.raises(ProcessExited):
                        await call(pid, boom if how == "call crash" else _suspends_and_fails)
    (event,) = log.told
    assert event[:3] == (Kind.HANDLED, pid, ("Puppet",))
    details = event.details
    assert 0 <= details["seconds"] < monotonic()
    assert 0 <= details["waited"] <= monotonic()
    assert isinstance(details["error"], Boom) is ("crash" in how)


async def test_what_is_handled_at_once_has_lain_nowhere() -> None:
    async with task_group() as group:
        pid = await Puppet.start(task_group=group)
        with logged(Kind.HANDLED) as log:
            await call(pid, lambda: 1)
        is_handed_off = switches.hand_off and process_of(pid).step is not None
    assert (log.told[0].details["waited"] == 0) is is_handed_off


@pytest.mark.parametrize("how", [call, cast])
async def test_who_hears_of_a_handler_is_told_in_its_context(how: Any) -> None:
    async def handle() -> None:
        variable.set("the handler's")

    variable = ContextVar("of a test", default="nobody's")
    values: list[str] = []
    async with task_group() as group:
        pid = await Puppet.start(task_group=group)
        with events.listen(lambda _: values.append(variable.get()), Kind.HANDLED):
            await how(pid, handle)
            await call(pid, lambda: 1)
    assert values == ["the handler's"] * 2
    assert variable.get() == "nobody's"


async def _by_publish(pid: PID) -> None:
    join("timed", pid)
    publish("timed", "hello")


async def _by_timer(pid: PID) -> None:
    send_after(0, pid, "hello")


async def _by_signal(pid: PID) -> None:
    send_nowait(pid, "hello")


async def _by_thread(pid: PID) -> None:
    await anyio.to_thread.run_sync(send_nowait, pid, "hello")


async def _by_cast(pid: PID) -> None:
    await cast(pid, lambda: None)


@pytest.mark.parametrize("way", [send, _by_publish, _by_timer, _by_signal, _by_thread, _by_cast])
@pytest.mark.parametrize("kind", [Puppet, Roomy])
@pytest.mark.parametrize("is_carried", [False, True])
async def test_how_long_a_message_lay_there_is_told(
    way: Callable[..., Awaitable[Any]], kind: type[Puppet], is_carried: bool
) -> None:
    go_on = anyio.Event()
    async with task_group() as group:
        with carrying(is_carried), logged(Kind.HANDLED) as log:
            pid = await kind.start("", None, Mailbox(), task_group=group)
            waits = start_call(pid, go_on.wait)
            await anyio.wait_all_tasks_blocked()
            await (way(pid, "hello") if way is send else way(pid))
            with anyio.fail_after(10):
                while len(process_of(pid).mailbox) == 0:
                    await anyio.sleep(0)
            since = monotonic()
            while monotonic() - since < 0.02:
                await anyio.sleep(0)
            go_on.set()
            await waits
            await call(pid, lambda: 1)
            exit(pid)
    _, event, _ = log.told
    assert event.details["waited"] >= 0.02
    if way is not _by_cast:
        assert event.details["message"] == "hello"


@contextmanager
def carrying(is_carried: bool) -> Iterator[None]:
    variable = ContextVar("carried by a test", default=0)
    token = variable.set(1)
    if is_carried:
        carry_also(variable, 0)
    yield
    if is_carried:
        carry_no_more(variable, 0)
    variable.reset(token)


async def test_nobody_puts_the_time_on_a_message_that_nobody_is_told_of() -> None:
    outside = Mailbox()
    with logged(Kind.SENT):
        await send(outside.pid, "hello")
        send_nowait(outside.pid, "hello")
    queue = find_queue(outside.pid)
    assert queue is not None
    assert [type(message) for message in queue.inbox] == [str, str]
    with logged(Kind.HANDLED):
        await send(outside.pid, "timed")
    words = [await outside.receive((str, lambda text: text)) for _ in range(3)]
    assert words == ["hello", "hello", "timed"]


async def test_of_what_the_runtime_tells_no_time_is_known() -> None:
    async with task_group() as group:
        pid = await Puppet.start("", None, Mailbox(), task_group=group)
        other = await Puppet.start(task_group=group)
        with logged(Kind.HANDLED) as log:
            await call(pid, lambda: monitor(other))
            exit(other)
            await wait_exit(other)
            await call(pid, lambda: 1)
    waited = [event.details["waited"] for event in log.told]
    assert [value is None for value in waited] == [False, True, False]


async def test_state_machines_and_controls_are_handled_as_they_are() -> None:
    class Machine(StateMachine[str, int]):
        async def init(self) -> Any:
            return "on", 0

        async def in_on(self, event: Any, data: int) -> Any:
            return "on", data + 1, Reply(event, data)

    async with task_group() as group:
        pid = await Machine.start(task_group=group)
        with counting() as counted, logged(Kind.HANDLED) as log:
            assert await call(pid, "ask") == 0
            assert await get_state(pid) == ("on", 1)  # which no handler gets
    assert counted["handled", "Machine"] == 1
    assert log.short == [("HANDLED", "Machine")]


async def test_a_call_that_was_given_up_is_not_handled() -> None:
    async with task_group() as group:
        pid = await Puppet.start(task_group=group)
        await suspend(pid)
        with counting() as counted, logged(Kind.HANDLED) as log:
            with pytest.raises(ReceiveTimeout):
                await call(pid, boom, timeout=0)
            await resume(pid)
            await call(pid, lambda: 1)
    assert counted["handled", "Puppet"] == 1
    assert len(log.told) == 1


# What is told


def test_an_event_is_read_by_names_and_by_places(form: str) -> None:
    kind_of_event = form_of("observe.event", form).Event
    four = (Kind.DEAD_LETTER, PID(), ("noproc",), {"to": "nobody", "message": 1})
    event = kind_of_event(*four)
    kind, pid, labels, details = event
    assert (event.kind, event.pid, event.labels, event.details) == four
    assert (kind, pid, labels, details) == four == (*event,)
    assert (event[1], event[-1], event[:3], len(event)) == (four[1], four[3], four[:3], 4)
    match event:
        case kind_of_event(Kind.DEAD_LETTER, _, (reason,)):
            assert reason == "noproc"
    assert repr(event) == (
        f"Event(kind={four[0]!r}, pid={four[1]!r}, labels=('noproc',), details={four[3]!r})"
    )


def test_events_are_equal_as_what_they_tell_is(form: str) -> None:
    kind_of_event = form_of("observe.event", form).Event
    one, other = (
        kind_of_event(Kind.ENDED, None, ("Store", how), {}) for how in ("error", "normal")
    )
    assert one == kind_of_event(*one) == tuple(one)
    assert one != other
    assert one != tuple(other)
    assert one != 3
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)
    for again in (pickle.loads(pickle.dumps(one)), copy(one), deepcopy(one)):
        assert type(again) is kind_of_event
        assert again == one


@pytest.mark.usefixtures("either_way")
async def test_all_are_told_with_the_same_details() -> None:
    async with task_group() as group:
        pid = await Puppet.start(task_group=group)
        with logged(EVERY) as one, logged(EVERY) as other:
            await call(pid, lambda: 1)
            await cast(pid, lambda: 1)
            send_nowait("nobody", 1)
            exit(pid)
            await wait_exit(pid)
    assert {event.kind for event in one.told} >= {
        *CALLED, Kind.SENT, Kind.HANDLED, Kind.DEAD_LETTER, Kind.ENDED
    }  # fmt: skip
    for event, same in zip(one.told, other.told, strict=True):
        assert event == same == in_full(event)
        assert event.details is event.details is same.details


def in_full(event: Event) -> Event:
    """Return an event like that, made in full."""
    return Event(event.kind, event.pid, event.labels, event.details)


# Who listens


async def test_a_listener_is_told_in_the_thread_where_it_happens() -> None:
    threads = []
    with events.listen(lambda event: threads.append(threading.get_ident()), Kind.DEAD_LETTER):
        send_nowait("nobody", 1)
        other = await anyio.to_thread.run_sync(_send_and_tell_thread)
    assert threads == [threading.get_ident(), other]


def _send_and_tell_thread() -> int:
    send_nowait("nobody", 2)
    return threading.get_ident()


async def test_what_a_listener_causes_is_told_to_others_only() -> None:
    def cause(event: Event) -> None:
        causes.append(event.details["message"])
        send_nowait("nobody", "caused")

    causes: list[str] = []
    with logged(Kind.DEAD_LETTER) as log, events.listen(cause, Kind.DEAD_LETTER):
        send_nowait("nobody", "first")
        send_nowait("nobody", "second")
    assert causes == ["first", "second"]
    messages = [event.details["message"] for event in log.told]
    assert messages == ["first", "caused", "second", "caused"]


async def test_a_listener_that_raises_is_logged_once_and_detached(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(event: Event) -> None:
        raise Boom

    listener = events.listen(fail, EVERY)
    with logged(COUNTED) as log:
        await restarted()
    assert [record.message for record in caplog.records if "listener" in record.message] == [
        f"a listener to events failed, and is detached: {fail!r}"
    ]
    assert listener.detach() is False
    assert Counter(log.short)["STARTED", "Puppet"] == 2
    assert seam.wanted(~0) == 0


class Enough(BaseException):
    """What is more than an error."""


async def test_what_is_more_than_an_error_goes_to_who_caused_it() -> None:
    def fail(event: Event) -> None:
        raise Enough

    with events.listen(fail, Kind.DEAD_LETTER), pytest.raises(Enough):
        send_nowait("nobody", 1)
    with logged(Kind.DEAD_LETTER) as log:
        send_nowait("nobody", 2)
    assert len(log.told) == 1


async def test_what_is_more_than_an_error_keeps_no_listener_from_being_told() -> None:
    def fail(event: Event) -> None:
        raise Enough

    with (
        events.listen(fail, Kind.DEAD_LETTER),
        logged(Kind.DEAD_LETTER) as log,
        pytest.raises(Enough),
    ):
        send_nowait("nobody", 1)
    assert len(log.told) == 1


@pytest.mark.parametrize("error", [Boom, Enough])
async def test_a_death_is_complete_whatever_a_listener_does(error: type[BaseException]) -> None:
    def meddle(event: Event) -> None:
        told.append(whereis("puppet"))
        send_nowait("puppet", 1)
        with events.listen(print, EVERY):
            events.counts()
        raise error

    told: list[PID | None] = []
    async with task_group() as group:
        pid = await Puppet.start(task_group=group, register_as="puppet")
        watcher = await Puppet.start("", None, outside := Mailbox(), task_group=group)
        await call(watcher, lambda: monitor(pid))
        pending = start_call(pid, anyio.Event().wait)
        process = process_of(pid)
        with events.listen(meddle, Kind.ENDED), suppress(Enough):
            bury(process, ExitReason("buried"))
        assert told == [None]  # its name is free
        with pytest.raises(ProcessExited):
            await pending
        down = await outside.receive((Down, lambda down: down))
        assert (down.pid, down.reason) == (pid, "buried")


async def test_a_death_is_counted_once_whoever_comes_in_between() -> None:
    async with task_group() as group:
        pid = await Puppet.start(task_group=group)
        process = process_of(pid)
        await suspend(pid)
        call_of_one = Call("anything", pid, None)
        call_of_one.wake = lambda: bury(process, ExitReason("again"))
        process.mailbox.deliver(call_of_one)
        with counting() as counted, logged(Kind.ENDED) as log:
            bury(process, ExitReason("buried"))
    ends = {key: number for key, number in counted.items() if key[0] == "ended"}
    assert ends == {("ended", "Puppet", "normal"): 1}
    assert len(log.told) == 1


async def test_who_never_began_is_not_counted() -> None:
    home = current_home()
    assert home is not None
    with counting() as counted, logged(EVERY) as log:
        bury(Process(Puppet(), home, None), ExitReason("another was quicker"))
    assert (dict(counted), log.told) == ({}, [])


async def test_nobody_is_kept_by_what_was_told() -> None:
    last: list[Any] = []

    def hear(event: Event) -> None:
        last[:] = [event.kind]

    with events.listen(hear, EVERY):
        async with task_group() as group:
            pid = await Puppet.start(task_group=group)
            witness = ref(process_of(pid))
            await call(pid, lambda: 1)
            await cast(pid, lambda: 1)
            exit(pid)
            await wait_exit(pid)
    gc.collect()
    assert witness() is None
    assert sys.getrefcount(pid) <= 3  # this function's, and its own


async def test_detached_it_hears_nothing_and_nothing_is_wanted() -> None:
    log = Log()
    listener = events.listen(log, EVERY)
    assert listener.kinds == EVERY
    assert seam.wanted(~0)
    assert (listener.detach(), listener.detach()) == (True, False)
    assert seam.wanted(~0) == 0
    send_nowait("nobody", 1)
    assert log.told == []


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((3, Kind.ENDED), TypeError, "expected function to be callable, got int"),
        ((print, "ended"), TypeError, "expected kinds to be a Kind, got str"),
        ((print, Kind(0)), ValueError, "expected kinds to have at least one, got none"),
    ],
)
async def test_what_cannot_listen_is_refused(
    arguments: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        events.listen(*arguments)
    assert seam.wanted(~0) == 0


# The seam, in both forms


@pytest.fixture
def two(form: str) -> Iterator[Any]:
    """Each form of the seam, of which the compiled one may be in use."""
    module = form_of("_base.events", form)
    yield module
    module.set_hook(None, 0)
    for key, number in module.counted().items():
        if key[0] == "test":
            module.counter_of(key).add(-number)


def test_counters_lose_nothing_among_threads(two: Any) -> None:
    start = threading.Barrier(4)

    def add() -> None:
        start.wait()
        for number in range(2_000):
            two.note(("test", f"{number % 3}"))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted = two.counted()
    assert sum(counted["test", f"{number}"] for number in range(3)) == 8_000


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers that signal are here")
def test_counters_lose_nothing_to_signals_and_finalisers(two: Any) -> None:
    noted = [0]

    def interrupt(*_: object) -> None:
        noted[0] += 1
        two.note(("test", "signal"))

    class Last:
        def __del__(self) -> None:
            noted[0] += 1
            two.note(("test", "signal"))

    before = signal.signal(signal.SIGALRM, interrupt)
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
    try:
        for _ in range(3_000):
            circle: list[Any] = [Last()]
            circle.append(circle)
            del circle
            noted[0] += 1  # in one line, as all else that counts here
            two.note(("test", "signal"))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.set_threshold(*threshold)
    gc.collect()
    assert two.counted()["test", "signal"] == noted[0] > 6_000


def test_there_are_not_too_many_labels(form: str, run: Run) -> None:
    program = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
from twins_of import form_of
from fauxtp._base.events import MOST
events = form_of("_base.events", {form!r})
from fauxtp._base.exit_reason import ExitReason
kinds = [type(str(number), (), {{}}) for number in range(MOST + 10)]
for number, kind in enumerate(kinds):
    events.note(("test", str(number), "x"))
    events.note_start(kind, None)
for kind in reversed(kinds):
    events.note_end(kind, None, ExitReason("normal"), None, None, None, True)
    events.note_end(kind, None, ExitReason("normal"), None, None, None, False)
events.note(("another", "x"))
counted = events.counted()
assert counted.pop(("another", "x")) == 1  # one kind takes no room of another
assert len(counted) == 4 * (MOST + 1), len(counted)
assert counted["test", "_OTHER", "_OTHER"] == 10, counted
for key in ("started", "_OTHER"), ("init_failed", "_OTHER"), ("ended", "_OTHER", "normal"):
    assert counted[key] == 10, key
assert sum(counted.values()) == 4 * (MOST + 10)
assert [events.label_of(kind) for kind in kinds] == [
    *map(str, range(MOST)), *["_OTHER"] * 10
]
"""
    assert run(program).stderr == ""


def test_counts_are_true_at_each_look_with_more_classes_than_there_is_room_for(
    form: str, run: Run
) -> None:
    program = """
import anyio
from fauxtp import GenServer, call, exit, wait_exit
from fauxtp._base.events import MOST, note
from fauxtp.observe import events

class Base(GenServer):
    async def handle_call(self, request, from_, state):
        return 1, state

def look(handled):
    counted = {key[1]: number for key, number in events.counts().items() if key[0] == "handled"}
    assert sum(counted.values()) == handled, (sum(counted.values()), handled)
    assert counted.get("_OTHER", 0) == max(0, handled - MOST), (counted.get("_OTHER"), handled)
    assert all(counted[name] >= before for name, before in shown.items())
    shown.update(counted)

async def main():
    for handled in range(1, LAST + 1):
        async with anyio.create_task_group() as group:
            server = await type(f"Class{handled}", (Base,), {}).start(task_group=group)
            await call(server, 1)
            looks = handled % 500 == 0 or MOST - 3 < handled < MOST + 9 or handled == LAST
            if looks:
                look(handled)
            exit(server)
            await wait_exit(server)
            if looks:
                look(handled)

shown, LAST = {}, MOST + 104
for number in range(MOST + 10):
    note(("restarted", "Sup", f"user {number}"))  # which no class loses its name to
anyio.run(main)
"""
    extensions = "never" if form == "python" else "always"
    assert run(program, FAUXTP_EXTENSIONS=extensions).stderr == ""


def test_the_hook_is_called_with_what_happens(two: Any) -> None:
    told = []
    two.set_hook(lambda *facts: told.append(facts), seam.SENT)
    two.note(("test", "a"), 1, {"b": 2})
    two.note(("test", "c"))
    two.tell(("test", "d"))
    assert told == [
        (("test", "a"), 1, {"b": 2}),
        (("test", "c"), None, {}),
        (("test", "d"), None, {}),
    ]
    assert (two.wanted(seam.SENT), two.wanted(seam.CALLS | seam.HANDLED)) == (seam.SENT, 0)


@pytest.mark.parametrize("asked", [ExitReason("shutdown"), AT_REST], ids=str)
@pytest.mark.parametrize("killed", [None, ExitReason("killed")])
@pytest.mark.parametrize("error", [None, Boom()])
def test_how_it_ended(two: Any, error: Exception | None, killed: Any, asked: ExitReason) -> None:
    class Ended:
        pass

    reason = asked if error is None else ExitReason.error(error)
    how = (
        "error" if error else "killed" if killed else "normal" if asked is AT_REST else "shutdown"
    )
    told = []
    two.set_hook(lambda *facts: told.append(facts), 0)
    handled = two.Counter()
    handled.add(3)
    before = two.counted()
    two.note_end(Ended, None, reason, handled, killed, asked, True)
    two.note_end(Ended, None, reason, None, killed, asked, False)
    two.note_start(Ended, 7)
    found = Counter(two.counted())
    found.subtract(before)
    assert told == [
        (("ended", "Ended", how), None, {"reason": reason}),
        (("init_failed", "Ended"), None, {"reason": reason}),
        (("started", "Ended"), 7, {}),
    ]
    assert +found == Counter([key for key, *_ in told] + [("handled", "Ended")] * 3)


# Processes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked here")
def test_a_forked_process_counts_from_nothing_and_listens_on(run: Run) -> None:
    program = """
import os
from fauxtp import send_nowait
from fauxtp.observe import events
told = []
with events.listen(told.append, events.DEAD_LETTER):
    send_nowait("nobody", 1)
    assert events.counts() == {("dead_letter", "noproc"): 1}, events.counts()
    child = os.fork()
    if child == 0:
        assert events.counts() == {}, events.counts()
        send_nowait("nobody", 2)
        assert events.counts() == {("dead_letter", "noproc"): 1}
        os._exit(len(told))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
"""
    assert run(program).stderr == ""


def test_who_does_not_look_imports_nothing_of_it(run: Run) -> None:
    program = """
import sys, anyio
from fauxtp import GenServer, call, exit, send_nowait
class Echo(GenServer):
    async def handle_call(self, request, from_, state):
        return request, state
async def main():
    async with anyio.create_task_group() as group:
        echo = await Echo.start(task_group=group)
        await call(echo, 1)
        send_nowait("nobody", 1)
        exit(echo)
anyio.run(main)
names = [name for name in sys.modules if "observe" in name or "told" in name]
assert names == [], names
"""
    assert run(program).stderr == ""


def test_counts_never_go_back() -> None:
    """While servers handle messages and end, what is counted of them only grows."""

    class Brief(GenServer[Any, Any]):
        async def handle_cast(self, request: Any, state: Any) -> Any:
            return state

    async def live_and_die() -> None:
        async with task_group() as group:
            for _ in range(60):
                pid = await Brief.start(task_group=group)
                for _ in range(5):
                    await cast(pid, 1)
                await call_many([], 1)
                exit(pid)
                await wait_exit(pid)

    before = events.counts().get(("handled", "Brief"), 0)
    thread = threading.Thread(target=partial(anyio.run, live_and_die))
    thread.start()
    seen = [before]
    while thread.is_alive():
        seen.append(events.counts().get(("handled", "Brief"), 0))
    thread.join()
    seen.append(events.counts().get(("handled", "Brief"), 0))
    assert seen == sorted(seen)


async def test_who_ends_while_it_is_counted_is_not_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with task_group() as group:
        await call(await Puppet.start(task_group=group), lambda: 1)
        before = events.counts()["handled", "Puppet"]
        with monkeypatch.context() as patched:
            patched.setattr(events, "everybody", list)  # as if it had just ended
            assert events.counts()["handled", "Puppet"] == before
