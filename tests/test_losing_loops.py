"""Event loops that end before their processes do: whoever waits is told, whatever ends them."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from conftest import PATIENCE, Run, task_group
from lost import ENDED, Full, Plain, Server, hang, seen, start

from fauxtp import (
    PID,
    ChildSpec,
    NoProcess,
    ProcessExited,
    Supervisor,
    call,
    call_blocking,
    dead_letters,
    is_alive,
    link,
    monitor,
    process_info,
    processes,
    registered,
    send_nowait,
    start_or_find,
    wait_exit,
    whereis,
)

# Whoever waits is told when the loop is closed.


async def bound_to(bind: Callable[[PID], object], pid: PID, waits: threading.Event) -> Any:
    async def bound(state: list[Any]) -> None:
        bind(pid)

    async with task_group() as group:
        me = await Server.start(task_group=group)
        await call(me, bound)
        waits.set()
        while not (told := await call(me, seen)):
            await anyio.sleep(0.001)
        return told[0].reason


async def in_a_task(wait: Callable[[], Awaitable[Any]], waits: threading.Event) -> Any:
    async with task_group() as group:
        result: list[Any] = []

        async def waiting() -> None:
            try:
                result.append(await wait())
            except ProcessExited as error:
                result.append(error.reason)

        async with anyio.create_task_group() as inner:
            inner.start_soon(waiting)
            await anyio.wait_all_tasks_blocked()
            waits.set()
        group.cancel_scope.cancel()
    return result[0]


WAITS: dict[str, Callable[[PID, threading.Event], Awaitable[Any]]] = {
    "call": lambda pid, waits: in_a_task(lambda: call(pid, 1, timeout=None), waits),
    "wait_exit": lambda pid, waits: in_a_task(lambda: wait_exit(pid), waits),
    "monitor": lambda pid, waits: bound_to(monitor, pid, waits),
    "link": lambda pid, waits: bound_to(link, pid, waits),
}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_who_waits_in_another_loop_is_told(
    loop: asyncio.AbstractEventLoop, backend: str, wait: Callable[..., Awaitable[Any]]
) -> None:
    pid, waits = start(loop), threading.Event()
    with ThreadPoolExecutor() as pool:
        told = pool.submit(lambda: anyio.run(wait, pid, waits, backend=backend))
        assert waits.wait(PATIENCE)
        loop.close()
        reason = told.result(PATIENCE)
    assert (reason, reason.abnormal) == (ENDED, True)


@pytest.mark.parametrize("kind", [Plain, Full])
def test_threads_that_wait_for_a_server_are_told(
    loop: asyncio.AbstractEventLoop, kind: type[Server]
) -> None:
    """Those who wait for an answer, and with a full mailbox, those who wait for room."""
    pid = start(loop, kind)
    with ThreadPoolExecutor() as pool:
        told = [pool.submit(call_blocking, pid, hang, None) for _ in range(3)]
        while process_info(pid).mailbox_length < (1 if kind is Full else 3):
            pass
        loop.close()
        for future in told:
            assert isinstance(future.exception(PATIENCE), (ProcessExited, NoProcess))


def test_who_waits_for_a_slow_start_is_told(loop: asyncio.AbstractEventLoop) -> None:
    class Slow(Plain):
        async def init(self) -> list[Any]:
            begun.set()
            await anyio.sleep_forever()
            raise AssertionError

    async def begin() -> None:
        group = anyio.create_task_group()
        await group.__aenter__()
        group.start_soon(lambda: Slow.start(task_group=group, register_as="slow"))
        while not begun.is_set():
            await asyncio.sleep(0)

    async def find() -> PID:
        async with task_group() as group:
            waits.set()
            return await start_or_find("slow", Plain, task_group=group)

    begun, waits = threading.Event(), threading.Event()
    loop.run_until_complete(begin())
    slow = whereis("slow")
    with ThreadPoolExecutor() as pool:
        found = pool.submit(anyio.run, find)
        assert waits.wait(PATIENCE)
        loop.close()
        assert found.result(PATIENCE) != slow


def test_five_hundred_linked_processes_go_down_together(
    loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    async def begin() -> None:
        group = anyio.create_task_group()
        await group.__aenter__()
        before = await Plain.start(task_group=group)
        for _ in range(500):
            next_one = await Plain.start(task_group=group)

            async def bound(state: list[Any], before: PID = before) -> None:
                link(before)
                monitor(before)

            await call(next_one, bound)
            before = next_one

    loop.run_until_complete(begin())
    loop.close()
    assert processes() == []
    assert {record.levelname for record in caplog.records} == {"WARNING"}  # and no error


def test_a_lost_process_is_logged(
    loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    pid = start(loop, register_as="lost")
    with caplog.at_level(logging.WARNING):
        loop.close()
    assert [record.getMessage() for record in caplog.records if record.name == "fauxtp"] == [
        f"Plain 'lost' {pid!r} was lost: its event loop has ended"
    ]


def test_a_loop_that_is_only_stopped_goes_on_with_its_processes(
    loop: asyncio.AbstractEventLoop,
) -> None:
    pid = start(loop)
    assert is_alive(pid)
    assert loop.run_until_complete(call(pid, 1)) == 1
    with pytest.raises(RuntimeError, match="running"):
        loop.run_until_complete(asyncio.to_thread(loop.close))
    assert loop.run_until_complete(call(pid, 2)) == 2


def test_closing_is_as_short_a_way_after_many_processes(loop: asyncio.AbstractEventLoop) -> None:
    async def come_and_go() -> None:
        async with task_group() as group:
            await Plain.start(task_group=group)

    loop.run_until_complete(come_and_go())
    close = loop.close
    for _ in range(3):
        loop.run_until_complete(come_and_go())
    assert loop.close is close


def test_whoever_had_a_close_of_their_own_has_it_back(loop: asyncio.AbstractEventLoop) -> None:
    closed = []

    def close() -> None:
        closed.append(loop)
        type(loop).close(loop)

    vars(loop)["close"] = close
    pid = start(loop)
    loop.close()
    assert (closed, vars(loop)["close"], is_alive(pid)) == ([loop], close, False)


# Programs that end so


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, or an event loop sees to it, whoever was here before."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_a_second_interrupt_leaves_no_supervisor_behind() -> None:
    class Busy(Plain):
        async def handle_call(self, request: Any, from_: Any, state: list[Any]) -> Any:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    class App(Supervisor):
        def child_specs(self) -> list[ChildSpec]:
            return [ChildSpec("a", Busy, register_as="a"), ChildSpec("b", Busy, register_as="b")]

    async def main() -> None:
        async with anyio.create_task_group() as group:
            await App.start(task_group=group, register_as="app")
            await call("a", "be interrupted")

    with pytest.raises(KeyboardInterrupt):
        anyio.run(main)
    assert (processes(), registered()) == ([], [])


GUEST = """
import asyncio, os, sys, threading, anyio, trio
from fauxtp import GenServer, exit, is_alive, wait_exit, whereis

