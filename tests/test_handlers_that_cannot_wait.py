"""Servers whose handlers cannot wait: they need no cancel scope, and end as all others do."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from types import FrameType
from typing import Any, NoReturn

import anyio
import pytest
from anyio.lowlevel import checkpoint
from conftest import task_group
from crew import Boom, process_of

from fauxtp import (
    PID,
    Continue,
    ExitReason,
    GenServer,
    ProcessExited,
    Stop,
    call,
    cast,
    exit,
    is_alive,
    send,
    send_nowait,
    wait_exit,
)
from fauxtp._base import switches
from fauxtp._hosting import direct

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True, params=[True, False], ids=["handed off", "by the loop"])
def hand_off(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways, with the same results."""
    monkeypatch.setattr(switches, "hand_off", request.param)


class Server(GenServer[Any, list[Any]]):
    """Does what it is asked, and remembers what came of it."""

    async def init(self) -> list[Any]:
        return []

    async def handle_call(self, request: Callable[[Server], Any], from_: Any, state: Any) -> Any:
        state.append(request(self))
        return state[-1], state

    async def handle_cast(self, request: Callable[[Server], Any], state: Any) -> Any:
        state.append(request(self))
        return state

    async def handle_info(self, message: Any, state: Any) -> Any:
        if type(message) is list:
            message.append("handled")
        return state

    async def handle_continue(self, request: Any, state: Any) -> Any:
        request(state)
        return state, Continue(request)


class Waiting(Server):
    """Can wait in one of its handlers."""

    async def handle_info(self, message: Any, state: Any) -> Any:
        await checkpoint()
        return state


def is_in_scope(pid: PID) -> bool:
    scope = process_of(pid).scope
    assert scope is not None
    return scope.entered


async def ask_all(pid: PID) -> None:
    assert await call(pid, lambda server: 1) == 1
    await cast(pid, lambda server: 2)
    await send(pid, 3)
    assert await call(pid, lambda server: 4) == 4


async def test_it_is_never_in_its_scope(anyio_backend_name: str) -> None:
    async with task_group() as group:
        server = await Server.start(task_group=group)
        waiting = await Waiting.start(task_group=group)
        for pid in (server, waiting):
            await ask_all(pid)
        on_trio = anyio_backend_name == "trio"
        assert (is_in_scope(server), is_in_scope(waiting)) == (on_trio, True)


def end_it(server: Server) -> bool:
    return exit(server.pid)


def end_it_in_a_scope(server: Server) -> None:
    with anyio.CancelScope():
        exit(server.pid)


def kill(pid: PID) -> bool:
    return process_of(pid).kill(ExitReason("killed"))


def kill_it(server: Server) -> bool:
    return kill(server.pid)


@pytest.mark.parametrize(
    ("end", "reason"),
    [(end_it, "shutdown"), (end_it_in_a_scope, "shutdown"), (kill_it, "killed")],
    ids=["exit", "exit in a scope", "kill"],
)
@pytest.mark.parametrize("ask", [call, cast])
async def test_one_that_ends_itself_begins_nothing_more(
    ask: Callable[..., Awaitable[object]], end: Callable[[Server], object], reason: str
) -> None:
    behind: list[str] = []

    def last(server: Server) -> object:
        send_nowait(server.pid, behind)
        return end(server)

    async with task_group() as group:
        pid = await Server.start(task_group=group)
        await call(pid, lambda server: 1)
        try:
            await ask(pid, last)
        except ProcessExited as error:
            assert error.reason == reason  # noqa: PT017  (it may be answered before)
        assert await wait_exit(pid) == reason
    assert behind == []


class AtLine:
    """Lets `intrude` come in at one line of who steps a server, as a signal handler does."""

    def __init__(self, number: int, intrude: Callable[[], object]) -> None:
        self.left = number
        self._intrude = intrude

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        if event == "line":
            self.left -= 1
            if not self.left:
                self._intrude()
        return self if frame.f_code.co_filename == direct.__file__ else None


async def test_who_ends_it_may_come_in_at_any_line_of_who_steps_it() -> None:
    for number in itertools.count(1):
        async with task_group() as group:
            pid = await Server.start(task_group=group)
            await ask_all(pid)
            line = AtLine(number, partial(exit, pid))
            sys.settrace(line)
            try:
                await ask_it(call, pid, id)
            finally:
                sys.settrace(None)
            if line.left > 0:  # as at once where it is compiled: that has no lines
                exit(pid)
            assert await wait_exit(pid) in {"shutdown", "noproc"}
        if line.left > 0:
            break


async def test_one_that_has_much_to_do_ends_between_two_messages() -> None:
    done: list[object] = []
    async with task_group() as group:
        pid = await Server.start(task_group=group)
        for number in range(1_000):
            await cast(pid, lambda server, number=number: done.append(number))
        await checkpoint()
        exit(pid)
        assert await wait_exit(pid) == "shutdown"
    assert done == list(range(len(done)))
    assert len(done) < 1_000


