"""Event loops that somebody drops unclosed: what is in them lives, as they may yet be run.

Nor are they collected. A process has its task, and that its event loop; and so has anyio's table
of tasks, which keeps each that waits in a cancel scope, also after the loop was closed: that of
a server that has handled something, too. One of uvloop has itself until it is closed.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import warnings
from collections.abc import Iterator
from typing import Any
from weakref import ref

import anyio
import pytest
from lost import Plain

from fauxtp import PID, call, exit, is_alive, processes, whereis

LOOPS = ["asyncio", "uvloop"]


@pytest.fixture(autouse=True)
def unclosed() -> Iterator[None]:
    """The event loops warn of what is done to them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


def is_collected(known: ref[Any]) -> bool:
    for _ in range(3):  # what it is in has several parts, some of which have finalisers
        gc.collect()
    return known() is None


async def in_a_group(group: Any) -> None:
    """Have a process that begins, answers and ends."""
    async with group:
        pid = await Plain.start(task_group=group, register_as="lost")
        assert await call(pid, 1) == 1
        exit(pid)


@pytest.mark.parametrize("make_group", [anyio.create_task_group, asyncio.TaskGroup])
def test_one_whose_processes_have_ended_is_collected(make_group: Any) -> None:
    async def main() -> None:
        await in_a_group(make_group())

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    known = ref(loop)
    del loop
    assert is_collected(known)


async def begin() -> PID:
    group = asyncio.TaskGroup()
    await group.__aenter__()
    return await Plain.start(task_group=group, register_as="lost")


@pytest.mark.parametrize("kind", LOOPS)
def test_one_with_a_process_may_yet_be_run_and_closed(kind: str) -> None:
    loop = importlib.import_module(kind).new_event_loop()
    pid = loop.run_until_complete(begin())
    known = ref(loop)
    del loop
    gc.collect()
    again = known()
    assert again is not None
    assert again.run_until_complete(call("lost", 1)) == 1
    again.close()
    assert (is_alive(pid), whereis("lost"), processes()) == (False, None, [])


@pytest.mark.parametrize("kind", LOOPS)
def test_of_one_that_was_closed_nothing_is_kept(kind: str) -> None:
    loop = importlib.import_module(kind).new_event_loop()
    loop.run_until_complete(begin())
    loop.close()
    known = ref(loop)
    del loop
    assert is_collected(known)
