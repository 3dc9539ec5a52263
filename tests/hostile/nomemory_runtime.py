"""Every allocation of what is done to a server fails in turn; and the server lives, or is dead.

A program, as it may hang: `python -m hostile.nomemory_runtime BACKEND`. What is done
raises MemoryError, or is done. Afterwards the server answers; or it has ended, its name is
free, and who watched it has been told once.

Only what is done in one go is tried: what the event loop needs between two turns does not fail.
It loses a task all the same if it has no memory for what wakes it: nobody can mend that. And what
trio or anyio leave half done is left out: see `left_out`.
"""

from __future__ import annotations

import _testcapi  # type: ignore[import-not-found]
import asyncio
import faulthandler
import logging
import sys
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from itertools import product
from types import coroutine
from typing import Any

import anyio
import sniffio
import trio

from fauxtp import (
    Actor,
    Call,
    Down,
    GenServer,
    NoProcess,
    ProcessExited,
    call,
    cancel_timer,
    cast,
    cast_nowait,
    demonitor,
    exit,
    link,
    monitor,
    send,
    send_after,
    send_every,
    send_nowait,
    unlink,
    wait_exit,
    whereis,
)
from fauxtp._core.ended_loops import living
from fauxtp._core.process import find_process
from fauxtp._messaging import timers
from fauxtp.registry import implementation
from hostile.intruded_servers import Wrong

LIMIT = 2000
PATIENCE = 30  # seconds for one of them
# CPython 3.11 raises the latter where there is no memory for the frame of a function.
OUT_OF_MEMORY = MemoryError, SystemError
ENOUGH = 12  # failures in a row that did not matter; Python makes up for some


@contextmanager
def failing(number: int) -> Generator[None, None, None]:
    """Let the allocation of that number fail."""
    _testcapi.set_nomemory(number, number + 1)
    try:
        yield
    finally:
        _testcapi.remove_mem_hooks()


@coroutine
def in_one_go(work: Coroutine[Any, Any, Any], number: int) -> Generator[Any, Any, Any]:
    """Await `work`: an allocation of it fails until it waits for the first time."""
    try:
        _testcapi.set_nomemory(number, number + 1)
        try:
            yielded = work.send(None)
        finally:
            _testcapi.remove_mem_hooks()
        while True:
            try:
                sent = yield yielded
            except BaseException as error:
                yielded = work.throw(error)
            else:
                yielded = work.send(sent)
    except StopIteration as end:
        return end.value


class Server(GenServer[Any, Any]):
    async def init(self) -> int:
        return 0

    async def handle_call(self, request: Any, from_: Call, state: int) -> Any:
        if request == "turn":
            await anyio.sleep(0)
        elif isinstance(request, tuple):
            do, number = request
            with failing(number):
                do()
        return request, state + 1

    async def handle_cast(self, request: Any, state: int) -> int:
        return state + 1

    async def handle_info(self, message: Any, state: int) -> int:
        return state + 1


class Witness(Actor):
    """Is told of the end of the server."""

    def __init__(self, told: list[Down]) -> None:
        self.told = told

    async def run(self, state: Any) -> Any:
        monitor("server")
        await self.receive((Down, self.told.append))
        await self.receive((Down, self.told.append))


Operation = Callable[[int, Any], Awaitable[object]]


def at_once(do: Callable[[], object]) -> Operation:
    async def operation(number: int, group: Any) -> None:
        with failing(number):
            do()

    return operation


def awaited(do: Callable[[Any], Coroutine[Any, Any, Any]]) -> Operation:
    async def operation(number: int, group: Any) -> None:
        await in_one_go(do(group), number)

    return operation


def inside(do: Callable[[], object]) -> Operation:
    async def operation(number: int, group: Any) -> None:
        await call("server", (do, number), timeout=None)

    return operation


async def end(group: Any) -> None:
    exit("server")
    await wait_exit("server")


async def begin(group: Any) -> None:
    await Server.start(task_group=group, register_as="other")


def set_and_cancel(name: str) -> None:
    for to in (whereis(name), name):
        assert to is not None
        cancel_timer(send_after(3600, to, 1))
        cancel_timer(send_every(3600, to, 1))


OPERATIONS: dict[str, Operation] = {
    "send_nowait": at_once(lambda: send_nowait("server", 1)),
    "cast_nowait": at_once(lambda: cast_nowait("server", 1)),
    "exit": at_once(lambda: exit("server")),
    "kill": at_once(lambda: exit("server", "kill")),
    "send": awaited(lambda group: send("server", 1)),
    "cast": awaited(lambda group: cast("server", 1)),
    "call": awaited(lambda group: call("server", 1)),
    "call without a limit": awaited(lambda group: call("server", 1, timeout=None)),
    "call that gives way": awaited(lambda group: call("server", "turn", timeout=None)),
    "call nobody": awaited(lambda group: call("nobody", 1)),
    "start": awaited(lambda group: Server.start(task_group=group, register_as="other")),
    "end": awaited(end),
    "wait": awaited(lambda group: wait_exit("other")),
    "monitor": inside(lambda: monitor("witness")),
    "demonitor": inside(lambda: demonitor(monitor("witness"))),
    "link": inside(lambda: link("witness")),
    "unlink": inside(lambda: unlink("witness")),
    "timers": at_once(lambda: set_and_cancel("witness")),
    "timers of a process": inside(lambda: set_and_cancel("witness")),
}


