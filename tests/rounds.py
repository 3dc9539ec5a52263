"""Each public coroutine function with each of its outcomes, as rounds that loops can make."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import anyio
from crew import Boom, Idle, Puppet, boom

import fauxtp
import fauxtp.testing
from fauxtp import (
    ANY,
    Call,
    CallCycle,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    Mailbox,
    MailboxClosed,
    NameTaken,
    NoChild,
    NoProcess,
    ReceiveTimeout,
    Supervisor,
    Task,
    call,
)
from fauxtp.testing import assert_receives, wait_for, with_timeout

Round = Callable[["World"], Awaitable[object]]


class Fails(Idle):
    async def init(self) -> NoReturn:
        raise Boom


class CannotBeMade(Idle):
    def __init__(self) -> None:
        raise Boom


class Chief(Supervisor):
    def child_specs(self) -> list[ChildSpec]:
        return [ChildSpec("idle", Idle)]


class Tasks(DynamicSupervisor):
    pass


class Does(GenServer[Any, Any]):
    """Does inside what it is called with."""

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        return await request(self), state


class World:
    """Whom the rounds meet. `me` is the server that the loop runs in, if it runs in one."""

    def __init__(self, group: Any) -> None:
        self.group = group
        self.me: Any = None
        self.count = 0
        self.box, self.full, self.closed = Mailbox(), Mailbox(max_size=1), Mailbox(max_size=1)
        self.full.put_nowait("junk")
        self.closed.close()

    async def begin(self) -> None:
        self.puppet = await Puppet.start(task_group=self.group, register_as="puppet")
        self.idle = await Idle.start(task_group=self.group, register_as="idle")
        self.chief = await Chief.start(task_group=self.group)
        self.tasks = await Tasks.start(task_group=self.group)
        self.used = fauxtp.running(Idle)
        await block(self.used)
        self.done = await Task.spawn(nothing, self.group)
        self.failed = await Task.spawn(fail, self.group)
        await anyio.wait_all_tasks_blocked()

    def filled(self) -> Mailbox:
        self.box.put_nowait(1)
        return self.box

    def fresh(self) -> str:
        self.count += 1
        return f"fresh {self.count}"


async def nothing() -> None:
    pass


async def fail() -> None:
    raise Boom


async def to_itself(world: World) -> None:
    box = world.box
    if not len(box):
        box.put_nowait("again")
    await box.receive((ANY, box.put_nowait))


def inside(method: str, *args: Any, **kwargs: Any) -> Round:
    """Return a round of a method that belongs to the server itself."""

    async def go(world: World) -> None:
        await getattr(world.me, method)(*args, **kwargs)

    return go


def started(cls: Any, how: str = "start", **kwargs: Any) -> Round:
    return lambda world: getattr(cls, how)(task_group=world.group, **kwargs)


def child(make: Callable[[World], ChildSpec]) -> Round:
    return lambda world: fauxtp.start_child(world.chief, make(world))


Row = tuple[str, str, type[Exception] | None, Round]

INSIDE: list[Row] = [  # of the server, in its own handler
    ("Actor.receive", "of junk", TypeError, inside("receive", "no pattern")),
    ("Actor.receive", "of nothing", ReceiveTimeout, inside("receive", (ANY, print), timeout=0)),
    ("Actor.spawn_child_actor", "well", None, inside("spawn_child_actor", Idle)),
    ("Actor.spawn_child_actor", "in vain", Boom, inside("spawn_child_actor", Fails)),
    ("Actor.spawn_child_actor", "of junk", TypeError, inside("spawn_child_actor", print)),
    ("GenServer.spawn_task", "well", None, inside("spawn_task", nothing)),
    ("GenServer.spawn_task", "of junk", TypeError, inside("spawn_task", "junk")),
    ("call", "itself", CallCycle, lambda world: call(world.me.pid, nothing)),
]


async def same(item: Any) -> Any:
    return item


async def failing(item: Any) -> NoReturn:
    raise Boom


async def each(items: Any) -> None:
    async for _ in items:
        pass


async def first(items: Any) -> None:
    async for _ in items:
        break


async def closed(items: Any) -> None:
    items.close()
    await each(items)


async def block(application: Any) -> None:
    async with application:
        pass


def mapped(world: World, work: Any, *items: Any) -> Any:
    return fauxtp.map_tasks(world.tasks, work, items, max_concurrency=1)


def fails(state: Any) -> NoReturn:
    raise Boom


async def suspended(world: World) -> None:
    await fauxtp.suspend("puppet")
    await fauxtp.resume("puppet")


ROWS: list[Row] = [
    ("call", "well", None, lambda world: call("puppet", nothing)),
    ("call", "nobody", NoProcess, lambda world: call("nobody", 1)),
    ("call", "nobody, with patience", NoProcess, lambda _: call("nobody", 1, wait=1e-9)),
    ("call", "with patience", None, lambda world: call("puppet", nothing, wait=1)),
    ("call", "with junk for patience", TypeError, lambda _: call("puppet", 1, wait="x")),  # type: ignore[call-overload]
    ("call", "junk", TypeError, lambda world: call(5, 1)),  # type: ignore[call-overload]
    ("call", "for junk", TypeError, lambda world: call("puppet", 1, "x")),  # type: ignore[call-overload]
    ("call", "unheard", ReceiveTimeout, lambda world: call(world.box.pid, 1, timeout=0)),
    ("call", "without room", ReceiveTimeout, lambda world: call(world.full.pid, 1, timeout=0)),
    ("call", "in vain", NoProcess, lambda world: call(world.closed.pid, 1)),
    ("call_many", "well", None, lambda world: fauxtp.call_many(["puppet", "nobody"], nothing)),
    ("call_many", "nobody", None, lambda world: fauxtp.call_many([], 1)),
    ("call_many", "junk", TypeError, lambda world: fauxtp.call_many("puppet", 1)),
    ("cast", "well", None, lambda world: fauxtp.cast("puppet", nothing)),
    ("cast", "to nobody", None, lambda world: fauxtp.cast("nobody", nothing)),
    ("cast", "to junk", TypeError, lambda world: fauxtp.cast(5, 1)),  # type: ignore[arg-type]
    ("get_state", "well", None, lambda world: fauxtp.get_state("puppet")),
    ("get_state", "of nobody", NoProcess, lambda world: fauxtp.get_state("nobody")),
    ("get_state", "of no server", TypeError, lambda world: fauxtp.get_state("idle")),
    ("replace_state", "well", None, lambda world: fauxtp.replace_state("puppet", lambda it: it)),
    ("replace_state", "in vain", Boom, lambda world: fauxtp.replace_state("puppet", fails)),
    ("replace_state", "by junk", TypeError, lambda _: fauxtp.replace_state("puppet", 5)),  # type: ignore[arg-type]
    ("resume", "well", None, lambda world: fauxtp.resume("puppet")),
    ("resume", "of nobody", NoProcess, lambda world: fauxtp.resume("nobody")),
    ("suspend", "and resume", None, suspended),
    ("suspend", "of junk", TypeError, lambda world: fauxtp.suspend(5)),  # type: ignore[arg-type]
    ("send", "well", None, lambda world: fauxtp.send(world.box.pid, 1)),
    ("send", "in vain", None, lambda world: fauxtp.send(world.closed.pid, 1)),
    ("send", "to junk", TypeError, lambda world: fauxtp.send(5, 1)),  # type: ignore[arg-type]
    ("wait_exit", "of nobody", None, lambda world: fauxtp.wait_exit("nobody")),
    ("wait_exit", "of the dead", None, lambda world: fauxtp.wait_exit(world.done.pid)),
    ("wait_exit", "of junk", TypeError, lambda world: fauxtp.wait_exit(5)),  # type: ignore[arg-type]
    ("wait_exit", "too long", ReceiveTimeout, lambda world: fauxtp.wait_exit("idle", 0)),
    ("wait_registered", "known", None, lambda world: fauxtp.wait_registered("idle")),
    ("wait_registered", "in vain", ReceiveTimeout, lambda _: fauxtp.wait_registered("nobody", 0)),
    ("wait_registered", "of junk", ValueError, lambda world: fauxtp.wait_registered("")),
    (
        *("start_or_find", "found", None),
        lambda world: fauxtp.start_or_find("idle", Idle, task_group=world.group),
    ),
    (
        *("start_or_find", "without a process", None),
        lambda world: fauxtp.start_or_find("nothing", Idle, task_group=world.group),
    ),
    (
        *("start_or_find", "started", None),
        lambda world: fauxtp.start_or_find(world.fresh(), Idle, task_group=world.group),
    ),
    (
        *("start_or_find", "in vain", Boom),
        lambda world: fauxtp.start_or_find("nobody", Fails, task_group=world.group),
    ),
    ("Actor.start", "well", None, started(Idle)),
    ("Actor.start", "in vain", Boom, started(Fails)),
    ("Actor.start", "of what cannot be made", Boom, started(CannotBeMade)),
    ("Actor.start", "under a taken name", NameTaken, started(Idle, register_as="idle")),
    ("Actor.start", "nowhere", TypeError, lambda _: Idle.start(task_group=None)),  # type: ignore[arg-type]
    ("Actor.start_link", "well", None, started(Idle, "start_link")),
    ("Actor.start_link", "in vain", Boom, started(Fails, "start_link")),
    ("Actor.start_link", "of what cannot be made", Boom, started(CannotBeMade, "start_link")),
    ("Actor.start_link", "with junk", TypeError, started(Idle, "start_link", on_exit=5)),
    ("Mailbox.put", "well", None, lambda world: world.box.put(1)),
    ("Mailbox.put", "in vain", None, lambda world: world.closed.put(1)),
    ("Mailbox.receive", "what was sent by the handler", None, to_itself),
    ("Mailbox.receive", "nothing", ReceiveTimeout, lambda w: w.box.receive((str, str), timeout=0)),
    ("Mailbox.receive", "closed", MailboxClosed, lambda w: w.closed.receive((ANY, print))),
    ("Mailbox.receive", "junk", ValueError, lambda world: world.box.receive()),
    (
        *("Mailbox.receive", "by a matcher that fails", Boom),
        lambda world: world.full.receive((lambda message: boom(), print)),
    ),
    ("Task.spawn", "well", None, lambda world: Task.spawn(nothing, world.group)),
    ("Task.spawn", "junk", TypeError, lambda world: Task.spawn(5, world.group)),  # type: ignore[arg-type]
    ("Task.launch", "well", None, lambda world: Task(nothing).launch(world.group)),
    ("Task.launch", "again", RuntimeError, lambda w: w.done._task.launch(w.group)),
    (
        *("Task.spawn_and_notify", "well", None),
        lambda world: Task.spawn_and_notify(nothing, world.group, "nobody"),
    ),
    (
        *("Task.spawn_and_notify", "junk", TypeError),
        lambda world: Task.spawn_and_notify(nothing, world.group, 5),  # type: ignore[arg-type]
    ),
    ("TaskHandle.join", "done", None, lambda world: world.done.join()),
    ("TaskHandle.join", "failed", Boom, lambda world: world.failed.join()),
    ("which_children", "well", None, lambda world: fauxtp.which_children(world.chief)),
    ("which_children", "nobody's", NoProcess, lambda world: fauxtp.which_children("nobody")),
    ("count_children", "well", None, lambda world: fauxtp.count_children(world.chief)),
    ("count_children", "nobody's", NoProcess, lambda world: fauxtp.count_children("nobody")),
    ("start_child", "well", None, child(lambda world: ChildSpec(world.fresh(), Idle))),
    ("start_child", "in vain", Boom, child(lambda world: ChildSpec("new", Fails))),
    ("start_child", "twice", ValueError, child(lambda world: ChildSpec("idle", Idle))),
    ("start_child", "junk", TypeError, child(lambda world: 5)),  # type: ignore[arg-type,return-value]
    ("terminate_child", "well", None, lambda w: fauxtp.terminate_child(w.chief, "idle")),
    ("terminate_child", "none", NoChild, lambda w: fauxtp.terminate_child(w.chief, "x")),
    ("restart_child", "none", NoChild, lambda world: fauxtp.restart_child(world.chief, "x")),
    ("restart_child", "running", ValueError, lambda w: fauxtp.restart_child(w.chief, "idle")),
    ("delete_child", "none", NoChild, lambda world: fauxtp.delete_child(world.chief, "x")),
    ("delete_child", "junk", TypeError, lambda w: fauxtp.delete_child(w.chief, 5)),  # type: ignore[arg-type]
    ("map_tasks", "well", None, lambda world: each(mapped(world, same, 1, 2))),
    ("map_tasks", "in vain", Boom, lambda world: each(mapped(world, failing, 1))),
    ("map_tasks", "of nothing", None, lambda world: each(mapped(world, same))),
    ("map_tasks", "closed", None, lambda world: closed(mapped(world, same, 1))),
    ("map_tasks", "that is closed", None, lambda world: mapped(world, same, 1).aclose()),
    (
        *("map_tasks", "nobody's", NoProcess),
        lambda _: each(fauxtp.map_tasks("nobody", same, [1], max_concurrency=1)),
    ),
    ("running", "well", None, lambda world: block(fauxtp.running(Idle))),
    ("running", "in vain", Boom, lambda world: block(fauxtp.running(Fails, on_give_up="raise"))),
    ("running", "again", RuntimeError, lambda world: block(world.used)),
    ("watch_names", "the first", None, lambda world: first(fauxtp.watch_names("idle"))),
    ("watch_names", "closed", None, lambda world: closed(fauxtp.watch_names("idle"))),
    ("watch_names", "that is closed", None, lambda _: fauxtp.watch_names("idle").aclose()),
    ("with_timeout", "well", None, lambda world: with_timeout(nothing())),
    ("with_timeout", "in vain", Boom, lambda world: with_timeout(fail())),
    ("with_timeout", "junk", TypeError, lambda world: with_timeout(5)),  # type: ignore[arg-type]
    (
        *("assert_receives", "well", None),
        lambda world: assert_receives(world.filled(), (ANY, str)),
    ),
    (
        *("assert_receives", "nothing", ReceiveTimeout),
        lambda world: assert_receives(world.box, (str, str), timeout=0),
    ),
    ("assert_receives", "junk", TypeError, lambda _: assert_receives(5, (ANY, str))),  # type: ignore[arg-type]
    ("wait_for", "what holds", None, lambda world: wait_for(lambda: True)),
    ("wait_for", "in vain", TimeoutError, lambda world: wait_for(lambda: False, timeout=0)),
    ("wait_for", "what fails", Boom, lambda world: wait_for(boom)),
    ("wait_for", "junk", TypeError, lambda world: wait_for(5)),  # type: ignore[arg-type]
]
