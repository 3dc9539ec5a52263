"""Calls that somebody cancels as another awaits them: who awaits one hears of it at once."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from conftest import ASYNCIO, task_group

from fauxtp import NO_REPLY, Call, GenServer, PendingCall, exit, start_call
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
