"""What is easily mistaken where processes of other nodes are concerned, and what is said of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from clusters import TTL, member, members, seen_by, until
from conftest import ASYNCIO, task_group
from crew import process_of
from in_simulated_time import explored

from fauxtp import (
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    NoProcess,
    OnDemand,
    call,
    count_children,
    dead_letters,
    delete_child,
    get_state,
    is_alive,
    map_tasks,
    partition,
    process_info,
    replace_state,
    restart_child,
    resume,
    run_task,
    send_nowait,
    start_child,
    start_or_find,
    suspend,
    terminate_child,
    which_children,
)
from fauxtp.cluster.memory_broker import MemoryBroker
from fauxtp.testing import TestActor

simulated = explored(seeds=3)


@pytest.fixture(params=[*ASYNCIO, pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@dataclass
class Receipt:
    cents: int


class Till(GenServer[Any, int]):
    async def init(self) -> int:
        return 0

    async def handle_call(self, request: Any, from_: Any, state: int) -> Any:
        match request:
            case ("charge", cents):
                return Receipt(cents), state + cents
            case "a surrogate":
                return "\ud800", state + 1
        return state, state


@pytest.mark.anyio
@pytest.mark.parametrize("request_", [("charge", 5), "a surrogate"], ids=str)
async def test_an_answer_that_cannot_travel_is_told_from_a_request_that_cannot(
    request_: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        till = await Till.start(task_group=group)
        there = seen_by(a, b, till)
        said = r"the request was done, and its answer cannot be sent: expected "
        with pytest.raises(TypeError, match=said):
            await call(there, request_)
        assert process_of(till).state > 0, "it was done"
        [record] = caplog.records
        assert record.getMessage().startswith(f"an answer of Till {till!r}, to ")
        caplog.clear()
        with pytest.raises(TypeError, match=r"^expected .*: fauxtp\.cluster\.cluster_type lets a"):
            await call(there, Receipt(1))
        assert not caplog.records, "it is the caller's own"


@pytest.mark.anyio
@pytest.mark.parametrize("by_name", [False, True], ids=["by PID", "by name"])
@pytest.mark.parametrize(
    "ask",
    [
        get_state,
        lambda to: replace_state(to, list),
        suspend,
        resume,
        lambda to: told(process_info, to),
        which_children,
        count_children,
        lambda to: start_child(to, ChildSpec("till", Till)),
        lambda to: terminate_child(to, "till"),
        lambda to: restart_child(to, "till"),
        lambda to: delete_child(to, "till"),
        lambda to: start_or_find("till", Till, supervisor=to),
        lambda to: told(lambda to: run_task(to, until, list), to),
        lambda to: anext(aiter(map_tasks(to, until, [list], max_concurrency=1))),
    ],
    ids=[
        *("get_state", "replace_state", "suspend", "resume", "process_info", "which_children"),
        *("count_children", "start_child", "terminate_child", "restart_child", "delete_child"),
        *("start_or_find", "run_task", "map_tasks"),
    ],
)
async def test_what_is_asked_of_processes_of_here_says_so(
    ask: Callable[[Any], Any], by_name: bool
) -> None:
    async with there_is_a_supervisor(by_name) as to:
        with pytest.raises(ValueError, match=OF_ANOTHER):
            await ask(to)


OF_ANOTHER = r"expected a process of this node, got .*, which is of another$"


class Sessions(DynamicSupervisor):
    """Has any number of tills."""


@asynccontextmanager
async def there_is_a_supervisor(by_name: bool) -> AsyncIterator[Any]:
    """Let a supervisor be on another node meanwhile."""
    async with members("a", "b") as (a, b), task_group() as group:
        server = await Sessions.start(task_group=group, register_as=b.name("sessions"))
        await until(lambda: a.whereis("sessions") is not None)
        to = a.name("sessions") if by_name else seen_by(a, b, server)
        assert is_alive(to)
        yield to


@pytest.mark.anyio
async def test_partitions_of_another_node_have_no_names_here() -> None:
    async with there_is_a_supervisor(by_name=True) as to:
        with pytest.raises(ValueError, match=OF_ANOTHER):
            partition(to, "anna")


@pytest.mark.anyio
async def test_a_test_actor_of_another_node_cannot_be_looked_into() -> None:
    async with there_is_a_supervisor(by_name=False) as to:
        with pytest.raises(ValueError, match=OF_ANOTHER):
            TestActor.of(to)


@pytest.mark.anyio
async def test_an_address_cannot_have_its_processes_started_elsewhere() -> None:
    """It is no error of a sender's, and to wait for it would be in vain."""
    async with there_is_a_supervisor(by_name=True) as name:
        with pytest.raises(TypeError, match="expected supervisor to be a PID or a name of this"):
            OnDemand(KeyedTill, supervisor=name, prefix="till:")
    async with there_is_a_supervisor(by_name=False) as pid:
        address = OnDemand(KeyedTill, supervisor=pid, prefix="till:")["anna"]
        before = dead_letters.total()
        send_nowait(address, "hello")
        assert dead_letters.total() == before + 1
        with pytest.raises(NoProcess, match=f"^'till:anna' cannot be started: {OF_ANOTHER}"):
            await call(address, "hello", wait=60)


class KeyedTill(Till):
    def __init__(self, key: str) -> None:
        self.key = key


async def told(function: Callable[[Any], Any], to: Any) -> Any:
    return function(to)


@simulated
async def test_a_node_without_a_lease_is_none_that_is_there() -> None:
    broker = MemoryBroker("shop")
    async with member(broker, "a") as a, member(broker, "b") as b, task_group() as group:
        till = await Till.start(task_group=group, register_as=a.name("till"))
        await until(lambda: b.whereis("till") is not None)
        broker.freeze("b")
        await until(lambda: not b._node.is_member)
        assert "b" not in b.nodes()
        broker.heal("b")
        await until(lambda: b.nodes() == ["a", "b"])
        assert await call(b.name("till"), "total", TTL) == 0, "it may act now"
        assert is_alive(till)
        group.cancel_scope.cancel()
