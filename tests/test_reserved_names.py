"""Names of users in classes of theirs: all of them work, or are refused as the class is made."""

from __future__ import annotations

import inspect
import re
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache, wraps
from types import MethodType
from typing import Any, NoReturn
from unittest.mock import Mock

import pytest
from crew import Idle, running

from fauxtp import (
    Actor,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    OnDemand,
    PartitionSupervisor,
    StateMachine,
    Supervisor,
    Task,
    call,
    cast,
    count_children,
    delete_child,
    exit,
    is_alive,
    process_info,
    restart_child,
    send,
    start_child,
    start_or_find,
    terminate_child,
    wait_exit,
    wait_registered,
    which_children,
)
from fauxtp import running as application
from fauxtp._actors.classes import OF_SERVERS

pytestmark = pytest.mark.anyio

# What these names were, or are, in the classes that users derive from or beside them
ONCE_OURS = (
    *("_process", "_work", "_leave", "_started", "_serve", "_finish", "_answer", "_stop", "_end"),
    *("_by_id", "_restarts", "_nursery", "_hosted", "_all_stopped", "_count", "_add", "_start"),
    *("_func", "_notify", "_value", "_task", "_chief", "_changes", "_line", "_state", "_loop"),
    *("process", "state", "mailbox", "family", "context", "home", "handling", "links", "name"),
)


class Junk:
    """What nobody can call, and whose attributes are not there."""


def names_in(cls: type) -> set[str]:
    """Return what a class has that is neither special nor reserved, nor a handler."""
    return {
        name
        for base in cls.__mro__
        for name in vars(base)
        if not name.startswith(("__", "_fauxtp", "_abc_"))
    }


HANDLERS = {
    *("init", "run", "terminate", "handle_call", "handle_cast", "handle_info"),
    *(
        "handle_continue",
        "handle_timeout",
        "handle_enter",
        "handle_event",
        "handle_task_end",
        "child_specs",
        "format_state",
    ),
}
SETTINGS = {
    *("trap_exit", "mailbox_size", "strategy", "max_restarts", "max_seconds", "auto_shutdown"),
    "idle_timeout",
}
STARTERS = {"start", "start_link"}  # by which the tests begin


class Echo(GenServer[Any, Any]):
    async def init(self) -> Any:
        return []

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        if request == "crash":
            raise ValueError("a crash")
        return (request, len(state)), state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        return [*state, request]

    async def handle_info(self, message: Any, state: Any) -> Any:
        return [*state, message]


async def works(cls: type[Echo]) -> None:
    """See to it that a server does all that servers do."""
    async with running() as group:
        server = await cls.start(task_group=group)
        await cast(server, 1)
        await send(server, 2)
        assert await call(server, "how many?") == ("how many?", 2)
        assert process_info(server).actor_class is cls
        exit(server)
        assert await wait_exit(server) == "shutdown"


OURS = {*ONCE_OURS, *names_in(GenServer), *names_in(Supervisor), *names_in(Task)}
OTHERS = sorted(OURS - HANDLERS - SETTINGS - STARTERS)


@pytest.mark.parametrize("name", OTHERS)
async def test_a_server_may_have_any_name_as_an_attribute_of_the_class(name: str) -> None:
    await works(type("Named", (Echo,), {name: Junk()}))


@pytest.mark.parametrize("name", ONCE_OURS)
async def test_a_server_may_have_any_name_as_an_attribute_of_its_own(name: str) -> None:
    class Setting(Echo):
        async def init(self) -> Any:
            setattr(self, name, Junk())
            return []

    await works(Setting)


@pytest.mark.parametrize("name", OTHERS)
async def test_a_supervisor_may_have_any_name(name: str) -> None:
    def child_specs(self: Any) -> list[ChildSpec]:
        return [ChildSpec("a", Echo, register_as="a")]

    async with running() as group:
        cls: Any = type("Chief", (Supervisor,), {"child_specs": child_specs, name: Junk()})
        chief = await cls.start(task_group=group)
        exit("a")
        await wait_exit("a")
        await wait_registered("a")
        assert (await count_children(chief))["active"] == 1


@pytest.mark.parametrize("base", [Actor, GenServer, Supervisor, Task])
@pytest.mark.parametrize("name", ["_fauxtp", "_fauxtp_process", "_fauxtp_anything"])
def test_reserved_names_are_refused_as_the_class_is_made(base: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"begin with '_fauxtp', got '{name}'"):
        type("Named", (base,), {name: None})
    mixin = type("Mixin", (), {name: None})
    with pytest.raises(TypeError, match=f"got '{name}'"):
        type("Named", (mixin, base), {})


