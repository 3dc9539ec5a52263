"""Supervisors: who is started, when, and what happens when it all goes wrong."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest
from conftest import PATIENCE
from crew import Boom, Idle, Puppet, boom, crash, pid_of, running, supervisor, three

from fauxtp import (
    ChildSpec,
    FauxtpError,
    MaxRestartsExceeded,
    RestartStrategy,
    RestartType,
    Stop,
    Supervisor,
    call,
    cast,
    cast_nowait,
    delete_child,
    exit,
    is_alive,
    monitor,
    process_info,
    register,
    restart_child,
    terminate_child,
    unregister,
    wait_exit,
    wait_registered,
    whereis,
    which_children,
)
from fauxtp._actors.lifecycle import launch
from fauxtp._core.ended_loops import living

pytestmark = pytest.mark.anyio

ALL = {
    RestartStrategy.ONE_FOR_ONE: ["-b", "+b"],
    RestartStrategy.ONE_FOR_ALL: ["-b", "-c", "-a", "+a", "+b", "+c"],
    RestartStrategy.REST_FOR_ONE: ["-b", "-c", "+b", "+c"],
}


async def settled(name: str = "chief") -> None:
    """Return when the supervisor has handled what came before."""
    await which_children(name)


async def test_three_restarts_within_five_seconds_are_allowed_unless_told_otherwise() -> None:
    assert (Supervisor.max_restarts, Supervisor.max_seconds) == (3, 5.0)
    assert Supervisor.strategy is RestartStrategy.ONE_FOR_ONE


async def test_the_init_of_a_supervisor_of_yours_gives_the_state_of_its_handlers() -> None:
    class Chief(supervisor(*three([]))):  # type: ignore[misc]
        async def init(self) -> int:
            return 1

        async def handle_call(self, request: int, from_: Any, state: int) -> tuple[int, int]:
            return state, state + request

    async with running() as task_group:
        chief = await Chief.start(task_group=task_group)
        assert [await call(chief, 5), await call(chief, 5)] == [1, 6]


async def test_a_supervisor_that_has_not_started_has_no_children() -> None:
    assert supervisor(*three([]))().child("a") is None


async def test_a_restart_after_an_end_that_was_asked_for_is_told_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with running() as task_group:
        await supervisor(*three([])).start(task_group=task_group, register_as="chief")
        before = pid_of("a")
        exit("a")
        await wait_exit(before)
        await wait_registered("a")
        await settled()
    (restart,) = caplog.records
    assert (restart.name, restart.levelno) == ("fauxtp.supervisor", logging.INFO)
    assert "restarted child 'a'" in restart.getMessage()


async def test_who_ends_as_it_starts_has_ended_for_its_supervisor_too() -> None:
    class Brief(Idle):
        async def run(self, state: Any) -> Any:
            raise Stop

    async with running() as task_group:
        brief = ChildSpec("brief", Brief, restart=RestartType.TEMPORARY)
        await supervisor(brief).start(task_group=task_group, register_as="chief")
        await anyio.wait_all_tasks_blocked()
        assert await which_children("chief") == []


async def test_when_children_are_started_again_has_names_for_configurations() -> None:
    assert [RestartType(it) for it in ("permanent", "transient", "temporary")] == [*RestartType]
    names = ("one_for_one", "one_for_all", "rest_for_one")
    assert [RestartStrategy(it) for it in names] == [*RestartStrategy]


@pytest.mark.parametrize("strategy", RestartStrategy)
async def test_children_start_in_order_and_stop_in_reverse(strategy: RestartStrategy) -> None:
    diary: list[str] = []
    async with running() as task_group:
        chief = supervisor(*three(diary), strategy=strategy)
        pid = await chief.start(task_group=task_group, register_as="chief")
        assert diary == ["+a", "+b", "+c"]
        exit(pid)
        await wait_exit(pid)
        assert diary == ["+a", "+b", "+c", "-c", "-b", "-a"]


@pytest.mark.parametrize("strategy", RestartStrategy)
async def test_the_strategy_says_who_is_restarted_and_in_which_order(
    strategy: RestartStrategy,
) -> None:
    diary: list[str] = []
    async with running() as task_group:
        chief = supervisor(*three(diary), strategy=strategy)
        await chief.start(task_group=task_group, register_as="chief")
        diary.clear()
        await crash("b")
        await settled()
        assert diary == ALL[strategy]


@pytest.mark.parametrize("strategy", RestartStrategy)
@pytest.mark.parametrize("restart", RestartType)
@pytest.mark.parametrize("end", ["stop", "crash", "exit", "misleading"])
async def test_the_restart_type_says_after_which_end(
    strategy: RestartStrategy, restart: RestartType, end: str
) -> None:
    diary: list[str] = []
    async with running() as task_group:
        specs = three(diary, restart=restart)
        await supervisor(*specs, strategy=strategy).start(
            task_group=task_group, register_as="chief"
        )
        diary.clear()
        b = pid_of("b")
        puppet = next(one for one in _puppets() if one.pid is b)
        if end == "crash":
            await cast(b, boom)
        elif end == "exit":
            exit(b, "normal")  # words: it is ended against its will
        else:
            await cast(b, lambda: puppet.stop("normal" if end == "stop" else "error: crashed"))
        await wait_exit(b)
        await settled()
        abnormal = end in {"crash", "exit"}
        again = restart is RestartType.PERMANENT or (restart is RestartType.TRANSIENT and abnormal)
        assert diary == (ALL[strategy] if again else ["-b"])
        known = {child.id: child.pid for child in await which_children("chief")}
        assert ("b" in known) == (restart is not RestartType.TEMPORARY)
        assert known.get("b") is whereis("b")


def _puppets() -> list[Puppet]:
    return [one.actor for one in living() if isinstance(one.actor, Puppet)]


async def test_a_supervisor_knows_its_children_by_id() -> None:
    async with running() as task_group:
        chief = supervisor(*three([]))()
        process = await launch(chief, task_group)
        assert chief.child("b") is whereis("b")
        assert chief.child("z") is None
        assert process_info(pid_of("b")).supervisor is process.pid


async def test_the_name_of_a_child_means_the_new_process_as_soon_as_there_is_one() -> None:
    async with running() as task_group:
        await supervisor(*three([])).start(task_group=task_group)
        old = pid_of("b")
        new = await crash("b")
        assert new is not old
        assert is_alive(new)
        assert await call("b", lambda: "here") == "here"


async def test_two_that_crash_at_once_are_restarted_together_once() -> None:
    diary: list[str] = []
    async with running() as task_group:
        chief = supervisor(*three(diary), strategy=RestartStrategy.ONE_FOR_ALL, max_restarts=1)
        await chief.start(task_group=task_group, register_as="chief")
        diary.clear()
        for name in ("a", "b"):
            cast_nowait(name, boom)
        await anyio.wait_all_tasks_blocked()
        await settled()
        assert sorted(diary[:3]) == ["-a", "-b", "-c"]
        assert diary[3:] == ["+a", "+b", "+c"]


async def test_two_generations_never_live_at_once() -> None:
    alive: list[int] = []
    most: list[int] = []

    class One(Puppet):
        async def init(self) -> None:
            alive.append(1)
            most.append(len(alive))
            await anyio.sleep(0)

        async def terminate(self, reason: str, state: Any) -> None:
            for _ in range(5):
                await anyio.sleep(0)
            alive.pop()

    async with running() as task_group:
        spec = ChildSpec("one", One, register_as="one")
        await supervisor(spec, max_restarts=20).start(task_group=task_group, register_as="chief")
        for _ in range(10):
            await crash("one")
            await settled()
    assert most == [1] * 11
    assert not alive


# Failing to start


async def test_a_child_that_fails_to_start_stops_those_before_it() -> None:
    diary: list[str] = []

    class Fails(Puppet):
        async def init(self) -> None:
            raise Boom

    async with running() as task_group:
        a, b, c = three(diary)
        specs = [a, b, ChildSpec("fails", Fails), c]
        with pytest.raises(Boom):
            await supervisor(*specs).start(task_group=task_group, register_as="chief")
        assert diary == ["+a", "+b", "-b", "-a"]
        assert whereis("chief") is None


async def test_an_init_that_fails_at_restart_counts_as_one_more_crash() -> None:
    inits: list[int] = []

    class Shaky(Puppet):
        async def init(self) -> None:
            inits.append(1)
            if len(inits) in {2, 3}:
                raise Boom

    async with running() as task_group:
        spec = ChildSpec("shaky", Shaky, register_as="shaky")
        await supervisor(spec).start(task_group=task_group, register_as="chief")
        await cast("shaky", boom)
        await wait_exit("shaky")
        await settled()
        assert len(inits) == 4
        assert await call("shaky", lambda: "here") == "here"


async def test_all_that_belong_together_begin_again_if_one_fails_to() -> None:
    diary: list[str] = []

    class Shaky(Puppet):
        async def init(self) -> None:
            await super().init()
            if diary.count("+shaky") == 2:
                raise Boom

    async with running() as task_group:
        a, b, _ = three(diary)
        shaky = ChildSpec("shaky", Shaky, args=("shaky", diary))
        chief = supervisor(a, b, shaky, strategy=RestartStrategy.ONE_FOR_ALL)
        await chief.start(task_group=task_group, register_as="chief")
        diary.clear()
        diary.append("+shaky")
        await cast("a", boom)
        await wait_exit("a")
        await settled()
        assert diary[1:] == [
            *("-a", "-shaky", "-b"),
            *("+a", "+b", "+shaky", "-b", "-a"),
            *("+a", "+b", "+shaky"),
        ]


# Too many restarts


async def test_too_many_restarts_reach_the_task_group_with_the_last_crash_as_cause() -> None:
    diary: list[str] = []

    async def main() -> None:
        async with anyio.create_task_group() as task_group:
            chief = supervisor(*three(diary), max_restarts=2)
            await chief.start(task_group=task_group, register_as="chief")
            await crash("b")
            await crash("b")
            diary.clear()
            await cast("b", boom)

    with anyio.fail_after(PATIENCE), pytest.raises(ExceptionGroup) as caught:
        await main()
    [error] = caught.value.exceptions
    assert isinstance(error, MaxRestartsExceeded)
    assert (error.child, error.max_restarts) == ("b", 2)
    assert isinstance(error.__cause__, Boom)
    assert diary == ["-b", "-c", "-a"]


async def test_too_many_restarts_are_a_crash_to_the_supervisor_above() -> None:
    diary: list[str] = []

    async with running() as task_group:
        below = supervisor(*three(diary), max_restarts=0)
        above = supervisor(ChildSpec("below", below, register_as="below"), max_restarts=1)
        top = await above.start(task_group=task_group, register_as="above")
        old = pid_of("below")
        diary.clear()
        await cast("b", boom)
        error = (await wait_exit(old)).exception
        assert isinstance(error, MaxRestartsExceeded)
        assert isinstance(error.__cause__, Boom)
        await settled("above")
        assert diary == ["-b", "-c", "-a", "+a", "+b", "+c"]
        assert await wait_registered("below") is not old
        assert is_alive(top)


async def test_restarts_long_ago_do_not_count() -> None:
    async with running() as task_group:
        chief = supervisor(*three([]), max_restarts=1, max_seconds=0)
        await chief.start(task_group=task_group, register_as="chief")
        for _ in range(5):
            await crash("b")
        await settled()


async def test_a_name_that_another_took_meanwhile_is_waited_for() -> None:
    async with running() as task_group:
        chief = await supervisor(*three([])).start(task_group=task_group)
        thief = await Puppet.start(task_group=task_group)
        old = pid_of("b")

        class Steals(Puppet):
            async def handle_info(self, message: Any, state: Any) -> Any:
                register("b", thief)

        witness = await Steals.start(task_group=task_group)
        await call(witness, lambda: monitor(old))
        unregister("b", old)
        register("b", thief)
        await cast(old, boom)
        await wait_exit(old)
        assert pid_of("b") is thief
        exit(thief)
        await wait_exit(thief)
        assert await wait_registered("b", PATIENCE) is not old
        assert is_alive(chief)
        task_group.cancel_scope.cancel()


# Under load


async def test_a_named_server_that_crashes_under_load_stays_reachable() -> None:
    """Callers get errors in the gap, at once; no name means a corpse."""
    outcomes: list[str] = []

    async def caller() -> None:
        for _ in range(200):
            pid = whereis("b")
            assert pid is None or is_alive(pid)
            try:
                outcomes.append(await call("b", lambda: "ok", timeout=None))
            except FauxtpError as error:
                outcomes.append(type(error).__name__)
                await anyio.sleep(0)

    async def saboteur() -> None:
        for _ in range(20):
            await crash("b")
            assert await call("b", lambda: "ok", timeout=None) == "ok"

    async with running() as task_group:
        chief = supervisor(*three([]), max_restarts=100)
        await chief.start(task_group=task_group, register_as="chief")
        async with anyio.create_task_group() as load:
            for _ in range(20):
                load.start_soon(caller)
            load.start_soon(saboteur)
        assert await call("b", lambda: "ok") == "ok"
    assert set(outcomes) <= {"ok", "NoProcess", "ProcessExited"}
    assert outcomes.count("ok") > len(outcomes) / 2
    assert len(outcomes) == 4000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("args", 5),
        ("kwargs", [1]),
        ("shutdown", "soon"),
        ("shutdown", float("nan")),
        ("register_as", 5),
        ("register_as", ""),
    ],
)
def test_a_field_that_would_fail_later_is_refused(name: str, value: Any) -> None:
    fields: dict[str, Any] = {"id": "a", "actor_class": Puppet, name: value}
    with pytest.raises(ValueError, match=f"expected the {name} of 'a' to .* got "):
        ChildSpec(**fields)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("child_specs", lambda self: 5, TypeError),
        ("child_specs", lambda self: ["a"], TypeError),
        ("strategy", "one_for_one", TypeError),
        ("max_restarts", None, TypeError),
        ("max_seconds", "5", TypeError),
        ("max_seconds", float("nan"), ValueError),
    ],
)
async def test_what_a_class_gets_wrong_is_told_when_it_starts(
    name: str, value: Any, error: type[Exception]
) -> None:
    chief: type[Supervisor] = type("Chief", (Supervisor,), {name: value})
    async with running() as group:
        with pytest.raises(error, match=f"expected .*{name}.* got "):
            await chief.start(task_group=group)


class Unequal:
    def __eq__(self, other: object) -> bool:
        raise Boom

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        raise Boom


async def test_a_question_that_is_none_harms_no_supervisor() -> None:
    async with running() as group:
        chief = await supervisor(*three([])).start(task_group=group)
        for question in (Unequal(), (Unequal(),), ("$terminate_child", Unequal()), (), "what?"):
            with pytest.raises(ValueError, match="expected a question for a supervisor, got "):
                await call(chief, question)
        for ask in (terminate_child, restart_child, delete_child):
            with pytest.raises(TypeError, match="expected id to be a str, got int"):
                await ask(chief, 5)  # type: ignore[arg-type]
        assert len(await which_children(chief)) == 3
