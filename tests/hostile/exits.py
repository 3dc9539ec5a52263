"""Ways in which a program ends while actors live: `exits WAY BACKEND`.

Each must end at once, without a crash, and without a word on stderr that it did not ask for.
"""

from __future__ import annotations

import atexit
import operator
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import anyio

import fauxtp
from fauxtp import registry as twin

BACKEND = sys.argv[-1]


class Deaf(fauxtp.GenServer[Any, Any]):
    """Answers nobody."""

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return fauxtp.NO_REPLY, state


class Busy(fauxtp.GenServer[Any, Any]):
    """Answers at once, and talks to itself."""

    async def init(self) -> None:
        await fauxtp.cast(self.pid, "again")

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return request, state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        await fauxtp.cast(self.pid, request)


class Narrow(fauxtp.Actor):
    """Takes nothing out of a mailbox for one."""

    mailbox_size = 1

    async def run(self, state: Any) -> Any:
        await anyio.sleep_forever()


class Chief(fauxtp.Supervisor):
    def child_specs(self) -> list[fauxtp.ChildSpec]:
        return [
            fauxtp.ChildSpec("deaf", Deaf, register_as="deaf"),
            fauxtp.ChildSpec("busy", Busy, register_as="busy"),
            fauxtp.ChildSpec("narrow", Narrow, register_as="narrow"),
        ]


async def system(ready: Callable[[], object]) -> None:
    """Run actors for ever, with names and calls that wait."""
    async with anyio.create_task_group() as group:
        await Chief.start(task_group=group, register_as="chief")
        group.start_soon(fauxtp.call, "deaf", "hello?", None)
        group.start_soon(fauxtp.call, "deaf", "hello?", 3600.0)
        group.start_soon(fauxtp.wait_registered, "nobody", 3600.0)
        group.start_soon(fauxtp.wait_exit, "narrow")
        await fauxtp.send("narrow", "full")
        group.start_soon(fauxtp.send, "narrow", "too much")
        assert await fauxtp.call("busy", 1) == 1
        ready()


def beside() -> None:
    """Run `system` in a daemon thread; return when it is up."""
    up = threading.Event()
    daemon(anyio.run, system, up.set, backend=BACKEND)
    up.wait()


def daemon(function: Callable[..., object], *arguments: Any, **named: Any) -> None:
    threading.Thread(target=function, args=arguments, kwargs=named, daemon=True).start()


# The ways


def returning() -> None:
    beside()


def raising() -> None:
    beside()
    raise RuntimeError("as planned")


def exiting() -> None:
    beside()
    sys.exit(3)


def calling() -> None:
    """Threads wait for answers, and for room, that will never come."""
    beside()
    calls = [("deaf", None), ("deaf", 3600.0), ("narrow", None), ("narrow", 3600.0)]
    for to, timeout in calls:
        daemon(fauxtp.call_blocking, to, "hello?", timeout)
    for _ in range(20):
        assert fauxtp.call_blocking("busy", 2) == 2


