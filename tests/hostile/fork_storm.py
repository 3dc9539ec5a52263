"""Fork in the middle of a storm; each child must work: `fork_storm FORKS SEED PATIENCE [FAULT]`.

Threads do to registries, mailboxes, dead letters and loggers what is done to them; the main
thread forks. What a child cannot do is told on stderr, as is a child that hangs.
"""

from __future__ import annotations

import asyncio
import faulthandler
import io
import logging
import os
import random
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import anyio
import trio

import fauxtp
import fauxtp._registry_py as python
from fauxtp import registry as twin
from fauxtp._core import dead_letters
from hostile import walk

THREADS = 6
STEPS = 60
EVERY = 4  # which child runs an event loop, too

stop = threading.Event()
logger = logging.getLogger("fauxtp")
bounded = fauxtp.Mailbox(max_size=4)


class Echo(fauxtp.GenServer[Any, Any]):
    async def init(self) -> None:
        fauxtp.register("echo of the child", self.pid)

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        await anyio.sleep(0)
        return request, state


class Chief(fauxtp.Supervisor):
    def child_specs(self) -> list[fauxtp.ChildSpec]:
        return [fauxtp.ChildSpec("echo", Echo)]


# The storm


def registering(number: int, chance: random.Random) -> None:
    """Do one operation, on names that threads share and on those of its own."""
    pid, name = twin.PID(), f"storm:{chance.randrange(20)}"
    twin.register(name, pid)
    twin.register(f"own:{number}", pid)
    twin.default.transfer(name, pid, twin.PID())
    twin.default.watch(name, ignore)
    twin.registered("storm:")
    assert twin.count(f"own:{number}") <= 1
    twin.unregister(name)
    twin.default.unwatch(name, ignore)
    twin.default.join(name, pid)
    twin.default.join(f"own:{number}", pid)
    twin.default.follow(name, bool)
    twin.default.follow_names("own:", ignore)
    if chance.random() < 0.1:
        twin.default.unfollow_names(ignore)
    twin.members(name)
    twin.groups("storm:")
    twin.default.leave(f"own:{number}", pid)
    other = twin.Registry()
    other.register(name, pid)
    if chance.random() < 0.5:
        twin.default.release(pid)
    else:
        twin.retire(pid)


def sending(number: int, chance: random.Random) -> None:
    """Use everything in the runtime that threads share."""
    fauxtp.send_nowait("nobody", number)
    fauxtp.Mailbox().put_nowait(number)  # the first message of a mailbox, and a dead letter
    bounded.put_blocking(number, 0.0)
    try:
        bounded.take_nowait()
    except IndexError:
        pass
    with fauxtp.dead_letters.observed_by(ignore):
        logger.warning("%s has something to tell", number)


def ignore(_: object) -> None:
    """Be a callback."""


def storm(work: Callable[[int, random.Random], None], number: int, seed: int) -> None:
    chance = random.Random(f"{seed} {number}")
    while not stop.is_set():
        work(number, chance)


def running(backend: str, ready: threading.Event) -> None:
    """Run an event loop with actors, which call each other all the time."""

    async def main() -> None:
        async with anyio.create_task_group() as task_group:
            echo = await Echo.start(task_group=task_group)
            ready.set()
            while not stop.is_set():
                assert await fauxtp.call(echo, 1) == 1
            fauxtp.exit(echo)

    anyio.run(main, backend=backend)


# The child


async def actors() -> None:
    """Run actors: start, call, supervise, crash, end."""
    async with anyio.create_task_group() as task_group:
        chief = await Chief.start(task_group=task_group)
        [child] = await fauxtp.which_children(chief)
        assert child.pid is not None
        assert await fauxtp.call(child.pid, "hello", 7.0) == "hello"
        fauxtp.exit(child.pid)
        await fauxtp.wait_exit(child.pid)
        assert len(await fauxtp.which_children(chief, 7.0)) > 0
        mailbox = fauxtp.Mailbox(max_size=1)
        await fauxtp.send(mailbox.pid, "hello")
        assert await mailbox.receive((str, str.upper), timeout=7.0) == "HELLO"
        fauxtp.exit(chief)


