"""States of servers, as others see and change them; servers that are suspended, and resumed."""

from __future__ import annotations

import logging
import sys
from typing import Any

import anyio
import pytest
from conftest import ASYNCIO
from crew import Boom, Idle, boom, end_of, process_of, running, supervisor

from fauxtp import (
    ANY,
    PID,
    Call,
    CallCycle,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    Mailbox,
    NoProcess,
    ProcessExited,
    ReceiveTimeout,
    Supervisor,
    call,
    cast,
    cast_nowait,
    exit,
    get_state,
    process_info,
    replace_state,
    resume,
    send_nowait,
    start_call,
    suspend,
    wait_exit,
    wait_registered,
    which_children,
)
from fauxtp.testing import explore

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("either_way")]


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


class Notes(GenServer[Any, list[Any]]):
    """Notes what it is told; waits when it is told to."""

    async def init(self) -> list[Any]:
        return []

    async def handle_call(self, request: Any, from_: Call, notes: list[Any]) -> Any:
        if callable(request):
            return await request(self), notes
        return request, [*notes, request]

    async def handle_cast(self, request: Any, notes: list[Any]) -> list[Any]:
        if isinstance(request, anyio.Event):
            await request.wait()
        if request == "crash":
            raise Boom
        return [*notes, request]


async def test_a_state_is_told_after_what_came_before() -> None:
    async with running() as group:
        notes = await Notes.start(task_group=group, register_as="notes")
        assert await get_state(notes) == []
        await cast(notes, 1)
        cast_nowait(notes, 2)
        assert await get_state("notes") == [1, 2]
        assert await get_state("notes") is process_of(notes).state
        exit(notes)


async def test_a_state_is_replaced_between_two_messages() -> None:
    async with running() as group:
        notes = await Notes.start(task_group=group)
        await cast(notes, 1)
        assert await replace_state(notes, lambda state: [*state, "by hand"]) == [1, "by hand"]
        await cast(notes, 2)
        assert await get_state(notes) == [1, "by hand", 2]
        with pytest.raises(Boom):
            await replace_state(notes, lambda state: boom())
        assert await get_state(notes) == [1, "by hand", 2]
        with pytest.raises(TypeError, match="expected change to be callable, got int"):
            await replace_state(notes, 5)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="expected change to be a function that is not async"):
            await replace_state(notes, get_state)
        exit(notes)


async def test_a_server_that_is_suspended_handles_nothing_but_what_is_asked_of_its_state() -> None:
    async with running() as group:
        notes = await Notes.start(task_group=group)
        await suspend(notes)
        await suspend(notes)
        await cast(notes, 1)
        pending = start_call(notes, 2)
        assert await get_state(notes) == []
        assert await replace_state(notes, lambda state: ["new"]) == ["new"]
        info = process_info(notes)
        assert repr(info.handling) == "Control('suspend')"
        assert info.mailbox_length == 2
        assert not pending.done
        await resume(notes)
        assert await pending == 2
        assert await get_state(notes) == ["new", 1, 2]
        await resume(notes)  # which changes nothing
        assert await call(notes, 3) == 3
        exit(notes)


async def test_a_server_that_is_suspended_can_be_ended() -> None:
    async with running() as group:
        notes = await Notes.start(task_group=group)
        await suspend(notes)
        process, pending = process_of(notes), start_call(notes, 1)
        exit(notes)
        assert await end_of(process) == "shutdown"
        with pytest.raises(ProcessExited) as raised:
            await pending
        assert not raised.value.taken_up


async def test_a_busy_server_is_waited_for_so_long() -> None:
    async with running() as group:
        notes, free = await Notes.start(task_group=group), anyio.Event()
        await cast(notes, free)
        for asks in (
            get_state(notes, 0),
            replace_state(notes, lambda state: ["never"], 0),
            suspend(notes, 0),
            resume(notes, 0),
        ):
            with pytest.raises(ReceiveTimeout) as raised:
                await asks
            assert not raised.value.taken_up
        assert process_info(notes).mailbox_length == 0
        free.set()
        assert await get_state(notes) == [free]  # nor is it suspended
        exit(notes)


async def test_who_ends_before_is_told() -> None:
    async with running() as group:
        notes, free = await Notes.start(task_group=group), anyio.Event()
        await cast(notes, free)
        await cast(notes, "crash")
        errors: list[Exception] = []

        async def ask() -> None:
            try:
                await get_state(notes)
            except ProcessExited as error:
                errors.append(error)

        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        free.set()
        await wait_exit(notes)
        await anyio.wait_all_tasks_blocked()
        [error] = errors
        assert isinstance(error.__cause__, Boom)
        with pytest.raises(NoProcess):
            await get_state(notes)


async def test_there_is_room_for_it_in_a_full_mailbox() -> None:
    class Narrow(Notes):
        mailbox_size = 1

    async with running() as group:
        narrow = await Narrow.start(task_group=group)
        await suspend(narrow)
        cast_nowait(narrow, 1)
        with anyio.fail_after(10):
            assert await get_state(narrow) == []
            await resume(narrow)
            assert await get_state(narrow) == [1]
        exit(narrow)


async def test_a_server_cannot_ask_itself() -> None:
    async def itself(server: Notes) -> str:
        with pytest.raises(CallCycle):
            await get_state(server.pid)
        return "told"

    async with running() as group:
        notes = await Notes.start(task_group=group)
        assert await call(notes, itself) == "told"
        exit(notes)


