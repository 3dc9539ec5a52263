"""Coroutines where something else is expected: an await was forgotten, and the error says so."""

from __future__ import annotations

import gc
import inspect
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import pytest
from clusters import members
from conftest import task_group

import fauxtp
from fauxtp import (
    ANY,
    PID,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    Mailbox,
    OnDemand,
    ProcessExited,
    Task,
    call,
)
from fauxtp._base.arguments import kind_of
from fauxtp.observe import events
from fauxtp.testing import TestActor, assert_receives

pytestmark = pytest.mark.anyio

Uses = dict[str, Callable[[Any], Any]]

MISSING = "got coroutine: is an await missing?"
CALLED = "got coroutine: give the function and its arguments, and do not call it"


async def anything() -> None:
    """Stand for `call`, `Server.start` and all others that return coroutines."""


class Server(GenServer[Any, Any]):
    """Does as it is asked."""

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return request(self, from_), state


class Keyed(Server):
    def __init__(self, key: str) -> None:
        self.key = key


class Tasks(DynamicSupervisor):
    pass


async def said_of(use: Callable[[Any], Any]) -> str:
    """Return what is said of a coroutine, and see to it that nothing else is."""
    made = anything()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((TypeError, ValueError)) as caught:
            await used(use, made)
        del made
        text = str(caught.value)
        del caught
        gc.collect()
    return text


async def used(use: Callable[[Any], Any], made: Any) -> None:
    result = use(made)
    if inspect.isawaitable(result):
        await result
    elif isinstance(result, AbstractContextManager):
        with result:
            pass


# Names and groups, by both twins

PLACES: Uses = {
    "register": lambda made: ("register", "name", made),
    "register a name": lambda made: ("register", made, PID()),
    "unregister": lambda made: ("unregister", made),
    "whereis": lambda made: ("whereis", made),
    "registered": lambda made: ("registered", made),
    "count": lambda made: ("count", made),
    "names": lambda made: ("names", made),
    "transfer": lambda made: ("transfer", "name", made, PID()),
    "join": lambda made: ("join", "group", made),
    "join a group": lambda made: ("join", made, PID()),
    "leave": lambda made: ("leave", "group", made),
    "members": lambda made: ("members", made),
    "groups": lambda made: ("groups", made),
}
LISTENERS: Uses = {
    "watch": lambda made: ("watch", "name", made),
    "follow": lambda made: ("follow", "group", made),
    "follow_names": lambda made: ("follow_names", "", made),
}


@pytest.mark.parametrize("what", PLACES.values(), ids=list(PLACES))
async def test_who_is_not_awaited_has_no_name_and_no_group(
    registry: Any, twin: Any, what: Any
) -> None:
    def use(made: Any) -> Any:
        method, *arguments = what(made)
        found = [twin.PID() if type(part) is PID else part for part in arguments]
        return getattr(registry, method)(*found)

    assert (await said_of(use)).endswith(MISSING)


@pytest.mark.parametrize("what", LISTENERS.values(), ids=list(LISTENERS))
async def test_a_listener_of_a_registry_is_not_called(registry: Any, what: Any) -> None:
    def use(made: Any) -> Any:
        method, *arguments = what(made)
        return getattr(registry, method)(*arguments)

    assert (await said_of(use)).endswith(CALLED)


# Whom something is asked of, sent or done to

ADDRESSES: Uses = {
    name: getattr(fauxtp, name)
    for name in (
        *("exit", "is_alive", "wait_exit", "process_info", "get_state", "suspend", "resume"),
        *("which_children", "count_children"),
    )
} | {
    "send": lambda made: fauxtp.send(made, 1),
    "send_nowait": lambda made: fauxtp.send_nowait(made, 1),
    "cast": lambda made: fauxtp.cast(made, 1),
    "cast_nowait": lambda made: fauxtp.cast_nowait(made, 1),
    "call": lambda made: call(made, 1),
    "call with wait": lambda made: call(made, 1, wait=1),
    "start_call": lambda made: fauxtp.start_call(made, 1),
    "send_after": lambda made: fauxtp.send_after(1, made, 1),
    "cast_after": lambda made: fauxtp.cast_after(1, made, 1),
    "start_child": lambda made: fauxtp.start_child(made, ChildSpec("a", Server)),
    "terminate_child": lambda made: fauxtp.terminate_child(made, "a"),
    "start_or_find": lambda made: fauxtp.start_or_find("a", Server, supervisor=made),
    "run_task": lambda made: fauxtp.run_task(made, anything),
    "OnDemand": lambda made: OnDemand(Keyed, supervisor=made, prefix="a:"),
    "replace_state": lambda made: fauxtp.replace_state(made, list),
}


@pytest.mark.parametrize("use", ADDRESSES.values(), ids=list(ADDRESSES))
async def test_who_is_not_awaited_has_no_address(use: Any) -> None:
    assert await said_of(use) == f"expected a PID or a name, {MISSING}"


# All else

