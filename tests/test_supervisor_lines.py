"""Changes to children: they are made beside the supervisor's own work, each in its line."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest
from crew import Idle, Puppet, boom, pid_of, running, supervisor

from fauxtp import (
    AlreadyStarted,
    ChildSpec,
    GenServer,
    NoChild,
    ProcessExited,
    ReceiveTimeout,
    RestartStrategy,
    RestartType,
    call,
    cast,
    count_children,
    delete_child,
    exit,
    is_alive,
    restart_child,
    start_child,
    terminate_child,
    wait_exit,
    wait_registered,
    whereis,
    which_children,
)

pytestmark = pytest.mark.anyio


class Hanging(GenServer[Any, Any]):
    """Waits for ever in `init`, but for the first time."""

    begun: anyio.Event
    first = True

    async def init(self) -> Any:
        if type(self).first:
            type(self).first = False
        else:
            self.begun.set()
            await anyio.sleep_forever()
        return []


@pytest.fixture
def hanging() -> type[Hanging]:
    class Fresh(Hanging):
        begun = anyio.Event()

    return Fresh


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions wait no second for a change that hangs, as they would wait all of it."""
    monkeypatch.setattr("fauxtp._supervision.supervision.PATIENCE", 0.01)


async def crashed(name: str) -> None:
    """Let the puppet of that name crash; return when its successor has the name."""
    pid = pid_of(name)
    await cast(pid, boom)
    await wait_exit(pid)
    await wait_registered(name)


@pytest.mark.usefixtures("impatient")
async def test_a_restart_that_hangs_holds_up_no_sibling_and_no_question(
    hanging: type[Hanging],
) -> None:
    async with running() as group:
        specs = [
            ChildSpec("hanging", hanging, register_as="hanging"),
            ChildSpec("a", Puppet, args=("a", []), register_as="a"),
        ]
        chief = await supervisor(*specs).start(task_group=group)
        exit("hanging")
        await hanging.begun.wait()
        await crashed("a")
        assert (await count_children(chief))["active"] == 1
        assert [child.restarts for child in await which_children(chief)] == [1, 1]
        await terminate_child(chief, "hanging")
        assert whereis("hanging") is None


@pytest.mark.parametrize("strategy", RestartStrategy)
async def test_who_adds_a_child_that_hangs_holds_up_nobody(
    hanging: type[Hanging], strategy: RestartStrategy
) -> None:
    hanging.first = False
    outcomes: list[Exception] = []

    async def add() -> None:
        try:
            await start_child("chief", ChildSpec("hanging", hanging))
        except ProcessExited as error:
            outcomes.append(error)

    async with running() as group:
        a = ChildSpec("a", Puppet, args=("a", []), register_as="a")
        await supervisor(a, strategy=strategy).start(task_group=group, register_as="chief")
        async with anyio.create_task_group() as adding:
            adding.start_soon(add)
            await hanging.begun.wait()
            if strategy is RestartStrategy.ONE_FOR_ONE:
                await crashed("a")
            with pytest.raises(AlreadyStarted, match="has a child 'hanging' already") as caught:
                await start_child("chief", ChildSpec("hanging", Idle))
            assert caught.value.pid is None
            await terminate_child("chief", "hanging")
        assert [error.reason for error in outcomes] == ["shutdown"]  # type: ignore[attr-defined]
        await delete_child("chief", "hanging")
        assert [child.id for child in await which_children("chief")] == ["a"]


async def test_a_question_has_a_timeout(hanging: type[Hanging]) -> None:
    async def main(state: Any) -> None:
        await state.start(task_group=group, register_as="chief")

    hanging.first = False
    async with running() as group:
        group.start_soon(main, supervisor(ChildSpec("hanging", hanging)))
        await hanging.begun.wait()
        for ask in (which_children, count_children):
            with pytest.raises(ReceiveTimeout):
                await ask("chief", 0)
        for change in (terminate_child, restart_child, delete_child):
            with pytest.raises(ReceiveTimeout):
                await change("chief", "hanging", 0)
        with pytest.raises(ReceiveTimeout):
            await start_child("chief", ChildSpec("a", Idle), 0)


async def test_the_pid_of_a_child_that_is_there_is_told() -> None:
    async with running() as group:
        chief = await supervisor(ChildSpec("a", Idle)).start(task_group=group)
        [info] = await which_children(chief)
        for ask in (
            lambda: start_child(chief, ChildSpec("a", Idle)),
            lambda: restart_child(chief, "a"),
            lambda: delete_child(chief, "a"),
        ):
            with pytest.raises(AlreadyStarted, match="which is running as <PID") as caught:
                await ask()
            assert caught.value.pid is info.pid
            assert (caught.value.supervisor, caught.value.id) == (chief, "a")


