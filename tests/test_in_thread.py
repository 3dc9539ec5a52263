"""Applications in threads of their own, for programs without an event loop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from conftest import PATIENCE
from crew import Boom, Puppet, boom, supervisor

from fauxtp import (
    PID,
    ChildSpec,
    NameTaken,
    call_blocking,
    cast_nowait,
    exit,
    in_thread,
    processes,
    wait_registered,
    whereis,
)
from fauxtp._program.run_in_thread import InThread, _Run

LOOPS = ["asyncio", "uvloop", "trio"]
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="it cannot fork")
posix = pytest.mark.skipif(sys.platform == "win32", reason="a process sends itself no signal")


class Noted(Puppet):
    """Says when it starts and ends."""

    said: list[str] = []  # noqa: RUF012

    async def init(self) -> Any:
        self.said.append("starts")

    async def terminate(self, reason: Any, state: Any) -> None:
        await anyio.sleep(0)
        self.said.append(f"ends: {reason}")


@pytest.fixture(autouse=True)
def nothing_said() -> Iterator[None]:
    Noted.said.clear()
    yield
    assert processes() == []


@pytest.fixture(params=LOOPS)
def app(request: pytest.FixtureRequest) -> Iterator[InThread]:
    options = {"backend": request.param.replace("uvloop", "asyncio")}
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
        options["uvloop"] = True
    one = in_thread(Noted, register_as="app", **options)
    yield one
    one.stop()


def test_it_starts_when_it_is_used_and_ends_when_it_is_stopped(app: InThread) -> None:
    assert whereis("app") is None
    assert app.call("app", lambda: "served") == "served"
    assert app.start() == whereis("app")
    app.cast("app", lambda: Noted.said.append("cast"))
    app.call("app", lambda: None)
    assert Noted.said == ["starts", "cast"]
    app.stop()
    assert Noted.said == ["starts", "cast", "ends: shutdown"]
    assert whereis("app") is None
    app.stop()  # again: nothing happens
    assert app.call("app", lambda: "again") == "again"


def test_what_was_cast_before_it_is_stopped_is_done_by_who_traps_exits(
    app: InThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Noted, "trap_exit", True)
    going_on = threading.Event()
    app.cast("app", lambda: Noted.said.append(f"0: {going_on.wait(PATIENCE)}"))
    for number in range(1, 3):
        app.cast("app", lambda number=number: Noted.said.append(str(number)))
    going_on.set()
    app.stop()
    assert Noted.said == ["starts", "0: True", "1", "2", "ends: shutdown"]


def test_of_many_threads_one_starts_it(app: InThread) -> None:
    barrier = threading.Barrier(8)

    def use() -> PID:
        barrier.wait(PATIENCE)
        return app.start()

    with ThreadPoolExecutor(8) as pool:
        pids = {pool.submit(use) for _ in range(8)}
    assert len({pid.result() for pid in pids}) == 1
    assert Noted.said == ["starts"]


def test_as_a_block(app: InThread) -> None:
    with app as pid:
        assert call_blocking(pid, lambda: "served") == "served"
    assert Noted.said == ["starts", "ends: shutdown"]


def test_who_has_ended_is_started_again(app: InThread) -> None:
    first = app.start()
    exit(first)
    while first in processes():
        time.sleep(0)
    assert app.start() != first
    assert app.call("app", lambda: "served") == "served"


def test_a_start_in_vain_raises_what_it_raised_and_the_next_may_do_better() -> None:
    class Fails(Puppet):
        fails = True

        async def init(self) -> Any:
            if self.fails:
                boom()

    app = in_thread(Fails)
    for _ in range(2):
        with pytest.raises(Boom):
            app.start()
    with pytest.raises(Boom):
        app.call("nobody", "hello")
    Fails.fails = False
    with app as pid:
        assert call_blocking(pid, lambda: "served") == "served"
        other = in_thread(Puppet, register_as="taken")
        cast_nowait(pid, lambda: None)
        with in_thread(Puppet, register_as="taken"), pytest.raises(NameTaken):
            other.start()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_it_can_be_stopped_while_it_starts(backend: str) -> None:
    begun = threading.Event()

    class Slow(Puppet):
        async def init(self) -> Any:
            begun.set()
            await anyio.sleep_forever()

    app = in_thread(Slow, backend=backend)
    with ThreadPoolExecutor(1) as pool:
        start = pool.submit(app.start)
        assert begun.wait(PATIENCE)
        app.stop()
        with pytest.raises(RuntimeError, match="was stopped as it started"):
            start.result(PATIENCE)


def test_a_signal_handler_may_stop_what_just_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    app, begin = in_thread(Puppet), _Run.begin

    def is_interrupted(run: _Run) -> None:
        app.stop()
        begin(run)

    monkeypatch.setattr(_Run, "begin", is_interrupted)
    with ThreadPoolExecutor(1) as pool:
        start = pool.submit(app.start)
        with pytest.raises(RuntimeError, match="was stopped as it started"):
            start.result(PATIENCE)


def test_who_does_not_end_is_named_and_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    may_end = threading.Event()

    class Lingers(Puppet):
        async def terminate(self, reason: Any, state: Any) -> None:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(may_end.wait, PATIENCE)

    app = in_thread(Lingers, register_as="lingers", shutdown=0.01)
    app.start()
    thread = next(one for one in threading.enumerate() if one.name == "an application")
    app.stop()
    [record] = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert "has not ended within 0.01 s; left:" in record.getMessage()
    assert "Lingers 'lingers'" in record.getMessage()
    may_end.set()
    thread.join(PATIENCE)


GIVES_UP = """
import signal, sys, threading
from fauxtp import *

