"""Addresses that start what they mean: once, for whoever needs it, and with every message."""

from __future__ import annotations

import contextvars
import copy
import gc
import logging
import pickle
import threading
from collections.abc import Callable
from typing import Any, ClassVar

import anyio
import anyio.to_thread
import pytest
from conftest import task_group
from crew import Boom, Idle, boom
from in_simulated_time import each_loop

from fauxtp import (
    PID,
    Actor,
    Call,
    CallCycle,
    ChildSpec,
    DeadLetter,
    Down,
    DynamicSupervisor,
    GenServer,
    Mailbox,
    MailboxFull,
    NoProcess,
    OnDemand,
    ProcessExited,
    ReceiveTimeout,
    RestartType,
    Supervisor,
    TooManyChildren,
    call,
    call_blocking,
    cast,
    cast_after,
    cast_nowait,
    dead_letters,
    exit,
    is_alive,
    link,
    monitor,
    process_info,
    processes,
    register,
    send,
    send_after,
    send_nowait,
    start_call,
    start_child,
    unregister,
    wait_exit,
    wait_registered,
    whereis,
    which_children,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("either_way")]

REQUEST = contextvars.ContextVar("request", default="none")


class Session(GenServer[Any, Any]):
    """Remembers what it was sent, and how many there have been."""

    made: ClassVar[list[str]]

    def __init__(self, user: str) -> None:
        self.user = user
        self.made.append(user)

    async def init(self) -> Any:
        return []

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        match request:
            case "context":
                return REQUEST.get(), state
            case "crash":
                boom()
            case "pid":
                return self.pid, state
        return (self.user, *state, request), state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        if request == "stop":
            self.stop()
        if callable(request):
            request()
        return [*state, request]

    async def handle_info(self, message: Any, state: Any) -> Any:
        return [*state, message]


class Sessions(DynamicSupervisor):
    pass


@pytest.fixture
def session() -> type[Session]:
    class Fresh(Session):
        made: ClassVar[list[str]] = []

    return Fresh


@pytest.fixture
def sessions(session: type[Session]) -> OnDemand:
    return OnDemand(session, supervisor="sessions", prefix="session:")


async def chief(group: Any, **settings: Any) -> Any:
    kind: Any = type("Sessions", (Sessions,), settings)
    return await kind.start(task_group=group, register_as="sessions")


async def test_an_address_is_a_name(sessions: OnDemand) -> None:
    anna = sessions["anna"]
    assert anna == "session:anna"
    assert {anna: 1}["session:anna"] == 1
    assert repr(sessions) == "<OnDemand Fresh 'session:'>"
    assert copy.copy(sessions) is copy.deepcopy(sessions) is sessions
    assert copy.copy(anna) is anna
    assert copy.deepcopy(anna) is anna
    assert type(pickle.loads(pickle.dumps(anna))) is str
    async with task_group() as group:
        await chief(group)
        assert await call(anna, 1) == ("anna", 1)
        assert await call("session:anna", 2) == ("anna", 2)
        pid = whereis("session:anna")
        assert whereis(anna) is pid is not None
        assert process_info(pid).names == ["session:anna"]
        assert [child.pid for child in await which_children("sessions")] == [pid]


async def test_one_with_an_idle_timeout_ends_by_itself(session: type[Session]) -> None:
    brief = OnDemand(session, supervisor="sessions", prefix="session:", idle_timeout=1e-3)
    async with task_group() as group:
        await chief(group)
        pid = await call(brief["anna"], "pid")
        assert await wait_exit(pid) == "normal"


async def test_a_name_that_means_what_will_never_live_starts_nobody(sessions: OnDemand) -> None:
    async with task_group() as group:
        await chief(group)
        register("session:anna", PID())
        with pytest.raises(NoProcess):
            await call(sessions["anna"], 1)
        unregister("session:anna")
        assert await call(sessions["anna"], 1) == ("anna", 1)


@pytest.mark.parametrize(
    "way", ["send", "send_nowait", "cast", "cast_nowait", "timer", "cast_after"]
)
async def test_what_is_sent_starts_it_and_is_handled(sessions: OnDemand, way: str) -> None:
    anna = sessions["anna"]
    async with task_group() as group:
        await chief(group)
        for number in range(3):
            match way:
                case "send":
                    await send(anna, number)
                case "send_nowait":
                    send_nowait(anna, number)
                case "cast":
                    await cast(anna, number)
                case "cast_nowait":
                    cast_nowait(anna, number)
                case "timer":
                    send_after(0, anna, number)
                case "cast_after":
                    cast_after(0, anna, number)
        await wait_registered(anna)
        while len(await call(anna, "all")) < 5:
            await anyio.sleep(0)
        assert await call(anna, "all") == ("anna", 0, 1, 2, "all")


