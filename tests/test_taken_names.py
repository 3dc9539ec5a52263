"""Names that somebody takes while their holder is restarted: no application ends by that."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest
from conftest import task_group
from crew import Idle, Puppet, boom

from fauxtp import (
    AlreadyStarted,
    Backoff,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    Mailbox,
    MaxRestartsExceeded,
    NameTaken,
    RestartStrategy,
    RestartType,
    Supervisor,
    cast,
    exit,
    is_alive,
    register,
    start_child,
    start_or_find,
    terminate_child,
    unregister,
    wait_exit,
    wait_registered,
    whereis,
    which_children,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("either_way")]


class Taken:
    """What a supervisor has whose child's name is taken each time that it is restarted."""

    max_restarts, max_seconds = 1, 60.0
    taker: Any = None

    def on_restart(self, child: Any, reason: Any, count: int, /) -> None:
        if self.taker is not None:
            assert register("name", type(self).taker)


def child(**fields: Any) -> ChildSpec:
    return ChildSpec("child", Puppet, args=("child",), register_as="name", **fields)


class Planned(Taken, Supervisor):
    def child_specs(self) -> list[ChildSpec]:
        return [child()]


class All(Planned):
    strategy = RestartStrategy.ONE_FOR_ALL


class Patient(Taken, Supervisor):
    def child_specs(self) -> list[ChildSpec]:
        return [child(backoff=Backoff(first=0.001, most=0.001))]


class Pool(Taken, DynamicSupervisor):
    pass


class Above(Taken, Supervisor):
    def child_specs(self) -> list[ChildSpec]:
        return [ChildSpec("below", Below, register_as="below")]


class Below(Supervisor):
    max_restarts = 0

    def child_specs(self) -> list[ChildSpec]:
        return [child()]


KINDS = [Planned, All, Patient, Pool, Above]


async def begun(kind: Any, group: Any, taker: Any) -> Any:
    kind.taker = taker
    chief = await kind.start(task_group=group, register_as="chief")
    if kind is Pool:
        await start_child(chief, child())
    return chief


@pytest.mark.parametrize("kind", KINDS)
async def test_a_child_waits_until_its_name_is_free(
    kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with task_group() as group:
        taker = await Idle.start(task_group=group)
        chief = await begun(kind, group, taker)
        first = whereis("name")
        assert first is not None
        with caplog.at_level(logging.WARNING):
            await cast(first, boom)
            await wait_exit(first)
            while not any("let go of 'name'" in r.getMessage() for r in caplog.records):
                await anyio.sleep(0.001)
        assert whereis("name") is taker
        assert is_alive(chief)
        kind.taker = None
        exit(taker)
        await wait_exit(taker)
        assert await wait_registered("name", 5) not in {taker, first}
        assert is_alive(chief)


async def test_a_name_that_is_given_back_is_noticed() -> None:
    async with task_group() as group:
        taker = await Idle.start(task_group=group)
        await begun(Planned, group, taker)
        first = whereis("name")
        assert first is not None
        await cast(first, boom)
        while whereis("name") is not taker:
            await anyio.sleep(0)
        unregister("name", taker)
        assert await wait_registered("name", 5) is not taker
        assert is_alive(taker)


@pytest.mark.parametrize("kind", [Planned, Pool])
async def test_who_waits_can_be_terminated(kind: Any) -> None:
    async with task_group() as group:
        taker = await Idle.start(task_group=group)
        chief = await begun(kind, group, taker)
        first = whereis("name")
        assert first is not None
        await cast(first, boom)
        while whereis("name") is not taker:
            await anyio.sleep(0)
        if kind is Planned:
            await terminate_child(chief, "child")
            assert [info.pid for info in await which_children(chief)] == [None]
        exit(chief)
        assert await wait_exit(chief) == "shutdown"
        assert whereis("name") is taker


async def test_a_name_that_never_ends_is_a_crash() -> None:
    mailbox = Mailbox()

    async def application() -> None:
        async with task_group() as group:
            await begun(Planned, group, mailbox.pid)
            first = whereis("name")
            assert first is not None
            await cast(first, boom)
            await anyio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await application()
    assert caught.group_contains(MaxRestartsExceeded)
    unregister("name")


class Session(GenServer[Any, Any]):
    made = 0

    async def init(self) -> Any:
        await anyio.sleep(0)
        type(self).made += 1


@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
async def test_of_many_who_want_a_child_one_starts_it(kind: Any) -> None:
    class Fresh(Session):
        made = 0

    found = []

    async def want() -> None:
        found.append(await start_or_find("session", Fresh, supervisor="chief"))

    async with task_group() as group:
        await kind.start(task_group=group, register_as="chief")
        async with anyio.create_task_group() as callers:
            for _ in range(10):
                callers.start_soon(want)
        assert set(found) == {whereis("session")}
        assert Fresh.made == 1
        [info] = await which_children("chief")
        assert (info.id, info.pid) == ("session", found[0])
        assert info.restart is RestartType.TEMPORARY
        exit("session", "enough")
        await wait_exit(found[0])
        await want()
        assert found[-1] is not found[0]


async def test_what_a_supervisor_cannot_do_is_told() -> None:
    class Other(Supervisor):
        def child_specs(self) -> list[ChildSpec]:
            return [ChildSpec("session", Idle)]

    async with task_group() as group:
        await Other.start(task_group=group, register_as="other")
        with pytest.raises(AlreadyStarted):
            await start_or_find("session", Session, supervisor="other")
        with pytest.raises(TypeError, match="either a task_group or a supervisor, got neither"):
            await start_or_find("session", Session)
        with pytest.raises(TypeError, match="got both"):
            await start_or_find("session", Session, task_group=group, supervisor="other")
        holder = Mailbox()
        register("taken", holder.pid)
        with pytest.raises(NameTaken):
            await start_child("other", ChildSpec("x", Idle, register_as="taken"))
        unregister("taken")