class Worker(GenServer):
    async def handle_cast(self, request, state):
        raise ValueError("of the worker")

class Application(Supervisor):
    max_restarts = 0
    def child_specs(self):
        return [ChildSpec("worker", Worker, register_as="worker")]

def hear(number, frame):
    print("told to end", flush=True)
    sys.exit(3)

if sys.argv[1] == "handled":
    signal.signal(signal.SIGTERM, hear)
app = in_thread(Application)
app.cast("worker", "crash")
try:
    threading.Event().wait(60)  # the main thread sleeps
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(4)
"""


@posix
@pytest.mark.parametrize(
    ("handler", "told", "status"), [("handled", "told to end\n", 3), ("none", "interrupted\n", 4)]
)
def test_who_gives_up_ends_the_program(handler: str, told: str, status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", GIVES_UP, handler],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.stdout, done.returncode) == (told, status), done.stderr


def test_who_gives_up_may_be_started_again() -> None:
    chief = supervisor(ChildSpec("a", Puppet, register_as="a"), max_restarts=0)
    app = in_thread(chief, on_give_up="raise")
    first = app.start()
    app.cast("a", boom)
    while first in processes():
        time.sleep(0)
    assert app.start() != first
    assert app.call("a", lambda: "served", wait=1.0) == "served"
    app.stop()


ENDS = """
import os, sys
from fauxtp import *

class Worker(GenServer):
    async def handle_call(self, request, from_, state):
        return os.getpid(), state
    async def terminate(self, reason, state):
        print("ends in order", reason, os.getpid() == parent, flush=True)

parent = os.getpid()
app = in_thread(Worker, register_as="worker", backend=sys.argv[2])
if "before" in sys.argv[1]:
    assert app.call("worker", 1) == parent
if "fork" in sys.argv[1]:
    child = os.fork()
    if child == 0:
        assert whereis("worker") is None
        assert app.call("worker", 1) == os.getpid()
        sys.exit()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert app.call("worker", 1) == parent
"""


@forks
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("what", ["before", "fork", "before fork"])
def test_it_ends_with_the_program_and_one_that_was_forked_has_its_own(
    what: str, backend: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ENDS, what, backend],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    forked = ["ends in order shutdown False"] if "fork" in what else []
    assert done.stdout.splitlines() == [*forked, "ends in order shutdown True"]
    assert done.stderr == ""


@pytest.mark.anyio
async def test_it_blocks_no_event_loop() -> None:
    app = in_thread(Puppet, register_as="app")
    with pytest.raises(RuntimeError, match="start would block the event loop"):
        app.start()
    app.stop()  # it does not run
    pid = await anyio.to_thread.run_sync(app.start)
    assert await wait_registered("app") is pid
    assert app.start() is pid  # which need not wait any more
    with pytest.raises(RuntimeError, match="stop would block the event loop"):
        app.stop()
    await anyio.to_thread.run_sync(app.stop)


@posix
def test_who_waits_for_the_start_can_be_interrupted() -> None:
    may_go_on = threading.Event()

    class Slow(Puppet):
        async def init(self) -> Any:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            await anyio.to_thread.run_sync(may_go_on.wait, PATIENCE)

    app = in_thread(Slow)
    with pytest.raises(KeyboardInterrupt):
        app.start()
    may_go_on.set()
    assert app.start() in processes()
    app.stop()
