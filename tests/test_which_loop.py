"""Which event loop runs: the innermost, where one is the guest of another, as anyio has it."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from queue import Queue
from typing import Any

import anyio
import pytest
import sniffio
import trio
from conftest import ASYNCIO, PATIENCE, Run, task_group

from fauxtp import (
    PID,
    GenServer,
    Mailbox,
    ReceiveTimeout,
    Timer,
    call,
    call_blocking,
    cancel_timer,
    cast,
    exit,
    link,
    monitor,
    processes,
    send,
    send_after,
    start_or_find,
    wait_exit,
    wait_registered,
)
from fauxtp._actors.task import Task
from fauxtp._supervision.supervisor import Supervisor

pytestmark = pytest.mark.anyio


class Teller(GenServer[Any, list[Any]]):
    """Tells which library runs it, or what comes of what it is asked to do."""

    async def init(self) -> list[Any]:
        return []

    async def handle_call(self, request: Any, from_: Any, state: list[Any]) -> Any:
        if callable(request):
            return await request(), state
        if request == "wait":
            await anyio.sleep(0.001)
        return (sniffio.current_async_library(), *state), state

    async def handle_cast(self, request: Any, state: list[Any]) -> list[Any]:
        return [*state, request]

    async def handle_info(self, message: Any, state: list[Any]) -> list[Any]:
        return [*state, message]


async def as_guest(work: Callable[[], Awaitable[None]]) -> None:
    """Let trio do `work` in the running asyncio loop."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[Any] = loop.create_future()
    trio.lowlevel.start_guest_run(
        work,
        run_sync_soon_threadsafe=loop.call_soon_threadsafe,
        done_callback=over.set_result,
        host_uses_signal_set_wakeup_fd=True,
    )
    (await over).unwrap()


@asynccontextmanager
async def server(name: str) -> AsyncIterator[PID]:
    async with task_group() as group:
        pid = await Teller.start(task_group=group, register_as=name)
        yield pid
        exit(pid)
        assert await wait_exit(pid) == "shutdown"


@pytest.mark.parametrize("anyio_backend", ASYNCIO)
async def test_trio_as_a_guest_and_its_host_call_each_other() -> None:
    async def guest() -> None:
        async with server("guest"):
            assert await call("guest", "who") == ("trio",)
            assert await call("host", "who") == ("asyncio",)
            assert await call("host", "wait") == ("asyncio",)
            assert await call("host", lambda: call("guest", "wait")) == ("trio",)
            assert await call("guest", lambda: call("host", "wait")) == ("asyncio",)
            await cast("host", "cast")
            await send("host", "sent")
            assert await call("host", "who") == ("asyncio", "cast", "sent")
            with pytest.raises(RuntimeError, match="would block the event loop"):
                call_blocking("host", "who")
            with pytest.raises(ReceiveTimeout):
                await call("host", trio_waits_not, timeout=0.01)
            assert exit("host")
            assert await wait_exit("host") == "shutdown"

    async def trio_waits_not() -> None:
        await anyio.sleep(60)

    async def calls_the_guest() -> None:
        await wait_registered("guest")
        assert await call("guest", "who") == ("trio",)
        assert await call("guest", "wait") == ("trio",)

    async with task_group() as group:
        await Teller.start(task_group=group, register_as="host")
        group.start_soon(calls_the_guest)
        await as_guest(guest)


@pytest.mark.parametrize("anyio_backend", ASYNCIO)
async def test_a_host_ends_a_process_of_its_guest_and_hears_of_it() -> None:
    ended: list[str] = []

    async def guest() -> None:
        async with anyio.create_task_group() as group:
            guest = await Teller.start(task_group=group, register_as="guest")
            group.start_soon(anyio.sleep_forever)
            assert await wait_exit(guest) == "shutdown"  # nothing else would wake trio
            group.cancel_scope.cancel()

    async def ends_it() -> None:
        guest = await wait_registered("guest")
        assert exit(guest)
        ended.append(await wait_exit(guest))

    async with task_group() as group:
        group.start_soon(ends_it)
        await as_guest(guest)
    assert ended == ["shutdown"]


@pytest.mark.parametrize("anyio_backend", ASYNCIO)
async def test_monitors_and_links_between_a_guest_and_its_host() -> None:
    async def guest() -> None:
        async with anyio.create_task_group() as group:
            guest = await Teller.start(task_group=group, register_as="guest")

            async def bound() -> None:
                monitor("host")
                link("host")

            await call(guest, bound)
            exit("host", "told")
            assert await wait_exit(guest) == "told"

    async with task_group() as group:
        await Teller.start(task_group=group, register_as="host")
        await as_guest(guest)


@pytest.mark.parametrize("anyio_backend", ASYNCIO)
async def test_timers_of_a_guest_and_of_its_host_go_off() -> None:
    mailbox = Mailbox()

    async def set_one() -> object:
        return send_after(0.001, mailbox.pid, sniffio.current_async_library())

    async def guest() -> None:
        async with server("guest"):
            never = await call("host", lambda: awaited(lambda: send_after(60, "guest", "never")))
            for name, library in (("guest", "trio"), ("host", "asyncio")):
                await call(name, set_one)
                assert await mailbox.receive((str, str)) == library
            await set_one()
            assert await mailbox.receive((str, str)) == "trio"
            over = send_after(60, "host", "never")
        assert cancel_timer(never) is not None
        overs.append(over)

    async def awaited(make: Callable[[], object]) -> object:
        return make()

    overs: list[Timer] = []
    async with task_group() as group:
        await Teller.start(task_group=group, register_as="host")
        await as_guest(guest)
        assert exit("host")
    assert cancel_timer(overs[0]) is None


