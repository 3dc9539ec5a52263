"""What several tests of processes start: actors that do as they are told, and note it."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import anyio
import conftest

from fauxtp import (
    NO_REPLY,
    PID,
    Actor,
    Call,
    ChildSpec,
    ExitReason,
    GenServer,
    Mailbox,
    RestartStrategy,
    Supervisor,
    cast,
    send_nowait,
    wait_exit,
    wait_registered,
    whereis,
)
from fauxtp._core.process import Process, find_process


class Boom(Exception):
    """The crash of a test."""


class Fatal(BaseException):
    """What no actor may keep to itself."""


def boom() -> NoReturn:
    raise Boom


running = conftest.task_group


class Idle(Actor):
    """Does nothing, for ever."""

    async def run(self, state: Any) -> Any:
        await anyio.Event().wait()  # and not `sleep_forever`, whose timer outlives it on asyncio


class Puppet(GenServer[Callable[[], Any], Any]):
    """Calls what it is called with or cast; hands on other messages; notes its life."""

    def __init__(
        self, name: str = "", diary: list[str] | None = None, outside: Mailbox | None = None
    ) -> None:
        self.name = name
        self.diary = [] if diary is None else diary
        self.outside = outside

    async def init(self) -> Any:
        self.diary.append(f"+{self.name}")

    async def terminate(self, reason: str, state: Any) -> None:
        self.diary.append(f"-{self.name}")

    async def handle_call(self, request: Callable[[], Any], from_: Any, state: Any) -> Any:
        result = request()
        return (await result if inspect.isawaitable(result) else result), state

    async def handle_cast(self, request: Callable[[], Any], state: Any) -> Any:
        result = request()
        return await result if inspect.isawaitable(result) else result

    async def handle_info(self, message: Any, state: Any) -> Any:
        assert self.outside is not None
        send_nowait(self.outside.pid, message)


class Trapper(Puppet):
    """A puppet that is sent exits."""

    trap_exit = True


class Cell(GenServer[Any, Any]):
    """Keeps a value; takes its time to change it."""

    async def init(self) -> int:
        return 0

    async def handle_call(self, request: Any, from_: Call, value: int) -> Any:
        if request == "get":
            return value, value
        if request == "never":
            return NO_REPLY, value
        await anyio.sleep(0.001 * random.random())
        if request == "crash":
            raise ValueError("a crash")
        return request, request

    async def handle_cast(self, request: Any, value: int) -> int:
        return value + int(request)


def supervisor(
    *specs: ChildSpec,
    strategy: RestartStrategy = RestartStrategy.ONE_FOR_ONE,
    max_restarts: int = 3,
    max_seconds: float = conftest.PATIENCE,
) -> type[Supervisor]:
    """Return a class of supervisors of those children."""

    class Chief(Supervisor):
        def child_specs(self) -> list[ChildSpec]:
            return list(specs)

    Chief.strategy = strategy
    Chief.max_restarts = max_restarts
    Chief.max_seconds = max_seconds
    return Chief


def three(diary: list[str], **of_b: Any) -> list[ChildSpec]:
    """Return the specs of the puppets a, b and c, with what is special about b."""
    return [
        ChildSpec(name, Puppet, args=(name, diary), register_as=name, **extra)
        for name, extra in (("a", {}), ("b", of_b), ("c", {}))
    ]


def pid_of(name: str) -> PID:
    """Return the PID of a name that somebody has."""
    pid = whereis(name)
    assert pid is not None
    return pid


def process_of(pid: PID) -> Process:
    """Return the process of a PID that lives."""
    process = find_process(pid)
    assert process is not None
    return process


async def begun_and_left(
    function: Callable[..., Coroutine[Any, Any, object]], *arguments: object
) -> None:
    """Await the function until everybody waits for something, and leave it then: cancelled."""
    async with anyio.create_task_group() as group:
        group.start_soon(function, *arguments)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()


async def end_of(process: Process) -> ExitReason:
    """Return why the process ended, also if that was before."""
    await wait_exit(process.pid)
    assert process.reason is not None
    return process.reason


async def crash(name: str) -> PID:
    """Let the puppet of that name crash; return its successor when it has the name."""
    pid = pid_of(name)
    await cast(pid, boom)
    await wait_exit(pid)
    return await wait_registered(name)
