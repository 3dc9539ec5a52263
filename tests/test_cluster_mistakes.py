"""What is easily mistaken where processes of other nodes are concerned, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from clusters import TTL, diary, member, members, seen_by, until
from conftest import ASYNCIO, task_group
from crew import process_of
from in_simulated_time import explored

from fauxtp import (
    GenServer,
    call,
    get_state,
    is_alive,
    process_info,
    replace_state,
    resume,
    suspend,
)
from fauxtp.cluster.memory_broker import MemoryBroker

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
    ],
    ids=["get_state", "replace_state", "suspend", "resume", "process_info"],
)
async def test_what_is_asked_of_processes_of_here_says_so(
    ask: Callable[[Any], Any], by_name: bool
) -> None:
    async with members("a", "b") as (a, b), task_group() as group:
        server = await diary(group, register_as=b.name("diary"))
        await until(lambda: a.whereis("diary") is not None)
        to = a.name("diary") if by_name else seen_by(a, b, server)
        assert is_alive(to)
        with pytest.raises(ValueError, match=r"expected a process of this node, got .*, which is"):
            await ask(to)


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
