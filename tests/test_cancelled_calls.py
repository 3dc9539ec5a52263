"""Calls that somebody cancels as another awaits them: who awaits one hears of it at once."""

from __future__ import annotations

import gc
import inspect
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from conftest import ASYNCIO, task_group

from fauxtp import (
    NO_REPLY,
    PID,
    Call,
    GenServer,
    Mailbox,
    NoProcess,
    PendingCall,
    exit,
    start_call,
)
from fauxtp._base import carrying
from fauxtp.observe.events import Event, Kind, listen

LOOPS = [*ASYNCIO, pytest.param(("trio", {}), id="trio")]
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", LOOPS, indirect=True)]


class Silent(GenServer[Any, Any]):
    """Answers nothing."""

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        return NO_REPLY, state


async def cancelled_by_another(timeout: float | None) -> str:
    """Return what who awaits a call is told as another task cancels it."""
    told: list[str] = []

    async def wait_for(pending: PendingCall[Any]) -> None:
        with pytest.raises(RuntimeError) as caught:
            await pending
        told.append(str(caught.value))

    async with task_group() as group:
        server = await Silent.start(task_group=group)
        pending = start_call(server, "anything", timeout)
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(wait_for, pending)
            await anyio.wait_all_tasks_blocked()
            assert pending.cancel()
        exit(server)
    return told[0]


@pytest.mark.parametrize("timeout", [None, 3600.0])
async def test_who_awaits_it_is_told_at_once(timeout: float | None) -> None:
    assert "cancelled as it was awaited" in await cancelled_by_another(timeout)


async def test_its_end_is_told_once() -> None:
    ends: list[Event] = []
    with listen(ends.append, Kind.CALL_ENDED):
        await cancelled_by_another(None)
    (end,) = ends
    assert "cancelled" in repr(end.details)


async def test_who_is_to_look_into_it_later_is_told_the_same() -> None:
    async with task_group() as group:
        server = await Silent.start(task_group=group)
        pending = start_call(server, "anything", None)
        await anyio.wait_all_tasks_blocked()
        assert pending.cancel()
        with pytest.raises(RuntimeError, match="was cancelled"):
            await pending
        exit(server)


async def test_who_finds_it_given_up_finds_that_it_was_cancelled() -> None:
    """Another thread cancels it as it times out."""
    given_up = threading.Event()

    def trace(frame: Any, event: str, _: Any) -> Any:
        if frame.f_code is not PendingCall._give_up.__code__:
            return trace
        if event == "line" and frame.f_lineno == says_how:
            given_up.set()
            time.sleep(0.1)  # in which who awaits it looks, or waits until it may
        return trace

    def cancel() -> None:
        sys.settrace(trace)
        try:
            pending.cancel()
        finally:
            sys.settrace(None)

    lines, first = inspect.getsourcelines(PendingCall._give_up)
    says_how = first + next(n for n, line in enumerate(lines) if "self._gave_up = how" in line)
    async with task_group() as group:
        server = await Silent.start(task_group=group)
        pending = start_call(server, "anything", None)
        canceller = threading.Thread(target=cancel)
        canceller.start()
        given_up.wait()
        with pytest.raises(RuntimeError, match="cancelled"):
            await pending
        canceller.join()
        exit(server)


async def test_one_that_could_not_be_sent_is_told_to_have_ended_so() -> None:
    ends: list[Event] = []
    mailbox = Mailbox()
    mailbox.close()
    with listen(ends.append, Kind.CALL_ENDED):
        with pytest.raises(NoProcess) as caught:
            start_call(mailbox.pid, "anything")
        assert [repr(end.details).count("NoProcess") for end in ends] == [1], caught
    assert len(ends) == 1


async def test_who_holds_one_that_is_answered_holds_nothing_of_what_came_with_it() -> None:
    class Value:
        pass

    variable: ContextVar[Value] = ContextVar("variable")
    carrying.carry_also(variable)
    try:
        settles: list[Callable[[Call], bool]] = [Call.give_up, lambda call: call.has_answered(1)]
        for settle in settles:
            value = Value()
            seen = weakref.ref(value)
            token = variable.set(value)
            call = Call("anything", PID(), None)
            variable.reset(token)
            del token, value
            gc.collect()
            assert seen() is not None
            assert settle(call)
            gc.collect()
            assert seen() is None
    finally:
        carrying.carry_no_more(variable)