@pytest.mark.parametrize("anyio_backend", ASYNCIO[:1])  # uvloop and trio both want the signals
async def test_a_timer_goes_off_in_the_trio_that_a_handler_runs() -> None:
    mailbox, got = Mailbox(), list[object]()

    async def wait() -> None:
        timer = send_after(0.001, mailbox.pid, "now")
        with trio.move_on_after(PATIENCE):
            got.append(await mailbox.receive((str, str)))
        cancel_timer(timer)

    async def run_trio() -> None:
        trio.run(wait)

    async with task_group() as group:
        pid = await Teller.start(task_group=group)
        await call(pid, run_trio, timeout=None)
        exit(pid)
    assert got == ["now"]


LATER = """
import trio, trio_asyncio, anyio, sniffio
from fauxtp import *

class Teller(GenServer):
    async def init(self):
        return sniffio.current_async_library()
    async def handle_call(self, request, from_, state):
        if callable(request):
            return await request(), state
        await anyio.sleep(0)
        return (state, sniffio.current_async_library()), state

class Root(Supervisor):
    def child_specs(self):
        return [ChildSpec("a", Teller, register_as="child")]

async def in_asyncio():
    async with anyio.create_task_group() as group:
        a = await Teller.start(task_group=group, register_as="a")
        root = await Root.start(task_group=group)
        assert await call(a, 1) == await call("child", 1) == ("asyncio", "asyncio")
        await trio_asyncio.trio_as_aio(in_trio)()
        exit("child"); await wait_exit("child")
        await wait_registered("child")
        exit(root); exit(a)
        assert await wait_exit(a) == "shutdown"

async def in_trio():
    async with anyio.create_task_group() as group:
        t = await Teller.start(task_group=group, register_as="t")
        assert await call(t, 1) == ("trio", "trio")
        assert await call("a", 1) == ("asyncio", "asyncio")
        ask = trio_asyncio.aio_as_trio(lambda: call("t", 1))
        assert await ask() == ("trio", "trio")
        assert await call("a", lambda: call("t", 1)) == ("trio", "trio")
        exit(t)
        assert await wait_exit(t) == "shutdown"

async def main():
    async with trio_asyncio.open_loop():
        await trio_asyncio.aio_as_trio(in_asyncio)()
    assert not processes()
    print("all right")

trio.run(main)
"""


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="trio-asyncio does not work there")
@pytest.mark.parametrize("handoff", ["auto", "never"])
def test_trio_asyncio(run: Run, handoff: str) -> None:
    end = run(LATER, FAUXTP_HANDOFF=handoff)
    assert (end.stdout, end.returncode) == ("all right\n", 0), end.stderr


# Starting in a task group of another event loop

Starts = Callable[[Any], Awaitable[object]]


async def nothing() -> None:
    pass


STARTS: dict[str, Starts] = {
    "start": lambda group: Teller.start(task_group=group),
    "start_link": lambda group: Teller.start_link(task_group=group),
    "start_or_find": lambda group: start_or_find("teller", Teller, task_group=group),
    "spawn": lambda group: Task.spawn(nothing, group),
    "spawn_and_notify": lambda group: Task.spawn_and_notify(nothing, group, "nobody"),
    "supervisor": lambda group: Supervisor.start(task_group=group),
}


@contextmanager
def foreign(group: Callable[[], Any], backend: str) -> Iterator[Any]:
    """A task group that an event loop in another thread has entered."""
    groups: Queue[Any] = Queue()
    over = threading.Event()

    async def there() -> None:
        async with group() as entered:
            groups.put(entered)
            await anyio.to_thread.run_sync(over.wait)

    thread = threading.Thread(target=anyio.run, args=(there,), kwargs={"backend": backend})
    thread.start()
    try:
        yield groups.get(timeout=PATIENCE)
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("other", ["asyncio", "trio"])
async def test_a_task_group_of_another_event_loop_is_refused(other: str, start: Starts) -> None:
    before = processes()
    with foreign(anyio.create_task_group, other) as group:
        with pytest.raises(RuntimeError, match=rf"runs here \(\w+\), got one .* \({other}\)"):
            await start(group)
        assert processes() == before
    async with task_group() as own:  # nothing is in the way afterwards
        await start(own)


async def test_a_nursery_of_another_event_loop_is_refused() -> None:
    refused = pytest.raises(RuntimeError, match=r"runs here \(\w+\), got one .* \(trio\)")
    with foreign(trio.open_nursery, "trio") as nursery, refused:
        await Teller.start(task_group=nursery)


@pytest.mark.parametrize("anyio_backend", ASYNCIO)
async def test_a_task_group_of_another_asyncio_loop_is_refused() -> None:
    refused = pytest.raises(RuntimeError, match=r"runs here \(\w+\), got one .* \(asyncio\)")
    with foreign(asyncio.TaskGroup, "asyncio") as group, refused:
        await Teller.start(task_group=group)


@pytest.mark.parametrize("anyio_backend", ASYNCIO)
async def test_a_guest_cannot_start_in_a_group_of_its_host() -> None:
    async with task_group() as group:

        async def guest() -> None:
            with pytest.raises(RuntimeError, match="expected task_group to belong to the event"):
                await Teller.start(task_group=group)

        await as_guest(guest)
