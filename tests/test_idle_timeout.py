"""Servers that end when nobody wants anything of them: not before, and without a loss."""

from __future__ import annotations

import asyncio
import gc
import random
from typing import Any, ClassVar

import anyio
import anyio.to_thread
import pytest
from conftest import task_group
from in_simulated_time import each_loop

from fauxtp import (
    NO_REPLY,
    Call,
    Continue,
    DynamicSupervisor,
    GenServer,
    OnDemand,
    Stop,
    Supervisor,
    call,
    call_blocking,
    cast,
    cast_nowait,
    dead_letters,
    exit,
    is_alive,
    processes,
    reply,
    send_nowait,
    wait_exit,
    whereis,
)
from fauxtp._actors import idleness
from fauxtp._core.process import find_process
from fauxtp._loops.alarms import Alarm
from fauxtp._loops.current import current_home

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("either_way")]


class Server(GenServer[Any, Any]):
    """Does as it is told, and ends after a second without a message."""

    idle_timeout = 1.0

    async def init(self) -> Any:
        return []

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        match request:
            case "later":
                return NO_REPLY, [*state, from_]
            case ("sleep", seconds):
                await anyio.sleep(seconds)
        return request, state

    async def handle_info(self, message: Any, state: Any) -> Any:
        return state


@each_loop
@pytest.mark.parametrize("timeout", [0.001, 1, 90.5])
def test_it_ends_when_it_has_been_idle_for_so_long(simulated: Any, timeout: float) -> None:
    async def scenario() -> None:
        class Short(Server):
            idle_timeout = timeout

        async with anyio.create_task_group() as group:
            began = anyio.current_time()
            server = await Short.start(task_group=group)
            assert await wait_exit(server) == "normal"
            took = anyio.current_time() - began
            assert timeout <= took + 1e-6 <= timeout * (1 + 1.1 / idleness.SLOTS) + 1e-5

    simulated(scenario)


class Asked(Server):
    """Notes when it is asked, and ends the third time."""

    async def handle_timeout(self, state: Any) -> Any:
        await anyio.sleep(0)
        return Stop("enough") if len(state) == 2 else [*state, anyio.current_time()]


@each_loop
def test_who_says_what_to_do_when_it_is_idle_is_asked_each_time(simulated: Any) -> None:
    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            began = anyio.current_time()
            server = await Asked.start(task_group=group)
            await anyio.sleep(0.5)
            assert await call(server, "still there?") == "still there?"
            assert await wait_exit(server) == "enough"
            assert 3.4 <= anyio.current_time() - began <= 8

    simulated(scenario)


async def test_what_it_answers_when_it_is_idle_is_its_state() -> None:
    asked = anyio.Event()

    class Quick(Server):
        idle_timeout = 0.01

        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            return state, state

        async def handle_timeout(self, state: Any) -> Any:
            asked.set()
            return [*state, "idle"], Continue("more")

        async def handle_continue(self, request: Any, state: Any) -> Any:
            return [*state, request]

    async with task_group() as group:
        server = await Quick.start(task_group=group)
        await asked.wait()
        state = await call(server, None)
        assert state[:2] == ["idle", "more"]
        assert is_alive(server)
        exit(server)
        assert await wait_exit(server) == "shutdown"


async def test_what_comes_while_it_is_asked_is_handled_by_the_same() -> None:
    asked, told = anyio.Event(), anyio.Event()

    class Session(Server):
        idle_timeout = 0.01

        async def handle_timeout(self, state: Any) -> Any:
            asked.set()
            await told.wait()
            return [*state, "idle"]

        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            return (self.pid, state[:1]), state

    async with task_group() as group:
        server = await Session.start(task_group=group)
        await asked.wait()
        send_nowait(server, "too late?")
        told.set()
        assert await call(server, None) == (server, ["idle"])
        exit(server)


async def test_who_forgets_its_state_when_it_is_idle_is_told() -> None:
    class Forgetful(Server):
        idle_timeout = 0.01

        async def handle_timeout(self, state: Any) -> None:
            pass

    async with task_group() as group:
        server = await Forgetful.start(task_group=group)
        reason = await wait_exit(server)
        assert "expected Forgetful.handle_timeout to return the state" in str(reason.exception)


async def test_who_is_to_end_while_it_is_asked_ends() -> None:
    begun = anyio.Event()

    class Slow(Server):
        idle_timeout = 0.01

        async def handle_timeout(self, state: Any) -> Any:
            begun.set()
            await anyio.sleep_forever()

    async with task_group() as group:
        server = await Slow.start(task_group=group)
        await begun.wait()
        exit(server, "its time has come")
        assert await wait_exit(server) == "its time has come"


