"""Children that do not end, even if killed: each is told of once, with what it waits for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest
from crew import Puppet, boom, pid_of, running, supervisor

from fauxtp import (
    PID,
    ChildSpec,
    DynamicSupervisor,
    ProcessExited,
    RestartStrategy,
    call,
    cast,
    exit,
    send,
    start_child,
    terminate_child,
    wait_exit,
    wait_registered,
    whereis,
)

pytestmark = pytest.mark.anyio


class Lines(logging.Handler):
    """Who was killed by a supervisor, with the records; tells who waits for so many."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []
        self.came = anyio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.came.set()

    async def first(self, number: int) -> list[str]:
        """Wait for the first so many; return whom they tell of."""
        while len(self.records) < number:
            self.came = anyio.Event()
            await self.came.wait()
        return [self.facts(record)["child"] for record in self.records]

    @staticmethod
    def facts(record: logging.LogRecord) -> Any:
        return record.fauxtp  # type: ignore[attr-defined]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    monkeypatch.setattr("fauxtp._supervision.children.GRACE", 0.01)
    handler, log = Lines(), logging.getLogger("fauxtp.supervisor")
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)


async def shielded(gate: anyio.Event) -> None:
    with anyio.CancelScope(shield=True):
        await gate.wait()


class Hanging(Puppet):
    """Ends only when the gate is open, whatever it is asked."""

    def __init__(self, gate: anyio.Event) -> None:
        super().__init__()
        self.gate = gate


class InTerminate(Hanging):
    async def terminate(self, reason: str, state: Any) -> None:
        await shielded(self.gate)


class InHandler(Hanging):
    async def init(self) -> None:
        await send(self.pid, "hang")

    async def handle_info(self, message: Any, state: Any) -> None:
        await shielded(self.gate)


class InTask(Hanging):
    async def init(self) -> None:
        self.start_soon_child(shielded, self.gate)


class InThread(Hanging):
    async def terminate(self, reason: str, state: Any) -> None:
        await anyio.to_thread.run_sync(anyio.from_thread.run, self.gate.wait)


class InCall(Hanging):
    async def terminate(self, reason: str, state: Any) -> None:
        with anyio.CancelScope(shield=True):
            await call("outside", self.gate.wait)


HANGING: dict[type[Hanging], tuple[str, str]] = {  # with what it waits for, and where
    InTerminate: ("at ", "in shielded"),
    InHandler: ("at ", "in shielded"),
    InTask: ("for tasks of its own", ""),
    InThread: ("at ", "in terminate"),
    InCall: ("for Puppet 'outside' <PID ", "in terminate"),
}


@pytest.mark.parametrize("kind", HANGING)
async def test_it_is_told_what_it_waits_for(kind: type[Hanging], lines: Lines) -> None:
    gate = anyio.Event()
    async with running() as group:
        await Puppet.start(task_group=group, register_as="outside")
        spec = ChildSpec("a", kind, args=(gate,), shutdown=0.05, register_as="a")
        chief = await supervisor(spec).start(task_group=group)
        await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as stopping:
            stopping.start_soon(terminate_child, chief, "a")
            await lines.first(1)
            gate.set()
    waits = lines.facts(lines.records[0])["child_waits"]
    begin, end = HANGING[kind]
    assert waits.startswith(begin)
    assert waits.endswith(end)
    if "in " in end:
        assert __file__ in waits
    assert lines.records[0].getMessage().endswith(f"within its 0.05 s: it waits {waits}")
    assert len(lines.records) == 1


STRATEGIES = {
    RestartStrategy.ONE_FOR_ALL: ["d", "c", "a"],
    RestartStrategy.REST_FOR_ONE: ["d", "c"],
}


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_siblings_that_hang_as_they_are_restarted_are_told_of_each(
    strategy: RestartStrategy, lines: Lines
) -> None:
    """They hold up one another for a while; who starts again waits for all of them."""
    gate = anyio.Event()
    hang = partial(ChildSpec, actor_class=InTerminate, args=(gate,), shutdown=0)
    specs = [
        hang("a", register_as="a"),
        ChildSpec("b", Puppet, register_as="b"),
        hang("c", register_as="c"),
        hang("d", register_as="d"),
    ]
    late = STRATEGIES[strategy]
    again = {*late, "b"}
    async with running() as group:
        chief = await supervisor(*specs, strategy=strategy).start(task_group=group)
        before = {name: pid_of(name) for name in "abcd"}
        await cast("b", boom)
        assert await lines.first(len(late)) == late
        assert whereis("b") is None
        gate.set()
        await wait_exit(before["d"])
        await wait_registered("d")
        assert {name for name in "abcd" if whereis(name) is not before[name]} == again
        assert await lines.first(0) == late
        exit(chief)


@pytest.mark.parametrize("is_dynamic", [False, True])
async def test_it_is_told_once_whoever_stops_it_again(is_dynamic: bool, lines: Lines) -> None:
    """A change to the child is under way when the supervisor is to end."""
    gate = anyio.Event()
    spec = ChildSpec("a", InTerminate, args=(gate,), shutdown=0)

    async def terminate(chief: PID, child: PID) -> None:
        with pytest.raises(ProcessExited, match="exited: shutdown"):
            await terminate_child(chief, child)

    async with running() as group:
        kind = DynamicSupervisor if is_dynamic else supervisor()
        chief = await kind.start(task_group=group)
        child = await start_child(chief, spec)
        assert child is not None
        async with anyio.create_task_group() as stopping:
            stopping.start_soon(terminate, chief, child)
            await lines.first(1)
            exit(chief)
            await anyio.wait_all_tasks_blocked()
            gate.set()
        await wait_exit(chief)
    assert await lines.first(0) == ["a"]
