"""Programs: from `main` to SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from crew import Boom, Puppet, boom, process_of, supervisor

from fauxtp import (
    ChildSpec,
    MaxRestartsExceeded,
    NameTaken,
    Supervisor,
    call,
    cast,
    is_alive,
    processes,
    run,
    running,
    wait_exit,
    whereis,
)

posix = pytest.mark.skipif(sys.platform == "win32", reason="a process sends itself no signal")

PROGRAM = """
import faulthandler, logging, os, signal, sys, threading, time
from contextlib import ExitStack
import anyio
from fauxtp import *

KINDS = (type(threading.Lock()), type(threading.RLock()))
LOCKS = [one for one in vars(threading).values() if isinstance(one, KINDS)]
assert LOCKS

faulthandler.dump_traceback_later(20, exit=True)
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stdout)


def tell(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


what, backend, uvloop = sys.argv[1], sys.argv[2].removeprefix("uvloop") or "asyncio", False


class Worker(GenServer):
    async def init(self):
        if what.startswith("asked while it starts"):
            tell()
            await anyio.sleep_forever()
        return None

    trap_exit = what.startswith("asked with work left")

    async def handle_cast(self, request, state):
        if request == "crash":
            raise ValueError("of the worker")
        if isinstance(request, int):
            if request == 1:
                tell()
                await anyio.sleep(0.01)
                if what == "asked with work left, and twice":
                    tell()
                    await anyio.sleep_forever()
                if what == "asked with work left, and too much of it":
                    await anyio.sleep_forever()
            print("worked:", request, flush=True)
        if request == "block":
            tell()
            time.sleep(0.01)
        if request == "begin a thread":
            with ExitStack() as held:  # as `Thread.start` holds one of them
                for lock in LOCKS:
                    held.enter_context(lock)
                tell()

    async def terminate(self, reason, state):
        print("worker ends:", reason, flush=True)
        if what == "asked twice":
            tell()
            await anyio.sleep_forever()
        if what == "hangs":
            with anyio.CancelScope(shield=True):
                await anyio.sleep_forever()
        if what == "hangs with the log":
            logging.root.handlers[0].acquire()
            time.sleep(1000)


class Crashes(GenServer):
    async def init(self):
        await cast(self.pid, "crash")

    async def handle_cast(self, request, state):
        raise ValueError("of the application")


class Ends(GenServer):
    async def init(self):
        raise Stop("normal")


class Application(Supervisor):
    max_restarts = 0
    trap_exit = what.endswith("and traps exits")

    def child_specs(self):
        seconds = 0.05 if what.endswith("too much of it") else 30
        return [ChildSpec("worker", Worker, register_as="worker", shutdown=seconds)]

    async def init(self):
        self.start_soon_child(self.go_on)

    async def go_on(self):
        await wait_registered("worker")
        if what == "crashes":
            await cast("worker", "crash")
        elif what == "ends":
            self.stop()
        elif what == "asked while it is busy":
            await cast("worker", "block")
        elif what == "asked while a thread begins":
            await cast("worker", "begin a thread")
        elif what.startswith("asked with work left"):
            for number in range(1, 4):
                await cast("worker", number)
        elif what == "interrupted":
            tell(signal.SIGINT)
        elif not what.startswith("asked while it starts"):
            tell()


mine = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
application = {"crashes alone": Crashes, "ends in init": Ends}.get(what, Application)
run(application, backend=backend, uvloop=sys.argv[2] == "uvloop",
    shutdown=0.1 if what.startswith("hangs") else 30)
assert mine == [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
print("over", processes(), flush=True)
"""

LOOPS = ["asyncio", "uvloop", "trio"]


def program(what: str, loop: str) -> subprocess.CompletedProcess[str]:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, what, loop],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@posix
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    "what",
    [
        "asked",
        "asked and traps exits",
        "interrupted",
        "asked while it is busy",
        "asked while a thread begins",
        "ends",
    ],
)
def test_a_program_ends_in_order(what: str, loop: str) -> None:
    done = program(what, loop)
    assert done.returncode == 0, done.stderr
    assert "worker ends: shutdown" in done.stdout
    assert "over []" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@posix
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("traps", ["", " and traps exits"])
def test_a_program_that_still_starts_ends_at_once(traps: str, loop: str) -> None:
    done = program(f"asked while it starts{traps}", loop)
    assert done.returncode == 0, done.stderr
    assert "over []" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@posix
@pytest.mark.parametrize("loop", LOOPS)
def test_a_second_signal_hurries(loop: str) -> None:
    done = program("asked twice", loop)
    assert done.returncode == 0, done.stderr
    assert "WARNING SIGTERM again: all processes are killed" in done.stdout
    assert "over []" in done.stdout


@posix
@pytest.mark.parametrize("loop", LOOPS)
def test_who_traps_exits_does_what_lies_in_its_mailbox(loop: str) -> None:
    done = program("asked with work left", loop)
    assert done.returncode == 0, done.stderr
    lines = ["worked: 1", "worked: 2", "worked: 3", "worker ends: shutdown", "over []"]
    assert [line for line in done.stdout.splitlines() if line in lines] == lines


@posix
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("what", "logged"),
    [
        ("and twice", "WARNING SIGTERM again: all processes are killed"),
        ("and too much of it", "kills child 'worker'"),
    ],
)
def test_who_is_killed_in_its_work_does_nothing_more(what: str, logged: str, loop: str) -> None:
    done = program(f"asked with work left, {what}", loop)
    assert done.returncode == 0, done.stderr
    assert logged in done.stdout
    assert "worked" not in done.stdout
    assert "over []" in done.stdout


@posix
@pytest.mark.parametrize("loop", LOOPS)
def test_who_does_not_end_is_named_and_the_program_ends(loop: str) -> None:
    done = program("hangs", loop)
    assert done.returncode == 1
    assert "CRITICAL not ended within 0.1 s, but at once; left:" in done.stdout
    assert "Worker 'worker' <PID" in done.stdout
    assert "over" not in done.stdout


@posix
def test_who_keeps_the_log_does_not_keep_the_program() -> None:
    done = program("hangs with the log", "asyncio")
    assert done.returncode == 1
    assert "Timeout" not in done.stderr  # of `faulthandler`
    assert "worker ends" in done.stdout


@pytest.mark.parametrize("loop", LOOPS)
def test_a_program_that_gives_up_ends_by_its_last_crash(loop: str) -> None:
    done = program("crashes", loop)
    assert done.returncode == 1
    assert "MaxRestartsExceeded" in done.stderr
    assert "ValueError: of the worker" in done.stdout  # in the log
    assert "ExceptionGroup" not in done.stdout + done.stderr
    assert "over" not in done.stdout


@pytest.mark.parametrize("loop", LOOPS)
def test_a_program_of_one_process_ends_as_that_does(loop: str) -> None:
    done = program("crashes alone", loop)
    assert done.returncode == 1
    assert "Crashes: ValueError: of the application" in done.stderr
    assert "over" not in done.stdout
    done = program("ends in init", loop)
    assert done.returncode == 0, done.stderr
    assert "over []" in done.stdout


def test_a_program_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(
        "from fauxtp import GenServer\n"
        "class Application(GenServer):\n"
        "    async def init(self):\n"
        "        print('started')\n"
        "        self.stop()\n"
    )

    def attempt(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "fauxtp", "run", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    done = attempt("service:Application", "--backend", "trio")
    assert (done.returncode, done.stdout) == (0, "started\n"), done.stderr
    for target, told in (
        ("service", "expected module:Class"),
        ("nowhere:Application", "No module named 'nowhere'"),
        ("service:Nobody", "no 'Nobody' in 'service'"),
        ("service:__name__", "expected 'service:__name__' to be a class of actors, got str"),
        ("service.nowhere:Application", "No module named 'service.nowhere'"),
        (".service:Application", "expected module:Class"),
    ):
        done = attempt(target)
        assert done.returncode == 2
        assert told in done.stderr
        assert "Traceback" not in done.stderr
    for number, line in enumerate(
        ("raise ValueError('of its own')", "import no_such_thing", "from fauxtp import nothing")
    ):
        (tmp_path / f"broken{number}.py").write_text(f"{line}\n")
        done = attempt(f"broken{number}:Application")
        assert done.returncode == 1
        assert f'broken{number}.py", line 1' in done.stderr
        assert "usage" not in done.stderr


def test_who_forgot_to_import_exit_is_told(tmp_path: Path) -> None:
    service = tmp_path / "service.py"
    service.write_text(
        "from fauxtp import GenServer, Continue, run\n"
        "class Application(GenServer):\n"
        "    async def init(self):\n"
        "        return None, Continue('end')\n"
        "    async def handle_continue(self, request, state):\n"
        "        exit('another')\n"
        "run(Application)\n"
    )
    done = subprocess.run(
        [sys.executable, str(service)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    told = "exit, as Python has it, ends the whole program: fauxtp.exit ends a process"
    assert told in done.stderr


def test_a_program_that_cannot_be_started_names_the_child(tmp_path: Path) -> None:
    service = tmp_path / "service.py"
    service.write_text(
        "from fauxtp import ChildSpec, GenServer, Supervisor, run\n"
        "class Store(GenServer):\n"
        "    async def init(self):\n"
        "        raise ConnectionError('no database')\n"
        "class Stores(Supervisor):\n"
        "    def child_specs(self):\n"
        "        return [ChildSpec('store', Store)]\n"
        "class Application(Supervisor):\n"
        "    def child_specs(self):\n"
        "        return [ChildSpec('before', GenServer), ChildSpec('stores', Stores)]\n"
        "run(Application)\n"
    )
    done = subprocess.run(
        [sys.executable, str(service)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    path = "as Stores started child 'store'", "as Application started child 'stores'"
    first, *lines = done.stderr.splitlines()
    assert first == "Application could not be started"
    assert 'service.py", line 4, in init' in done.stderr
    last = f"ConnectionError: no database, {', '.join(path)}"
    assert lines[-4:] == ["ConnectionError: no database", *path, f"Application: {last}"]


def test_a_child_that_ends_within_its_init_is_no_orderly_end_of_the_program(
    tmp_path: Path,
) -> None:
    service = tmp_path / "service.py"
    service.write_text(
        "from fauxtp import ChildSpec, GenServer, Stop, Supervisor, run\n"
        "class Store(GenServer):\n"
        "    async def init(self):\n"
        "        return Stop('no store')\n"
        "class Application(Supervisor):\n"
        "    def child_specs(self):\n"
        "        return [ChildSpec('store', Store)]\n"
        "run(Application)\n"
    )
    done = subprocess.run(
        [sys.executable, str(service)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    first, *_, last = done.stderr.splitlines()
    assert first == "Application could not be started"
    assert last.startswith("Application: ProcessExited: ")
    assert last.endswith(" exited: no store, as Application started child 'store'")


# In somebody else's event loop


@pytest.mark.anyio
async def test_an_application_runs_for_as_long_as_a_block() -> None:
    async with running(Puppet, register_as="app") as pid:
        assert whereis("app") == pid
        assert await call("app", lambda: "served") == "served"
    assert whereis("app") is None
    assert processes() == []


@pytest.mark.anyio
async def test_a_block_that_fails_ends_it_too() -> None:
    async def fail() -> None:
        async with running(Puppet, register_as="app"):
            boom()

    with pytest.raises(Boom):
        await fail()
    assert processes() == []


@pytest.mark.anyio
async def test_a_block_that_is_cancelled_ends_it_too() -> None:
    with anyio.CancelScope() as scope:
        async with running(Puppet, register_as="app"):
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert processes() == []


@pytest.mark.anyio
async def test_a_start_that_is_given_up_leaves_nothing() -> None:
    class Slow(Puppet):
        async def init(self) -> Any:
            scope.cancel()
            await anyio.sleep_forever()

    with anyio.CancelScope() as scope:
        async with running(Slow):
            raise AssertionError("it has not started")
    assert scope.cancelled_caught
    assert processes() == []


@pytest.mark.anyio
@pytest.mark.parametrize("attempt", range(10))  # trio begins tasks in any order
async def test_a_start_that_is_given_up_before_it_began_leaves_nothing(attempt: int) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        async with running(Puppet):
            raise AssertionError("it has not started")
    assert scope.cancelled_caught
    assert processes() == []


def test_what_asyncio_cancels_waits_for_the_end_all_the_same() -> None:
    class Slow(Puppet):
        async def terminate(self, reason: Any, state: Any) -> None:
            ending.set()
            await may_end.wait()

    async def block() -> None:
        async with running(Slow):
            pass

    async def main() -> None:
        task = asyncio.ensure_future(block())
        await ending.wait()
        for _ in range(2):
            task.cancel()
            await anyio.wait_all_tasks_blocked()
            assert not task.done()
        may_end.set()
        await asyncio.wait([task])
        assert task.cancelled()
        assert processes() == []

    ending, may_end = asyncio.Event(), asyncio.Event()
    asyncio.run(main())


@pytest.mark.anyio
async def test_a_start_in_vain_raises_what_it_raised() -> None:
    class Fails(Puppet):
        async def init(self) -> Any:
            boom()

    class Unmade(Puppet):
        def __init__(self) -> None:
            boom()

    for kind in (Fails, Unmade):
        with pytest.raises(Boom):
            await running(kind).__aenter__()
    async with running(Puppet, register_as="app"):
        with pytest.raises(NameTaken):
            await running(Puppet, register_as="app").__aenter__()


@pytest.mark.anyio
async def test_who_gives_up_is_told_of_when_the_block_is_left() -> None:
    chief = supervisor(ChildSpec("a", Puppet, register_as="a"), max_restarts=0)

    async def give_up() -> None:
        async with running(chief, on_give_up="raise") as pid:
            await cast("a", boom)
            await wait_exit(pid)
            left.append("the block goes on")

    left: list[str] = []
    with pytest.raises(MaxRestartsExceeded) as caught:
        await give_up()
    assert isinstance(caught.value.__cause__, Boom)
    assert left == ["the block goes on"]


@pytest.mark.anyio
async def test_a_crash_is_told_of_when_the_block_is_left() -> None:
    async def crash() -> None:
        async with running(Puppet, on_give_up="raise") as pid:
            await cast(pid, boom)
            await wait_exit(pid)

    with pytest.raises(Boom):
        await crash()
    assert processes() == []


@posix
@pytest.mark.anyio
@pytest.mark.parametrize("handled", [True, False])
async def test_who_gives_up_ends_the_program(handled: bool) -> None:
    heard: list[int] = []
    told = anyio.Event()

    async def give_up(chief: type[Supervisor]) -> None:
        async with running(chief) as pid:
            await cast("a", boom)
            await wait_exit(pid)
            await anyio.wait_all_tasks_blocked()
            told.set()

    def hear(number: int, _: Any) -> None:
        heard.append(number)

    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, hear if handled else signal.SIG_DFL),
        signal.SIGINT: signal.signal(signal.SIGINT, hear),
    }
    try:
        chief = supervisor(ChildSpec("a", Puppet, register_as="a"), max_restarts=0)
        with pytest.raises(MaxRestartsExceeded):
            await give_up(chief)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert heard == [signal.SIGTERM if handled else signal.SIGINT]
    assert told.is_set()


@pytest.mark.anyio
async def test_an_orderly_end_within_the_block_is_no_error() -> None:
    async with running(Puppet, register_as="app") as pid:
        await cast("app", lambda: Puppet.stop(puppet_of(pid)))
        await wait_exit(pid)
    assert not is_alive(pid)


def puppet_of(pid: Any) -> Any:
    return process_of(pid).actor


@pytest.mark.anyio
async def test_the_block_may_be_left_in_another_task() -> None:
    """As a fixture's is, under some plugins."""
    block = running(Puppet, register_as="app")
    async with anyio.create_task_group() as group:
        group.start_soon(block.__aenter__)
    assert await call("app", lambda: "served") == "served"
    async with anyio.create_task_group() as group:
        group.start_soon(block.__aexit__, None, None, None)
    assert processes() == []


@pytest.mark.anyio
async def test_a_block_is_for_once() -> None:
    block = running(Puppet)
    async with block:
        with pytest.raises(RuntimeError, match="was started before"):
            await block.__aenter__()


# Bad input


@pytest.mark.parametrize(
    ("arguments", "kind", "told"),
    [
        ((5,), TypeError, "expected application to be a class of actors, got int"),
        ((Supervisor(),), TypeError, "expected application to be a class of actors"),
    ],
)
@pytest.mark.parametrize("function", [run, running])
def test_what_is_no_application_is_refused(
    function: Any, arguments: Any, kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=told):
        function(*arguments)


@pytest.mark.parametrize(
    ("fields", "kind", "told"),
    [
        ({"backend": 5}, TypeError, "expected backend to be 'asyncio' or 'trio', got int"),
        ({"backend": "curio"}, ValueError, "got 'curio'"),
        ({"uvloop": 1}, TypeError, "expected uvloop to be a bool, got int"),
        ({"uvloop": True, "backend": "trio"}, ValueError, "the backend for uvloop"),
        ({"shutdown": "5"}, TypeError, "expected shutdown to be a number, got str"),
        ({"shutdown": -1}, ValueError, "expected shutdown to be at least 0, in seconds, got -1"),
        ({"shutdown": float("nan")}, ValueError, "got nan"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused(
    fields: dict[str, Any], kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=told):
        run(Puppet, **fields)


@pytest.mark.parametrize(
    ("came", "kind"), [(5, TypeError), ("give up", ValueError), (None, TypeError)]
)
def test_what_to_do_when_it_gives_up_is_one_of_two(came: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="expected on_give_up to be 'terminate' or 'raise'"):
        running(Puppet, on_give_up=came)


@pytest.mark.anyio
async def test_a_program_is_not_run_where_an_event_loop_runs() -> None:
    with pytest.raises(RuntimeError, match="expected no event loop to run here"):
        run(Puppet)
    with pytest.raises(RuntimeError, match="expected to run in the main thread"):
        await anyio.to_thread.run_sync(run, Puppet)


def test_a_block_needs_an_event_loop() -> None:
    beginning = running(Puppet).__aenter__()
    with pytest.raises(RuntimeError, match="no event loop runs"):
        beginning.send(None)
