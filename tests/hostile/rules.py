"""How each public call may be called, and what it may be given: the rules of the fuzzer."""

from __future__ import annotations

import contextlib
import inspect
import math
import re
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import anyio.to_thread

import fauxtp
import fauxtp.registry
import fauxtp.testing
from hostile.junk import DEEP, coroutine_function
from hostile.world import Chief, Idle, Inside, Server, World


@dataclass(frozen=True, slots=True)
class Kind:
    """What a parameter is: the good values, and whether another one is to be accepted."""

    good: Callable[[World], list[Any]]
    accepts: Callable[[Any], bool]

    def choose(self, world: World) -> Any:
        """Return the next of the good values."""
        values = self.good(world)
        world.turn += 1
        return values[world.turn % len(values)]


def _text(value: object) -> bool:
    return isinstance(value, str)


def _some_text(value: object) -> bool:
    return isinstance(value, str) and str.__len__(value) > 0


def _timeout(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and value == value)


def _number(value: object) -> bool:
    return value is not None and _timeout(value)


def _int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _pair(value: object) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2 and callable(value[1])


def _actor_class(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, fauxtp.Actor)


def _sequence(value: object) -> bool:
    return isinstance(value, Sequence)


def _arguments(value: object) -> bool:
    return _sequence(value) and not isinstance(value, str | bytes)


def _none_at_all(value: object) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str) and not len(value)


def _one(good: Any, accepts: Callable[[Any], bool]) -> Kind:
    return Kind(lambda world: [good], accepts)


def _never(value: object) -> bool:
    return False


ANYTHING = _one("anything", lambda value: True)
TO = Kind(
    lambda world: [world.server, "server", world.gone, "nobody"],
    lambda value: type(value) is fauxtp.PID or _some_text(value),
)
HERE = Kind(  # whom to send something, without being answered
    lambda world: [world.server, world.mailbox.pid, world.tester, "chief", "nobody"], TO.accepts
)
SERVER = Kind(lambda world: [world.server, "chief", "nobody"], TO.accepts)
CHIEF = Kind(lambda world: [world.chief, "chief", "nobody"], TO.accepts)
NOBODY = Kind(lambda world: [world.gone, "nobody"], TO.accepts)
PID = Kind(lambda world: [fauxtp.PID(), world.gone], lambda value: type(value) is fauxtp.PID)
A_PID_OR_NONE = Kind(PID.good, lambda value: value is None or PID.accepts(value))
TESTER = Kind(lambda world: [world.tester], PID.accepts)
REF = Kind(lambda world: [fauxtp.Ref()], lambda value: type(value) is fauxtp.Ref)
NAME = _one("a name", _some_text)
GROUP_NAME = _one("a group", _some_text)
NAME_OR_NONE = _one("a name", lambda value: value is None or _some_text(value))
TEXT = _one("a text", _text)
A_CHILD = _one("a text", lambda value: type(value) is fauxtp.PID or _text(value))
SECONDS = Kind(
    lambda world: [0.0, 0.001, 60],
    lambda value: (
        _number(value) and not isinstance(value, bool) and 0 <= value < sys.float_info.max
    ),
)
SOME_SECONDS = Kind(lambda world: [0.001, 60], lambda value: value != 0 and SECONDS.accepts(value))
TIMEOUT = Kind(lambda world: [0.0, 0.001], _timeout)
NUMBER = Kind(lambda world: [0.0, 0.001], _number)
NOT_NEGATIVE = _one(1, lambda value: _number(value) and value >= 0)
PATTERN = _one((object, lambda value: value), _pair)
CALLABLE = _one(lambda *_: None, callable)
VARIABLE = _one(ContextVar("carried"), lambda value: type(value) is ContextVar)
ASYNC = _one(coroutine_function, callable)
SIZE = _one(3, lambda value: isinstance(value, int) and value >= 0)
MOST = _one(3, lambda value: value is None or (SIZE.accepts(value) and type(value) is not bool))
GROUP = Kind(lambda world: [world.group, world.spent], lambda value: False)
ACTOR_CLASS = _one(Idle, _actor_class)
SPEC = Kind(lambda world: [fauxtp.ChildSpec("new", Idle)], _never)
CALL = Kind(lambda world: [fauxtp.Call("x", world.gone, None)], _never)
TIMER = Kind(lambda world: [fauxtp.send_after(60, "nobody", 1)], _never)
RECEIVER = Kind(lambda world: [world.mailbox], _never)
NODE = _one(
    "a", lambda value: _some_text(value) and bool(re.fullmatch(r"[\w=-]{1,64}", value, re.ASCII))
)
TTL = _one(5, lambda value: _int(value) and 2 <= value <= 10 * 365 * 86_400)
AN_INT_OR_NONE = _one(0, lambda value: value is None or _int(value))
SPECS = _one([fauxtp.ChildSpec("one", Idle)], lambda value: _sequence(value) and not len(value))
STRATEGY = _one(fauxtp.RestartStrategy.ONE_FOR_ALL, _never)