def work_in_child(number: int, seed: int) -> None:
    """Do all there is; raise where something is not as it should be."""
    walk.walk(twin, twin.default, STEPS, f"{seed} {number}")
    walk.walk(twin, twin.Registry(), STEPS, f"{seed} {number}")
    twin.default.watch("child", ignore)
    assert twin.default.unwatch("child", ignore)
    assert not twin.default.unfollow_names(ignore), "nobody follows in a child"
    news: Any = twin.default.follow_names("child", ignore)
    assert twin.default.register("child", twin.PID())
    assert twin.default.unregister("child")
    assert [news.next.came, news.next.next.came] == [True, False]
    assert twin.default.unfollow_names(ignore)
    assert twin.registered("storm:") == [it for it in twin.registered() if it[:6] == "storm:"]
    mortal = twin.PID()
    assert twin.default.join("child", mortal)
    assert twin.members("child") == (mortal,)
    twin.retire(mortal)
    assert twin.members("child") == ()
    chance = random.Random(number)
    registering(number, chance)
    sending(number, chance)
    before = fauxtp.dead_letters.total()
    fauxtp.send_nowait("nobody", "hello")
    assert fauxtp.dead_letters.total() == before + 1
    if number % EVERY == 0:
        fauxtp.unregister("echo of the child")
        if number % (2 * EVERY):
            trio.run(actors)
        else:
            asyncio.run(actors())


def child(number: int, seed: int, outcome: int) -> NoReturn:
    code = 1
    try:
        faulthandler.register(signal.SIGUSR1, file=outcome, chain=True)  # says where, and ends
        work_in_child(number, seed)
        code = 0
    except BaseException:
        os.write(outcome, traceback.format_exc().encode())
    finally:
        os._exit(code)


# The parent


def fork(number: int, seed: int, patience: float) -> str:
    """Fork once; return what is wrong with the child, or nothing."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        child(number, seed, write)
    os.close(write)
    with open(read, "rb") as told:
        if not select.select([told], [], [], patience)[0]:
            os.kill(pid, signal.SIGUSR1)
            if not select.select([told], [], [], patience)[0]:
                os.kill(pid, signal.SIGKILL)
            where = told.read().decode()
            os.waitpid(pid, 0)
            return f"child {number} hangs\n{where}"
        trouble = told.read().decode()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return trouble or (f"child {number} ended by {code}" if code else "")


def plant(fault: str) -> None:
    """Break what a test of this test asks for."""
    if fault == "lock":  # is not replaced in the child
        lock = python._lock
        os.register_at_fork(after_in_child=lambda: setattr(python, "_lock", lock))
    elif fault == "letters":  # keep their lock in the child
        letters, held = dead_letters, dead_letters._lock
        os.register_at_fork(after_in_child=lambda: setattr(letters, "_lock", held))
    elif fault == "table":  # has a name that its PID does not know
        os.register_at_fork(
            after_in_child=lambda: python.default._table.setdefault("half", python.PID())
        )


def main(forks: int, seed: int, patience: float, fault: str = "") -> int:
    plant(fault)
    logger.addHandler(logging.StreamHandler(io.StringIO()))
    logger.propagate = False
    trio.run(actors)  # imports what the first child would take its time to import
    asyncio.run(actors())
    sys.setswitchinterval(1e-5)
    ready = threading.Event()
    threads = [
        threading.Thread(target=storm, args=(work, number, seed))
        for number, work in enumerate([registering, sending] * (THREADS // 2))
    ]
    backend = ("asyncio", "trio")[seed % 2]
    threads.append(threading.Thread(target=running, args=(backend, ready)))
    for thread in threads:
        thread.start()
    ready.wait()
    trouble = ""
    try:
        for number in range(forks):
            trouble = fork(number, seed, patience)
            if trouble:
                sys.stderr.write(f"{trouble}\n")
                break
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:]))