@each_loop
def test_who_has_something_to_do_lives(simulated: Any) -> None:
    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            server = await Server.start(task_group=group)
            for _ in range(10):
                await anyio.sleep(0.9)
                assert await call(server, 1) == 1
            assert await call(server, ("sleep", 20), None) == ("sleep", 20)
            await anyio.sleep(0.9)
            assert is_alive(server)
            await anyio.sleep(1.5)
            assert not is_alive(server)

    simulated(scenario)


@each_loop
def test_who_owes_an_answer_lives_until_it_is_given(simulated: Any) -> None:
    async def scenario() -> None:
        answers = []

        async def ask() -> None:
            answers.append(await call(server, "later", None))

        async with anyio.create_task_group() as group:
            server = await Server.start(task_group=group)
            group.start_soon(ask)
            await anyio.sleep(30)
            process = find_process(server)
            assert process is not None
            reply(process.state[0], "at last")
            await anyio.sleep(3)
            assert (answers, is_alive(server)) == (["at last"], False)

    simulated(scenario)


@each_loop
def test_terminate_runs_and_whoever_waits_is_told(simulated: Any) -> None:
    ended = []

    class Told(Server):
        async def terminate(self, reason: str, state: Any) -> None:
            ended.append((str(reason), reason.abnormal))  # type: ignore[attr-defined]

    async def scenario() -> None:
        ended.clear()
        async with anyio.create_task_group() as group:
            server = await Told.start(task_group=group, register_as="told")
            reason = await wait_exit("told")
            assert (reason, reason.abnormal) == ("normal", False)
            assert not is_alive(server)
            assert ended == [("normal", False)]

    simulated(scenario)


async def test_a_message_that_comes_as_it_is_to_end_keeps_it() -> None:
    async with task_group() as group:
        server = await Server.start(task_group=group)
        process = find_process(server)
        assert process is not None
        await anyio.sleep(0)
        idleness._end(process, False)
        assert await call(server, 1) == 1
        idleness._end(process, False)
        send_nowait(server, 2)
        await anyio.sleep(0.01)
        assert is_alive(server)
        assert process.exit_request is None
        idleness._end(process, False)
        exit(server, "enough")  # which stands, whatever comes
        send_nowait(server, 3)
        assert await wait_exit(server) == "enough"


async def test_who_wants_its_end_gets_it_though_it_was_to_end() -> None:
    async with task_group() as group:
        for why in ("kill", "shutdown"):
            server = await Server.start(task_group=group)
            process = find_process(server)
            assert process is not None
            await anyio.sleep(0)
            idleness._end(process, False)
            exit(server, why)
            assert await wait_exit(server) == why


async def test_the_dead_are_forgotten() -> None:
    class Long(Server):
        idle_timeout = 3600.0

    async with task_group() as group:
        for _ in range(3 * idleness.FEW):
            server = await Long.start(task_group=group)
            exit(server)
            await wait_exit(server)
        home = current_home()
        assert home is not None
        idlers = home.idlers[3600.0]
        assert sum(map(len, idlers._slots.values())) // 2 <= idleness.FEW


async def test_many_end_in_turns_with_others(monkeypatch: pytest.MonkeyPatch) -> None:
    class Brief(Server):
        idle_timeout = 0.01

    async with task_group() as group:
        servers = [await Brief.start(task_group=group) for _ in range(5 * idleness.BUDGET)]
        for server in servers:
            await wait_exit(server)
        home = current_home()
        assert home is not None
        with anyio.fail_after(5):
            while home.idlers:
                await anyio.sleep(0.01)


async def test_who_starts_another_as_it_ends_sets_no_second_alarm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pending, most = 0, 0

    def counted(alarms: Any, due: float, look: Any) -> Any:
        nonlocal pending, most
        pending += 1
        most = max(most, pending)

        def off() -> None:
            nonlocal pending
            pending -= 1
            look()

        return Alarm(alarms, due, off)

    class Heir(Server):
        idle_timeout = 0.01

        def __init__(self, key: str) -> None:
            self.number = int(key)

        async def terminate(self, reason: str, state: Any) -> None:
            if self.number:
                await call(heirs[str(self.number - 1)], "go on")
            else:
                over.set()

    monkeypatch.setattr(idleness, "Alarm", counted)
    over = anyio.Event()
    async with task_group() as group:
        chief = await Sessions.start(task_group=group)
        heirs = OnDemand(Heir, supervisor=chief, prefix="heir:")
        await call(heirs["4"], "begin")
        await over.wait()
        exit(chief)
    assert most == 1


