"""Restarts that wait: longer each time, in nobody's way, and for as long as it takes."""

from __future__ import annotations

import itertools
import logging
import math
from dataclasses import replace
from typing import Any

import anyio
import pytest
from crew import Puppet, boom, pid_of, supervisor
from in_simulated_time import Scenario, each_loop, on_asyncio

from fauxtp import (
    Backoff,
    ChildInfo,
    ChildSpec,
    DynamicSupervisor,
    ExitReason,
    MaxRestartsExceeded,
    RestartStrategy,
    Supervisor,
    call,
    cast,
    exit,
    is_alive,
    restart_child,
    start_child,
    terminate_child,
    tree,
    wait_exit,
    wait_registered,
    whereis,
    which_children,
)

STEADY = Backoff(first=1, factor=2, most=8, jitter=0)


class Client(Puppet):
    """Fails in `init` while what it depends on is away."""

    is_away = False

    async def init(self) -> Any:
        self.tried()
        if type(self).is_away:
            raise ConnectionError("away")

    def tried(self) -> None:
        type(self).tries.append(anyio.current_time())

    tries: list[float] = []  # noqa: RUF012  (each test has a class of its own)


@pytest.fixture
def client() -> type[Client]:
    class Fresh(Client):
        tries: list[float] = []  # noqa: RUF012

    return Fresh


def spec_of(client: type[Client], **fields: Any) -> ChildSpec:
    return ChildSpec("client", client, register_as="client", backoff=STEADY, **fields)


async def crash(name: str) -> None:
    pid = pid_of(name)
    await cast(pid, boom)
    await wait_exit(pid)


def gaps(tries: list[float]) -> list[float]:
    return [round(after - before, 3) for before, after in itertools.pairwise(tries)]


def within(scenario: Scenario) -> Scenario:
    """Let a scenario have a day, and not more: who hangs does not hang for ever."""

    async def limited() -> None:
        with anyio.fail_after(86_400):
            await scenario()

    return limited


@each_loop
def test_who_waits_to_be_restarted_is_away_and_in_nobodys_way(
    simulated: Any, client: type[Client]
) -> None:
    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            sibling = ChildSpec("sibling", Puppet, register_as="sibling")
            chief = await supervisor(spec_of(client), sibling).start(task_group=group)
            before = pid_of("client")
            await crash("client")
            began = anyio.current_time()
            first, second = await which_children(chief)
            assert (first.pid, second.restarts_in) == (None, None)
            assert first.restarts_in == pytest.approx(1, abs=0.1)
            assert whereis("client") is None
            assert await call("sibling", lambda: "served") == "served"
            assert anyio.current_time() - began < 0.1  # as nobody waits for that restart
            assert await wait_registered("client", timeout=10) != before
            [first, _] = await which_children(chief)
            assert (first.restarts, first.restarts_in) == (1, None)
            exit(chief)

    simulated(within(scenario))


@each_loop
@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
def test_the_tree_tells_in_how_many_seconds_it_is_tried_again(
    simulated: Any, client: type[Client], kind: type[Supervisor]
) -> None:
    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            made: Any = type("Chief", (kind,), {})
            chief = await made.start(task_group=group)
            await start_child(chief, ChildSpec("one", client, backoff=STEADY))
            [info] = await which_children(chief)
            await start_child(chief, spec_of(client))
            for pid in (info.pid, pid_of("client")):
                assert pid is not None
                await cast(pid, boom)
                await wait_exit(pid)
            known = [one.restarts_in for one in await which_children(chief)]
            waits = [line.rsplit(" ", 2) for line in tree().splitlines()[1:]]
            assert [what for what, *_ in waits] == [
                "  Fresh 'one' restarting in",
                "  Fresh 'client' restarting in",
            ]
            assert known == [pytest.approx(float(seconds), abs=0.3) for _, seconds, _ in waits]
            while "restarting" in tree():
                await anyio.sleep(0.5)
            assert len(tree().splitlines()) == 3
            exit(chief)

    simulated(within(scenario))


