"""Children that come and go: any number, side by side, none of them in another's way."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import anyio
import pytest
from anyio.lowlevel import checkpoint
from crew import Boom, Idle, Puppet, boom, pid_of, running
from in_simulated_time import each_loop

from fauxtp import (
    AlreadyStarted,
    Backoff,
    ChildInfo,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    MaxRestartsExceeded,
    NameTaken,
    NoChild,
    OnDemand,
    ProcessExited,
    RestartType,
    Stop,
    Supervisor,
    TooManyChildren,
    call,
    cast,
    count_children,
    dead_letters,
    delete_child,
    exit,
    is_alive,
    processes,
    restart_child,
    start_child,
    terminate_child,
    tree,
    wait_exit,
    wait_registered,
    whereis,
    which_children,
)

pytestmark = pytest.mark.anyio

TEMPORARY = RestartType.TEMPORARY


def puppet(name: str, **fields: Any) -> ChildSpec:
    return ChildSpec("puppet", Puppet, args=(name,), register_as=name, **fields)


def stop() -> NoReturn:
    raise Stop


async def ended(name: str, what: Callable[[], NoReturn] = boom) -> None:
    pid = pid_of(name)
    await cast(pid, what)
    await wait_exit(pid)


async def pool(group: Any, **settings: Any) -> Any:
    kind: Any = type("Pool", (DynamicSupervisor,), settings)
    return await kind.start(task_group=group, register_as="pool")


class Gate(GenServer[Any, Any]):
    """Waits in `init`, and in `terminate`."""

    begun = 0
    opened: anyio.Event

    async def init(self) -> Any:
        type(self).begun += 1
        await self.opened.wait()


@pytest.fixture
def gate() -> type[Gate]:
    class Fresh(Gate):
        opened = anyio.Event()

    return Fresh


async def test_children_come_and_go() -> None:
    async with running() as group:
        chief = await pool(group)
        a = await start_child(chief, puppet("a"))
        b = await start_child("pool", puppet("b", restart=TEMPORARY))
        assert (whereis("a"), whereis("b")) == (a, b)
        assert await which_children(chief) == [
            ChildInfo("puppet", a, Puppet, RestartType.PERMANENT),
            ChildInfo("puppet", b, Puppet, TEMPORARY),
        ]
        assert (await count_children(chief))["active"] == 2
        await terminate_child(chief, a)
        assert whereis("a") is None
        await ended("b")
        assert await which_children(chief) == []
        exit(chief)


async def test_what_is_started_in_vain_is_no_child() -> None:
    class Fails(Puppet):
        async def init(self) -> Any:
            boom()

    class Unmade(Idle):
        def __init__(self) -> None:
            boom()

    async with running() as group:
        chief = await pool(group, max_children=1)
        for kind in (Fails, Unmade):
            with pytest.raises(Boom):
                await start_child(chief, ChildSpec("it", kind))
        assert await which_children(chief) == []
        await start_child(chief, puppet("a"))  # there is room
        exit(chief)


async def test_a_start_that_hangs_holds_up_nobody(gate: type[Gate]) -> None:
    async with running() as group:
        chief = await pool(group)
        for _ in range(3):
            group.start_soon(start_child, chief, ChildSpec("gate", gate))
        await anyio.wait_all_tasks_blocked()
        assert gate.begun == 3
        await start_child(chief, puppet("a"))
        await ended("a")
        await wait_registered("a")
        assert len(await which_children(chief)) == 1
        gate.opened.set()
        await anyio.wait_all_tasks_blocked()
        assert len(await which_children(chief)) == 4
        exit(chief)


@pytest.mark.parametrize("on_demand", [False, True])
async def test_a_start_that_waits_takes_no_task_of_its_supervisor(
    gate: type[Gate], on_demand: bool
) -> None:
    class Keyed(gate):  # type: ignore[misc,valid-type]
        def __init__(self, key: str) -> None:
            pass

    async with running() as group:
        chief = await pool(group)
        await start_child(chief, ChildSpec("idle", Idle))
        addresses = OnDemand(Keyed, supervisor="pool", prefix="gate:")
        before = len(anyio.get_running_tasks())
        for number in range(3):
            if on_demand:
                group.start_soon(call, addresses[str(number)], "ping")
            else:
                group.start_soon(start_child, chief, ChildSpec("gate", Keyed, args=("",)))
        await anyio.wait_all_tasks_blocked()
        assert len(anyio.get_running_tasks()) == before + 3 * 2  # who asks, and who begins
        group.cancel_scope.cancel()


class Fatal(BaseException):
    """No `Exception`, so nobody handles it."""


class Fatally(GenServer[Any, Any]):
    """Ends by it in `init`, at once or a turn later."""

    def __init__(self, waits: bool) -> None:
        self.waits = waits

    async def init(self) -> Any:
        if self.waits:
            await checkpoint()
        raise Fatal


@pytest.mark.parametrize("waits", [False, True])
async def test_what_nobody_could_handle_ends_the_supervisor(waits: bool) -> None:
    def causes(error: BaseException | None) -> set[type[Any]]:
        if isinstance(error, BaseExceptionGroup):
            return {kind for part in error.exceptions for kind in causes(part)}
        return {type(error)}

    async def scenario() -> None:
        async with running() as group:
            chief = await pool(group)
            await start_child(chief, ChildSpec("idle", Idle))
            with pytest.raises(ProcessExited) as told:
                await start_child(chief, ChildSpec("fatal", Fatally, args=(waits,)))
            assert told.value.pid is chief
            assert causes(told.value.__cause__) == {Fatal}

    with pytest.raises(BaseExceptionGroup) as raised:
        await scenario()
    assert causes(raised.value) == {Fatal}


async def test_there_are_never_more_than_there_may_be(gate: type[Gate]) -> None:
    async with running() as group:
        chief = await pool(group, max_children=2)
        group.start_soon(start_child, chief, ChildSpec("gate", gate))
        await anyio.wait_all_tasks_blocked()
        await start_child(chief, puppet("a"))
        with pytest.raises(TooManyChildren, match="has 2 children") as caught:
            await start_child(chief, puppet("b"))
        assert (caught.value.supervisor, caught.value.max_children) == (chief, 2)
        gate.opened.set()
        await terminate_child(chief, pid_of("a"))
        await start_child(chief, puppet("b"))
        exit(chief)


@pytest.mark.parametrize(
    ("restart", "how", "comes_back"),
    [
        (RestartType.PERMANENT, stop, True),
        (RestartType.PERMANENT, boom, True),
        (RestartType.TRANSIENT, stop, False),
        (RestartType.TRANSIENT, boom, True),
        (TEMPORARY, stop, False),
        (TEMPORARY, boom, False),
    ],
)
async def test_who_is_started_again(
    restart: RestartType, how: Callable[[], NoReturn], comes_back: bool
) -> None:
    async with running() as group:
        chief = await pool(group)
        before = await start_child(chief, puppet("a", restart=restart))
        await ended("a", how)
        if comes_back:
            after = await wait_registered("a")
            assert after != before
            assert await which_children(chief) == [
                ChildInfo("puppet", after, Puppet, restart, restarts=1)
            ]
        else:
            await anyio.wait_all_tasks_blocked()
            assert whereis("a") is None
            assert await which_children(chief) == []
        exit(chief)


async def test_all_stop_at_once() -> None:
    ending: list[str] = []
    all_end = anyio.Event()

    class Last(Puppet):
        async def terminate(self, reason: str, state: Any) -> None:
            ending.append(self.name)
            if len(ending) == 50:
                all_end.set()
            await all_end.wait()  # for ever, if they stop one after the other

    async with running() as group:
        chief = await pool(group)
        for number in range(50):
            await start_child(chief, ChildSpec("it", Last, args=(str(number),)))
        before = dead_letters.total()
        exit(chief)
        await wait_exit(chief)
    assert len(ending) == 50
    assert dead_letters.total() == before  # nobody is told of their ends who does not listen


@each_loop
@pytest.mark.parametrize("cancelled", [False, True])
def test_who_does_not_end_in_its_time_is_killed(simulated: Any, cancelled: bool) -> None:
    class Clings(Puppet):
        async def terminate(self, reason: str, state: Any) -> None:
            began = anyio.current_time()
            try:
                await anyio.sleep(1000)
            finally:
                took.append(round(anyio.current_time() - began, 1))

    took: list[float] = []

    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            chief = await pool(group)
            for seconds in (3, 1, 2):
                await start_child(chief, ChildSpec("it", Clings, shutdown=seconds))
            one = await start_child(chief, ChildSpec("it", Clings, shutdown=0.5))
            await terminate_child(chief, one)
            if cancelled:
                group.cancel_scope.cancel()
            else:
                exit(chief)
                assert await wait_exit(chief) == "shutdown"

    simulated(scenario)
    assert took == [0.5, 1, 2, 3]


@pytest.mark.parametrize("restarting", [False, True])
async def test_who_is_still_starting_ends_with_the_supervisor(
    gate: type[Gate], restarting: bool
) -> None:
    outcomes: list[Any] = []

    async def start(chief: Any) -> None:
        try:
            await start_child(chief, ChildSpec("gate", gate, register_as="gate"))
        except Exception as error:
            outcomes.append(error)

    async with running() as group:
        chief = await pool(group)
        if restarting:
            gate.opened.set()
            await start(chief)
            gate.opened = anyio.Event()
            exit("gate")
        else:
            group.start_soon(start, chief)
        await anyio.wait_all_tasks_blocked()
        assert gate.begun == 1 + restarting
        exit(chief)
        await wait_exit(chief)
        assert whereis("gate") is None
        assert processes() == []
    assert len(outcomes) == (0 if restarting else 1)


@pytest.mark.parametrize("reason", ["shutdown", "normal", "kill", "boom"])
async def test_who_asks_is_told_why_the_supervisor_ended_meanwhile(
    gate: type[Gate], reason: str
) -> None:
    """At once, as it may be a child: it would be waited for."""
    outcomes: list[Any] = []

    class Asking(GenServer[Any, Any]):
        async def init(self) -> Any:
            return None

        async def handle_cast(self, request: Any, state: Any) -> Any:
            with anyio.CancelScope(shield=True), pytest.raises(ProcessExited) as told:
                await start_child(request, ChildSpec("gate", gate), timeout=None)
            outcomes.append((told.value.pid, str(told.value.reason)))

    async with running() as group:
        chief = await pool(group)
        await cast(await start_child(chief, ChildSpec("asking", Asking)), chief)
        await anyio.wait_all_tasks_blocked()
        assert gate.begun == 1
        exit(chief, reason)
        assert await wait_exit(chief) == reason
    assert outcomes == [(chief, reason)]


async def test_who_is_terminated_as_it_is_started_again_has_ended() -> None:
    starts: list[anyio.Event] = []
    may_end = anyio.Event()

    class Clings(Puppet):
        async def init(self) -> Any:
            starts.append(anyio.Event())
            if len(starts) > 1:
                starts[0].set()
                with anyio.CancelScope(shield=True):
                    await may_end.wait()

    async def terminate() -> None:
        await terminate_child(chief, pid)
        assert whereis("a") is None
        gone.set()

    gone = anyio.Event()
    async with running() as group:
        chief = await pool(group, max_children=1)
        pid = await start_child(chief, ChildSpec("a", Clings, args=("a",), register_as="a"))
        await ended("a")
        await starts[0].wait()
        group.start_soon(terminate)
        await anyio.wait_all_tasks_blocked()
        assert not gone.is_set()
        assert await which_children(chief) == []
        with pytest.raises(TooManyChildren):
            await start_child(chief, puppet("b"))
        may_end.set()
        await gone.wait()
        await start_child(chief, puppet("b"))
        exit(chief)


async def test_who_has_no_time_to_start_takes_no_room(gate: type[Gate]) -> None:
    async with running() as group:
        chief = await pool(group, max_children=1)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await start_child(chief, ChildSpec("gate", gate, start_timeout=0))
        assert await which_children(chief) == []
        exit(chief)


async def test_too_many_restarts_of_all_end_it() -> None:
    async def crash_all() -> None:
        async with running() as group:
            chief = await pool(group, max_restarts=2, max_seconds=60)
            for name in "abc":
                await start_child(chief, puppet(name))
            for name in "abc":
                await ended(name)
            await wait_exit(chief)

    with pytest.raises(BaseExceptionGroup) as caught:
        await crash_all()
    [error] = caught.value.exceptions
    assert isinstance(error, MaxRestartsExceeded)
    assert (error.max_restarts, error.child) == (2, "puppet")


async def test_children_with_intensities_of_their_own_harm_nobody() -> None:
    async with running() as group:
        chief = await pool(group, max_restarts=0)
        for number in range(4):
            await start_child(chief, puppet(str(number), max_restarts=1, max_seconds=60))
        for number in range(4):
            await ended(str(number))
            await wait_registered(str(number))
        await ended("2")
        await anyio.wait_all_tasks_blocked()
        assert len(await which_children(chief)) == 3
        assert is_alive(chief)
        exit(chief)


@each_loop
def test_who_waits_to_be_restarted_is_known_by_the_pid_it_had(simulated: Any) -> None:
    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            chief = await pool(group, max_children=1)
            steady = Backoff(first=1, most=4, jitter=0)
            pid = await start_child(chief, puppet("a", backoff=steady))
            await ended("a")
            [info] = await which_children(chief)
            assert info.pid is None
            assert info.restarts_in == pytest.approx(1, abs=0.1)
            with pytest.raises(TooManyChildren):
                await start_child(chief, puppet("b"))
            await wait_registered("a", timeout=10)
            await ended("a")
            [info] = await which_children(chief)
            assert info.restarts == 1
            assert info.restarts_in == pytest.approx(2, abs=0.1)
            pid = await wait_registered("a", timeout=10)
            await ended("a")
            await terminate_child(chief, pid)
            assert await which_children(chief) == []
            await anyio.sleep(100)
            assert whereis("a") is None
            exit(chief)

    simulated(scenario)


async def test_a_name_that_a_child_has_tells_which() -> None:
    async with running() as group:
        chief = await pool(group)
        pid = await start_child(chief, puppet("a"))
        with pytest.raises(AlreadyStarted) as caught:
            await start_child(chief, puppet("a"))
        assert caught.value.pid == pid
        with pytest.raises(NameTaken, match="'a' is registered to") as taken:
            await start_child(chief, ChildSpec("another", Idle, register_as="a"))
        assert taken.value.holder is pid
        exit(chief)


async def test_who_ends_as_it_starts_leaves_nothing() -> None:
    class Brief(Idle):
        async def run(self, state: Any) -> Any:
            raise Stop

    async with running() as group:
        chief = await pool(group)
        for _ in range(5):
            await start_child(chief, ChildSpec("it", Brief, restart=RestartType.TRANSIENT))
        await anyio.wait_all_tasks_blocked()
        assert await which_children(chief) == []
        exit(chief)


async def test_a_supervisor_may_be_a_child() -> None:
    class Pair(Supervisor):
        def child_specs(self) -> list[ChildSpec]:
            return [ChildSpec(name, Puppet, register_as=name) for name in "ab"]

    async with running() as group:
        chief = await pool(group)
        pid = await start_child(chief, ChildSpec("pair", Pair))
        assert (await count_children(chief))["supervisors"] == 1
        assert [line.count("  ") for line in tree().splitlines()] == [0, 1, 2, 2]
        await terminate_child(chief, pid)
        assert whereis("a") is None
        exit(chief)


async def test_what_makes_no_sense_is_refused() -> None:
    async with running() as group:
        chief = await pool(group)
        pid = await start_child(chief, puppet("a"))
        with pytest.raises(ValueError, match="the PID of a child, got the id 'puppet'"):
            await terminate_child(chief, "puppet")
        with pytest.raises(NoChild):
            await terminate_child(chief, chief)
        for ask in (restart_child, delete_child):
            with pytest.raises(ValueError, match="it is a DynamicSupervisor"):
                await ask(chief, "puppet")
        with pytest.raises(ValueError, match="expected 'it' not to be significant"):
            await start_child(chief, ChildSpec("it", Idle, restart=TEMPORARY, significant=True))
        with pytest.raises(ValueError, match="expected a question for a supervisor"):
            await call(chief, "what")
        assert is_alive(pid)
        exit(chief)
    for came, kind in (("3", TypeError), (True, TypeError), (-1, ValueError)):
        async with running() as group:
            with pytest.raises(kind, match="expected max_children to be"):
                await pool(group, max_children=came)


async def test_a_child_that_never_failed_is_an_entry_in_a_dict() -> None:
    async def objects_each(start: Callable[[], Awaitable[object]]) -> float:
        """Return how many objects each has, at least: others may make some meanwhile."""
        rounds = []
        for _ in range(3):
            gc.collect()
            before = len(gc.get_objects())
            kept = [await start() for _ in range(10)]
            rounds.append((len(gc.get_objects()) - before - 1) / len(kept))
        return min(rounds)

    async with running() as group:
        chief = await pool(group)
        spec = ChildSpec("it", Puppet)
        await start_child(chief, spec)
        bare = await objects_each(lambda: Puppet.start(task_group=group))
        assert await objects_each(lambda: start_child(chief, spec)) <= bare + 2
        group.cancel_scope.cancel()