class Keyed(Idle):
    """Is made with a key."""

    def __init__(self, key: str) -> None:
        self.key = key


AWAITABLE = Kind(lambda world: [anyio.sleep(0)], inspect.isawaitable)


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to call something public, and what its parameters are."""

    call: Callable[..., Any]
    kinds: tuple[Kind, ...] = ()
    in_thread: bool = False
    name: str = ""


def rule(call: Callable[..., Any], *kinds: Kind) -> Rule:
    return Rule(call, kinds)


def plain(function: Callable[..., Any], *kinds: Kind) -> Rule:
    """Return the rule of a function that is called as it is."""
    return Rule(lambda world, *arguments: function(*arguments), kinds)


def inside(function: Callable[..., Any], *kinds: Kind) -> Rule:
    """Return the rule of what the server does itself: `function(server, …)`."""

    async def attempt(world: World, *arguments: Any) -> Any:
        work = Inside(function, *arguments)
        fauxtp.cast_nowait(world.server, work)
        await work.done.wait()
        if work.error is not None:
            raise work.error
        return work.result

    return Rule(attempt, kinds)


def in_thread(function: Callable[..., Any], *kinds: Kind) -> Rule:
    def attempt(world: World, *arguments: Any) -> Any:
        return anyio.to_thread.run_sync(function, *arguments)

    return Rule(attempt, kinds, in_thread=True)


def methods(get: Callable[[], Any]) -> list[Rule]:
    """Return the rules of a registry."""
    rules = {
        "register": (NAME, PID),
        "unregister": (NAME, A_PID_OR_NONE),
        "whereis": (NAME,),
        "registered": (TEXT,),
        "count": (TEXT,),
        "names": (PID,),
        "leave": (GROUP_NAME, PID),
        "members": (GROUP_NAME,),
        "groups": (TEXT,),
        "unfollow": (GROUP_NAME, ANYTHING),
        "release": (PID,),
        "transfer": (NAME, PID, PID),
        "unwatch": (NAME, ANYTHING),
        "__contains__": (NAME,),
    }

    def watch(world: World, name: Any, callback: Any) -> None:
        table = get()
        table.watch(name, callback)
        assert table.unwatch(name, callback)

    def join(world: World, group: Any, pid: Any) -> None:
        table = get()
        table.join(group, pid)
        assert table.leave(group, pid)

    def follow(world: World, group: Any, listener: Any) -> None:
        table = get()
        table.follow(group, listener)
        assert table.unfollow(group, listener)

    return [
        Rule(watch, (NAME, CALLABLE)),
        Rule(join, (GROUP_NAME, PID)),
        Rule(follow, (GROUP_NAME, CALLABLE)),
        *(
            Rule(
                lambda world, *arguments, name=name: getattr(get(), name)(*arguments),
                kinds,
            )
            for name, kinds in rules.items()
        ),
    ]


def _join_and_leave(group: Any, pid: Any) -> None:
    fauxtp.join(group, pid)
    assert fauxtp.leave(group, pid)


def _observe(observer: Any) -> None:
    with fauxtp.dead_letters.observed_by(observer):
        pass


def _spec(**fields: Any) -> fauxtp.ChildSpec:
    return fauxtp.ChildSpec(**{"id": "new", "actor_class": Idle, **fields})


def _field(name: str, kind: Kind) -> Rule:
    return Rule(lambda world, value: _spec(**{name: value}), (kind,))


async def _chief_with(world: World, name: str, value: Any) -> None:
    def child_specs(self: Any) -> Any:
        return value

    body = {"child_specs": child_specs} if name == "child_specs" else {name: value}
    chief: type[Chief] = type("Other", (Chief,), body)
    fauxtp.exit(await chief.start(task_group=world.group))


async def _pool_with(world: World, name: str, value: Any) -> None:
    pool: type[fauxtp.DynamicSupervisor] = type("Pool", (fauxtp.DynamicSupervisor,), {name: value})
    fauxtp.exit(await pool.start(task_group=world.group))


async def _run_task(world: World, fn: Any) -> None:
    pool = await fauxtp.DynamicSupervisor.start(task_group=world.group)
    try:
        await fauxtp.run_task(pool, fn)
    finally:
        fauxtp.exit(pool)
        await fauxtp.wait_exit(pool)


async def _parts_with(world: World, size: Any) -> None:
    class Parts(fauxtp.PartitionSupervisor):
        partitions = size

        def partition_spec(self, number: int) -> fauxtp.ChildSpec:
            return fauxtp.ChildSpec("part", Idle)

    if isinstance(size, int) and size > 9:
        Parts().child_specs()  # which looks at it; to start them all would take too long
        return
    chief = await Parts.start(task_group=world.group, register_as="parts")
    fauxtp.exit(chief)
    await fauxtp.wait_exit(chief)


def _real(more_than: float, most: float = math.inf) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        fits = _number(value) and type(value) is not bool
        return fits and more_than < value <= most and value < math.inf

    return accepts


def _never_runs(kind: Any, **arguments: Any) -> None:
    """Call `run` where an event loop runs already: whatever is right is refused for that."""
    with contextlib.suppress(RuntimeError):
        fauxtp.run(kind, **arguments)


async def _receive(world: World, pattern: Any, timeout: Any) -> Any:
    world.mailbox.put_nowait("hello")
    world.mailbox.put_nowait(DEEP)
    try:
        return await world.mailbox.receive(pattern, timeout=timeout)
    except RecursionError:
        assert len(world.mailbox) == 2
    except Exception:
        assert len(world.mailbox) == 2 or _pair(pattern), "the message is lost"
        raise


async def _bounded(world: World, size: Any) -> None:
    bounded: type[Idle] = type("Bounded", (Idle,), {"mailbox_size": size})
    await bounded.start(task_group=world.group)


class Machine(fauxtp.StateMachine[str, Any]):
    async def init(self) -> fauxtp.Transition[str, Any]:
        return "on", None

    async def handle_event(self, event: Any, state: str, data: Any) -> fauxtp.Transition[str, Any]:
        return state, data


def _is_transition(value: Any) -> bool:
    return type(value) is tuple and len(value) == 2


async def _machine_returns(world: World, first: Any) -> None:
    async def init(self: Any) -> Any:
        return first

    machine: type[Machine] = type("Returns", (Machine,), {"init": init})
    fauxtp.exit(await machine.start(task_group=world.group))


def _has_hash(value: Any) -> bool:
    try:
        hash(value)
    except Exception:
        return False
    return True


def _timeouts(make: Callable[[Any], Any]) -> list[Rule]:
    """Return the rules of what sets a timeout of a state machine."""
    return [plain(make, _one(1, lambda value: value is None or SECONDS.accepts(value)))]


def _is_plain(value: Any) -> bool:
    return callable(value) and not inspect.iscoroutinefunction(value)


async def _suspends(world: World, server: Any) -> None:
    await fauxtp.suspend(server)
    await fauxtp.resume(server)


async def _starts_a_call(to: Any, request: Any, timeout: Any) -> None:
    fauxtp.start_call(to, request, timeout).cancel()


async def _with(world: World, awaitable: Any, timeout: Any) -> None:
    try:
        await fauxtp.testing.with_timeout(awaitable, timeout)
    finally:
        if inspect.iscoroutine(awaitable):
            awaitable.close()


async def _nothing_to_run() -> None:
    """Be a task."""


def _starts(cls: type[fauxtp.Actor]) -> list[Rule]:
    return [
        rule(
            lambda world, group, name: cls.start(task_group=group, register_as=name),
            GROUP,
            NAME_OR_NONE,
        ),
        rule(
            lambda world, group, on_exit: cls.start_link(task_group=group, on_exit=on_exit),
            GROUP,
            _one(coroutine_function, lambda value: value is None or callable(value)),
        ),
    ]


def _timers(make: Callable[..., fauxtp.Timer], seconds: Kind) -> list[Rule]:
    """Return the rules of what sets a timer, which is cancelled at once, or may go off."""

    def cancelled(seconds: Any, to: Any, message: Any) -> None:
        fauxtp.cancel_timer(make(seconds, to, message))

    return [
        plain(cancelled, seconds, HERE, ANYTHING),
        inside(lambda server, *arguments: cancelled(*arguments), seconds, HERE, ANYTHING),
        in_thread(cancelled, seconds, Kind(lambda world: [world.server], PID.accepts), ANYTHING),
    ]


PROGRAMS = (
    ("backend", _one("asyncio", lambda value: value in {"asyncio", "trio"})),
    ("uvloop", _one(False, lambda value: isinstance(value, bool))),
    ("shutdown", _one(1, _real(-0.1))),
)
GIVES_UP = _one("raise", lambda value: value in {"terminate", "raise"})

RECORD = [Rule(lambda world: None)]  # it holds what it is given, or is made by fauxtp only

RULES: dict[str, list[Rule]] = {
    "ANY": RECORD,
    "IGNORE": RECORD,
    "NO_REPLY": RECORD,
    "Actor": [
        *_starts(Idle),
        rule(_bounded, SIZE),
        inside(
            lambda server, cls: type(server).spawn_child_actor(server, cls),
            ACTOR_CLASS,
        ),
        inside(lambda server, call, fn: server.reply_later(call, fn), CALL, ASYNC),
        rule(lambda world, why: Idle().stop(why), TEXT),
    ],
    "ActorHandle": RECORD,
    "AlreadyStarted": RECORD,
    "AutoShutdown": RECORD,
    "Backoff": [
        plain(lambda first: fauxtp.Backoff(first=first), _one(1, _real(0, 30))),
        plain(lambda factor: fauxtp.Backoff(factor=factor), _one(1, _real(0.99))),
        plain(lambda most: fauxtp.Backoff(most=most), _one(1, _real(0.09))),
        plain(lambda jitter: fauxtp.Backoff(jitter=jitter), _one(1, _real(-0.1, 1))),
    ],
    "Call": RECORD,
    "CallCycle": RECORD,
    "Cast": RECORD,
    "ChildInfo": RECORD,
    "ChildSpec": [
        _field("id", _one("id", _some_text)),
        _field("actor_class", ACTOR_CLASS),
        _field("args", _one((), _arguments)),
        _field("kwargs", _one({}, lambda value: isinstance(value, dict))),
        _field("restart", _one(fauxtp.RestartType.PERMANENT, _never)),
        _field("shutdown", NOT_NEGATIVE),
        _field("register_as", NAME_OR_NONE),
        _field(
            "start_timeout", _one(1, lambda value: value is None or NOT_NEGATIVE.accepts(value))
        ),
        _field("backoff", _one(None, lambda value: value is None)),
        _field("max_restarts", _one(1, lambda value: value is None or SIZE.accepts(value))),
        _field("max_seconds", NOT_NEGATIVE),
        _field("significant", _one(False, lambda value: value is False)),
    ],
    "Continue": RECORD,
    "DeadLetter": RECORD,
    "Down": RECORD,
    "DynamicSupervisor": [
        rule(lambda world, value: _pool_with(world, "max_children", value), MOST),
        rule(lambda world, value: _pool_with(world, "max_restarts", value), NOT_NEGATIVE),
        rule(lambda world, value: _pool_with(world, "max_seconds", value), NOT_NEGATIVE),
    ],
    "EventTimeout": _timeouts(fauxtp.EventTimeout),
    "Exit": RECORD,
    "ExitReason": [plain(fauxtp.ExitReason, TEXT)],
    "FauxtpError": RECORD,
    "GenServer": [
        *_starts(Server),
        inside(
            lambda server, function: server.spawn_task(function),
            CALLABLE,
        ),
    ],
    "Mailbox": [
        plain(fauxtp.Mailbox, SIZE),
        rule(lambda world, message: world.mailbox.put(message), ANYTHING),
        rule(lambda world, message: world.mailbox.put_nowait(message), ANYTHING),
        rule(_receive, PATTERN, TIMEOUT),
    ],
    "MailboxClosed": RECORD,
    "MailboxFull": RECORD,
    "MaxRestartsExceeded": RECORD,
    "NameTaken": RECORD,
    "NamedTimeout": [
        *_timeouts(partial(fauxtp.NamedTimeout, "name")),
        plain(lambda name: fauxtp.NamedTimeout(name, 1), _one("name", _has_hash)),
    ],
    "NextEvent": RECORD,
    "NoChild": RECORD,
    "NoProcess": RECORD,
    "POSTPONE": RECORD,
    "PID": [plain(fauxtp.PID)],
    "OnDemand": [
        plain(
            lambda kind: fauxtp.OnDemand(kind, supervisor="chief", prefix="at:"),
            _one(Keyed, lambda it: _actor_class(it) and it.__init__ is not object.__init__),
        ),
        plain(lambda to: fauxtp.OnDemand(Keyed, supervisor=to, prefix="at:"), TO),
        plain(lambda prefix: fauxtp.OnDemand(Keyed, supervisor="chief", prefix=prefix), TEXT),
        plain(
            lambda seconds: fauxtp.OnDemand(
                Keyed, supervisor="chief", prefix="at:", idle_timeout=seconds
            ),
            Kind(SOME_SECONDS.good, lambda it: it is None or SOME_SECONDS.accepts(it)),
        ),
        plain(lambda key: fauxtp.OnDemand(Keyed, supervisor="chief", prefix="at:")[key], NAME),
    ],
    "PartitionSupervisor": [
        rule(
            _parts_with,
            _one(2, lambda it: SIZE.accepts(it) and type(it) is not bool and 0 < it <= 65_536),
        ),
    ],
    "partition": [
        plain(
            lambda key: fauxtp.partition("parts", key),
            _one("key", lambda it: isinstance(it, (str, bytes, int, tuple))),
        ),
        plain(lambda name: fauxtp.partition(name, 1), _one("parts", _text)),
    ],
    "PendingCall": RECORD,
    "Phase": RECORD,
    "ProcessExited": RECORD,
    "ProcessInfo": RECORD,
    "Raise": [plain(fauxtp.Raise, _one(KeyError("Anna"), lambda it: isinstance(it, Exception)))],
    "ReceiveTimeout": RECORD,
    "Ref": [plain(fauxtp.Ref)],
    "Registry": methods(fauxtp.Registry),
    "Lookup": [plain(fauxtp.registry.Lookup({}, lambda _: None).whereis, NAME)],
    "quick": RECORD,  # it takes what is written above a class
    "Reply": [plain(fauxtp.Reply, CALL, ANYTHING)],
    "Request": RECORD,
    "RestartStrategy": RECORD,
    "RestartType": RECORD,
    "StateMachine": [*_starts(Machine), rule(_machine_returns, _one(("a", 1), _is_transition))],
    "StateTimeout": _timeouts(fauxtp.StateTimeout),
    "Stop": [plain(fauxtp.Stop, TEXT, ANYTHING)],
    "Supervisor": [
        *_starts(Chief),
        rule(lambda world, value: _chief_with(world, "child_specs", value), SPECS),
        rule(lambda world, value: _chief_with(world, "strategy", value), STRATEGY),
        rule(lambda world, value: _chief_with(world, "max_restarts", value), NOT_NEGATIVE),
        rule(
            lambda world, value: _chief_with(world, "max_seconds", value),
            NOT_NEGATIVE,
        ),
        rule(lambda world, request: fauxtp.call(world.chief, request), ANYTHING),
        rule(lambda world, request: fauxtp.call(world.chief, (request,)), ANYTHING),
        rule(lambda world, request: fauxtp.send(world.chief, request), ANYTHING),
    ],
    "TooManyChildren": RECORD,
    "Transition": RECORD,
    "Task": [
        plain(fauxtp.Task.spawn, ASYNC, GROUP),
        rule(
            lambda world, to: fauxtp.Task.spawn_and_notify(_nothing_to_run, world.group, to),
            HERE,
        ),
    ],
    "TaskHandle": RECORD,
    "Timer": RECORD,
    "TestActor": [
        *_starts(fauxtp.testing.TestActor),
        plain(fauxtp.testing.TestActor.of, TESTER),
    ],
    "assert_receives": [
        plain(
            lambda actor, pattern, timeout: fauxtp.testing.assert_receives(
                actor, pattern, timeout=timeout
            ),
            RECEIVER,
            PATTERN,
            TIMEOUT,
        )
    ],
    "call": [
        plain(fauxtp.call, TO, ANYTHING, TIMEOUT),
    ],
    "call_blocking": [
        in_thread(fauxtp.call_blocking, TO, ANYTHING, TIMEOUT),
        plain(fauxtp.call_blocking, TO, ANYTHING, TIMEOUT),
    ],
    "call_many": [
        plain(fauxtp.call_many, _one([], _none_at_all), ANYTHING),
        plain(lambda to, it: fauxtp.call_many([to], it, 0.001), TO, ANYTHING),
        plain(lambda timeout: fauxtp.call_many(["nobody"], 1, timeout), TIMEOUT),
    ],
    "cancel_timer": [
        plain(
            fauxtp.cancel_timer, Kind(lambda world: [fauxtp.send_after(60, "nobody", 1)], _never)
        )
    ],
    "cast_after": _timers(fauxtp.cast_after, SECONDS),
    "carry": [plain(fauxtp.carry, VARIABLE)],
    "cast": [plain(fauxtp.cast, HERE, ANYTHING)],
    "cast_nowait": [plain(fauxtp.cast_nowait, HERE, ANYTHING)],
    "count_children": [plain(fauxtp.count_children, CHIEF)],
    "dead_letters": [plain(_observe, CALLABLE)],
    "default": methods(lambda: fauxtp.registry.default),
    "delete_child": [plain(fauxtp.delete_child, CHIEF, TEXT)],
    "demonitor": [inside(lambda server, ref: fauxtp.demonitor(ref), REF)],
    "exit": [plain(fauxtp.exit, NOBODY, TEXT)],
    "implementation": RECORD,
    "count": [plain(fauxtp.count, TEXT)],
    "groups": [plain(fauxtp.groups, TEXT)],
    "members": [plain(fauxtp.members, GROUP_NAME)],
    "Joined": RECORD,
    "Left": RECORD,
    "News": RECORD,
    "join": [
        plain(_join_and_leave, GROUP_NAME, PID),
        inside(lambda server, group: _join_and_leave(group, None), GROUP_NAME),
    ],
    "leave": [
        plain(fauxtp.leave, GROUP_NAME, PID),
        inside(lambda server, group: fauxtp.leave(group), GROUP_NAME),
    ],
    "monitor_group": [
        inside(lambda server, group: fauxtp.demonitor(fauxtp.monitor_group(group)), GROUP_NAME),
    ],
    "publish": [plain(fauxtp.publish, GROUP_NAME, ANYTHING)],
    "withdraw": [plain(fauxtp.registry.withdraw, PID, ANYTHING)],
    "is_alive": [plain(fauxtp.is_alive, HERE)],
    "link": [
        plain(fauxtp.link, HERE),
        inside(lambda server, pid: _link_and_unlink(pid), Kind(lambda w: [w.tester], TO.accepts)),
    ],
    "monitor": [
        plain(fauxtp.monitor, HERE),
        inside(lambda server, pid: fauxtp.demonitor(fauxtp.monitor(pid)), HERE),
    ],
    "process_info": [plain(fauxtp.process_info, TO)],
    "process_infos": [plain(fauxtp.process_infos)],
    "processes": [plain(fauxtp.processes)],
    "reason": RECORD,
    "register": [plain(fauxtp.register, NAME, PID)],
    "registered": [plain(fauxtp.registered, TEXT)],
    "in_thread": [
        plain(fauxtp.in_thread, ACTOR_CLASS),
        *(
            plain(lambda value, name=name: fauxtp.in_thread(Idle, **{name: value}), kind)
            for name, kind in (*PROGRAMS, ("on_give_up", GIVES_UP))
        ),
    ],
    "get_state": [plain(fauxtp.get_state, SERVER, TIMEOUT)],
    "replace_state": [plain(fauxtp.replace_state, SERVER, _one(lambda it: it, _is_plain))],
    "resume": [plain(fauxtp.resume, SERVER, TIMEOUT)],
    "suspend": [rule(_suspends, SERVER)],
    "reply": [plain(fauxtp.reply, CALL, ANYTHING)],
    "restart_child": [plain(fauxtp.restart_child, CHIEF, TEXT)],
    "retire": [plain(fauxtp.registry.retire, PID)],
    "run": [
        rule(lambda world, kind: _never_runs(kind), ACTOR_CLASS),
        *(
            rule(lambda world, value, name=name: _never_runs(Idle, **{name: value}), kind)
            for name, kind in PROGRAMS
        ),
    ],
    "running": [
        plain(fauxtp.running, ACTOR_CLASS),
        plain(lambda how: fauxtp.running(Idle, on_give_up=how), GIVES_UP),
    ],
    "send": [plain(fauxtp.send, HERE, ANYTHING)],
    "send_after": _timers(fauxtp.send_after, SECONDS),
    "send_every": _timers(fauxtp.send_every, SOME_SECONDS),
    "send_nowait": [plain(fauxtp.send_nowait, HERE, ANYTHING)],
    "start_call": [plain(_starts_a_call, TO, ANYTHING, TIMEOUT)],
    "start_child": [plain(fauxtp.start_child, NOBODY, SPEC)],
    "run_task": [
        rule(_run_task, ASYNC),
        plain(lambda to: fauxtp.run_task(to, coroutine_function), NOBODY),
    ],
    "map_tasks": [
        plain(lambda fn: fauxtp.map_tasks("nobody", fn, [], max_concurrency=1), CALLABLE),
        plain(
            lambda items: fauxtp.map_tasks("nobody", coroutine_function, items, max_concurrency=1),
            _one([], lambda it: isinstance(it, Iterable)),
        ),
        plain(
            lambda most: fauxtp.map_tasks("nobody", coroutine_function, [], max_concurrency=most),
            _one(1, lambda it: SIZE.accepts(it) and type(it) is not bool and it >= 1),
        ),
        plain(
            lambda flag: fauxtp.map_tasks(
                "nobody", coroutine_function, [], max_concurrency=1, ordered=flag
            ),
            _one(True, lambda it: isinstance(it, bool)),
        ),
        plain(
            lambda seconds: fauxtp.map_tasks(
                "nobody", coroutine_function, [], max_concurrency=1, timeout=seconds
            ),
            Kind(SECONDS.good, lambda it: it is None or SECONDS.accepts(it)),
        ),
    ],
    "start_or_find": [
        rule(lambda world, to: fauxtp.start_or_find("fresh", Idle, supervisor=to), CHIEF),
        rule(
            lambda world, name, cls, group: fauxtp.start_or_find(name, cls, task_group=group),
            NAME,
            ACTOR_CLASS,
            GROUP,
        ),
    ],
    "terminate_child": [plain(fauxtp.terminate_child, CHIEF, A_CHILD)],
    "tree": [plain(fauxtp.tree)],
    "unlink": [
        plain(fauxtp.unlink, HERE),
        inside(lambda server, pid: fauxtp.unlink(pid), HERE),
    ],
    "unregister": [plain(fauxtp.unregister, NAME, A_PID_OR_NONE)],
    "SeedFailed": RECORD,
    "TestCluster": RECORD,  # its tests give it junk
    "cluster": [
        rule(
            lambda world, node, ttl, timeout, seed: fauxtp.testing.cluster(
                node, ttl=ttl, timeout=timeout, seed=seed
            ),
            NODE,
            TTL,
            SECONDS,
            AN_INT_OR_NONE,
        )
    ],
    "explore": RECORD,  # runs event loops of its own: its tests give it junk outside of one
    "wait_exit": [plain(fauxtp.wait_exit, NOBODY, TIMEOUT)],
    "wait_for": [
        plain(fauxtp.testing.wait_for, CALLABLE, NUMBER, NUMBER),
    ],
    "wait_registered": [plain(fauxtp.wait_registered, NAME, TIMEOUT)],
    "watch_names": [plain(fauxtp.watch_names, TEXT)],
    "Registered": RECORD,
    "Unregistered": RECORD,
    "Overflow": RECORD,
    "whereis": [plain(fauxtp.whereis, NAME)],
    "which_children": [plain(fauxtp.which_children, CHIEF)],
    "with_timeout": [rule(_with, AWAITABLE, NUMBER)],
}


def _link_and_unlink(pid: Any) -> None:
    fauxtp.link(pid)
    fauxtp.unlink(pid)


def every_rule() -> list[Rule]:
    """Return all rules, each with the name of what it calls."""
    return [replace(one, name=name) for name, rules in RULES.items() for one in rules]


def public_names() -> set[str]:
    """Return what there must be rules for."""
    return {*fauxtp.__all__, *fauxtp.registry.__all__, *fauxtp.testing.__all__}