@pytest.mark.parametrize(
    ("strategy", "order"),
    [
        (RestartStrategy.ONE_FOR_ALL, ("client", "one")),
        (RestartStrategy.ONE_FOR_ALL, ("one", "client")),
        (RestartStrategy.REST_FOR_ONE, ("one", "client")),
    ],
)
@each_loop
def test_who_shares_the_fate_of_one_that_waits_waits_for_as_long(
    simulated: Any, client: type[Client], strategy: RestartStrategy, order: tuple[str, str]
) -> None:
    """A sibling that crashes meanwhile cuts no wait short; it is started with that one."""

    async def scenario() -> None:
        specs = {
            "client": replace(spec_of(client), backoff=Backoff(first=10, most=20, jitter=0)),
            "one": ChildSpec("one", Puppet, register_as="one"),
        }
        counted: list[int] = []

        class Chief(supervisor(*map(specs.__getitem__, order), strategy=strategy)):  # type: ignore[misc]
            def on_restart(self, child: ChildInfo, reason: ExitReason, count: int) -> None:
                if child.id == "one":
                    counted.append(count)

        async with anyio.create_task_group() as group:
            chief = await Chief.start(task_group=group)
            await crash("client")
            await anyio.sleep(1)
            assert whereis("one") is not None  # it serves meanwhile
            await crash("one")
            await anyio.sleep(8)
            assert (whereis("client"), whereis("one")) == (None, None)
            assert all(child.restarts_in for child in await which_children(chief))
            await anyio.sleep(1.5)
            assert whereis("client") is not None
            assert whereis("one") is not None
            assert gaps(client.tries)[0] == pytest.approx(10, abs=0.1)
            assert counted == [1]  # its crash, once
            exit(chief)

    simulated(within(scenario))


@each_loop
def test_each_wait_is_longer_and_a_quiet_time_forgets_it(
    simulated: Any, client: type[Client]
) -> None:
    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            chief = await supervisor(spec_of(client)).start(task_group=group)
            for _ in range(6):
                await crash("client")
                await wait_registered("client", timeout=100)
            assert gaps(client.tries) == pytest.approx([1, 2, 4, 8, 8, 8], abs=0.1)
            await anyio.sleep(STEADY.most)
            await crash("client")
            await wait_registered("client", timeout=100)
            assert gaps(client.tries)[-1] == pytest.approx(STEADY.most + 1, abs=0.1)
            exit(chief)

    simulated(within(scenario))


