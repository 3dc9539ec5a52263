"""Waits with the same timeout, which one timer ends."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from conftest import ASYNCIO, task_group

from fauxtp import Mailbox, call
from fauxtp._loops.current import current_home

pytestmark = pytest.mark.anyio


@pytest.fixture(params=ASYNCIO)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Only asyncio has them."""
    return request.param


async def test_what_is_woken_while_others_time_out_does_not_stop_them() -> None:
    home: Any = current_home()
    waiters = [home.new_waiter() for _ in range(10)]
    waiters[0].wait(3600.0, common=True)
    queue = home.deadlines[3600.0]

    class Finaliser:
        """Wakes somebody, as a collection may at any allocation."""

        def expire(self) -> None:
            waiters[5].wake()

    queue._timeout = -1.0
    queue.add(Finaliser())
    for waiter in waiters:
        waiter._ends = queue.add(waiter)
    queue._expire()
    assert not any(waiter.waits for waiter in waiters)


async def test_a_timer_that_could_not_be_set_is_set_for_the_next() -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RecursionError

    home: Any = current_home()
    first, second = home.new_waiter(), home.new_waiter()
    queue = home.new_deadlines(0.001)
    queue._loop = SimpleNamespace(time=home.loop.time, call_at=fail)
    with pytest.raises(RecursionError):
        first.wait(0.001, common=True)
    queue._loop = home.loop
    assert await second.wait(0.001, common=True) is False
    assert first.waits  # it has failed already


async def test_calls_with_the_same_timeout_have_one_timer() -> None:
    home: Any = current_home()
    box = Mailbox()
    async with task_group() as group:
        for _ in range(2):
            group.start_soon(partial(call, box.pid, "never answered", timeout=1234.0))
        await anyio.wait_all_tasks_blocked()
        assert len(home.deadlines[1234.0]._ends) == 2
        group.cancel_scope.cancel()
    box.close()