MACHINES = {
    "handle_call": "is told of a Call as an event, in handle_event or its in_… methods",
    "handle_cast": "is told of a Cast as an event",
    "handle_info": "is told of any other message as an event",
    "handle_continue": "has NextEvent for that",
    "handle_timeout": "has EventTimeout and StateTimeout for that, and ends by Stop",
    "idle_timeout": "has EventTimeout and StateTimeout for that, and ends by Stop",
    "handle_task_end": "has no spawn_task: Task.spawn_and_notify tells it",
}
SUPERVISORS: Any = [Supervisor, DynamicSupervisor, PartitionSupervisor]
NEVER_USED: list[tuple[Any, str, str]] = [
    *((base, "run", "its base class decides that") for base in (Task, StateMachine, *SUPERVISORS)),
    *((StateMachine, name, f"a machine {words}") for name, words in MACHINES.items()),
    *(
        (base, name, "a supervisor does not end when it is idle")
        for base in SUPERVISORS
        for name in ("idle_timeout", "handle_timeout")
    ),
    *((Task, name, "a task calls its function, and handles no messages") for name in OF_SERVERS),
    (DynamicSupervisor, "child_specs", "its children come by start_child"),
    (DynamicSupervisor, "strategy", "its children have nothing to do with each other"),
    (DynamicSupervisor, "auto_shutdown", "it does not end with its children"),
    (PartitionSupervisor, "child_specs", "partition_spec says what its children are"),
    (PartitionSupervisor, "max_children", "that is for a DynamicSupervisor"),
    (Supervisor, "max_children", "that is for a DynamicSupervisor"),
]


@pytest.mark.parametrize(("base", "name", "why"), NEVER_USED)
def test_what_nobody_would_look_at_is_refused(base: Any, name: str, why: str) -> None:
    """As the class is made, in that of a mixin, too; and it is said what to write."""
    for bases, body in ((base,), {name: None}), ((type("Mixin", (), {name: None}), base), {}):
        with pytest.raises(TypeError, match=f"Odd not to define '{name}', as {re.escape(why)}"):
            type("Odd", bases, body)


# Words of fauxtp's that are for a sibling: refused where neither that nor the class calls them


def meant(name: str, **more: Any) -> dict[str, Any]:
    def method(self: Any, *_: Any) -> list[ChildSpec]:
        return []

    return {name: method, **more}


def by_name(self: Any) -> Any:
    return self.child_specs()


def by_text(self: Any) -> Any:
    return getattr(self, "child_" + "specs", getattr(self, "child_specs", None))


def within(self: Any) -> Any:
    return [spec for spec in self.child_specs()]  # noqa: C416  (code within code)


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    def decoration(*args: Any) -> Any:
        return function(*args)

    return decoration


