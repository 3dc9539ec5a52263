"""What a supervisor is asked, and told to change, from outside."""

from __future__ import annotations

from typing import Any

import pytest
from crew import Boom, Idle, Puppet, crash, pid_of, running, supervisor

from fauxtp import (
    ChildInfo,
    ChildSpec,
    NameTaken,
    NoChild,
    NoProcess,
    RestartStrategy,
    RestartType,
    Supervisor,
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
    whereis,
    which_children,
)

pytestmark = pytest.mark.anyio


class Fails(Puppet):
    async def init(self) -> None:
        raise Boom


async def ids() -> list[str]:
    return [child.id for child in await which_children("chief")]


# Specs


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"id": ""}, "id"),
        ({"id": 7}, "id"),
        ({"actor_class": dict}, "class of actors"),
        ({"actor_class": Idle()}, "class of actors"),
        ({"restart": "permanent"}, "RestartType"),
        ({"shutdown": -1}, "shutdown"),
    ],
)
async def test_a_spec_that_makes_no_sense_is_refused(spec: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ChildSpec(**{"id": "a", "actor_class": Idle, **spec})


async def test_two_children_cannot_have_one_id() -> None:
    chief = supervisor(ChildSpec("a", Idle, register_as="a"), ChildSpec("a", Idle))
    async with running() as task_group:
        with pytest.raises(ValueError, match="two children have the id 'a'"):
            await chief.start(task_group=task_group)


async def test_a_supervisor_without_children_waits_for_some() -> None:
    async with running() as task_group:
        chief = await Supervisor.start(task_group=task_group)
        assert await which_children(chief) == []
        pid = await start_child(chief, ChildSpec("a", Idle))
        assert await which_children(chief) == [ChildInfo("a", pid, Idle, RestartType.PERMANENT)]


async def test_arguments_reach_the_constructor_at_each_start() -> None:
    diary: list[str] = []
    spec = ChildSpec("a", Puppet, args=("a",), kwargs={"diary": diary}, register_as="a")
    async with running() as task_group:
        await supervisor(spec).start(task_group=task_group, register_as="chief")
        await crash("a")
        await ids()
        assert diary == ["+a", "-a", "+a"]


# Questions


async def test_children_are_listed_and_counted() -> None:
    below = supervisor(ChildSpec("leaf", Idle))
    chief = supervisor(
        ChildSpec("a", Idle, restart=RestartType.TRANSIENT, register_as="a"),
        ChildSpec("below", below),
    )
    async with running() as task_group:
        await chief.start(task_group=task_group, register_as="chief")
        first, second = await which_children("chief")
        assert first == ChildInfo("a", pid_of("a"), Idle, RestartType.TRANSIENT)
        assert (second.id, second.actor_class) == ("below", below)
        counts = {"specs": 2, "active": 2, "supervisors": 1, "workers": 1}
        assert await count_children("chief") == counts
        await terminate_child("chief", "a")
        assert await count_children("chief") == {**counts, "active": 1}


async def test_a_question_to_nobody_is_refused_at_once() -> None:
    with pytest.raises(NoProcess):
        await which_children("nobody")


async def test_a_request_that_no_supervisor_knows_harms_nobody() -> None:
    async with running() as task_group:
        await supervisor(ChildSpec("a", Idle)).start(task_group=task_group, register_as="chief")
        with pytest.raises(ValueError, match="for a supervisor, got 'nonsense'"):
            await call("chief", "nonsense")
        assert await ids() == ["a"]


# Changes


async def test_a_child_can_be_added_and_is_restarted_as_the_others() -> None:
    async with running() as task_group:
        await supervisor(ChildSpec("a", Idle)).start(task_group=task_group, register_as="chief")
        pid = await start_child("chief", ChildSpec("b", Puppet, register_as="b"))
        assert pid is whereis("b")
        assert await ids() == ["a", "b"]
        assert await crash("b") is not pid


async def test_a_child_that_cannot_be_added_is_forgotten() -> None:
    async with running() as task_group:
        a = ChildSpec("a", Idle, register_as="a")
        await supervisor(a).start(task_group=task_group, register_as="chief")
        with pytest.raises(ValueError, match="has a child 'a' already"):
            await start_child("chief", a)
        with pytest.raises(TypeError, match="ChildSpec"):
            await start_child("chief", "b")  # type: ignore[arg-type]
        with pytest.raises(Boom):
            await start_child("chief", ChildSpec("b", Fails))
        with pytest.raises(NameTaken):
            await start_child("chief", ChildSpec("b", Idle, register_as="a"))
        assert await ids() == ["a"]


async def test_a_terminated_child_stays_known_and_down_until_restarted() -> None:
    async with running() as task_group:
        a = ChildSpec("a", Idle, register_as="a")
        await supervisor(a).start(task_group=task_group, register_as="chief")
        old = pid_of("a")
        await terminate_child("chief", "a")
        assert not is_alive(old)
        [info] = await which_children("chief")
        assert info.pid is None
        await terminate_child("chief", "a")
        new = await restart_child("chief", "a")
        assert new is whereis("a")
        with pytest.raises(ValueError, match="is running"):
            await restart_child("chief", "a")


async def test_a_terminated_temporary_child_is_forgotten() -> None:
    async with running() as task_group:
        a = ChildSpec("a", Idle, restart=RestartType.TEMPORARY)
        await supervisor(a).start(task_group=task_group, register_as="chief")
        await terminate_child("chief", "a")
        assert await ids() == []


async def test_only_what_is_down_can_be_deleted() -> None:
    async with running() as task_group:
        a = ChildSpec("a", Idle, register_as="a")
        await supervisor(a).start(task_group=task_group, register_as="chief")
        with pytest.raises(ValueError, match="is running"):
            await delete_child("chief", "a")
        await terminate_child("chief", "a")
        await delete_child("chief", "a")
        assert await ids() == []


async def test_an_unknown_child_cannot_be_changed() -> None:
    async with running() as task_group:
        pid = await Supervisor.start(task_group=task_group)
        for change in (terminate_child, restart_child, delete_child):
            with pytest.raises(NoChild) as caught:
                await change(pid, "z")
            assert (caught.value.supervisor, caught.value.id) == (pid, "z")


async def test_a_child_that_cannot_be_restarted_by_hand_stays_down() -> None:
    diary: list[str] = []

    class OnlyOnce(Puppet):
        async def init(self) -> None:
            await super().init()
            if len(diary) > 1:
                raise Boom

    async with running() as task_group:
        a = ChildSpec("a", OnlyOnce, args=("a", diary))
        await supervisor(a).start(task_group=task_group, register_as="chief")
        await terminate_child("chief", "a")
        with pytest.raises(Boom):
            await restart_child("chief", "a")
        [info] = await which_children("chief")
        assert info.pid is None


async def test_a_child_may_have_itself_terminated() -> None:
    class Weary(Puppet):
        async def handle_cast(self, request: Any, state: Any) -> Any:
            await terminate_child("chief", "weary")

    async with running() as task_group:
        weary = ChildSpec("weary", Weary, register_as="weary")
        await supervisor(weary).start(task_group=task_group, register_as="chief")
        await cast(pid := pid_of("weary"), "enough")
        assert await wait_exit(pid) == "shutdown"
        [info] = await which_children("chief")
        assert info.pid is None


async def test_a_temporary_sibling_is_not_restarted_with_the_group() -> None:
    diary: list[str] = []
    async with running() as task_group:
        once = ChildSpec("once", Puppet, args=("once", diary), restart=RestartType.TEMPORARY)
        a = ChildSpec("a", Puppet, args=("a", diary), register_as="a")
        chief = supervisor(a, once, strategy=RestartStrategy.ONE_FOR_ALL)
        await chief.start(task_group=task_group, register_as="chief")
        await crash("a")
        assert await ids() == ["a"]
        assert diary == ["+a", "+once", "-a", "-once", "+a"]


async def test_a_supervisor_can_be_asked_while_it_has_work() -> None:
    async with running() as task_group:
        specs = [ChildSpec(f"{n}", Idle, register_as=f"n:{n}") for n in range(5)]
        pid = await supervisor(*specs, max_restarts=100).start(
            task_group=task_group, register_as="chief"
        )
        for number in range(5):
            exit(f"n:{number}")
            assert len(await ids()) == 5
        assert is_alive(pid)
