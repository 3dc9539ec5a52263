"""What a server does before the next message, as a handler or `init` has left it to be done."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
import pytest
from conftest import ASYNCIO
from crew import Boom, end_of, process_of, running, supervisor

from fauxtp import (
    NO_REPLY,
    Call,
    ChildSpec,
    Continue,
    DynamicSupervisor,
    GenServer,
    Raise,
    Stop,
    Supervisor,
    call,
    cast,
    exit,
    process_info,
    reply,
    send,
    wait_exit,
    wait_registered,
)
from fauxtp.testing import explore

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


AGAIN = Continue("again")


class Diary(GenServer[Any, Any]):
    """Notes what it handles, in order; goes on as it is told to."""

    first: tuple[Continue, ...] = ()

    async def init(self) -> Any:
        return ([], *self.first) if self.first else []

    async def handle_call(self, request: Any, from_: Call, diary: Any) -> Any:
        match request:
            case "read":
                return diary, diary
            case "later":
                return NO_REPLY, [*diary, "later"], Continue(from_)
            case "refuse":
                return Raise(Boom("refused")), [*diary, "refuse"], Continue("refused")
            case ("slowly", what):
                await anyio.sleep(0)
                return what, [*diary, what], Continue(f"{what}, then")
            case ("very slowly", what):
                await anyio.sleep(0.001)
                return what, [*diary, what], Continue(f"{what}, then")
            case what:
                return what, [*diary, what], Continue(f"{what}, then")

    async def handle_cast(self, request: Any, diary: Any) -> Any:
        return [*diary, request], Continue(f"{request}, then")

    async def handle_info(self, message: Any, diary: Any) -> Any:
        return await self.handle_cast(message, diary)

    async def handle_continue(self, request: Any, diary: Any) -> Any:
        match request:
            case Call():
                reply(request, "at last")
                return diary
            case "again":
                again = diary.count("again") < 200
                return ([*diary, "again"], AGAIN) if again else diary
            case "crash, then":
                raise Boom
            case "stop, then":
                return Stop("enough")
        return [*diary, request]


@pytest.mark.usefixtures("either_way")
async def test_it_comes_before_the_next_message() -> None:
    async with running() as group:
        diary = await Diary.start(task_group=group)
        await cast(diary, 1)
        await send(diary, 2)
        assert await call(diary, 3) == 3
        assert await call(diary, ("slowly", 4)) == 4
        assert await call(diary, ("very slowly", 5)) == 5
        assert await call(diary, "later") == "at last"
        with pytest.raises(Boom, match="refused"):
            await call(diary, "refuse")
        await cast(diary, 6)
        expected: list[Any] = []
        for number in range(1, 6):
            expected += [number, f"{number}, then"]
        expected += ["later", "refuse", "refused", 6, "6, then"]
        assert await call(diary, "read") == expected
        exit(diary)


async def test_who_starts_a_server_does_not_wait_for_what_it_does_first() -> None:
    started = anyio.Event()

    class Slow(Diary):
        first = (Continue("first"),)

        async def handle_continue(self, request: Any, diary: Any) -> Any:
            await started.wait()
            return [*diary, request]

    async with running() as group:
        with anyio.fail_after(10):
            slow = await Slow.start(task_group=group)
        await cast(slow, 1)
        started.set()
        assert await call(slow, "read") == ["first", 1, "1, then"]
        exit(slow)


async def test_it_may_go_on_and_on_and_others_run_meanwhile() -> None:
    class Tireless(Diary):
        first = (AGAIN,)

        async def handle_continue(self, request: Any, diary: Any) -> Any:
            return diary, AGAIN

    async with running() as group:
        patient = await Diary.start(task_group=group)
        await cast(patient, "again")
        tireless = await Tireless.start(task_group=group)
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        assert process_info(tireless).handling.request == "again"
        exit(tireless)
        assert await wait_exit(tireless) == "shutdown"

        class Counting(Diary):
            first = (AGAIN,)

        counting = await Counting.start(task_group=group)
        assert (await call(counting, "read")).count("again") == 200
        exit(counting)
        exit(patient)


@pytest.mark.parametrize(("what", "reason"), [("crash", "Boom"), ("stop", "enough")])
async def test_it_may_end_the_server_which_has_answered_before(what: str, reason: str) -> None:
    async with running() as group:
        diary = await Diary.start(task_group=group)
        process = process_of(diary)
        assert await call(diary, what) == what
        assert reason in str(await end_of(process))


async def test_who_is_to_end_does_not_begin_with_it() -> None:
    class Ending(Diary):
        async def handle_cast(self, request: Any, diary: Any) -> Any:
            exit(self.pid)
            return diary, Continue("never")

        async def handle_continue(self, request: Any, diary: Any) -> Any:
            begun.append(request)
            return diary

    begun: list[Any] = []
    async with running() as group:
        ending = await Ending.start(task_group=group)
        await cast(ending, 1)
        assert await wait_exit(ending) == "shutdown"
    assert begun == []


async def test_a_server_without_a_handler_for_it_crashes() -> None:
    class Forgetful(GenServer[Any, Any]):
        async def handle_cast(self, request: Any, state: Any) -> Any:
            return state, Continue("what?")

    async with running() as group:
        forgetful = await Forgetful.start(task_group=group)
        await cast(forgetful, 1)
        reason = await wait_exit(forgetful)
        assert "Forgetful has no handle_continue for str" in str(reason.exception)


async def test_a_state_that_is_forgotten_in_it_is_an_error_that_names_it() -> None:
    class Forgetful(Diary):
        async def handle_continue(self, request: Any, diary: Any) -> Any:
            return None

    async with running() as group:
        forgetful = await Forgetful.start(task_group=group)
        await cast(forgetful, 1)
        reason = await wait_exit(forgetful)
        assert "Forgetful.handle_continue to return the state" in str(reason.exception)


@pytest.mark.parametrize("result", [(1, 2, 3), (1, 2, 3, Continue(1)), (1,), Continue(1), [1, 2]])
async def test_what_is_no_answer_is_refused_as_before(result: Any) -> None:
    class Odd(GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            return result

    async with running() as group:
        odd = await Odd.start(task_group=group)
        with pytest.raises(Exception, match="exited") as raised:
            await call(odd, 1)
        assert "Odd.handle_call to return (reply, state)" in str(raised.value.__cause__)


async def test_states_that_are_tuples_stay_what_they_are() -> None:
    class Pair(GenServer[Any, tuple[Any, ...]]):
        async def init(self) -> tuple[Any, ...]:
            return 1, 2

        async def handle_call(self, request: Any, from_: Call, state: tuple[Any, ...]) -> Any:
            return state, state

        async def handle_cast(self, request: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
            return (*state, request)

    async with running() as group:
        pair = await Pair.start(task_group=group)
        await cast(pair, 3)
        await cast(pair, 4)
        assert await call(pair, "read") == (1, 2, 3, 4)
        exit(pair)


async def test_a_server_with_a_run_of_its_own_goes_on_too() -> None:
    class Own(Diary):
        first = (Continue("first"),)

        async def run(self, diary: Any) -> Any:
            return [*await super().run(diary), "round"]

    async with running() as group:
        own = await Own.start(task_group=group)
        await cast(own, 1)
        diary = await call(own, "read")
        assert diary == ["first", 1, "1, then", "round"]
        exit(own)


@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
async def test_a_supervisor_goes_on_too(kind: type[Supervisor]) -> None:
    class Chief(kind):  # type: ignore[misc, valid-type]
        async def init(self) -> Any:
            return ["begun"], Continue("first")

        async def handle_continue(self, request: Any, diary: Any) -> Any:
            return [*diary, request]

        async def handle_cast(self, request: Any, diary: Any) -> Any:
            return [*diary, request], Continue("then")

        async def handle_call(self, request: Any, from_: Call, diary: Any) -> Any:
            return diary, diary

    async with running() as group:
        chief = await Chief.start(task_group=group)
        await cast(chief, 1)
        assert await call(chief, "read") == ["begun", "first", 1, "then"]
        exit(chief)


async def test_a_server_that_is_restarted_does_it_again() -> None:
    class Loading(Diary):
        first = (Continue("load"),)

    async with running() as group:
        spec = ChildSpec("diary", Loading, register_as="diary")
        chief = await supervisor(spec).start(task_group=group)
        first = await wait_registered("diary")
        await cast("diary", "crash")
        await wait_exit(first)
        await wait_registered("diary")
        assert await call("diary", "read") == ["load"]
        exit(chief)


def test_it_shows() -> None:
    assert repr(Continue("load")) == "Continue('load')"
    match Continue("load"):
        case Continue(request):
            assert request == "load"


async def _pairs() -> None:
    """Whoever calls, casts and ends: each message has its continuation right behind it."""

    async def talk(diary: Any, number: int) -> None:
        await cast(diary, number)
        assert await call(diary, ("slowly", -number)) == -number

    async with anyio.create_task_group() as group:
        diary = await Diary.start(task_group=group)
        async with anyio.create_task_group() as talkers:
            for number in range(1, 4):
                talkers.start_soon(talk, diary, number)
        noted = await call(diary, "read")
        assert sorted(map(str, noted[::2])) == sorted(map(str, (1, 2, 3, -1, -2, -3)))
        assert noted[1::2] == [f"{what}, then" for what in noted[::2]]
        exit(diary)


@pytest.mark.usefixtures("either_way")
def test_nothing_comes_in_between_under_any_schedule() -> None:
    explore(_pairs, seeds=range(200))


def test_a_continuation_that_is_sent_instead_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def by_mail(self: Any, request: Any, diary: Any) -> Any:
        await send(self.pid, partial(str, f"{request}, then"))
        return [*diary, request]

    async def noted(self: Any, message: Any, diary: Any) -> Any:
        return [*diary, message()]

    monkeypatch.setattr(Diary, "handle_cast", by_mail)
    monkeypatch.setattr(Diary, "handle_info", noted)
    with pytest.raises(AssertionError):
        explore(_pairs, seeds=range(200))