class Server(GenServer):
    pass

begun, pids = threading.Event(), []

async def guest():
    async with anyio.create_task_group() as group:
        pids.append(await Server.start(task_group=group, register_as="guest"))
        ended = await Server.start(task_group=group)
        exit(ended)
        await wait_exit(ended)
        begun.set()
        await anyio.sleep_forever()

async def host():
    trio.lowlevel.start_guest_run(
        guest,
        run_sync_soon_threadsafe=loop.call_soon_threadsafe,
        done_callback=lambda outcome: None,
        host_uses_signal_set_wakeup_fd=True,
    )
    while not begun.is_set():
        await asyncio.sleep(0.001)

if sys.argv[1] == "uvloop":
    import uvloop
    loop = uvloop.new_event_loop()
else:
    loop = asyncio.new_event_loop()
loop.run_until_complete(host())
print(is_alive("guest"))
loop.close()
print(whereis("guest"), is_alive(pids[0]), exit(pids[0]), flush=True)
os._exit(0)  # trio warns of a guest that is left behind
"""


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_a_guest_of_a_loop_that_is_closed_is_dead(kind: str, run: Run) -> None:
    end = run(GUEST, kind)
    assert (end.stdout, end.returncode) == ("True\nNone False False\n", 0), end.stderr


LEFT = """
import anyio, asyncio
from fauxtp import GenServer

class Server(GenServer):
    pass

async def begin():
    group = anyio.create_task_group()
    await group.__aenter__()
    await Server.start(task_group=group, register_as="left")

loop = asyncio.new_event_loop()
loop.run_until_complete(begin())
"""


def test_the_end_of_a_program_that_leaves_its_loop_open_is_quiet(run: Run) -> None:
    end = run(LEFT)
    assert (end.returncode, "Traceback" in end.stderr, "lost" in end.stderr) == (0, False, False)


BROKEN = """
import anyio, os, trio
from fauxtp import GenServer, is_alive, processes, whereis

class Server(GenServer):
    pass

async def main():
    async with anyio.create_task_group() as group:
        await Server.start(task_group=group, register_as="left")
        with trio.CancelScope() as scope:
            scope.cancel()
            await trio.lowlevel.wait_task_rescheduled(lambda _: None)

try:
    trio.run(main)
except trio.TrioInternalError:
    print(is_alive("left"), whereis("left"), processes(), flush=True)
    os._exit(0)
"""


def test_what_a_failure_of_trio_itself_leaves_behind_is_dead(run: Run) -> None:
    assert run(BROKEN).stdout == "False None []\n"


def test_messages_that_a_lost_process_has_looked_at_are_dead_letters(
    loop: asyncio.AbstractEventLoop,
) -> None:
    class Choosy(Plain):
        async def handle_call(self, request: Any, from_: Any, state: list[Any]) -> Any:
            return await self.receive(("never", lambda: None)), state

    pid = start(loop, Choosy)
    letters: list[Any] = []

    async def fill() -> None:
        group = anyio.create_task_group()
        await group.__aenter__()
        group.start_soon(call, pid, "wait", None)
        await asyncio.sleep(0)
        send_nowait(pid, "message")
        for _ in range(10):
            await asyncio.sleep(0)

    loop.run_until_complete(fill())
    with dead_letters.observed_by(letters.append):
        loop.close()
    assert "message" in [letter.message for letter in letters]