async def test_monitors_and_links_start_it(sessions: OnDemand, session: type[Session]) -> None:
    class Watcher(GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            request()
            return None, state

        async def handle_info(self, message: Any, state: Any) -> Any:
            heard.put_nowait(message)
            return state

    heard = Mailbox()
    async with task_group() as group:
        await chief(group)
        watcher = await Watcher.start(task_group=group)
        await call(watcher, lambda: monitor(sessions["anna"]))
        await call(watcher, lambda: link(sessions["bert"]))
        for key in ("anna", "bert"):
            assert await call(f"session:{key}", 1) == (key, 1)
        pid = whereis("session:anna")
        assert pid is not None
        exit(pid, "enough")
        down = await heard.receive((Down, lambda down: down))
        assert (down.pid, down.name, down.reason) == (pid, "session:anna", "enough")
        exit("session:bert")
        assert await wait_exit(watcher) == "shutdown"
        assert session.made == ["anna", "bert"]


async def test_a_call_that_is_only_begun_starts_it(sessions: OnDemand) -> None:
    async with task_group() as group:
        await chief(group)
        pending = [start_call(sessions[key], 1) for key in ("anna", "bert", "anna")]
        assert [await one for one in pending] == [("anna", 1), ("bert", 1), ("anna", 1)]


async def test_questions_start_nobody(sessions: OnDemand, session: type[Session]) -> None:
    anna = sessions["anna"]
    async with task_group() as group:
        await chief(group)
        assert whereis(anna) is None
        assert not is_alive(anna)
        assert not exit(anna)
        assert await wait_exit(anna) == "noproc"
        with pytest.raises(NoProcess):
            process_info(anna)
        assert session.made == []


async def test_of_many_at_once_one_starts_it(session: type[Session]) -> None:
    class Slow(session):  # type: ignore[valid-type,misc]
        async def init(self) -> Any:
            await anyio.sleep(0.01)
            return []

    sessions = OnDemand(Slow, supervisor="sessions", prefix="session:")
    answers = []

    async def ask(number: int) -> None:
        answers.append(await call(sessions["anna"], "pid"))

    def ask_in_a_thread() -> None:
        answers.append(call_blocking(sessions["anna"], "pid"))

    async with task_group() as group:
        await chief(group)
        async with anyio.create_task_group() as callers:
            for number in range(20):
                callers.start_soon(ask, number)
                callers.start_soon(anyio.to_thread.run_sync, ask_in_a_thread)
        assert session.made == ["anna"]
        assert set(answers) == {whereis("session:anna")}
        assert len(answers) == 40


async def test_threads_that_send_at_once_lose_nothing(sessions: OnDemand) -> None:
    barrier = threading.Barrier(4)

    def sends(name: int) -> None:
        barrier.wait()
        for number in range(100):
            send_nowait(sessions["anna"], (name, number))

    async with task_group() as group:
        await chief(group)
        async with anyio.create_task_group() as threads:
            for name in range(4):
                threads.start_soon(anyio.to_thread.run_sync, sends, name)
        _, *messages, _ = await call(sessions["anna"], "all")
        for name in range(4):
            mine = [number for sender, number in messages if sender == name]
            assert mine == list(range(100))


async def test_it_begins_in_a_clean_context(sessions: OnDemand) -> None:
    async with task_group() as group:
        await chief(group)
        REQUEST.set("of the first request")
        for key in ("anna", "bert"):
            assert await call(sessions[key], "context") == "none"
        await send(sessions["carl"], 1)
        assert await call(sessions["carl"], "context") == "none"


async def test_who_crashes_is_started_again_by_the_next_message(
    sessions: OnDemand, session: type[Session]
) -> None:
    async with task_group() as group:
        await chief(group)
        with pytest.raises(ProcessExited) as caught:
            await call(sessions["anna"], "crash")
        assert isinstance(caught.value.__cause__, Boom)
        assert await call(sessions["anna"], 1) == ("anna", 1)
        assert session.made == ["anna", "anna"]


async def test_a_start_that_fails_is_told_and_logged_once(
    session: type[Session], caplog: pytest.LogCaptureFixture
) -> None:
    class Fails(session):  # type: ignore[valid-type,misc]
        async def init(self) -> Any:
            boom()

    class Unmade(session):  # type: ignore[valid-type,misc]
        def __init__(self, user: str) -> None:
            boom()

    async with task_group() as group:
        await chief(group)
        for kind in (Fails, Unmade):
            sessions = OnDemand(kind, supervisor="sessions", prefix="session:")
            with caplog.at_level(logging.ERROR):
                caplog.clear()
                with pytest.raises(ProcessExited) as caught:
                    await call(sessions["anna"], 1)
                assert isinstance(caught.value.__cause__, Boom)
                assert not caught.value.taken_up
                while not caplog.records:
                    await anyio.sleep(0)
                assert [record.getMessage().split(" <")[0] for record in caplog.records] == [
                    f"{kind.__name__} 'session:anna'"
                ]
                letters = dead_letters.total()
                await cast(sessions["anna"], 1)
                while dead_letters.total() == letters or len(caplog.records) < 2:
                    await anyio.sleep(0)
            assert whereis("session:anna") is None
        assert await which_children("sessions") == []


async def test_room_is_kept_to(session: type[Session], sessions: OnDemand) -> None:
    async with task_group() as group:
        await chief(group, max_children=1)
        await call(sessions["anna"], 1)
        with pytest.raises(ProcessExited) as caught:
            await call(sessions["bert"], 1)
        assert isinstance(caught.value.__cause__, TooManyChildren)
        assert whereis("session:bert") is None


async def test_without_a_supervisor(sessions: OnDemand) -> None:
    told = "'session:anna' cannot be started: no living process behind 'sessions'"
    with pytest.raises(NoProcess, match=told) as caught:
        await call(sessions["anna"], 1)
    assert caught.value.to == "session:anna"
    letters = dead_letters.total()
    await send(sessions["anna"], 1)
    cast_nowait(sessions["anna"], 1)
    assert dead_letters.total() == letters + 2

    async def late() -> None:
        await chief(group)

    async with task_group() as group:
        group.start_soon(late)
        assert await call(sessions["anna"], 1, wait=5) == ("anna", 1)


async def test_of_a_start_that_fails_again_patience_comes_to_an_end(
    session: type[Session],
) -> None:
    class Fails(session):  # type: ignore[valid-type,misc]
        async def init(self) -> Any:
            boom()

    sessions = OnDemand(Fails, supervisor="sessions", prefix="session:")
    async with task_group() as group:
        await chief(group)
        with pytest.raises(ProcessExited):
            await call(sessions["anna"], 1, wait=60)
        assert session.made == ["anna", "anna"]


async def test_another_supervisor_is_refused(sessions: OnDemand) -> None:
    class Other(Supervisor):
        pass

    async with task_group() as group:
        await Other.start(task_group=group, register_as="sessions")
        for use in (send_nowait, cast_nowait):
            with pytest.raises(TypeError, match="'sessions' to be a DynamicSupervisor, got Other"):
                use(sessions["anna"], 1)
        with pytest.raises(TypeError):
            await call(sessions["anna"], 1)


async def test_a_circle_is_told(session: type[Session]) -> None:
    class Narcissus(session):  # type: ignore[valid-type,misc]
        async def init(self) -> Any:
            await call(circular[self.user], 1)

    class Meddler(Sessions):
        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            return await call(circular["bert"], request), state

    circular = OnDemand(Narcissus, supervisor="sessions", prefix="session:")
    async with task_group() as group:
        await Meddler.start(task_group=group, register_as="sessions")
        with pytest.raises(ProcessExited) as caught:
            await call(circular["anna"], 1)
        assert isinstance(caught.value.__cause__, CallCycle)
        with pytest.raises(ProcessExited) as caught:
            await call("sessions", 1)
        assert isinstance(caught.value.__cause__, CallCycle)


async def test_who_is_to_end_before_it_begins_never_does(
    sessions: OnDemand, session: type[Session]
) -> None:
    async with task_group() as group:
        await chief(group)
        send_nowait(sessions["anna"], 1)
        pid = whereis("session:anna")
        assert pid is not None
        assert exit(pid, "not now")
        assert await wait_exit(pid) in {"not now", "noproc"}
        assert session.made == []
        assert await call(sessions["anna"], 2) == ("anna", 2)


async def test_a_bounded_mailbox_is_one_before_it_begins(session: type[Session]) -> None:
    class Bounded(session):  # type: ignore[valid-type,misc]
        mailbox_size = 2

    sessions = OnDemand(Bounded, supervisor="sessions", prefix="session:")
    async with task_group() as group:
        await chief(group)
        send_nowait(sessions["anna"], 1)
        send_nowait(sessions["anna"], 2)
        with pytest.raises(MailboxFull):
            send_nowait(sessions["anna"], 3)
        await send(sessions["anna"], 3)
        assert await call(sessions["anna"], 4) == ("anna", 1, 2, 3, 4)


class Slow(Session):
    """Takes its time to end."""

    made: ClassVar[list[str]] = []
    ending: anyio.Event
    go: anyio.Event

    async def terminate(self, reason: str, state: Any) -> None:
        self.ending.set()
        await self.go.wait()


async def test_what_comes_while_it_ends_is_for_its_successor() -> None:
    Slow.made.clear()
    Slow.ending, Slow.go = anyio.Event(), anyio.Event()
    sessions = OnDemand(Slow, supervisor="sessions", prefix="session:")
    answers = []

    async def ask() -> None:
        answers.append(await call(sessions["anna"], "last"))

    def ask_in_a_thread() -> None:
        answers.append(call_blocking(sessions["anna"], "last"))

    async with task_group() as group:
        await chief(group)
        await cast(sessions["anna"], "stop")
        await Slow.ending.wait()
        await send(sessions["anna"], 1)
        await cast("session:anna", 2)
        async with anyio.create_task_group() as callers:
            callers.start_soon(ask)
            callers.start_soon(anyio.to_thread.run_sync, ask_in_a_thread)
            await anyio.sleep(0.02)
            assert Slow.made == ["anna"]
            Slow.go.set()
        assert answers == [("anna", 1, 2, "last")] * 2
        assert Slow.made == ["anna", "anna"]


async def test_what_lay_there_as_an_error_came_is_told_so(
    sessions: OnDemand, session: type[Session]
) -> None:
    failed = []

    async def ask() -> None:
        with pytest.raises(ProcessExited) as caught:
            await call(sessions["anna"], 1)
        failed.append(caught.value.taken_up)

    async with task_group() as group:
        await chief(group)
        await call(sessions["anna"], 0)
        letters = dead_letters.counts().get("exited", 0)
        await cast(sessions["anna"], boom)
        await cast(sessions["anna"], 1)
        await ask()
        assert failed == [False]
        assert dead_letters.counts()["exited"] == letters + 1


async def test_notices_of_others_are_nothing_to_a_successor() -> None:
    Slow.made.clear()
    Slow.ending, Slow.go = anyio.Event(), anyio.Event()
    sessions = OnDemand(Slow, supervisor="sessions", prefix="session:")
    async with task_group() as group:
        await chief(group)
        other = await Idle.start(task_group=group)
        await cast(sessions["anna"], lambda: monitor(other))
        pid = await call(sessions["anna"], "pid")
        await cast(sessions["anna"], "stop")
        await Slow.ending.wait()
        exit(other)
        await wait_exit(other)
        Slow.go.set()
        await wait_exit(pid)
        assert Slow.made == ["anna"]
        assert whereis("session:anna") is None


async def test_a_call_that_is_given_up_goes_nowhere() -> None:
    Slow.made.clear()
    Slow.ending, Slow.go = anyio.Event(), anyio.Event()
    sessions = OnDemand(Slow, supervisor="sessions", prefix="session:")
    async with task_group() as group:
        await chief(group)
        pid = await call(sessions["anna"], "pid")
        await cast(sessions["anna"], "stop")
        await Slow.ending.wait()
        with pytest.raises(ReceiveTimeout):
            await call(sessions["anna"], 1, 0.01)
        Slow.go.set()
        await wait_exit(pid)
        assert Slow.made == ["anna"]


async def test_a_name_that_somebody_else_has_is_used(
    sessions: OnDemand, session: type[Session]
) -> None:
    async with task_group() as group:
        await chief(group)
        mailbox = Mailbox()
        register("session:anna", mailbox.pid)
        address: Any = sessions["anna"]
        await send(address, 1)
        assert mailbox.take_nowait() == 1
        assert address.reach()[0] is mailbox.pid, "as another thread was quicker to look"
        unregister("session:anna")
        spec = ChildSpec(
            "x", session, ("x",), restart=RestartType.TEMPORARY, register_as="session:bert"
        )
        await start_child("sessions", spec)
        assert await call(sessions["bert"], 1) == ("x", 1)


async def test_what_is_left_when_nobody_can_be_started_is_told_so(sessions: OnDemand) -> None:
    address: Any = sessions["anna"]
    request = Call(1, address, None)
    lost: list[DeadLetter] = []
    with dead_letters.observed_by(lost.append):
        address.take_over([1, request])
    assert [(letter.to, letter.message, letter.reason) for letter in lost] == [
        ("session:anna", 1, "noproc")
    ]
    with pytest.raises(NoProcess, match="session:anna"):
        request.result()


async def test_it_ends_with_its_supervisor(sessions: OnDemand) -> None:
    async with task_group() as group:
        pid = await chief(group)
        await call(sessions["anna"], 1)
        send_nowait(sessions["bert"], 1)
        exit(pid)
        await wait_exit(pid)
        assert processes() == []
        with pytest.raises(NoProcess):
            await call(sessions["anna"], 1)


async def test_what_nobody_will_start_is_told_so(sessions: OnDemand) -> None:
    async with task_group() as group:
        pid = await chief(group)
        exit(pid)
        with pytest.raises((ProcessExited, NoProcess)):
            await call(sessions["anna"], 1)
        await wait_exit(pid)
        assert processes() == []


async def test_nothing_is_left_for_the_collector(sessions: OnDemand) -> None:
    async with task_group() as group:
        await chief(group)
        for _ in range(3):
            await call(sessions["anna"], 1)
            pid = whereis("session:anna")
            assert pid is not None
            exit(pid)
            await wait_exit(pid)
        del pid
        for _ in range(2):  # the classes of addresses, which are str, outlast these for one
            gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for key in ("anna", "bert"):
                await call(sessions[key], 1)
                await send(sessions[key + key], 1)
                await call(sessions[key + key], 1)
                for name in (key, key + key):
                    exit(sessions[name], "enough")
                    await wait_exit(sessions[name])
            await anyio.sleep(0)
            gc.collect()
            ours = [it for it in gc.garbage if type(it).__module__.startswith("fauxtp")]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
        assert ours == []


class Bare(GenServer[Any, Any]):
    pass


class Plain(Actor):
    def __init__(self, key: str) -> None:
        self.key = key

    async def run(self, state: Any) -> Any:
        await self.receive((object, lambda message: message))


BAD: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: OnDemand(int, supervisor="a", prefix="b"), TypeError, "of actors, got the class"),  # type: ignore[arg-type]
    (lambda: OnDemand(Bare, supervisor="a", prefix="b"), TypeError, "takes the key, got Bare"),
    (lambda: OnDemand(Plain, supervisor=5, prefix="b"), TypeError, "a PID or a name, got int"),  # type: ignore[arg-type]
    (lambda: OnDemand(Plain, supervisor="", prefix="b"), ValueError, "at least one character"),
    (lambda: OnDemand(Plain, supervisor="a", prefix=b""), TypeError, "prefix to be a str"),  # type: ignore[arg-type]
    (
        lambda: OnDemand(Session, supervisor="a", prefix="b", idle_timeout="1"),  # type: ignore[arg-type]
        TypeError,
        "idle_timeout to be a number, got str",
    ),
    (
        lambda: OnDemand(Session, supervisor="a", prefix="b", idle_timeout=0),
        ValueError,
        "idle_timeout to be more than 0",
    ),
    (
        lambda: OnDemand(Plain, supervisor="a", prefix="b", idle_timeout=1),
        TypeError,
        "None, as that is for servers",
    ),
    (
        lambda: OnDemand(Plain, supervisor="a", prefix="b")[5],  # type: ignore[index]
        TypeError,
        "key to be a str, got int",
    ),
    (lambda: OnDemand(Plain, supervisor="a", prefix="b")[""], ValueError, "at least one char"),
]


