"""Who traps exits, and is ended by its supervisor, handles what came before that."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from conftest import ASYNCIO, PATIENCE, task_group
from crew import Boom, Puppet, Trapper, boom, end_of, pid_of, process_of, supervisor

import fauxtp
from fauxtp import (
    ANY,
    PID,
    Actor,
    AutoShutdown,
    Call,
    Cast,
    ChildSpec,
    DynamicSupervisor,
    Exit,
    GenServer,
    NoProcess,
    OnDemand,
    ProcessExited,
    Reply,
    RestartStrategy,
    RestartType,
    StateMachine,
    Stop,
    Supervisor,
    call,
    cast,
    dead_letters,
    exit,
    is_alive,
    resume,
    run_task,
    send,
    start_call,
    start_child,
    suspend,
    terminate_child,
    wait_exit,
    which_children,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("either_way")]


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Each kind of event loop."""
    return request.param


class Gate:
    """What a handler waits at, and what those have noted that have ended."""

    def __init__(self) -> None:
        self.reached, self.opens = anyio.Event(), anyio.Event()
        self.ends: list[tuple[str, list[Any]]] = []

    async def pass_it(self, request: Any) -> None:
        if request == "gate":
            self.reached.set()
            await self.opens.wait()


class Keeper(GenServer[Any, Any]):
    """Keeps what it is sent."""

    trap_exit = True

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    async def init(self) -> list[Any]:
        return []

    async def handle_call(self, request: Any, from_: Call, kept: list[Any]) -> Any:
        await self.gate.pass_it(request)
        return request, [*kept, request]

    async def handle_cast(self, request: Any, kept: list[Any]) -> list[Any]:
        await self.gate.pass_it(request)
        return [*kept, request]

    async def handle_info(self, message: Any, kept: list[Any]) -> list[Any]:
        return [*kept, message]

    async def terminate(self, reason: str, kept: list[Any]) -> None:
        self.gate.ends.append((reason, kept))


class SmallKeeper(Keeper):
    """Has room for so many messages that nobody else's has any."""

    mailbox_size = 4


class RestingKeeper(Keeper):
    """Would end if nobody wanted anything of it."""

    idle_timeout = PATIENCE


class KeepingMachine(StateMachine[str, list[Any]]):
    """Does the same, as a state machine."""

    trap_exit = True

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    async def init(self) -> Any:
        return "open", []

    async def in_open(self, event: Any, kept: list[Any]) -> Any:
        request = event.request if isinstance(event, (Call, Cast)) else event
        await self.gate.pass_it(request)
        kept = [*kept, request]
        return ("open", kept, Reply(event, request)) if type(event) is Call else ("open", kept)

    async def terminate(self, reason: str, state: Any) -> None:
        self.gate.ends.append((reason, state[1]))


KINDS = [Keeper, SmallKeeper, RestingKeeper, KeepingMachine]


# How it is ended


async def by_the_end_of_its_supervisor(chief: PID) -> None:
    exit(chief)


async def by_hand(chief: PID) -> None:
    await terminate_child(chief, "keeper")


async def with_a_sibling(chief: PID) -> None:
    await cast("sibling", boom)


async def with_who_is_significant(chief: PID) -> None:
    exit("sibling", "over")


class All(DynamicSupervisor):
    """Stops all at once."""


async def by_hand_among_many(chief: PID) -> None:
    await terminate_child("many", pid_of("keeper"))


async def two_levels_up(chief: PID) -> None:
    exit(chief)


End = Callable[[PID], Coroutine[Any, Any, None]]
ENDS: list[End] = [
    by_the_end_of_its_supervisor,
    by_hand,
    with_a_sibling,
    with_who_is_significant,
    by_hand_among_many,
    two_levels_up,
]
EACH = [*((kind, by_hand) for kind in KINDS), *((Keeper, end) for end in ENDS if end != by_hand)]