async def test_one_that_always_has_something_left_to_do_ends_too() -> None:
    class Busy(Server):
        async def handle_cast(self, request: Any, state: Any) -> Any:
            return state, Continue(len)

    async with task_group() as group:
        pid = await Busy.start(task_group=group)
        await cast(pid, None)
        await checkpoint()
        exit(pid)
        assert await wait_exit(pid) == "shutdown"


@pytest.mark.parametrize("within", [False, True], ids=["", "in a scope"])
async def test_children_that_a_handler_starts_end_with_it_and_end_it(
    within: bool, anyio_backend_name: str
) -> None:
    may_fail, ended = anyio.Event(), anyio.Event()

    async def fail() -> None:
        await may_fail.wait()
        raise ValueError("of a child")

    async def last() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    def start(server: Server) -> None:
        server.children.start_soon(fail)
        server.children.start_soon(last)

    def start_in_a_scope(server: Server) -> None:
        with anyio.CancelScope():
            start(server)

    async with task_group() as group:
        pid = await Server.start(task_group=group)
        await call(pid, start_in_a_scope if within else start)
        await anyio.wait_all_tasks_blocked()
        assert is_alive(pid)
        assert is_in_scope(pid) == (anyio_backend_name == "trio")
        may_fail.set()
        reason = await wait_exit(pid)
        assert reason.abnormal
        assert ended.is_set()


class Careful(Server):
    """Takes its time to end, and notes whether it is left alone meanwhile."""

    def __init__(self, ended: list[str]) -> None:
        self.ended = ended

    async def terminate(self, reason: str, state: Any) -> None:
        await checkpoint()
        self.ended.append(reason)


def crash(server: Server) -> NoReturn:
    raise Boom


def stop(server: Server) -> NoReturn:
    raise Stop("done")


@pytest.mark.parametrize("again", [False, True], ids=["once", "asked again"])
@pytest.mark.parametrize(("end", "reason"), [(crash, "error: Boom()"), (stop, "done")])
@pytest.mark.parametrize("ask", [call, cast])
async def test_one_that_fails_with_children_ends_for_that_reason(
    ask: Callable[..., Awaitable[object]],
    end: Callable[[Server], object],
    reason: str,
    again: bool,
) -> None:
    may_end, ending = anyio.Event(), anyio.Event()
    ended: list[str] = []

    async def last() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ending.set()
            with anyio.CancelScope(shield=True):
                await may_end.wait()

    def begin_and_end(server: Server) -> object:
        server.children.start_soon(last)
        return end(server)

    async with task_group() as group:
        pid = await Careful.start(ended, task_group=group)
        await ask_all(pid)
        group.start_soon(ask_it, ask, pid, begin_and_end)
        await ending.wait()
        await anyio.wait_all_tasks_blocked()
        if again:
            exit(pid)
            await anyio.wait_all_tasks_blocked()
        may_end.set()
        assert await wait_exit(pid) == reason
    assert ended == [reason]


async def ask_it(ask: Callable[..., Awaitable[object]], pid: PID, request: object = None) -> None:
    try:
        await ask(pid, request)
    except ProcessExited:
        pass


@pytest.mark.parametrize("fails", [False, True], ids=["", "and fails"])
@pytest.mark.parametrize("ask", [call, cast])
async def test_a_handler_that_was_exchanged_may_have_children_in_a_scope_of_its_own(
    ask: Callable[..., Awaitable[object]], fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on, waits, left = anyio.Event(), anyio.Event(), anyio.Event()

    async def child() -> None:
        await left.wait()
        if fails:
            raise Boom
        await anyio.sleep_forever()

    async def wait(self: Server, request: Any, *others: Any) -> Any:
        with anyio.CancelScope():
            self.children.start_soon(child)
            waits.set()
            await may_go_on.wait()
        left.set()
        return (1, []) if ask is call else []

    async with task_group() as group:
        pid = await Server.start(task_group=group)
        await ask_all(pid)
        monkeypatch.setattr(Server, f"handle_{ask.__name__}", wait)
        group.start_soon(ask_it, ask, pid)
        await waits.wait()
        await anyio.wait_all_tasks_blocked()
        may_go_on.set()
        await left.wait()
        await anyio.wait_all_tasks_blocked()
        if not fails:
            assert is_alive(pid)
            exit(pid)
        assert (await wait_exit(pid) == "shutdown") is not fails


@pytest.mark.parametrize("ask", [call, cast])
@pytest.mark.parametrize(("end", "reason"), [(exit, "shutdown"), (kill, "killed")])
async def test_a_handler_that_was_exchanged_for_one_that_waits_is_ended_all_the_same(
    ask: Callable[..., Awaitable[object]],
    end: Callable[[PID], object],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = anyio.Event()

    async def wait(self: Server, request: Any, *others: Any) -> Any:
        begun.set()
        await anyio.sleep_forever()

    async with task_group() as group:
        pid = await Server.start(task_group=group)
        await ask_all(pid)
        monkeypatch.setattr(Server, f"handle_{ask.__name__}", wait)
        group.start_soon(ask_it, ask, pid)
        await begun.wait()
        await anyio.wait_all_tasks_blocked()
        end(pid)
        assert await wait_exit(pid) == reason
