"""Lives of timers, groups, sessions, state machines and pending calls. See runtime_leaks.py."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import anyio
from anyio.abc import TaskGroup

from fauxtp import (
    POSTPONE,
    Call,
    DynamicSupervisor,
    NamedTimeout,
    NextEvent,
    OnDemand,
    ReceiveTimeout,
    Reply,
    StateMachine,
    StateTimeout,
    call,
    cancel_timer,
    cast,
    demonitor,
    join,
    monitor_group,
    publish,
    send,
    send_after,
    send_every,
    start_call,
    wait_exit,
    whereis,
)
from hostile.leak_stage import AT_ONCE, Life, Server, Stage, echo, echo_later, end


class Session(Server):
    """Ends as soon as it is idle."""

    idle_timeout = AT_ONCE

    def __init__(self, key: str) -> None:
        self.key = key

    async def handle_info(self, message: Any, state: None) -> None:
        self.stop()


class Sessions(DynamicSupervisor):
    """Has as many as are needed."""


SESSIONS = OnDemand(Session, supervisor="leak:sessions", prefix="leak:session:")


async def timers(stage: Stage) -> None:
    async def change_its_mind(from_: Call) -> None:
        cancel_timer(send_after(3600, stage.other, "never"))
        cancel_timer(send_every(3600, "leak:nobody", "never"))

    await call(stage.server, change_its_mind)


async def timers_that_go_off(stage: Stage) -> None:
    send_after(0, stage.server, "ignored")
    await anyio.lowlevel.checkpoint()


async def timers_of_who_ends(stage: Stage) -> None:
    async def set_some(from_: Call) -> None:
        send_after(3600, stage.server, "never")
        send_every(3600, stage.other, "never")

    pid = await Server.start(task_group=stage.group)
    await call(pid, set_some)
    send_after(3600, pid, "never")
    await end(pid)


async def gatherings(stage: Stage) -> None:
    async def gather(from_: Call) -> None:
        assert join("leak:group")
        monitor_group("leak:group")
        demonitor(monitor_group("leak:group"))

    pid = await Server.start(task_group=stage.group)
    await call(pid, gather)
    publish("leak:group", "ignored")
    await end(pid)


async def sessions(stage: Stage) -> None:
    """Start one on demand, leave a message as it ends, and wait until its successor is idle."""
    one = SESSIONS["one"]
    await call(one, echo)
    first = whereis(one)
    assert first is not None
    await send(one, "stop")
    await cast(one, "hello")
    await wait_exit(first)
    await wait_exit(one)


class Door(StateMachine[str, int]):
    """Opens for a moment; who asks meanwhile has to wait."""

    async def init(self) -> Any:
        return "closed", 0

    async def in_closed(self, event: Any, opened: int) -> Any:
        match event:
            case Call("push"):
                actions = Reply(event, "open"), StateTimeout(0), NamedTimeout("never", 3600)
                return "open", opened + 1, *actions
            case Call():
                return "closed", opened, Reply(event, "closed"), NextEvent("inserted")
        return "closed", opened

    async def in_open(self, event: Any, opened: int) -> Any:
        match event:
            case StateTimeout():
                return "closed", opened, NamedTimeout("never", None)
        return "open", opened, POSTPONE


async def machines(stage: Stage) -> None:
    """Call one: its state changes, an event is postponed, timeouts come, and are taken back."""
    assert await call("leak:door", "push") == "open"
    assert await call("leak:door", "knock") == "closed"


async def machines_that_end(stage: Stage) -> None:
    """End one that is in a state for a time, and has an event that it has postponed."""
    pid = await Door.start(task_group=stage.group)
    await call(pid, "push")
    await send(pid, "postponed")
    await end(pid)


async def pending_calls(stage: Stage) -> None:
    """Let two servers answer side by side; await one of the answers twice."""
    one, other = start_call(stage.server, echo_later), start_call(stage.other, echo)
    assert [await other, await one, await one] == ["echo"] * 3


async def pending_calls_given_up(stage: Stage) -> None:
    """Cancel one, let go of one, and await one for which it is too late."""
    start_call(stage.server, echo).cancel()
    start_call(stage.server, echo_later)
    with suppress(ReceiveTimeout):
        await start_call(stage.other, echo_later, timeout=0.0)


async def idle_ends(stage: Stage) -> None:
    """Start one on demand by a pending call, and wait until it has ended as it is idle."""
    two = SESSIONS["two"]
    await start_call(two, echo)
    await wait_exit(two)


SERVICES: dict[Life, tuple[int, int]] = {
    timers: (500_000, 70_000),
    timers_that_go_off: (500_000, 70_000),
    timers_of_who_ends: (70_000, 40_000),
    gatherings: (70_000, 40_000),
    sessions: (50_000, 10_000),
    idle_ends: (50_000, 10_000),
    machines: (200_000, 40_000),
    machines_that_end: (50_000, 20_000),
    pending_calls: (500_000, 70_000),
    pending_calls_given_up: (300_000, 40_000),
}
"""How many in ten minutes of torture, on asyncio and on trio."""


async def start_services(group: TaskGroup) -> None:
    """Start those that they need."""
    await Sessions.start(task_group=group, register_as="leak:sessions")
    await Door.start(task_group=group, register_as="leak:door")