async def started(spec: ChildSpec, end: End, group: Any) -> PID:
    """Start the child of `spec` so that `end` ends it, and return the PID at the top."""
    if end in (by_hand_among_many, two_levels_up):
        many = ChildSpec("many", All, register_as="many", shutdown=PATIENCE)
        chief = await supervisor(many).start(task_group=group)
        await start_child("many", replace(spec, restart=RestartType.TEMPORARY))
        return chief
    sibling = ChildSpec(
        "sibling",
        Puppet,
        register_as="sibling",
        significant=end is with_who_is_significant,
        restart=RestartType.TEMPORARY if end is with_who_is_significant else RestartType.PERMANENT,
    )
    kind = supervisor(spec, sibling, strategy=RestartStrategy.ONE_FOR_ALL)
    if end is with_who_is_significant:
        kind.auto_shutdown = AutoShutdown.ANY_SIGNIFICANT
    return await kind.start(task_group=group)


async def asked_as_it_is_ended(pid: PID, failures: list[ProcessExited]) -> None:
    with pytest.raises(ProcessExited) as failed:
        await call(pid, "late", timeout=None)
    failures.append(failed.value)


@pytest.mark.parametrize(("kind", "end"), EACH)
@pytest.mark.parametrize("begin", [call, cast])
async def test_what_came_before_the_end_is_handled_and_what_came_after_is_not(
    kind: type[Actor], end: End, begin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    gate, failures = Gate(), list[ProcessExited]()
    spec = ChildSpec("keeper", kind, args=(gate,), register_as="keeper", shutdown=PATIENCE)
    async with task_group() as group:
        chief = await started(spec, end, group)
        keeper = process_of(pid_of("keeper"))
        group.start_soon(begin, keeper.pid, "gate")
        await gate.reached.wait()
        await cast(keeper.pid, "cast")
        pending = start_call(keeper.pid, "called")
        await send(keeper.pid, "sent")
        await cast(keeper.pid, "the last")
        group.start_soon(end, chief)
        await anyio.wait_all_tasks_blocked()
        assert not gate.ends
        group.start_soon(asked_as_it_is_ended, keeper.pid, failures)
        await anyio.wait_all_tasks_blocked()
        gate.opens.set()
        assert await end_of(keeper) == "shutdown"
        assert await pending == "called"
        assert gate.ends == [("shutdown", ["gate", "cast", "called", "sent", "the last"])]
        await anyio.wait_all_tasks_blocked()
        assert [failure.taken_up for failure in failures] == [False]
        assert "killed" not in caplog.text


@pytest.mark.parametrize(("kind", "end"), EACH)
async def test_who_is_idle_ends_at_once(kind: type[Actor], end: End) -> None:
    gate = Gate()
    spec = ChildSpec("keeper", kind, args=(gate,), register_as="keeper", shutdown=PATIENCE)
    async with task_group() as group:
        chief = await started(spec, end, group)
        keeper = process_of(pid_of("keeper"))
        await end(chief)
        assert await end_of(keeper) == "shutdown"
        assert gate.ends == [("shutdown", [])]


async def test_what_lies_before_one_that_does_not_trap_exits_is_dropped() -> None:
    class Forgetful(Keeper):
        trap_exit = False

    gate, letters = Gate(), list[Any]()
    spec = ChildSpec("keeper", Forgetful, args=(gate,), register_as="keeper", shutdown=PATIENCE)
    async with task_group() as group:
        chief = await started(spec, by_hand, group)
        await cast("keeper", "gate")
        await gate.reached.wait()
        await cast("keeper", "cast")
        pending = start_call("keeper", "called")
        with dead_letters.observed_by(letters.append):
            await terminate_child(chief, "keeper")
        assert gate.ends == [("shutdown", [])]
        assert [(repr(one.message), one.reason) for one in letters] == [("Cast('cast')", "exited")]
        with pytest.raises(ProcessExited) as failed:
            await pending
        assert not failed.value.taken_up


# Each that stands in the way


@pytest.mark.parametrize("begin", [call, cast])
async def test_a_handler_that_hangs_is_cancelled_when_the_time_is_over(
    begin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    spec = ChildSpec("keeper", Keeper, args=(gate,), register_as="keeper", shutdown=0.01)
    async with task_group() as group:
        chief = await started(spec, by_hand, group)
        keeper = process_of(pid_of("keeper"))
        first = None if begin is cast else start_call("keeper", "gate")
        if begin is cast:
            await cast("keeper", "gate")
        await gate.reached.wait()
        behind = start_call("keeper", "behind")
        await terminate_child(chief, "keeper")
        assert await end_of(keeper) == "killed"
        assert gate.ends == [("shutdown", [])]
        assert "has not ended within its 0.01 s" in caplog.text
        for pending, taken_up in ((first, True), (behind, False)):
            if pending is not None:
                with pytest.raises(ProcessExited) as failed:
                    await pending
                assert failed.value.taken_up is taken_up


async def test_a_child_without_time_is_cancelled_at_once() -> None:
    gate = Gate()
    spec = ChildSpec("keeper", Keeper, args=(gate,), register_as="keeper", shutdown=0)
    async with task_group() as group:
        chief = await started(spec, by_hand, group)
        await cast("keeper", "gate")
        await gate.reached.wait()
        await terminate_child(chief, "keeper")
        assert gate.ends == [("shutdown", [])]


@pytest.mark.parametrize("kind", KINDS)
async def test_one_that_is_suspended_goes_on_to_its_end(kind: type[Actor]) -> None:
    gate = Gate()
    spec = ChildSpec("keeper", kind, args=(gate,), register_as="keeper", shutdown=PATIENCE)
    async with task_group() as group:
        chief = await started(spec, by_hand, group)
        await suspend("keeper")
        await cast("keeper", "cast")
        pending = start_call("keeper", "called")
        await terminate_child(chief, "keeper")
        assert gate.ends == [("shutdown", ["cast", "called"])]
        assert await pending == "called"


async def test_one_that_is_to_be_suspended_first_goes_on_to_its_end() -> None:
    gate = Gate()
    spec = ChildSpec("keeper", Keeper, args=(gate,), register_as="keeper", shutdown=PATIENCE)
    async with task_group() as group:
        chief = await started(spec, by_hand, group)
        await cast("keeper", "gate")
        await gate.reached.wait()
        group.start_soon(suspend, "keeper")
        await anyio.wait_all_tasks_blocked()
        await cast("keeper", "cast")
        group.start_soon(terminate_child, chief, "keeper")
        await anyio.wait_all_tasks_blocked()
        gate.opens.set()
        await wait_exit("keeper")
        assert gate.ends == [("shutdown", ["gate", "cast"])]


async def test_one_that_was_resumed_as_it_was_to_end_ends() -> None:
    gate = Gate()
    spec = ChildSpec("keeper", Keeper, args=(gate,), register_as="keeper", shutdown=PATIENCE)
    async with task_group() as group:
        chief = await started(spec, by_hand, group)
        await suspend("keeper")
        group.start_soon(terminate_child, chief, "keeper")
        group.start_soon(resume, "keeper")
        await wait_exit("keeper")
        await anyio.wait_all_tasks_blocked()
        assert gate.ends == [("shutdown", [])]


async def test_an_init_is_cancelled_at_once() -> None:
    begun, cancelled = anyio.Event(), list[bool]()

    class Slow(Trapper):
        async def init(self) -> None:
            begun.set()
            try:
                await anyio.sleep_forever()
            finally:
                cancelled.append(True)

    async def add() -> None:
        with pytest.raises(ProcessExited):
            await start_child(chief, ChildSpec("slow", Slow, shutdown=PATIENCE))

    async with task_group() as group:
        chief = await supervisor().start(task_group=group)
        group.start_soon(add)
        await begun.wait()
        exit(chief)
        await wait_exit(chief)
        assert cancelled == [True]


async def test_what_init_has_left_for_later_is_done() -> None:
    gate = Gate()

    class Loads(Keeper):
        async def init(self) -> Any:
            return [], fauxtp.Continue("load")

        async def handle_continue(self, request: Any, kept: list[Any]) -> list[Any]:
            await self.gate.pass_it("gate")
            return [*kept, request]

    spec = ChildSpec("keeper", Loads, args=(gate,), register_as="keeper", shutdown=PATIENCE)
    async with task_group() as group:
        chief = await started(spec, by_hand, group)
        await gate.reached.wait()
        group.start_soon(terminate_child, chief, "keeper")
        await anyio.wait_all_tasks_blocked()
        gate.opens.set()
        await wait_exit("keeper")
        assert gate.ends == [("shutdown", ["load"])]


async def test_one_that_waits_in_a_call_has_its_answer_first() -> None:
    gate, mine = Gate(), Gate()

    class Asks(Keeper):
        async def handle_cast(self, request: Any, kept: list[Any]) -> list[Any]:
            return [*kept, await call("other", request, timeout=None)]

    async with task_group() as group:
        await Keeper.start(gate, task_group=group, register_as="other")
        spec = ChildSpec("keeper", Asks, args=(mine,), register_as="keeper", shutdown=PATIENCE)
        chief = await started(spec, by_hand, group)
        await cast("keeper", "gate")
        await gate.reached.wait()
        group.start_soon(terminate_child, chief, "keeper")
        await anyio.wait_all_tasks_blocked()
        gate.opens.set()
        await wait_exit("keeper")
        assert mine.ends == [("shutdown", ["gate"])]


async def test_a_handler_that_receives_takes_no_end_for_a_message() -> None:
    gate = Gate()

    class Receives(Keeper):
        async def handle_cast(self, request: Any, kept: list[Any]) -> list[Any]:
            self.gate.reached.set()
            return [*kept, await self.receive((ANY, lambda message: message))]

    spec = ChildSpec("keeper", Receives, args=(gate,), register_as="keeper", shutdown=PATIENCE)
    async with task_group() as group:
        chief = await started(spec, by_hand, group)
        await cast("keeper", "receive")
        await gate.reached.wait()
        group.start_soon(terminate_child, chief, "keeper")
        await anyio.wait_all_tasks_blocked()
        await send("keeper", "hello")
        await wait_exit("keeper")
        assert gate.ends == [("shutdown", ["hello"])]


async def test_a_crash_before_the_end_is_a_crash(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()

    class Crashes(Keeper):
        async def handle_cast(self, request: Any, kept: list[Any]) -> list[Any]:
            if request == "crash":
                raise Boom
            return await super().handle_cast(request, kept)

    spec = ChildSpec("keeper", Crashes, args=(gate,), register_as="keeper", shutdown=PATIENCE)
    async with task_group() as group:
        chief = await started(spec, by_hand, group)
        keeper = process_of(pid_of("keeper"))
        for request in ("gate", "crash", "never handled"):
            await cast("keeper", request)
        await gate.reached.wait()
        group.start_soon(terminate_child, chief, "keeper")
        await anyio.wait_all_tasks_blocked()
        gate.opens.set()
        assert isinstance((await end_of(keeper)).exception, Boom)
        assert [kept for _, kept in gate.ends] == [["gate"]]
        assert caplog.text.count("crashed") == 1
        assert [child.pid for child in await which_children(chief) if child.id == "keeper"] == [
            None
        ]


async def test_who_ends_by_itself_before_the_end_has_a_normal_one() -> None:
    gate = Gate()

    class Stops(Keeper):
        async def handle_cast(self, request: Any, kept: Any) -> Any:
            await super().handle_cast(request, kept)
            return Stop("done")

    spec = ChildSpec("keeper", Stops, args=(gate,), register_as="keeper", shutdown=PATIENCE)
    async with task_group() as group:
        chief = await started(spec, by_hand, group)
        keeper = process_of(pid_of("keeper"))
        await cast("keeper", "gate")
        await gate.reached.wait()
        group.start_soon(terminate_child, chief, "keeper")
        await anyio.wait_all_tasks_blocked()
        gate.opens.set()
        assert await end_of(keeper) == "done"


async def test_who_is_killed_meanwhile_handles_nothing_more() -> None:
    gate = Gate()
    spec = ChildSpec("keeper", Keeper, args=(gate,), register_as="keeper", shutdown=PATIENCE)
    async with task_group() as group:
        chief = await started(spec, by_hand, group)
        await cast("keeper", "gate")
        await gate.reached.wait()
        await cast("keeper", "cast")
        group.start_soon(terminate_child, chief, "keeper")
        await anyio.wait_all_tasks_blocked()
        exit("keeper", "kill")
        await wait_exit("keeper")
        assert [kept for _, kept in gate.ends] == [[]]


async def test_who_is_told_twice_ends_once() -> None:
    gate = Gate()
    spec = ChildSpec("keeper", Keeper, args=(gate,), register_as="keeper", shutdown=PATIENCE)
    async with task_group() as group:
        chief = await started(spec, by_hand, group)
        await cast("keeper", "gate")
        await gate.reached.wait()
        await cast("keeper", "cast")
        terminating = anyio.Event()

        async def terminate() -> None:
            terminating.set()
            with pytest.raises(ProcessExited):
                await terminate_child(chief, "keeper", timeout=None)

        group.start_soon(terminate)
        await anyio.wait_all_tasks_blocked()
        exit(chief)
        await anyio.wait_all_tasks_blocked()
        gate.opens.set()
        await wait_exit(chief)
        assert gate.ends == [("shutdown", ["gate", "cast"])]


# Who is no such server


class Alone(Actor):
    """Is told of its end, and notes that."""

    trap_exit = True

    def __init__(self, heard: list[Exit]) -> None:
        self.heard = heard

    async def run(self, state: Any) -> Any:
        await self.receive((Exit, self.hear))

    def hear(self, told: Exit) -> None:
        self.heard.append(told)
        self.stop()


class Own(GenServer[Any, Any]):
    """A server that does the same: nobody else looks into its mailbox."""

    trap_exit = True

    def __init__(self, heard: list[Exit]) -> None:
        self.heard = heard

    async def run(self, state: Any) -> Any:
        await self.receive((Exit, self.heard.append))
        self.stop()


class Deaf(Alone):
    """Does not look into its mailbox."""

    async def run(self, state: Any) -> Any:
        await anyio.sleep_forever()


@pytest.mark.parametrize("kind", [Alone, Own])
@pytest.mark.parametrize("end", ENDS)
async def test_who_receives_by_itself_is_told_by_whom_it_is_ended(
    kind: type[Actor], end: End
) -> None:
    heard: list[Exit] = []
    spec = ChildSpec("keeper", kind, args=(heard,), register_as="keeper", shutdown=PATIENCE)
    async with task_group() as group:
        chief = await started(spec, end, group)
        keeper = process_of(pid_of("keeper"))
        await end(chief)
        assert await end_of(keeper) == "normal"
        assert heard[0] == Exit(keeper.supervisor, heard[0].reason)
        assert (heard[0].reason, heard[0].reason.abnormal) == ("shutdown", False)


async def test_who_does_not_listen_is_killed_when_its_time_is_over() -> None:
    heard: list[Exit] = []
    spec = ChildSpec("keeper", Deaf, args=(heard,), register_as="keeper", shutdown=0.01)
    async with task_group() as group:
        chief = await started(spec, by_hand, group)
        keeper = process_of(pid_of("keeper"))
        await by_hand(chief)
        assert await end_of(keeper) == "killed"


async def test_an_application_of_one_process_handles_what_came_before() -> None:
    gate = Gate()
    async with fauxtp.running(Keeper, gate) as keeper:
        await cast(keeper, "cast")
        pending = start_call(keeper, "called")
    assert await pending == "called"
    assert gate.ends == [("shutdown", ["cast", "called"])]


async def test_an_application_of_one_actor_is_told_that_it_is_to_end() -> None:
    heard: list[Exit] = []
    async with fauxtp.running(Alone, heard):
        pass
    assert heard == [Exit(None, heard[0].reason)]


# Many, and in order


async def test_many_end_side_by_side() -> None:
    number, ending, all_end = 200, list[int](), anyio.Event()

    class Waits(Trapper):
        async def terminate(self, reason: str, state: Any) -> None:
            ending.append(1)
            if len(ending) == number:
                all_end.set()
            await all_end.wait()

    async with task_group() as group:
        chief = await All.start(task_group=group)
        spec = ChildSpec("one", Waits, restart=RestartType.TEMPORARY, shutdown=PATIENCE)
        for _ in range(number):
            await start_child(chief, spec)
        exit(chief)
        assert await wait_exit(chief) == "shutdown"
        assert len(ending) == number


async def test_a_supervisor_that_traps_exits_ends_its_children_in_order() -> None:
    diary: list[str] = []

    class Chief(Supervisor):
        trap_exit = True

        def child_specs(self) -> list[ChildSpec]:
            return [ChildSpec(name, Trapper, args=(name, diary)) for name in ("a", "b")]

        async def handle_cast(self, request: Any, state: Any) -> Any:
            diary.append(request)
            return state

        async def terminate(self, reason: str, state: Any) -> None:
            diary.append(f"-{reason}")

    async with task_group() as group:
        chief = ChildSpec("chief", Chief, register_as="chief", shutdown=PATIENCE)
        top = await supervisor(chief).start(task_group=group)
        await cast("chief", "cast")
        exit(top)
        await wait_exit(top)
        assert diary == ["+a", "+b", "cast", "-b", "-a", "-shutdown"]


# Started on demand


class Session(Keeper):
    """One of those that have successors."""

    def __init__(self, key: str) -> None:
        super().__init__(gates[key])

    async def handle_call(self, request: Any, from_: Call, kept: list[Any]) -> Any:
        await self.gate.pass_it(request)
        return (self.pid, [*kept, request]) if request != "stop" else Stop("normal", "stopped")


gates: dict[str, Gate] = {}


@pytest.fixture
def gate_of_anna() -> Iterator[Gate]:
    gates["anna"] = gate = Gate()
    yield gate
    del gates["anna"]


@pytest.mark.parametrize("stops", [False, True])
async def test_what_came_after_the_end_goes_to_a_successor_and_the_end_does_not(
    stops: bool, gate_of_anna: Gate
) -> None:
    gate = gate_of_anna
    sessions = OnDemand(Session, supervisor="sessions", prefix="session:")
    async with task_group() as group:
        chief = await All.start(task_group=group, register_as="sessions")
        first = await call(sessions["anna"], "hello")
        pending = [start_call(sessions["anna"], "gate")]
        await gate.reached.wait()
        pending.append(start_call(sessions["anna"], "stop" if stops else "before"))
        group.start_soon(terminate_child, chief, first)
        await anyio.wait_all_tasks_blocked()
        late = start_call(sessions["anna"], "late")
        await anyio.wait_all_tasks_blocked()
        gate.opens.set()
        assert await pending[0] is first
        assert await pending[1] == ("stopped" if stops else first)
        successor = await late
        assert successor is not first
        assert await call(sessions["anna"], "again") is successor
        await anyio.wait_all_tasks_blocked()
        assert is_alive(successor)
        reason = "normal" if stops else "shutdown"
        before = ["hello", "gate"] if stops else ["hello", "gate", "before"]
        assert gate.ends == [(reason, before)]


class Asking(Session):
    """Does what it is cast, and keeps what comes of that."""

    async def handle_cast(self, request: Any, kept: list[Any]) -> list[Any]:
        await self.gate.pass_it(request)
        if not callable(request):
            return [*kept, request]
        try:
            return [*kept, await request()]
        except Exception as error:
            return [*kept, type(error)]


@pytest.mark.parametrize("runs", ["a sibling", "a task"])
@pytest.mark.parametrize("traps", [False, True])
async def test_who_needs_another_of_a_supervisor_that_ends_is_told_at_once(
    runs: str, traps: bool, gate_of_anna: Gate
) -> None:
    gate = gate_of_anna
    sessions = OnDemand(Asking, supervisor="sessions", prefix="session:")

    async def ask() -> Any:
        if runs == "a sibling":
            return await call(sessions["bert"], "hello")
        return await run_task("sessions", anyio.lowlevel.checkpoint)

    class Chief(All):
        trap_exit = traps

    async with task_group() as group:
        above = supervisor(ChildSpec("sessions", Chief, register_as="sessions"))
        top = await above.start(task_group=group)
        await call(sessions["anna"], "hello")
        await cast(sessions["anna"], "gate")
        await gate.reached.wait()
        await cast(sessions["anna"], ask)
        await cast(sessions["anna"], "last")
        exit(top)
        await anyio.wait_all_tasks_blocked()
        gate.opens.set()
        await wait_exit(top)
    assert gate.ends == [("shutdown", ["hello", "gate", NoProcess, "last"])]
