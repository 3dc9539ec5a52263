"""Mistakes that are easily made: each is an error at once, which says what to write."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from conftest import task_group

from fauxtp import (
    PID,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    ProcessExited,
    Raise,
    Stop,
    Task,
    call,
    exit,
    run_task,
    whereis,
)

pytestmark = pytest.mark.anyio

Made = Coroutine[Any, Any, Any]

MISSING = "coroutine: is an await missing"
CALLED = "coroutine: give the function and its arguments, and do not call it"


class Tasks(DynamicSupervisor):
    pass


class Server(GenServer[Any, Any]):
    """Does as it is asked, of which the last is the answer."""

    async def handle_call(self, request: Callable[..., Any], from_: Any, state: Any) -> Any:
        return request(self, from_)


async def anything() -> None:
    pass


# What is done with a coroutine within a server
INSIDE: dict[str, Callable[[Server, Any, Made], Any]] = {
    "start_soon_child": lambda server, _, made: server.start_soon_child(made),  # type: ignore[arg-type]
    "reply_later": lambda server, call, made: server.reply_later(call, made),  # type: ignore[arg-type]
    "run_task": lambda _, __, made: run_task("tasks", made),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("use", INSIDE.values(), ids=list(INSIDE))
async def test_what_is_called_already_is_no_function(use: Callable[..., Any]) -> None:
    made = anything()
    async with task_group() as group:
        tasks = await Tasks.start(task_group=group, register_as="tasks")
        server = await Server.start(task_group=group)
        with pytest.raises(ProcessExited) as caught:
            await call(server, lambda server, call: use(server, call, made))
        assert f"to be callable, got {CALLED}" in str(caught.value.__cause__)
        assert whereis("tasks") is tasks
        exit(tasks)
    made.close()


@pytest.mark.parametrize("args", ["lamp", b"lamp"])
def test_one_argument_is_no_sequence_of_arguments(args: Any) -> None:
    with pytest.raises(
        ValueError, match=r"args of 'a' to be a sequence, .*one thing is \(thing,\)"
    ):
        ChildSpec("a", Server, args=args)


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (Server(), "start"),
        (Server(), "start_link"),
        (Tasks(), "start"),
        (Task(anything), "start_link"),
        (Task(anything), "spawn"),
        (Task(anything), "spawn_and_notify"),
    ],
)
async def test_who_is_made_by_hand_is_not_started_by_its_class(made: Any, name: str) -> None:
    kind = type(made).__name__
    async with task_group() as group:
        with pytest.raises(TypeError, match=rf"on the class.*: {kind}\.{name}\(…\), got one of"):
            await getattr(made, name)(anything, task_group=group)


async def test_a_class_may_start_itself_in_a_way_of_its_own() -> None:
    class Counts(Server):
        begun = 0

        @classmethod
        async def start(cls, *args: Any, **kwargs: Any) -> PID:
            cls.begun += 1
            return await super().start(*args, **kwargs)

    async with task_group() as group:
        exit(await Counts.start(task_group=group))
        assert Counts.begun == 1


ODD: list[tuple[Callable[[Server, Any], Any], str]] = [
    (lambda _, __: Raise(ValueError), "error to be an instance of Exception, got the class Value"),  # type: ignore[arg-type]
    (lambda _, __: Stop(3), "expected reason to be a str, got int"),  # type: ignore[arg-type]
    (lambda server, _: server.stop(3), "reason to be a str, got int"),  # type: ignore[arg-type]
    (lambda _, __: (1, 2, 3), r"return \(reply, state\) or Stop, got a tuple of 3 for"),
    (lambda _, __: int, r"return \(reply, state\) or Stop, got the class int for"),
]


@pytest.mark.parametrize(("result", "text"), ODD, ids=[text for _, text in ODD])
async def test_what_a_handler_cannot_mean_is_told_by_its_name(result: Any, text: str) -> None:
    async with task_group() as group:
        server = await Server.start(task_group=group)
        with pytest.raises(ProcessExited) as caught:
            await call(server, result)
        with pytest.raises(TypeError, match=text):
            raise caught.value.reason.exception or caught.value