@each_loop
def test_what_a_child_depends_on_may_be_away_for_long(
    simulated: Any, client: type[Client], caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        caplog.clear()
        async with anyio.create_task_group() as group:
            chief = await supervisor(spec_of(client), max_restarts=0).start(task_group=group)
            client.is_away = True
            await crash("client")
            await anyio.sleep(3600)
            assert is_alive(chief)
            client.is_away = False
            await wait_registered("client", timeout=10)
            exit(chief)
        hours = 3600 / STEADY.most
        assert len(client.tries) == pytest.approx(hours, abs=8)
        if simulated is on_asyncio:  # where logs are kept for when it fails
            return
        told = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(told) == pytest.approx(hours, abs=8)  # a line each
        with_traceback = [record for record in told if record.exc_info]
        assert len(with_traceback) <= 2  # the crash, and the first init that failed

    with caplog.at_level(logging.INFO, "fauxtp"):
        simulated(within(scenario))


@each_loop
@pytest.mark.parametrize("how", ["end", "terminate", "restart", "restart twice"])
def test_who_waits_can_be_stopped_and_started_at_once(
    simulated: Any, client: type[Client], how: str
) -> None:
    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            chief = await supervisor(spec_of(client)).start(task_group=group)
            await crash("client")
            began = anyio.current_time()
            match how:
                case "end":
                    exit(chief)
                    await wait_exit(chief)
                case "terminate":
                    await terminate_child(chief, "client")
                    [info] = await which_children(chief)
                    assert info.restarts_in is None
                case _:
                    pid = await restart_child(chief, "client")
                    assert pid_of("client") == pid
                    if how == "restart twice":
                        await crash("client")
                        pid = await restart_child(chief, "client")
            assert anyio.current_time() - began < 0.1
            await anyio.sleep(100)
            alive = {"end": None, "terminate": None}.get(how, whereis("client"))
            assert whereis("client") == alive
            if how.startswith("restart"):
                assert whereis("client") == pid  # nobody has started it once more
            exit(chief)

    simulated(within(scenario))


@each_loop
@pytest.mark.parametrize("strategy", RestartStrategy)
def test_siblings_are_restarted_with_it_when_it_is(
    simulated: Any, client: type[Client], strategy: RestartStrategy
) -> None:
    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            sibling = ChildSpec("sibling", Puppet, register_as="sibling")
            kind = supervisor(spec_of(client), sibling, strategy=strategy)
            chief = await kind.start(task_group=group)
            before = pid_of("sibling")
            client.is_away = True
            await crash("client")
            await anyio.sleep(0.5)
            assert whereis("sibling") == before
            await anyio.sleep(1)  # by then, one restart has failed
            client.is_away = False
            await wait_registered("client", timeout=100)
            after = await wait_registered("sibling", timeout=100)
            assert (after == before) is (strategy is RestartStrategy.ONE_FOR_ONE)
            exit(chief)

    simulated(within(scenario))


# Intensities of their own


@each_loop
@pytest.mark.parametrize("backoff", [None, STEADY])
def test_who_crashes_too_often_by_its_own_intensity_is_given_up_alone(
    simulated: Any, client: type[Client], backoff: Backoff | None
) -> None:
    heard: list[Any] = []

    async def scenario() -> None:
        spec = ChildSpec(
            "client",
            client,
            register_as="client",
            backoff=backoff,
            max_restarts=2,
            max_seconds=60,
        )

        class Chief(supervisor(spec, ChildSpec("sibling", Puppet), max_restarts=0)):  # type: ignore[misc]
            def on_restart(self, child: Any, reason: Any, count: int) -> None:
                heard.append((child.id, str(reason), count))

            def on_give_up(self, child: Any, reason: Any) -> None:
                heard.append((child.id, str(reason)))

        async with anyio.create_task_group() as group:
            chief = await Chief.start(task_group=group)
            for _ in range(2):
                await crash("client")
                await wait_registered("client", timeout=100)
            await crash("client")
            await anyio.sleep(100)
            first, second = await which_children(chief)
            assert (first.pid, first.restarts_in) == (None, None)
            assert second.pid is not None
            await restart_child(chief, "client")
            exit(chief)

    simulated(within(scenario))
    boom = "error: Boom()"
    assert heard == [("client", boom, 1), ("client", boom, 2), ("client", boom)]


async def crashing(kind: type[Supervisor]) -> None:
    async with anyio.create_task_group() as group:
        await kind.start(task_group=group)
        await crash("client")
        await crash("sibling")


@each_loop
def test_others_still_count_towards_the_intensity_of_the_supervisor(
    simulated: Any, client: type[Client]
) -> None:
    async def scenario() -> None:
        sibling = ChildSpec("sibling", Puppet, register_as="sibling")
        kind = supervisor(spec_of(client), sibling, max_restarts=0)
        with pytest.raises(BaseExceptionGroup) as caught:
            await crashing(kind)
        [error] = caught.value.exceptions
        assert isinstance(error, MaxRestartsExceeded)
        assert error.child == "sibling"

    simulated(within(scenario))


# Starts that hang


@each_loop
@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
def test_an_init_that_takes_too_long_has_failed(simulated: Any, kind: type[Supervisor]) -> None:
    class Slow(Puppet):
        async def init(self) -> Any:
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.05)
                ended.append("its init")

    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            chief = await kind.start(task_group=group)
            began = anyio.current_time()
            spec = ChildSpec("slow", Slow, register_as="slow", start_timeout=3)
            with pytest.raises(TimeoutError, match="init of child 'slow' took longer than 3 s"):
                await start_child(chief, spec)
            assert anyio.current_time() - began == pytest.approx(3, abs=0.1)
            assert ended.pop() == "its init"  # before anybody is told that it failed
            assert whereis("slow") is None
            assert await which_children(chief) == []
            exit(chief)

    ended: list[str] = []
    simulated(within(scenario))


