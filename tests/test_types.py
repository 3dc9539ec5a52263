"""What users define in their classes: type checkers let them call its parameters as they like."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, assert_type

import anyio
import anyio.to_thread
import pytest

from fauxtp import (
    PID,
    Actor,
    Call,
    GenServer,
    PendingCall,
    Request,
    StateMachine,
    Task,
    TaskHandle,
    call,
    call_blocking,
    call_many,
    exit,
    start_call,
)

HOOKS = (
    "init",
    "run",
    "terminate",
    "format_state",
    "handle_call",
    "handle_cast",
    "handle_info",
    "handle_event",
    "handle_enter",
    "handle_continue",
    "handle_timeout",
    "handle_task_end",
)


@pytest.mark.parametrize("kind", [Actor, GenServer, StateMachine, Task])
def test_parameters_of_what_users_define_have_no_names(kind: type[Actor]) -> None:
    for hook in HOOKS:
        method = getattr(kind, hook, None)
        if method is None:
            continue
        _, *parameters = inspect.signature(method).parameters.values()
        kinds = {parameter.kind for parameter in parameters}
        assert kinds <= {inspect.Parameter.POSITIONAL_ONLY}, f"{kind.__name__}.{hook}"


@dataclass(frozen=True)
class Get(Request[int]):
    """How many there are of something."""

    key: str


class Shop(GenServer[Any, dict[str, int]]):
    async def init(self) -> dict[str, int]:
        return {"apples": 3}

    async def handle_call(self, request: Any, from_: Call, stock: dict[str, int]) -> Any:
        match request:
            case Get(key):
                return stock[key], stock
        return request, stock


async def three() -> int:
    return 3


@pytest.mark.anyio
async def test_the_answer_has_the_type_that_the_request_says() -> None:
    """Of what `assert_type` says, mypy and pyright are the judges: `make lint`."""
    async with anyio.create_task_group() as group:
        shop = await Shop.start(task_group=group)
        apples = await call(shop, Get("apples"))
        assert_type(apples, int)
        anything = await call(shop, "anything")
        assert_type(anything, Any)
        pending = start_call(shop, Get("apples"))
        assert_type(pending, PendingCall[int])
        assert_type(await pending, int)
        answers, failures = await call_many([shop], Get("apples"))
        assert_type(answers, dict[PID | str, int])
        assert_type(failures, dict[PID | str, Exception])
        in_thread = await anyio.to_thread.run_sync(lambda: call_blocking(shop, Get("apples")))
        assert_type(in_thread, int)
        task = await Task.spawn(three, group)
        assert_type(task, TaskHandle[int])
        assert_type(await task.join(), int)
        assert (apples, answers, in_thread, failures) == (3, {shop: 3}, 3, {})
        exit(shop)


def test_a_request_costs_nothing_beside_what_it_asks() -> None:
    assert not hasattr(Request(), "__dict__")
    assert vars(Get("apples")) == {"key": "apples"}