class Decorated:
    """A decorator that is an object, as those of libraries are."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __get__(self, instance: Any, owner: Any) -> Any:
        return MethodType(self.function, instance)


class Calling:
    """A mixin that does it."""

    def children_of_mine(self) -> Any:
        return self.child_specs()  # type: ignore[attr-defined]


NOT_SUPERVISORS: list[Any] = [Actor, GenServer, StateMachine, Task]
FOR_NOBODY: list[tuple[Any, str, str]] = [
    *((base, "child_specs", "a Supervisor") for base in NOT_SUPERVISORS),
    *((base, "partition_spec", "a PartitionSupervisor") for base in NOT_SUPERVISORS),
    (Supervisor, "partition_spec", "a PartitionSupervisor"),
    (DynamicSupervisor, "partition_spec", "a PartitionSupervisor"),
]


@pytest.mark.parametrize(("base", "name", "whose"), FOR_NOBODY)
def test_what_is_for_a_sibling_and_nobody_calls_is_refused(
    base: Any, name: str, whose: str
) -> None:
    said = f"expected Odd not to define '{name}', as that is for {whose}, and nothing in the class"
    mixin = type("Mixin", (), meant(name))
    for bases, body in ((base,), meant(name)), ((mixin, base), {}), ((base, mixin), {}):
        with pytest.raises(TypeError, match=said):
            type("Odd", bases, body)


@pytest.mark.parametrize("base", NOT_SUPERVISORS)
def test_what_nobody_calls_is_refused_whatever_lies_beside_it(base: Any) -> None:
    with pytest.raises(TypeError, match="nothing in the class calls it"):
        type("Odd", (base,), meant("child_specs", begin=decorated(list), mock=Mock(), junk=Junk()))


@pytest.mark.parametrize("base", NOT_SUPERVISORS)
@pytest.mark.parametrize(
    ("bases", "body"),
    [
        ((), meant("child_specs", begin=by_name)),
        ((), meant("child_specs", begin=by_text)),
        ((), meant("child_specs", begin=within)),
        ((), meant("child_specs", begin=property(by_name))),
        ((), meant("child_specs", begin=classmethod(by_name))),
        ((), meant("child_specs", begin=cache(by_name))),
        ((), meant("child_specs", begin=decorated(by_name))),
        ((), meant("child_specs", begin=wraps(by_text)(decorated(wraps(by_text)(by_name))))),
        ((), meant("child_specs", begin=property(cache(decorated(by_name))))),
        ((), meant("child_specs", begin=Decorated(decorated(by_name)))),
        ((), {"child_specs": within, "begin": within}),
        ((), {"child_specs": abstractmethod(decorated(list))}),
        ((Calling,), meant("child_specs")),
        ((), {"child_specs": staticmethod(list)}),
        ((), {"child_specs": classmethod(by_text)}),
        ((), {"child_specs": property(by_text)}),
    ],
)
def test_what_the_class_may_use_itself_is_its_own(base: Any, bases: Any, body: Any) -> None:
    type("Own", (*bases, base), body)


SHARED = ("handle_event", "handle_enter", "strategy", "max_restarts", "partitions", "on_restart")


@pytest.mark.parametrize("base", [Actor, GenServer])
@pytest.mark.parametrize("name", SHARED)
def test_words_of_anybody_are_refused_nowhere(base: Any, name: str) -> None:
    """A listener of a library has a `handle_event`, a client a `strategy` of retries."""
    type("Own", (base,), meant(name))


def named(name: str) -> dict[str, Any]:
    async def method(*_: Any) -> Any:
        return None

    return {name: method}


@pytest.mark.parametrize(
    ("spelt", "told"),
    [
        ("handle_calls", "; it has 'handle_calls'"),
        ("handel_call", "; it has 'handel_call'"),
        ("handle_everything", ""),
        ("handle_cast", ""),
        ("callers", ""),
    ],
)
async def test_a_method_that_is_missing_is_told_with_one_that_is_spelt_alike(
    spelt: str, told: str
) -> None:
    server: Any = type("Misspelt", (GenServer,), named(spelt))()
    with pytest.raises(NotImplementedError) as caught:
        await server.handle_call("x", None, None)
    assert str(caught.value) == f"Misspelt has no handle_call for 'x'{told}"


async def test_so_is_one_of_a_machine_or_of_partitions() -> None:
    machine: Any = type("Door", (StateMachine,), named("inits"))()
    with pytest.raises(NotImplementedError, match=r"which says its first state; it has 'inits'$"):
        await machine.init()
    limits: Any = type("Limits", (PartitionSupervisor,), named("partition_specs"))()
    with pytest.raises(NotImplementedError, match=r"no partition_spec; it has 'partition_specs'$"):
        limits.partition_spec(0)


@pytest.mark.parametrize("base", [Supervisor, DynamicSupervisor])
async def test_a_supervisor_may_be_a_server_beside_that(base: Any) -> None:
    handlers = ("init", "handle_call", "handle_cast", "handle_info")
    await works(type("Asked", (base,), {name: vars(Echo)[name] for name in handlers}))


@dataclass(frozen=True)
class Frozen(Echo):
    key: str = ""


class Strict:
    """Refuses that any attribute is set."""

    def __init__(self, key: str = "") -> None:
        pass

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"no {name} here")


class StrictServer(Strict, Echo):
    pass


class StrictMachine(Strict, StateMachine):
    async def init(self) -> Any:
        return "on", None

    async def handle_event(self, event: Any, state: Any, data: Any) -> Any:
        return state, data


class StrictSupervisor(Strict, Supervisor):
    pass


class StrictDynamicSupervisor(Strict, DynamicSupervisor):
    pass


@pytest.mark.parametrize(
    "cls", [Frozen, StrictServer, StrictMachine, StrictSupervisor, StrictDynamicSupervisor]
)
async def test_a_class_may_refuse_that_attributes_are_set(cls: Any) -> None:
    addresses = OnDemand(cls, supervisor="chief", prefix="at:")
    async with running() as group:
        chief = await DynamicSupervisor.start(task_group=group, register_as="chief")
        everybody = [
            await cls.start(task_group=group),
            await start_child(chief, ChildSpec("a", cls)),
            await start_or_find("found", cls, task_group=group),
        ]
        await cast(addresses["b"], 1)
        everybody.append(await wait_registered("at:b"))
        async with application(cls) as pid:
            assert is_alive(pid)
        assert all(is_alive(pid) for pid in everybody)
        assert (await count_children(chief))["active"] == 2


QUESTIONS: dict[str, Callable[[Any], Awaitable[object]]] = {
    "which": which_children,
    "count": count_children,
    "start": lambda pid: start_child(pid, ChildSpec("a", Echo)),
    "find": lambda pid: start_or_find("a", Echo, supervisor=pid),
    "terminate": lambda pid: terminate_child(pid, "a"),
    "restart": lambda pid: restart_child(pid, "a"),
    "delete": lambda pid: delete_child(pid, "a"),
}


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=list(QUESTIONS))
async def test_who_is_no_supervisor_is_asked_nothing(question: Any) -> None:
    async with running() as group:
        server = await Echo.start(task_group=group, register_as="echo")
        idle = await Idle.start(task_group=group)
        for who, kind in (server, "Echo"), ("echo", "Echo"), (idle, "Idle"):
            with pytest.raises(TypeError, match=f"to be a supervisor, got {kind}"):
                await question(who)
        assert await call(server, "still there?") == ("still there?", 0)


@pytest.mark.parametrize("name", sorted(HANDLERS))
def test_a_handler_that_cannot_be_called_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=rf"expected Odd\.{name} to be a method, got list"):
        type("Odd", (GenServer,), {name: []})


def test_all_that_users_derive_from_has_reserved_names_only() -> None:
    for cls in (Actor, GenServer, Supervisor, Task):
        private = {name for name in names_in(cls) if name.startswith("_")}
        # The last is what notebooks ask any object for.
        assert private == {"_is_protocol", "_repr_html_"} & private, cls


# What a supervisor's class may define, as that of any server


class Chief(Supervisor):
    max_restarts = 10

    async def init(self) -> Any:
        return {"calls": 0}

    def child_specs(self) -> list[ChildSpec]:
        return [ChildSpec("a", Idle, register_as="a"), ChildSpec("b", Idle, register_as="b")]

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        state["calls"] += 1
        return (request, state["calls"]), state

    async def handle_info(self, message: Any, state: Any) -> Any:
        state["calls"] += message
        return state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        state["calls"] += request
        return state


async def test_a_supervisor_with_handlers_of_its_own_supervises_all_the_same() -> None:
    async with running() as group:
        chief = await Chief.start(task_group=group)
        assert await call(chief, "x") == ("x", 1)
        await send(chief, 10)
        await cast(chief, 100)
        assert await call(chief, "x") == ("x", 112)
        await crash_idle("a")
        assert await count_children(chief) == {
            "specs": 2,
            "active": 2,
            "supervisors": 0,
            "workers": 2,
        }
        assert [child.restarts for child in await which_children(chief)] == [1, 0]


async def crash_idle(name: str) -> None:
    exit(name, "an accident")
    await wait_exit(name)
    await wait_registered(name)


async def test_the_init_of_a_supervisor_comes_before_its_children() -> None:
    class Planned(Supervisor):
        async def init(self) -> Any:
            self.names = ["x", "y"]
            return "state"

        def child_specs(self) -> list[ChildSpec]:
            return [ChildSpec(name, Idle) for name in self.names]

    async with running() as group:
        chief = await Planned.start(task_group=group)
        assert [child.id for child in await which_children(chief)] == ["x", "y"]


async def test_a_class_with_a_start_of_its_own_can_be_a_child_and_be_found() -> None:
    class Starting(Echo):
        def start(self) -> None:  # type: ignore[override]
            """Begin something else."""

    class Parent(Echo):
        async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
            handle = await self.spawn_child_actor(Starting, register_as="starting")
            return handle.pid, state

    async with running() as group:
        found = await start_or_find("found", Starting, task_group=group)
        assert is_alive(found)
        parent = await Parent.start(task_group=group)
        assert is_alive(await call(parent, "start it"))


def test_handlers_keep_their_names_in_what_inspect_says() -> None:
    assert list(inspect.signature(Echo.handle_call).parameters) == [
        *("self", "request", "from_", "state"),
    ]