@pytest.mark.parametrize("strategy", RestartStrategy)
async def test_changes_to_one_child_are_made_one_after_the_other(
    strategy: RestartStrategy,
) -> None:
    async with running() as group:
        a = ChildSpec("a", Idle, restart=RestartType.TEMPORARY)
        chief = await supervisor(a, strategy=strategy).start(task_group=group)
        outcomes: list[str] = []

        async def terminate() -> None:
            try:
                await terminate_child(chief, "a")
                outcomes.append("done")
            except NoChild:
                outcomes.append("none")

        async with anyio.create_task_group() as two:
            two.start_soon(terminate)
            two.start_soon(terminate)
        assert sorted(outcomes) == ["done", "none"]


async def test_a_restart_is_logged_and_so_is_a_child_that_is_cut_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "fauxtp")

    class Slow(Puppet):
        async def terminate(self, reason: str, state: Any) -> None:
            await anyio.sleep_forever()

    async with running() as group:
        specs = [
            ChildSpec("a", Puppet, args=("a", []), register_as="a"),
            ChildSpec("slow", Slow, args=("slow",), shutdown=0),
        ]
        chief = await supervisor(*specs).start(task_group=group, register_as="chief")
        await crashed("a")
        await which_children(chief)
        slow = (await which_children(chief))[1].pid
        assert slow is not None
        heard: list[str] = []

        async def wait() -> None:
            heard.append(await wait_exit(slow))

        async with anyio.create_task_group() as waiting:
            waiting.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            await terminate_child(chief, "slow")
        assert heard == ["killed"]
    *starts, again, restart, cut = [
        record for record in caplog.records if not record.getMessage().endswith("crashed")
    ]
    assert {(start.name, start.levelno) for start in (*starts, again)} == {
        ("fauxtp.progress", logging.DEBUG)
    }
    told = [start.getMessage().partition(" started child ")[2][:3] for start in (*starts, again)]
    assert told == ["'a'", "'sl", "'a'"]
    assert (restart.name, restart.levelno) == ("fauxtp.supervisor", logging.INFO)
    facts = restart.fauxtp  # type: ignore[attr-defined]
    new = facts["child_pid"]
    assert new == again.fauxtp["child_pid"] != starts[0].fauxtp["child_pid"]  # type: ignore[attr-defined]
    assert restart.getMessage() == (
        f"Chief 'chief' {chief!r} restarted child 'a' as Puppet 'a' {new},"
        " which ended by error: Boom(): restart 1 of 3 in 60 s"
    )
    assert (facts["child"], facts["names"], facts["child_reason"]) == (
        "a",
        ["chief"],
        "error: Boom()",
    )
    assert facts["restarts"] == {"count": 1, "most": 3, "seconds": 60.0}
    assert (cut.name, cut.levelno) == ("fauxtp.supervisor", logging.ERROR)
    assert "kills child 'slow'" in cut.getMessage()
    assert "which has not ended within its 0 s" in cut.getMessage()


@pytest.mark.usefixtures("impatient")
async def test_a_child_may_ask_its_supervisor_while_it_is_added() -> None:
    class Curious(GenServer[Any, Any]):
        async def init(self) -> Any:
            return [child.id for child in await which_children("chief")]

        async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
            return state, state

    async with running() as group:
        await supervisor(ChildSpec("a", Idle)).start(task_group=group, register_as="chief")
        pid = await start_child("chief", ChildSpec("curious", Curious))
        assert await call(pid, "whom?") == ["a", "curious"]
        assert is_alive(pid)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("strategy", RestartStrategy)
async def test_a_child_that_is_to_be_added_is_not_restarted_before(
    hanging: type[Hanging], strategy: RestartStrategy
) -> None:
    hanging.first = False
    diary: list[str] = []

    async def add() -> None:
        with pytest.raises(ProcessExited):
            await start_child("chief", ChildSpec("hanging", hanging))

    async with running() as group:
        chief = supervisor(ChildSpec("a", Puppet, args=("a", diary)), strategy=strategy)
        await chief.start(task_group=group, register_as="chief")
        async with anyio.create_task_group() as adding:
            adding.start_soon(add)
            await hanging.begun.wait()
            [a, _] = await which_children("chief")
            assert a.pid is not None
            await cast(a.pid, boom)
            await wait_exit(a.pid)
            spec = ChildSpec("b", Puppet, args=("b", diary), register_as="b")
            adding.start_soon(start_child, "chief", spec)
            await anyio.wait_all_tasks_blocked()
            await terminate_child("chief", "hanging")
        assert [child.id for child in await which_children("chief") if child.pid] == ["a", "b"]
        assert diary.count("+b") == 1


async def test_who_has_crashed_before_it_is_terminated_stays_down() -> None:
    """The supervisor may hear of the crash only while it sees to the end of the child."""
    async with running() as group:
        spec = ChildSpec("a", Puppet, register_as="a")
        chief = await supervisor(spec).start(task_group=group)
        for _ in range(100):
            async with anyio.create_task_group() as both:
                both.start_soon(terminate_child, chief, "a")
                both.start_soon(cast, "a", boom)
            assert whereis("a") is None
            await restart_child(chief, "a")
