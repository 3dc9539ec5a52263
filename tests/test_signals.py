"""Signal handlers: what one does takes effect at once, also while the event loop is asleep."""

from __future__ import annotations

import sys

import pytest
from conftest import Run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a process sends itself no signal")

# Each is what a handler does, and what a task waits for meanwhile; nothing else wakes the loop.
AWAKENED = """
import faulthandler, os, signal, sys, threading
import anyio
from fauxtp import *

faulthandler.dump_traceback_later(20, exit=True)


class Server(GenServer):
    async def init(self):
        return []

    async def handle_call(self, request, from_, state):
        return NO_REPLY, [*state, from_]

    async def handle_cast(self, request, state):
        for from_ in state:
            reply(from_, request)
        return []


class Stuck(Server):
    async def handle_call(self, request, from_, state):
        await anyio.sleep_forever()


class Replies(Server):
    async def handle_call(self, request, from_, state):
        held.append(from_)
        return NO_REPLY, state


held = []


async def wait_for_cast(server, mailbox):
    assert await call(server, "question", timeout=None) == "answer"


async def wait_for_end(server, mailbox):
    assert await wait_exit(server) == "shutdown"


async def wait_for_end_of_a_busy_one(server, mailbox):
    async with anyio.create_task_group() as group:
        await Stuck.start(task_group=group, register_as="stuck")
        try:
            await call("stuck", "question", timeout=None)
        except ProcessExited:
            pass


async def wait_for_kill(server, mailbox):
    assert await wait_exit(server) == "kill"


async def wait_for_message(server, mailbox):
    assert await mailbox.receive((ANY, lambda message: message)) == "message"


async def wait_for_name(server, mailbox):
    assert await wait_registered("signalled") is mailbox.pid
    unregister("signalled")


async def wait_for_reply(server, mailbox):
    async with anyio.create_task_group() as group:
        pid = await Replies.start(task_group=group)
        assert await call(pid, "question", timeout=None) == "late answer"
        exit(pid)


async def wait_for_close(server, mailbox):
    try:
        await mailbox.receive((ANY, print))
    except MailboxClosed:
        return
    raise AssertionError("it is not closed")


async def main():
    for wait, do in (
        (wait_for_cast, lambda server, mailbox: cast_nowait("server", "answer")),
        (wait_for_end, lambda server, mailbox: exit("server")),
        (wait_for_kill, lambda server, mailbox: exit("server", "kill")),
        (wait_for_end_of_a_busy_one, lambda server, mailbox: exit("stuck")),
        (wait_for_message, lambda server, mailbox: send_nowait(mailbox.pid, "message")),
        (wait_for_name, lambda server, mailbox: register("signalled", mailbox.pid)),
        (wait_for_reply, lambda server, mailbox: reply(held.pop(), "late answer")),
        (wait_for_close, lambda server, mailbox: mailbox.close()),
    ):
        async with anyio.create_task_group() as group:
            server, mailbox = await Server.start(task_group=group, register_as="server"), Mailbox()
            signal.signal(signal.SIGUSR1, lambda *_: do(server, mailbox))
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            await wait(server, mailbox)
            exit(server)
        print(wait.__name__)


options = {"use_uvloop": True} if sys.argv[1] == "uvloop" else {}
backend = sys.argv[1].replace("uvloop", "asyncio")
anyio.run(main, backend=backend, backend_options=options)
"""


@pytest.mark.parametrize("handoff", ["auto", "never"])
@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_a_signal_handler_wakes_whom_it_does_something_for(
    run: Run, backend: str, handoff: str
) -> None:
    ended = run(AWAKENED, backend, FAUXTP_HANDOFF=handoff)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.split() == [
        "wait_for_cast",
        "wait_for_end",
        "wait_for_kill",
        "wait_for_end_of_a_busy_one",
        "wait_for_message",
        "wait_for_name",
        "wait_for_reply",
        "wait_for_close",
    ]


STORM = """
import faulthandler, signal, sys, time
import anyio
from fauxtp import *

faulthandler.dump_traceback_later(40, exit=True)


class Pool(GenServer):
    async def init(self):
        return 0

    async def handle_cast(self, request, state):
        return state + 1

    async def handle_call(self, request, from_, state):
        return state, state


sent = [0]


def handler(*_):
    cast_nowait("pool", "signal")
    sent[0] += 1


async def main():
    async with anyio.create_task_group() as group:
        await Pool.start(task_group=group, register_as="pool")
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0002)
        mine = 0
        end = time.monotonic() + float(sys.argv[2])
        while time.monotonic() < end:
            await cast("pool", "x")
            await call("pool", "x")
            mine += 1
            await anyio.sleep(0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert await call("pool", "x") == mine + sent[0]
        exit("pool")


options = {"use_uvloop": True} if sys.argv[1] == "uvloop" else {}
backend = sys.argv[1].replace("uvloop", "asyncio")
anyio.run(main, backend=backend, backend_options=options)
"""


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_a_storm_of_signals_does_no_harm_and_each_cast_is_counted(run: Run, backend: str) -> None:
    ended = run(STORM, backend, "1")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_what_interrupts_a_thread_that_waits_may_wake_it(run: Run) -> None:
    ended = run(
        """
import faulthandler, sys
from fauxtp._loops.thread_waiter import ThreadWaiter
faulthandler.dump_traceback_later(20, exit=True)

def come(*_):
    global left
    left -= 1
    if left == 0:
        waiter.wake()
    return come

number = 0
while True:
    number += 1
    left, waiter = number, ThreadWaiter()
    sys.settrace(come)
    waiter.wait_blocking(0.001)
    sys.settrace(None)
    if left > 0:
        break
"""
    )
    assert ended.returncode == 0, ended.stderr