async def play(operation: Operation, number: int, asks: bool) -> bool:
    """Do it with that failure, then call the server if it `asks`; return whether it failed."""
    told: list[Down] = []
    failed = False
    with suppress_memory_errors():
        async with anyio.create_task_group() as group:
            server = await Server.start(task_group=group, register_as="server")

            witness = await Witness.start(told, task_group=group, register_as="witness")
            await anyio.sleep(0)
            try:
                await operation(number, group)
            except (NoProcess, *OUT_OF_MEMORY) as error:
                failed = not isinstance(error, NoProcess)
            except ProcessExited as error:
                if not isinstance(error.__cause__, OUT_OF_MEMORY):
                    raise
                failed = True
            except AssertionError as error:
                if not is_of_outcome(error):
                    raise
                failed = True
            await others()
            await LOOPS[sniffio.current_async_library()].make_up_for_losses()
            other = whereis("other")
            if other is not None:
                with suppress(NoProcess, ProcessExited):
                    await call(other, 1, timeout=None)
                exit(other)
                await wait_exit(other)
            with suppress(NoProcess, ProcessExited):
                if asks and await call(server, "again", timeout=None) != "again":
                    raise Wrong("another answer")
            exit(server)
            await wait_exit(server)
            await others()
            if find_process(witness) is not None and len(told) != 1:
                raise Wrong(f"the witness was told {told}")
            exit(witness)
            await wait_exit(witness)
            if timers._bound:
                raise Wrong(f"timers are left of those that have ended: {timers._bound}")
    return failed


def is_of_outcome(error: AssertionError) -> bool:
    """Return whether it is the one by which trio says that an error has no traceback."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return last.name == "remove_tb_frames"


async def others() -> None:
    """Let all others have the turns that they need."""
    for _ in range(10):
        await anyio.sleep(0)


class Asyncio:
    """A loop of asyncio, which is ended when it has lost a task."""

    # For lack of a frame, anyio enters the scope of a task that it starts in another's name.
    left_out: tuple[str, ...] = () if implementation == "cython" else ("start",)

    def __init__(self) -> None:
        self.lost = 0

    def run(self, *scene: Any) -> bool:
        """Return whether what it does has failed."""
        loop = asyncio.new_event_loop()
        try:
            return loop.run_until_complete(play(*scene))
        except RuntimeError as error:
            if "stopped" not in str(error):
                raise
            self.lost += 1
            return True
        finally:
            loop.close()

    async def make_up_for_losses(self) -> None:
        if any(self.is_lost(process.task) for process in living()):
            asyncio.get_running_loop().stop()
            await anyio.sleep_forever()

    def is_lost(self, task: Any) -> bool:
        """Return whether there was no memory for its turn, or for its waiter.

        That of a server that still has its turn to come is ours to wake.
        """
        if task is None or task.done():
            return False
        waiter = task._fut_waiter
        return waiter is None or (waiter.done() and getattr(waiter, "_turn", None) is None)


class Trio:
    """A loop of trio, in which what it has lost is given the turn that it was to have."""

    # A scope is entered by half, a task is started by half, and waited for; and what a task yields
    # instead of a trap is an error within trio, which ends with it.
    left_out = (
        "call",
        "call without a limit",
        "call that gives way",
        "start",
        "timers",
        "timers of a process",
    )

    def __init__(self) -> None:
        self.lost = 0

    def run(self, *scene: Any) -> bool:
        return bool(anyio.run(play, *scene, backend="trio"))

    async def make_up_for_losses(self) -> None:
        for process in living():
            if self.is_lost(process.task):
                self.lost += 1
                trio.lowlevel.reschedule(process.task)

    def is_lost(self, task: Any) -> bool:
        """Return whether it was woken by half: nobody can end its wait, and it has no turn."""
        if task is None or task.coro.cr_frame is None or task is trio.lowlevel.current_task():
            return False
        return task._abort_func is None and task not in task._runner.runq


LOOPS: dict[str, Asyncio | Trio] = {"asyncio": Asyncio(), "trio": Trio()}


@contextmanager
def suppress_memory_errors() -> Generator[None, None, None]:
    try:
        yield
    except* OUT_OF_MEMORY:
        pass


def fail(backend: str, operation: Operation, number: int, asks: bool) -> bool:
    """Do it with that failure, and judge; return whether it failed."""
    try:
        return LOOPS[backend].run(operation, number, asks)
    finally:
        if whereis("server") or whereis("witness") or whereis("other") or living():
            raise Wrong("somebody is left")


def main(backend: str, *only: str) -> None:
    logging.disable()  # of asyncio, too, which tells of what it has lost
    count = 0
    titles = only or [title for title in OPERATIONS if title not in LOOPS[backend].left_out]
    for title, asks in product(titles, (True, False)):
        clean = 0
        for number in range(LIMIT):
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            print(f"in {title}, at {number}:", file=sys.stderr, flush=True)  # noqa: T201
            if fail(backend, OPERATIONS[title], number, asks):
                count, clean = count + 1, 0
            else:
                clean += 1
            if clean == ENOUGH:  # there is no such allocation any more
                break
    print(f"{count:,} failed allocations; {backend} has lost {LOOPS[backend].lost} tasks")  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