def interrupted() -> None:
    """Control-C, and what ran has ended in order."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has none
    try:
        anyio.run(system, lambda: signal.raise_signal(signal.SIGINT), backend=BACKEND)
    except (KeyboardInterrupt, BaseExceptionGroup) as error:  # a group on trio
        if isinstance(error, BaseExceptionGroup) and error.split(KeyboardInterrupt)[1]:
            raise
    else:
        raise AssertionError("nothing was interrupted")
    assert fauxtp.tree() == "", fauxtp.tree()
    assert fauxtp.registered() == [], fauxtp.registered()


def keeping() -> None:
    """A module that keeps all there is to keep."""
    kept = sys.modules[__name__].__dict__
    kept["pid"], kept["ref"], kept["table"] = fauxtp.PID(), fauxtp.Ref(), twin.Registry()
    kept["table"].register("kept", kept["pid"])
    kept["table"].watch("never", print)
    fauxtp.register("kept", kept["pid"])
    kept["mailbox"], kept["bounded"] = fauxtp.Mailbox(), fauxtp.Mailbox(max_size=3)
    for mailbox in (kept["mailbox"], kept["bounded"]):
        mailbox.put_nowait("a message")
        mailbox.put_nowait(fauxtp.Cast("a cast"))
        mailbox.put_nowait(fauxtp.Call("a call", mailbox.pid, None))
    kept["error"] = fauxtp.NoProcess(kept["pid"])
    beside()


def at_exit() -> None:
    """Handlers of the exit use everything."""

    def handler() -> None:
        use_registry(twin.Registry(), twin.PID, twin.retire)
        use_registry(twin.default, twin.PID, twin.retire)
        fauxtp.send_nowait("nobody", 1)
        fauxtp.cast_nowait("busy", 2)
        assert "busy" in fauxtp.tree()
        assert fauxtp.exit("nobody") is False
        assert fauxtp.exit("narrow") is True
        fauxtp.process_info("chief")
        try:
            fauxtp.call_blocking("nobody", 3)
        except fauxtp.NoProcess:
            pass
        else:
            raise AssertionError("nobody has answered")
        anyio.run(one_call, backend=BACKEND)

    beside()
    atexit.register(handler)


async def one_call() -> None:
    async with anyio.create_task_group() as group:
        server = await Deaf.start(task_group=group)
        with anyio.move_on_after(0):
            await fauxtp.call(server, 1)
        fauxtp.exit(server)


def use_registry(table: Any, new_pid: Any, retire: Any) -> None:
    """Do each operation once; raise if a result is wrong."""
    pid, other = new_pid(), new_pid()
    assert table.register("late", pid)
    assert table.whereis("late") is pid
    assert "late" in table.registered("la")
    assert table.transfer("late", pid, other)
    assert table.names(other) == ["late"]
    seen: list[Any] = []
    table.watch("later", seen.append)
    assert table.register("later", other)
    assert seen == [other]
    assert table.unwatch("later", seen.append)
    assert table.unregister("later", other)
    assert table.release(other) == ["late"]
    retire(pid)
    assert not table.names(pid)


class Late:
    """Uses the registry when it is collected, whenever that is."""

    def __init__(self, use: Any = use_registry, tell: Any = os.write) -> None:
        self.use = use
        self.tools = twin.default, twin.PID, twin.retire
        self.kind = twin.Registry
        self.tell = tell

    def __del__(self) -> None:
        try:
            self.use(*self.tools)
            self.use(self.kind(), *self.tools[1:])
        except BaseException as error:
            self.tell(2, f"{error!r}\n".encode())


def finalised() -> None:
    """Finalisers use the registry while modules are torn down, and after that."""
    kept: Any = sys.modules[__name__]
    kept.late = Late()
    kept.__dict__["_first"] = Late()
    kept.cycle = [Late()]
    kept.cycle.append(kept.cycle)
    # Nothing works where all globals are None; but nothing may crash.
    for module in (sys, threading, twin, fauxtp):
        module.__dict__["late"] = Late(tell=operator.is_)
    pid = kept.pid = twin.PID()
    weakref.finalize(pid, use_registry, twin.default, twin.PID, twin.retire)


def storming() -> None:
    """Threads that are in the middle of an operation are frozen; handlers go on."""

    def storm() -> None:
        while True:
            pid = twin.PID()
            twin.register("storm", pid)
            twin.default.release(pid)
            twin.registered()
            fauxtp.send_nowait("nobody", pid)
            fauxtp.Mailbox(max_size=1).put_nowait(pid)

    sys.setswitchinterval(1e-5)
    finalised()
    at_exit()
    for _ in range(4):
        daemon(storm)


# Three that a check must not let pass


def noisy() -> None:
    sys.modules[__name__].__dict__["late"] = Late(fail)


def fail(*_: object) -> None:
    raise RuntimeError("as nobody expects")


def crashing() -> None:
    beside()
    os.abort()


def stuck() -> None:
    beside()
    atexit.register(lambda: fauxtp.call_blocking("deaf", "hello?", None))


if __name__ == "__main__":
    globals()[sys.argv[1]]()
