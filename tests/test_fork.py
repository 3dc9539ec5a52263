"""A forked child: what other threads of its parent held and ran does not hold it up."""

from __future__ import annotations

import os

import pytest
from conftest import Run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")

# Forking beside threads, which Python 3.12 warns of, is the point.
QUIETLY = ("-W", "ignore::DeprecationWarning")

HELD = """
import os, threading
import anyio
import fauxtp
from fauxtp._core import dead_letters
from fauxtp._core import queue
from fauxtp._core import process

class Watches(fauxtp.Actor):
    async def run(self, state):
        fauxtp.monitor(self.pid)
        self.stop()

async def watch():
    async with anyio.create_task_group() as group:
        await Watches.start(task_group=group)

box = fauxtp.Mailbox(max_size=2)
held, done = threading.Event(), threading.Event()

def hold():
    with dead_letters._lock, queue._first, process._first, box._queue.gate:
        held.set()
        done.wait()

thread = threading.Thread(target=hold, daemon=True)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    fauxtp.send_nowait("nobody", 1)
    fauxtp.Mailbox().put_nowait(2)
    fauxtp.send_nowait(box.pid, 3)
    counts = fauxtp.dead_letters.counts()
    anyio.run(watch)
    os._exit(0 if counts == {"noproc": 1, "exited": 1} and len(box) == 1 else 1)
done.set()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_locks_that_another_thread_held_do_not_hang_the_child(run: Run) -> None:
    done = run(HELD, options=QUIETLY)
    assert (done.returncode, done.stderr) == (0, "")


ALL_HELD = """
import os, pkgutil, sys, threading, warnings
from contextlib import ExitStack
from importlib import import_module
import fauxtp

for module in pkgutil.walk_packages(fauxtp.__path__, "fauxtp."):
    if not module.name.endswith(("__main__", "pytest_plugin")):
        try:
            import_module(module.name)
        except ImportError as missing:  # an extra that is not installed
            assert not (missing.name or "fauxtp").startswith("fauxtp"), missing

KINDS = type(threading.Lock()), type(threading.RLock())
locks = [
    (module, name)
    for key, module in sorted(sys.modules.items())
    if key.startswith("fauxtp")
    for name, value in sorted(vars(module).items())
    if type(value) in KINDS
]
assert len(locks) > 5, locks
held, done = threading.Event(), threading.Event()

def hold():
    with ExitStack() as stack:
        for lock in {getattr(*place) for place in locks}:
            stack.enter_context(lock)
        held.set()
        done.wait()

thread = threading.Thread(target=hold, daemon=True)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    hang = [place for place in locks if not getattr(*place).acquire(blocking=False)]
    print(*(f"{module.__name__}.{name}" for module, name in hang), flush=True)
    os._exit(len(hang))
done.set()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_no_lock_of_a_module_is_still_held_in_the_child(run: Run) -> None:
    """Also of modules that come later: they are looked for."""
    done = run(ALL_HELD, options=QUIETLY)
    assert (done.stdout.strip(), done.stderr) == ("", "")


WAITED = """
import os, sys, threading
import anyio
import fauxtp

receiving, box, lost = threading.Event(), fauxtp.Mailbox(), []

async def receive():
    async with anyio.create_task_group() as group:
        group.start_soon(box.receive, (fauxtp.ANY, print))
        while not box._queue.waiting:
            await anyio.lowlevel.checkpoint()
        receiving.set()

thread = threading.Thread(
    target=anyio.run, args=(receive,), kwargs={"backend": sys.argv[1]}, daemon=True
)
thread.start()
receiving.wait()
child = os.fork()
if child == 0:
    box._queue.waiting and lost.append("somebody who is not here waits")
    fauxtp.send_nowait(box.pid, "from the child")
    os._exit(1 if lost or len(box) != 1 else 0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
fauxtp.send_nowait(box.pid, "from the parent")
thread.join()
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_child_does_not_wake_who_waits_in_its_parent(run: Run, backend: str) -> None:
    done = run(WAITED, backend, options=QUIETLY)
    assert (done.returncode, done.stdout, done.stderr) == (0, "from the parent\n", "")


PROCESSES = """
import os, sys, threading
import anyio
import fauxtp

class Server(fauxtp.GenServer):
    mailbox_size = 1

started, done = threading.Event(), threading.Event()

async def serve():
    async with anyio.create_task_group() as group:
        await Server.start(task_group=group, register_as="kvstore")
        fauxtp.register("outside", outside)
        started.set()
        await anyio.to_thread.run_sync(done.wait)
        fauxtp.exit("kvstore")

async def serve_in_child():
    async with anyio.create_task_group() as group:
        pid = await Server.start(task_group=group, register_as="kvstore")
        assert fauxtp.processes() == [pid]
        fauxtp.exit("kvstore")

backend, outside = sys.argv[1], fauxtp.PID()
thread = threading.Thread(
    target=anyio.run, args=(serve,), kwargs={"backend": backend}, daemon=True
)
thread.start()
started.wait()
child = os.fork()
if child == 0:
    code = 1
    try:
        assert fauxtp.processes() == [] and fauxtp.registered() == ["outside"]
        try:
            fauxtp.call_blocking("kvstore", "hello", None)
        except fauxtp.NoProcess:
            anyio.run(serve_in_child, backend=backend)
            code = 0
    finally:
        os._exit(code)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert fauxtp.is_alive("kvstore")
done.set()
thread.join()
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_child_has_none_of_the_processes_of_its_parent(run: Run, backend: str) -> None:
    done = run(PROCESSES, backend, options=QUIETLY)
    assert (done.returncode, done.stderr) == (0, "")