OTHERS: Uses = {
    "call's timeout": lambda made: call(PID(), 1, made),
    "call's wait": lambda made: call("nobody", 1, wait=made),
    "send_after's seconds": lambda made: fauxtp.send_after(made, PID(), 1),
    "cancel_timer": fauxtp.cancel_timer,
    "exit's reason": lambda made: fauxtp.exit(PID(), made),
    "wait_registered": fauxtp.wait_registered,
    "publish": lambda made: fauxtp.publish(made, 1),
    "reply": lambda made: fauxtp.reply(made, 1),
    "watch_names": fauxtp.watch_names,
    "start_child's spec": lambda made: fauxtp.start_child("top", made),
    "terminate_child's id": lambda made: fauxtp.terminate_child("top", made),
    "restart_child's id": lambda made: fauxtp.restart_child("top", made),
    "delete_child's id": lambda made: fauxtp.delete_child("top", made),
    "ChildSpec's id": lambda made: ChildSpec(made, Server),
    "ChildSpec's class": lambda made: ChildSpec("a", made),
    "ChildSpec's args": lambda made: ChildSpec("a", Server, args=made),
    "ChildSpec's name": lambda made: ChildSpec("a", Server, register_as=made),
    "start's group": lambda made: Server.start(task_group=made),
    "start_or_find's class": lambda made: fauxtp.start_or_find("a", made, supervisor="top"),
    "partition": lambda made: fauxtp.partition(made, "key"),
    "OnDemand's class": lambda made: OnDemand(made, supervisor="top", prefix="a:"),
    "Mailbox": Mailbox,
    "put_blocking": lambda made: Mailbox(1).put_blocking(1, made),
    "receive": lambda made: Mailbox().receive(made),
    "receive's timeout": lambda made: Mailbox().receive((ANY, print), timeout=made),
    "run": fauxtp.run,
    "in_thread": fauxtp.in_thread,
    "Raise": fauxtp.Raise,
    "TestActor.of": TestActor.of,
    "assert_receives": lambda made: assert_receives(made, (ANY, print)),
}


@pytest.mark.parametrize("use", OTHERS.values(), ids=list(OTHERS))
async def test_what_is_not_awaited_is_nothing_else_either(use: Any) -> None:
    text = await said_of(use)
    assert text.startswith("expected ")
    assert text.endswith(MISSING)


FUNCTIONS: Uses = {
    "Task": Task,
    "run_task": lambda made: fauxtp.run_task("top", made),
    "map_tasks": lambda made: fauxtp.map_tasks("top", made, [1], max_concurrency=1),
    "receive": lambda made: Mailbox().receive((ANY, made)),
    "listen": lambda made: events.listen(made, events.Kind.STARTED),
    "dead_letters": fauxtp.dead_letters.observed_by,
}


@pytest.mark.parametrize("use", FUNCTIONS.values(), ids=list(FUNCTIONS))
async def test_what_is_called_already_is_no_function(use: Any) -> None:
    assert (await said_of(use)).endswith(CALLED)


# Within a server, and in a task group

INSIDE: dict[str, tuple[Callable[..., Any], str]] = {
    "monitor": (lambda made, *_: fauxtp.monitor(made), MISSING),
    "link": (lambda made, *_: fauxtp.link(made), MISSING),
    "unlink": (lambda made, *_: fauxtp.unlink(made), MISSING),
    "demonitor": (lambda made, *_: fauxtp.demonitor(made), MISSING),
    "monitor_group": (lambda made, *_: fauxtp.monitor_group(made), MISSING),
    "join": (lambda made, *_: fauxtp.join(made), MISSING),
    "leave": (lambda made, *_: fauxtp.leave(made), MISSING),
    "stop": (lambda made, server, _: server.stop(made), MISSING),
    "start_soon_child": (lambda made, server, _: server.start_soon_child(made), CALLED),
    "reply_later": (lambda made, server, from_: server.reply_later(from_, made), CALLED),
}


@pytest.mark.parametrize(("use", "hint"), INSIDE.values(), ids=list(INSIDE))
async def test_nor_is_it_within_a_server(use: Any, hint: str) -> None:
    async def ask(made: Any) -> None:
        try:
            await call(server, partial(use, made))
        except ProcessExited as error:
            raise (error.__cause__ or error) from None

    async with task_group() as group:
        server = await Server.start(task_group=group)
        assert (await said_of(ask)).endswith(hint)


@pytest.mark.parametrize("start", [Server.start, partial(Tasks.start)])
async def test_a_name_to_start_under_is_awaited_first(start: Any) -> None:
    async with task_group() as group:
        use = partial(lambda made: start(task_group=group, register_as=made))
        assert (await said_of(use)).endswith(MISSING)


IN_A_CLUSTER: dict[str, Callable[[Any, Any], Any]] = {
    "register": lambda node, made: node.register("name", made),
    "register a name": lambda node, made: node.register(made, PID()),
    "unregister": lambda node, made: node.unregister(made),
    "whereis": lambda node, made: node.whereis(made),
    "whereis_sure": lambda node, made: node.whereis_sure(made),
    "wait_registered": lambda node, made: node.wait_registered(made),
    "name": lambda node, made: node.name(made),
    "join_group": lambda node, made: node.join_group("group", made),
    "leave_group": lambda node, made: node.leave_group("group", made),
    "publish": lambda node, made: node.publish(made, 1),
}


@pytest.mark.parametrize("use", IN_A_CLUSTER.values(), ids=list(IN_A_CLUSTER))
async def test_a_cluster_says_so_too(use: Any) -> None:
    async with members("a") as (node,):
        assert (await said_of(partial(use, node))).endswith(MISSING)


async def test_what_has_begun_is_not_ended_by_that() -> None:
    """Whoever awaits it already goes on."""

    async def suspended() -> str:
        await fauxtp.wait_registered("nobody yet")
        return "done"

    made: Any = suspended()
    made.send(None)
    assert kind_of(made) == MISSING.removeprefix("got ")
    assert inspect.getcoroutinestate(made) == inspect.CORO_SUSPENDED
    made.close()
