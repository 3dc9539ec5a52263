"""Programs in which somebody is cancelled in the same step by whom it calls, starts or ends.

Each is put together of three parts: where the victim's code runs, who cancels it, and how. What
came of it is a list of texts, which must be the same in every configuration.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from fauxtp import PID, Actor, GenServer, call, cast, exit, is_alive, send_nowait, wait_exit

__all__ = ["HOWS", "PLACES", "WAYS", "Case", "How", "Way", "all_had_turns", "outcome"]


class Case:
    """One run: the victim, what it may be cancelled by, and what was noted of it."""

    def __init__(self, way: Way, how: How, group: TaskGroup) -> None:
        self.way, self.how, self.group = way, how, group
        self.notes: list[str] = []
        self.others: list[str] = []  # what the other side gets: whoever is first notes it first
        self.outer, self.shield, self.scope = (anyio.CancelScope() for _ in range(3))
        self.pid: PID | None = None  # of the victim, if it is a process
        self.task: Any = None
        self.servers: list[PID] = []

    async def prepare(self) -> None:
        exit(await Helper.start(self, task_group=self.group))  # its host begins
        self.servers = [await Helper.start(self, task_group=self.group) for _ in range(5)]
        await all_had_turns()

    def strike(self) -> None:
        self.notes.append("struck")
        self.how(self)

    async def suffer(self, pid: PID | None) -> str:
        """Be the victim."""
        self.pid, self.task = pid, _running_task()
        self.notes.append("begins")
        try:
            with self.outer:
                with self.shield, self.scope:
                    try:
                        await self.way(self)
                        self.notes.append("not cancelled in the first step")
                        await call(self.servers[2], "nothing")
                        self.notes.append("not cancelled in the second step")
                        await checkpoint()
                        self.notes.append("not cancelled at all")
                    except BaseException as error:
                        self.notes.append(_name(error))
                        raise
                self.notes.append(f"caught by the scope: {self.scope.cancelled_caught}")
                await call(self.servers[3], "nothing")
                self.notes.append("not cancelled outside of it")
            self.notes.append(f"caught by the outer scope: {self.outer.cancelled_caught}")
            await call(self.servers[3], "nothing")
            await checkpoint()
        except BaseException as error:
            self.notes.append(f"leaves with {_name(error)}")
            raise
        self.notes.append("leaves")
        return "answer"

    async def attempt(self, what: Awaitable[object]) -> None:
        """Note what the other side gets."""
        try:
            answer = await what
        except Exception as error:
            answer = type(error).__name__
        self.others.append("a PID" if isinstance(answer, PID) else str(answer))

    async def end(self) -> None:
        await all_had_turns()
        if self.pid is not None:
            self.notes.append(f"alive: {is_alive(self.pid)}")
            await self.attempt(call(self.pid, "nothing", 1))
            exit(self.pid, "the end")
            await wait_exit(self.pid)
        self.notes.append(f"servers alive: {[is_alive(server) for server in self.servers]}")


async def all_had_turns() -> None:
    for _ in range(20):
        await checkpoint()


def _running_task() -> Any:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _name(error: BaseException) -> str:
    cancelled = isinstance(error, anyio.get_cancelled_exc_class())
    return "cancelled" if cancelled else type(error).__name__


Way = Callable[[Case], Coroutine[Any, Any, object]]
How = Callable[[Case], object]


class Helper(GenServer[Any, Any]):
    """Strikes where it is told to."""

    def __init__(self, case: Case, where: str = "") -> None:
        self.case, self.where = case, where

    async def init(self) -> Any:
        if self.where == "init":
            self.case.strike()
        if self.where == "init, later":
            await checkpoint()
            self.case.strike()

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        if request == "strike":
            self.case.strike()
        elif request == "strike later":
            await checkpoint()
            self.case.strike()
        elif isinstance(request, list):  # by others, one after the other
            await call(request[0], request[1:] or "strike")
        elif callable(request):
            await request(self)
        return "handled", state

    async def terminate(self, reason: str, state: Any) -> None:
        if self.where == "terminate":
            self.case.strike()
        if self.where == "terminate, later":
            await checkpoint()
            self.case.strike()


# Who cancels the victim


async def nobody(case: Case) -> None:
    await call(case.servers[0], "nothing")


async def itself_and_calls(case: Case) -> None:
    case.strike()
    await call(case.servers[0], "nothing")


async def itself_and_starts(case: Case) -> None:
    case.strike()
    await Helper.start(case, task_group=case.group)


async def itself_and_waits(case: Case) -> None:
    server = await Helper.start(case, task_group=case.group)
    case.strike()
    exit(server)
    await wait_exit(server)


async def who_is_called(case: Case) -> None:
    await call(case.servers[0], "strike")


async def who_is_called_later(case: Case) -> None:
    await call(case.servers[0], "strike later")


async def who_is_called_by_others(case: Case) -> None:
    await call(case.servers[0], case.servers[1:3])


async def who_is_started(case: Case) -> None:
    await Helper.start(case, "init", task_group=case.group)


async def who_is_started_later(case: Case) -> None:
    await Helper.start(case, "init, later", task_group=case.group)


async def who_is_started_by_whom_it_calls(case: Case) -> None:
    async def start(server: Helper) -> None:
        await Helper.start(case, "init", task_group=case.group)

    await call(case.servers[0], start)


async def who_is_called_in_a_start(case: Case) -> None:
    await Caller.start(case, task_group=case.group)


class Caller(Helper):
    async def init(self) -> Any:
        await call(self.case.servers[0], "strike")


async def who_ends(case: Case) -> None:
    server = await Helper.start(case, "terminate", task_group=case.group)
    exit(server)
    await wait_exit(server)


async def who_ends_later(case: Case) -> None:
    server = await Helper.start(case, "terminate, later", task_group=case.group)
    exit(server)
    await wait_exit(server)


async def who_hears_of_an_end(case: Case) -> None:
    async def strike(pid: PID, reason: str) -> None:
        case.strike()

    handle = await Helper.start_link(case, task_group=case.group, on_exit=strike)
    handle.cancel_scope.cancel()
    await wait_exit(handle.pid)
    await checkpoint()  # it may have heard of the end before


async def whom_it_ends_by_calling(case: Case) -> None:
    async def end(server: Helper) -> None:
        await who_ends(case)

    await call(case.servers[0], end)


WAYS: list[Way] = [
    nobody,
    itself_and_calls,
    itself_and_starts,
    itself_and_waits,
    who_is_called,
    who_is_called_later,
    who_is_called_by_others,
    who_is_started,
    who_is_started_later,
    who_is_started_by_whom_it_calls,
    who_is_called_in_a_start,
    who_ends,
    who_ends_later,
    who_hears_of_an_end,
    whom_it_ends_by_calling,
]

# How it is cancelled


def its_scope(case: Case) -> None:
    case.scope.cancel()


def the_outer_scope(case: Case) -> None:
    case.outer.cancel()


def the_outer_scope_behind_a_shield(case: Case) -> None:
    case.shield.shield = True
    case.outer.cancel()


def its_scope_twice(case: Case) -> None:
    case.scope.cancel()
    case.outer.cancel()


def its_scope_and_a_message(case: Case) -> None:
    if case.pid is not None:
        send_nowait(case.pid, "a message")
    case.scope.cancel()


def an_exit(case: Case) -> None:
    if case.pid is not None:
        exit(case.pid, "enough")


def a_kill(case: Case) -> None:
    if case.pid is not None:
        exit(case.pid, "kill")


def its_task(case: Case) -> None:
    if case.task is not None:
        case.task.cancel()


def its_task_but_not_really(case: Case) -> None:
    if case.task is not None:
        case.task.cancel()
        case.task.uncancel()


def a_message(case: Case) -> None:
    if case.pid is not None:
        send_nowait(case.pid, "a message")


HOWS: list[How] = [
    its_scope,
    the_outer_scope,
    the_outer_scope_behind_a_shield,
    its_scope_twice,
    its_scope_and_a_message,
    an_exit,
    a_kill,
    its_task,
    its_task_but_not_really,
    a_message,
]

# Where the victim is


class Victim(GenServer[Any, Any]):
    """Suffers in one of its functions."""

    def __init__(self, case: Case, where: str = "") -> None:
        self.case, self.where = case, where

    async def init(self) -> Any:
        return await self.suffer() if self.where == "init" else None

    async def suffer(self) -> Any:
        return await self.case.suffer(self.pid)

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        if request == "nothing":
            return request, state
        if request == "later":
            await checkpoint()
        elif isinstance(request, anyio.Event):
            await request.wait()
        if request == "in a task group":
            async with anyio.create_task_group() as group:
                group.start_soon(self.suffer)
            return "answer", state
        return await self.suffer(), state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        await self.suffer()

    async def handle_info(self, message: Any, state: Any) -> Any:
        self.case.notes.append(message)
        return state

    async def terminate(self, reason: str, state: Any) -> None:
        self.case.notes.append(f"terminates: {reason}")
        if self.where == "terminate":
            await self.suffer()
        await checkpoint()
        self.case.notes.append("has terminated")


class Runner(Actor):
    """Suffers in `run`."""

    def __init__(self, case: Case) -> None:
        self.case = case

    async def run(self, state: Any) -> Any:
        await self.case.suffer(self.pid)
        self.stop("well")

    async def terminate(self, reason: str, state: Any) -> None:
        self.case.notes.append(f"terminates: {reason}")


async def in_no_process(case: Case) -> None:
    async def suffer() -> None:
        await case.suffer(None)

    async with anyio.create_task_group() as group:
        group.start_soon(suffer)


async def in_handle_call(case: Case) -> None:
    await case.attempt(call(await Victim.start(case, task_group=case.group), "at once"))


async def in_handle_call_after_a_turn(case: Case) -> None:
    await case.attempt(call(await Victim.start(case, task_group=case.group), "later"))


async def in_handle_call_after_a_wait(case: Case) -> None:
    server, event = await Victim.start(case, task_group=case.group), anyio.Event()

    async def set_it() -> None:
        await checkpoint()
        await checkpoint()
        event.set()

    case.group.start_soon(set_it)
    await case.attempt(call(server, event))


async def in_a_task_of_handle_call(case: Case) -> None:
    await case.attempt(call(await Victim.start(case, task_group=case.group), "in a task group"))


async def in_handle_call_of_the_next(case: Case) -> None:
    server = await Victim.start(case, task_group=case.group)

    async def pass_on(_: Helper) -> None:
        await call(server, "at once")

    await case.attempt(call(case.servers[4], pass_on))


async def in_handle_cast(case: Case) -> None:
    await cast(await Victim.start(case, task_group=case.group), "go")
    await all_had_turns()


async def in_run(case: Case) -> None:
    await case.attempt(Runner.start(case, task_group=case.group))
    await all_had_turns()


async def in_init(case: Case) -> None:
    await case.attempt(Victim.start(case, "init", task_group=case.group))


async def in_terminate(case: Case) -> None:
    pid = await Victim.start(case, "terminate", task_group=case.group)
    exit(pid, "before")
    await case.attempt(wait_exit(pid))


async def in_on_exit(case: Case) -> None:
    async def suffer(pid: PID, reason: str) -> None:
        await case.suffer(pid)

    handle = await Victim.start_link(case, task_group=case.group, on_exit=suffer)
    exit(handle.pid, "before")
    await case.attempt(wait_exit(handle.pid))
    await all_had_turns()


PLACES: list[Way] = [
    in_no_process,
    in_handle_call,
    in_handle_call_after_a_turn,
    in_handle_call_after_a_wait,
    in_a_task_of_handle_call,
    in_handle_call_of_the_next,
    in_handle_cast,
    in_run,
    in_init,
    in_terminate,
    in_on_exit,
]


def outcome(place: Way, way: Way, how: How, backend: str, **options: Any) -> list[str]:
    """Run the program; return what was noted of it."""
    cases: list[Case] = []

    async def main() -> None:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                case = Case(way, how, group)
                cases.append(case)
                await case.prepare()
                async with anyio.create_task_group() as attempts:
                    attempts.start_soon(place, case)
                await case.end()
                group.cancel_scope.cancel()

    try:
        anyio.run(main, backend=backend, backend_options=options)
    except BaseException as error:
        cases[0].others.append(f"ends with {error!r}")
    return cases[0].notes + cases[0].others