@each_loop
def test_who_waits_is_not_started_while_others_are_stopped(
    simulated: Any, client: type[Client]
) -> None:
    class Lingers(Puppet):
        async def terminate(self, reason: Any, state: Any) -> None:
            await anyio.sleep(3)

    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            lingers = ChildSpec("lingers", Lingers, shutdown=10)
            chief = await supervisor(spec_of(client), lingers).start(task_group=group)
            await crash("client")
            exit(chief)
            await wait_exit(chief)
            assert len(client.tries) == 1

    simulated(within(scenario))


@each_loop
def test_a_restart_that_takes_too_long_is_one_more_crash(
    simulated: Any, client: type[Client]
) -> None:
    class Slow(client):  # type: ignore[misc, valid-type]
        async def init(self) -> Any:
            self.tried()
            if len(self.tries) in {2, 3}:
                await anyio.sleep_forever()

    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            kind = supervisor(spec_of(Slow, start_timeout=5))
            chief = await kind.start(task_group=group)
            await crash("client")
            await wait_registered("client", timeout=2)  # it has its name before its init
            await anyio.sleep(30)
            assert gaps(client.tries) == pytest.approx([1, 5 + 2, 5 + 4], abs=0.2)
            assert is_alive("client")
            exit(chief)

    simulated(within(scenario))


# Bad input


@pytest.mark.parametrize(
    ("fields", "kind", "told"),
    [
        ({"first": "1"}, TypeError, "expected first to be a number, got str"),
        ({"most": True}, TypeError, "expected most to be a number, got bool"),
        ({"first": 0}, ValueError, "0 < first <= most"),
        ({"first": math.nan}, ValueError, "0 < first <= most"),
        ({"first": 2, "most": 1}, ValueError, "got 2 and 1"),
        ({"most": math.inf}, ValueError, "0 < first <= most"),
        ({"factor": 0.5}, ValueError, "expected factor to be at least 1, got 0.5"),
        ({"factor": math.nan}, ValueError, "at least 1"),
        ({"jitter": -0.1}, ValueError, "expected jitter to be from 0 to 1, got -0.1"),
        ({"jitter": 2}, ValueError, "from 0 to 1"),
    ],
)
def test_a_backoff_that_makes_no_sense_is_refused(
    fields: dict[str, Any], kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=told):
        Backoff(**fields)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"backoff": 5}, "the backoff of 'it' to be a Backoff or None, got int"),
        ({"start_timeout": "5"}, "the start_timeout of 'it' to be a number or None, got str"),
        ({"start_timeout": -1}, "the start_timeout of 'it' to be at least 0, got -1"),
        ({"start_timeout": math.nan}, "at least 0, got nan"),
        ({"max_restarts": 1.5}, "the max_restarts of 'it' to be an int or None, got float"),
        ({"max_restarts": -1}, "the max_restarts of 'it' to be at least 0, got -1"),
        ({"max_seconds": math.nan}, "the max_seconds of 'it' to be at least 0, got nan"),
        ({"significant": 1}, "the significant of 'it' to be a bool, got int"),
        ({"significant": True}, "the significant of 'it' to be False, as it is always restarted"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ChildSpec("it", Puppet, **fields)


def test_chance_makes_a_wait_a_little_longer_or_shorter() -> None:
    waits = {Backoff(first=1, jitter=0.5).seconds(1) for _ in range(100)}
    assert len(waits) > 50
    assert all(0.5 <= wait <= 1.5 for wait in waits)


def test_after_very_many_failures_it_is_still_the_most() -> None:
    assert Backoff(jitter=0).seconds(100_000) == 30