class Session(GenServer[Any, Any]):
    """Notes what it handles, in all of its lives."""

    idle_timeout = 0.002
    handled: ClassVar[list[Any]] = []
    alive: ClassVar[set[str]] = set()

    def __init__(self, key: str) -> None:
        self.key = key

    async def init(self) -> Any:
        assert self.key not in self.alive, "two live at once"
        self.alive.add(self.key)
        return []

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        self.handled.append(request)
        return request, state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        self.handled.append(request)
        return state

    async def terminate(self, reason: str, state: Any) -> None:
        await anyio.sleep(random.choice([0, 0.001]))
        self.alive.discard(self.key)


class Sessions(DynamicSupervisor):
    pass


async def test_nothing_is_lost_as_sessions_come_and_go() -> None:
    Session.handled.clear()
    Session.alive.clear()
    sessions = OnDemand(Session, supervisor="sessions", prefix="session:")
    sent: list[Any] = []

    async def ask(name: str) -> None:
        for number in range(40):
            sent.append((name, number))
            if number % 2:
                assert await call(sessions["anna"], (name, number)) == (name, number)
            else:
                await cast(sessions["anna"], (name, number))
            await anyio.sleep(random.choice([0, 0.001, 0.003, 0.005]))

    def ask_in_a_thread(name: str) -> None:
        for number in range(40):
            sent.append((name, number))
            if number % 2:
                assert call_blocking(sessions["anna"], (name, number)) == (name, number)
            else:
                cast_nowait(sessions["anna"], (name, number))

    letters = dead_letters.total()
    async with task_group() as group:
        await Sessions.start(task_group=group, register_as="sessions")
        async with anyio.create_task_group() as users:
            for name in "abc":
                users.start_soon(ask, name)
                users.start_soon(anyio.to_thread.run_sync, ask_in_a_thread, name + name)
        with anyio.fail_after(5):
            while len(Session.handled) < len(sent):
                await anyio.sleep(0.001)
        assert sorted(Session.handled) == sorted(sent)
        assert dead_letters.total() == letters
        with anyio.fail_after(5):
            while whereis("session:anna") is not None:
                await anyio.sleep(0.001)


async def test_nothing_is_left_for_the_collector() -> None:
    class Brief(Server):
        idle_timeout = 0.001

    async with task_group() as group:
        await wait_exit(await Brief.start(task_group=group))
        await anyio.sleep(0)
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            await wait_exit(await Brief.start(task_group=group))
            await anyio.sleep(0.01)
            gc.collect()
            ours = [it for it in gc.garbage if type(it).__module__.startswith("fauxtp")]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
        assert ours == []
        assert processes() == []


@pytest.mark.parametrize(
    ("timeout", "error", "text"),
    [
        ("1", TypeError, "idle_timeout to be a number, got str"),
        (0, ValueError, "idle_timeout to be more than 0, got 0"),
        (-1, ValueError, "idle_timeout to be finite and at least 0, got -1"),
        (float("inf"), ValueError, "finite"),
    ],
)
async def test_bad_input_is_refused(timeout: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):

        class Bad(Server):
            idle_timeout = timeout


async def test_who_does_not_serve_has_none() -> None:
    with pytest.raises(TypeError, match="'idle_timeout'"):

        class Chief(Supervisor):
            idle_timeout = 1.0

    with pytest.raises(TypeError, match="no run of its own"):

        class Runs(Server):
            async def run(self, state: Any) -> Any:
                return state


async def test_who_ends_wakes_no_loop_that_is_awake(
    anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with task_group() as group:
        await Server.start(task_group=group)  # the keeper of the group stays
        monkeypatch.setattr(Server, "idle_timeout", 0.01)
        server = await Server.start(task_group=group)
        assert await call(server, 1) == 1
        if anyio_backend_name == "asyncio":
            monkeypatch.delattr(asyncio.BaseEventLoop, "call_soon_threadsafe", raising=False)
        assert await wait_exit(server) == "normal"
        monkeypatch.undo()


@pytest.mark.parametrize("idle", [0.0, 59.9, 60.0, 70.0])
async def test_one_look_is_enough_for_who_is_known_to_have_been_idle_for_so_long(
    idle: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with task_group() as group:
        monkeypatch.setattr(Server, "idle_timeout", 60.0)
        server = await Server.start(task_group=group)
        assert await call(server, 1) == 1
        process, home = find_process(server), current_home()
        assert process is not None
        assert home is not None
        monkeypatch.setattr(idleness, "monotonic", lambda: process.handled_since + idle)
        home.idlers[60.0]._look_at(server, 0.0, home.time(), False)
        assert (process.exit_request is not None) == (idle >= 60.0)
        exit(server)
        await wait_exit(server)