async def test_only_what_serves_has_such_a_state() -> None:
    mailbox = Mailbox()
    async with running() as group:
        idle = await Idle.start(task_group=group)
        with pytest.raises(TypeError, match="expected a server, got Idle"):
            await get_state(idle)
        for nobody in ("nobody", PID(), mailbox.pid):
            with pytest.raises(NoProcess):
                await suspend(nobody)
        with pytest.raises(TypeError, match="expected a PID or a name"):
            await resume(5)  # type: ignore[arg-type]
        exit(idle)


async def test_a_server_with_a_run_of_its_own_is_asked_in_its_rounds() -> None:
    class Own(Notes):
        async def run(self, notes: list[Any]) -> list[Any]:
            return [*await super().run(notes), "round"]

    async with running() as group:
        own = await Own.start(task_group=group)
        await cast(own, 1)
        assert await get_state(own) == [1, "round"]
        await suspend(own)
        await cast(own, 2)
        assert 2 not in await get_state(own)
        await resume(own)
        assert 2 in await get_state(own)
        exit(own)


@pytest.mark.parametrize("matcher", [str, ANY])
async def test_a_handler_that_receives_leaves_it_for_later(matcher: Any) -> None:
    class Receives(Notes):
        async def handle_cast(self, request: Any, notes: list[Any]) -> list[Any]:
            return [*notes, await self.receive((matcher, lambda text: text.upper()))]

    async with running() as group:
        receives = await Receives.start(task_group=group)
        await cast(receives, 1)
        states: list[Any] = []

        async def ask() -> None:
            states.append(await get_state(receives))

        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert states == []
        send_nowait(receives, "one")
        await anyio.wait_all_tasks_blocked()
        assert states == [["ONE"]]
        exit(receives)


@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
async def test_a_supervisor_is_a_server(kind: type[Supervisor]) -> None:
    class Chief(kind):  # type: ignore[misc, valid-type]
        async def init(self) -> Any:
            return {"spare": 3}

    async with running() as group:
        chief = await Chief.start(task_group=group)
        assert await get_state(chief) == {"spare": 3}
        assert await replace_state(chief, lambda state: {**state, "spare": 2}) == {"spare": 2}
        assert await which_children(chief) == []
        exit(chief)


async def test_a_supervisor_that_is_suspended_restarts_nobody_until_it_goes_on() -> None:
    async with running() as group:
        chief = await supervisor(ChildSpec("notes", Notes, register_as="notes")).start(
            task_group=group
        )
        first = await wait_registered("notes")
        await suspend(chief)
        exit(first)
        await wait_exit(first)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(ReceiveTimeout):
            await wait_registered("notes", 0)
        await resume(chief)
        assert await wait_registered("notes") is not first
        exit(chief)


class Login(GenServer[Any, dict[str, str]]):
    async def init(self) -> dict[str, str]:
        return {"user": "anna", "password": "secret"}

    async def handle_cast(self, request: Any, state: dict[str, str]) -> dict[str, str]:
        raise Boom

    def format_state(self, state: dict[str, str]) -> Any:
        if "password" not in state:
            raise KeyError("password")
        return {**state, "password": "…"}


async def crash_of(
    server: type[GenServer[Any, Any]], caplog: pytest.LogCaptureFixture, change: Any = dict
) -> tuple[Any, list[str]]:
    """Return what a log record tells programs of a crash's state, and the notes of the error."""
    caplog.clear()
    with caplog.at_level(logging.ERROR, "fauxtp"):
        async with running() as group:
            pid = await server.start(task_group=group)
            process = process_of(pid)
            await replace_state(pid, change)
            await cast(pid, ("log in", "x"))
            error = (await end_of(process)).exception
    [record] = caplog.records
    facts: Any = record
    return facts.fauxtp.get("state"), getattr(error, "__notes__", [])


async def test_a_crash_tells_of_the_state_what_the_class_says(
    caplog: pytest.LogCaptureFixture,
) -> None:
    handled, text = "the message that was handled: Cast ('log in', …)", "{'user': 'anna', 'passw"
    state, notes = await crash_of(Login, caplog)
    assert state.startswith(text)
    assert notes == [handled, f"the state: {state}"]
    assert "secret" not in state

    state, notes = await crash_of(Login, caplog, lambda state: {})
    assert state == "format_state failed: KeyError('password')"
    assert notes == [handled, f"the state: {state}"]

    class Silent(Login):
        def format_state(self, state: dict[str, str]) -> Any:
            return super(Login, self).format_state(state)

    assert await crash_of(Silent, caplog) == (None, [handled])


async def test_a_format_that_cannot_be_called_is_refused_with_the_class() -> None:
    with pytest.raises(TypeError, match="format_state to be a method, got int"):
        type("Wrong", (GenServer,), {"format_state": 5})


async def _scenario() -> None:
    """While it is suspended, a server does nothing, whoever asks for what, in whichever order."""
    async with anyio.create_task_group() as group:
        notes = await Notes.start(task_group=group)

        async def write(number: int) -> None:
            await call(notes, number)

        async def take_a_break() -> None:
            await suspend(notes)
            before = await get_state(notes)
            await anyio.sleep(0.01)
            assert await get_state(notes) == before, "it went on"
            await resume(notes)

        async with anyio.create_task_group() as others:
            for number in range(4):
                others.start_soon(write, number)
            others.start_soon(take_a_break)
        assert sorted(await get_state(notes)) == [0, 1, 2, 3]
        exit(notes)


def test_a_break_is_one_under_any_schedule() -> None:
    explore(_scenario, range(150))


def test_a_break_that_is_none_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    controlling = sys.modules["fauxtp._actors.controlling"]
    obeyed = controlling._obeyed

    def forgets(*arguments: Any) -> bool:
        obeyed(*arguments)
        return False

    monkeypatch.setattr(controlling, "_obeyed", forgets)
    with pytest.raises(AssertionError, match="it went on"):
        explore(_scenario, range(150))
