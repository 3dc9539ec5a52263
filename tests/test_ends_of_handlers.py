"""How a handler may end its server, however deep in task groups and scopes it is."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from conftest import task_group

from fauxtp import (
    PID,
    Actor,
    ActorHandle,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    ProcessExited,
    StateMachine,
    Stop,
    Supervisor,
    call,
    cast,
    exit,
    start_child,
    wait_exit,
    whereis,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def no_log() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


# Stop with a reply, in a task group


async def stop(reply: Any = 42) -> None:
    raise Stop("done", reply=reply)


async def in_its_body() -> None:
    async with anyio.create_task_group():
        await stop()


async def in_its_body_after_a_turn() -> None:
    async with anyio.create_task_group():
        await checkpoint()
        await stop()


async def in_a_task() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(stop)


async def in_groups_in_groups() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(in_a_task)


async def before_a_turn() -> None:
    await checkpoint()
    await in_its_body()


async def beside_an_error() -> None:
    async with anyio.create_task_group():
        try:
            await stop()
        finally:
            raise BaseExceptionGroup("both", [ValueError(), Stop("done", reply=42)])


async def beside_a_stop_without_a_reply() -> None:
    raise BaseExceptionGroup("both", [Stop("done"), Stop("done", reply=42)])


async def in_an_asyncio_group() -> None:
    async with asyncio.TaskGroup():
        await stop()


async def in_a_task_of_an_asyncio_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(stop())


STOPS = [
    in_its_body,
    in_its_body_after_a_turn,
    in_a_task,
    in_groups_in_groups,
    before_a_turn,
    beside_an_error,
    beside_a_stop_without_a_reply,
    in_an_asyncio_group,
    in_a_task_of_an_asyncio_group,
]


class Stopping(GenServer[Any, Any]):
    """Ends as it is told to."""

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        await request()

    async def handle_cast(self, request: Any, state: Any) -> Any:
        await request()


class StoppingByHand(Stopping):
    """Has a `run` of its own, so nobody may handle a call to it on the spot."""

    async def run(self, state: Any) -> Any:
        return await super().run(state)


@pytest.mark.parametrize("how", STOPS, ids=lambda how: how.__name__)
@pytest.mark.parametrize("server", [Stopping, StoppingByHand])
async def test_stop_answers_before_it_ends_also_in_a_task_group(
    how: Callable[[], Awaitable[None]], server: type[Stopping], anyio_backend_name: str
) -> None:
    if anyio_backend_name != "asyncio" and "asyncio" in how.__name__:
        pytest.skip("there are no such groups on trio")
    async with task_group() as group:
        for _ in range(2):  # the first one begins in a turn of its own
            pid = await server.start(task_group=group)
            await anyio.wait_all_tasks_blocked()
            assert await call(pid, how) == 42
            assert await wait_exit(pid) in ("done", "noproc")


async def test_stop_in_a_task_group_without_a_reply_answers_nobody() -> None:
    async def end() -> None:
        async with anyio.create_task_group():
            raise Stop("done")

    async with task_group() as group:
        pid = await Stopping.start(task_group=group)
        with pytest.raises(ProcessExited, match="done"):
            await call(pid, end)


async def test_stop_in_a_task_group_of_a_cast_ends_the_server() -> None:
    async with task_group() as group:
        pid = await Stopping.start(task_group=group)
        await cast(pid, in_its_body)
        assert await wait_exit(pid) == "done"


# GeneratorExit is what ends a coroutine whose event loop is gone; raised by a handler it is an
# error, as any that is no Exception.


class Odd(BaseException):
    """Another error that is no Exception."""


class Failing(GenServer[Any, Any]):
    """Raises an error in one of its functions, and notes what becomes of it."""

    def __init__(self, where: str, error: type[BaseException], notes: list[Any]) -> None:
        self.where, self.error, self.notes = where, error, notes

    def fail(self, where: str) -> None:
        if where == self.where:
            raise self.error

    async def child(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self.notes.append("child has ended")

    async def init(self) -> Any:
        self.start_soon_child(self.child)
        for _ in range(3):
            await checkpoint()
        self.fail("init")

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        self.fail("call")
        await checkpoint()
        self.fail("call, later")
        async with anyio.create_task_group():
            self.fail("call, in a group")
        return "answer", state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        self.fail("cast")

    async def handle_info(self, message: Any, state: Any) -> Any:
        self.fail("info")

    async def terminate(self, reason: str, state: Any) -> None:
        await checkpoint()
        self.notes.append("terminates")
        self.fail("terminate")

    async def exited(self, pid: PID, reason: str) -> None:
        await checkpoint()
        self.notes.append("on_exit")
        self.fail("on_exit")


WHERE = ["init", "call", "call, later", "call, in a group", "cast", "terminate", "on_exit"]


async def life_of_one_that_fails(where: str, error: type[BaseException]) -> list[Any]:
    notes: list[Any] = []
    answers: list[Any] = []

    async def suffer() -> None:
        async with task_group() as group:
            exit(await Stopping.start(task_group=group))
            handle = await started(group)
            if "call" in where:
                with anyio.CancelScope(shield=True):
                    answers.append(await attempt(call(handle.pid, None)))
            elif where == "cast":
                await cast(handle.pid, None)
                await wait_exit(handle.pid)
            exit(handle.pid)
            await wait_exit(handle.pid)
            with anyio.CancelScope(shield=True):
                for _ in range(10):
                    await checkpoint()

    async def started(group: Any) -> ActorHandle:
        server = Failing(where, error, notes)

        class This(Failing):
            def __new__(cls) -> Any:
                return server

            def __init__(self) -> None:
                pass

        return await This.start_link(task_group=group, on_exit=server.exited)

    try:
        await suffer()
    except BaseException as raised:
        notes.append(set(kinds(raised)))
    return notes + answers


async def attempt(what: Awaitable[Any]) -> str:
    try:
        return str(await what)
    except Exception as error:
        return type(error).__name__


def kinds(error: BaseException) -> Iterator[str]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from kinds(part)
    else:
        yield type(error).__name__.replace("GeneratorExit", "Odd")


@pytest.mark.parametrize("where", WHERE)
async def test_generator_exit_of_its_own_is_an_error_like_any_other(where: str) -> None:
    ended = await life_of_one_that_fails(where, GeneratorExit)
    assert ended == await life_of_one_that_fails(where, Odd)
    assert "child has ended" in ended
    assert {"Odd"} in ended
    assert "terminates" in ended or where == "init"


class Returns(GenServer[Any, Any]):
    async def init(self) -> Any:
        return Stop("not now")


class ReturnsAsActor(Actor):
    async def init(self) -> Any:
        return Stop("not now")

    async def run(self, state: Any) -> Any:
        raise AssertionError("it has begun")


class ReturnsAsMachine(StateMachine):
    async def init(self) -> Any:
        return Stop("not now")


class ReturnsAsSupervisor(Supervisor):
    async def init(self) -> Any:
        return Stop("not now")


@pytest.mark.parametrize("cls", [Returns, ReturnsAsActor, ReturnsAsMachine, ReturnsAsSupervisor])
async def test_an_init_that_returns_stop_ends_the_start(cls: Any) -> None:
    async with task_group() as group:
        chief = await DynamicSupervisor.start(task_group=group)
        for start in (
            lambda: cls.start(task_group=group, register_as="nobody"),
            lambda: start_child(chief, ChildSpec("a", cls, register_as="nobody")),
        ):
            with pytest.raises(ProcessExited, match="not now"):
                await start()
            assert whereis("nobody") is None
        exit(chief)


# Scopes in init


async def sleep() -> None:
    await anyio.sleep_forever()


class Scoped(GenServer[Any, Any]):
    """Starts a child in a scope that it opens in `init`, which never waits."""

    def __init__(self, opened: Callable[[], Any], child: Callable[[], Any] = sleep) -> None:
        self.opened, self.child = opened, child

    async def init(self) -> Any:
        with self.opened(), anyio.CancelScope(shield=True):
            self.start_soon_child(self.child)
        return "ready"

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return state, state


class ScopedActor(Actor):
    """The same, of a process that nobody can step."""

    def __init__(self, opened: Callable[[], Any], child: Callable[[], Any] = sleep) -> None:
        self.opened, self.child = opened, child

    async def init(self) -> Any:
        with self.opened():
            self.start_soon_child(self.child)

    async def run(self, state: Any) -> Any:
        await anyio.sleep_forever()


SCOPES = [anyio.CancelScope, lambda: anyio.move_on_after(60), lambda: anyio.fail_after(60)]


@pytest.mark.parametrize("kind", [Scoped, ScopedActor])
@pytest.mark.parametrize("opened", SCOPES)
async def test_init_may_start_a_child_in_a_scope_of_its_own(
    kind: Any, opened: Callable[[], Any]
) -> None:
    async with task_group() as group:
        for _ in range(3):
            pid = await kind.start(opened, task_group=group)
            await anyio.wait_all_tasks_blocked()
            if kind is Scoped:
                assert await call(pid, None) == "ready"
            exit(pid, "enough")
            assert await wait_exit(pid) == "enough"


@pytest.mark.parametrize("kind", [Scoped, ScopedActor])
async def test_a_child_of_such_an_init_that_fails_ends_the_process(kind: Any) -> None:
    async def fail() -> None:
        raise ValueError("child")

    async with task_group() as group:
        for _ in range(3):
            pid = await kind.start(anyio.CancelScope, fail, task_group=group)
            assert await wait_exit(pid) in ("error: ValueError('child')", "noproc")


@pytest.mark.parametrize("kind", [Scoped, ScopedActor])
async def test_such_an_init_that_is_to_end_ends(kind: Any) -> None:
    class Doomed(kind):  # type: ignore[misc]
        async def init(self) -> Any:
            with anyio.CancelScope():
                self.start_soon_child(self.child)
                exit(self.pid, "enough")

    async with task_group() as group:
        for _ in range(3):
            pid = await Doomed.start(anyio.CancelScope, task_group=group)
            assert await wait_exit(pid) in ("enough", "noproc")


if sys.version_info >= (3, 12):

    @pytest.mark.parametrize("anyio_backend", ["asyncio"])
    async def test_an_eager_child_of_such_an_init_may_ask_for_children_itself() -> None:
        class Eager(Scoped):
            async def init(self) -> Any:
                loop = asyncio.get_running_loop()
                loop.set_task_factory(asyncio.eager_task_factory)
                try:
                    with anyio.CancelScope():
                        await_later.append(loop.create_task(self.ask()))
                finally:
                    loop.set_task_factory(None)
                return "ready"

            async def ask(self) -> None:
                self.start_soon_child(sleep)

        await_later: list[Any] = []
        async with task_group() as group:
            for _ in range(3):
                pid = await Eager.start(anyio.CancelScope, task_group=group)
                assert await call(pid, None) == "ready"
                exit(pid, "enough")
                assert await wait_exit(pid) == "enough"