@pytest.mark.parametrize(("make", "error", "text"), BAD, ids=[text for _, _, text in BAD])
async def test_bad_input_is_refused(
    make: Callable[[], object], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        make()


async def test_any_actor_will_do() -> None:
    plain = OnDemand(Plain, supervisor="sessions", prefix="plain:")
    async with task_group() as group:
        await chief(group)
        await send(plain["a"], 1)
        assert is_alive("plain:a")
        pid = whereis("plain:a")
        assert pid is not None
        await wait_registered("plain:a")


async def test_a_supervisor_may_be_started_on_demand() -> None:
    class Rooms(DynamicSupervisor):
        def __init__(self, key: str) -> None:
            self.key = key

        async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
            return self.key, state

    rooms = OnDemand(Rooms, supervisor="sessions", prefix="rooms:")
    async with task_group() as group:
        await chief(group)
        assert await call(rooms["a"], "which") == "a"
        child = await start_child(rooms["b"], ChildSpec("idle", Idle))
        exit("sessions")
        await wait_exit("sessions")
        assert not is_alive(child)


@each_loop
def test_a_timer_starts_it_when_it_is_time(simulated: Any) -> None:
    class Fresh(Session):
        made: ClassVar[list[str]] = []

    sessions = OnDemand(Fresh, supervisor="sessions", prefix="session:")

    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            await chief(group)
            cast_after(60, sessions["anna"], 1)
            await anyio.sleep(59)
            assert Fresh.made == []
            await anyio.sleep(2)
            assert Fresh.made == ["anna"]
            exit("sessions")

    simulated(scenario)
