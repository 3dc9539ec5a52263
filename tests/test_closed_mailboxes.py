"""Mailboxes that are closed, or that nobody has any more: their addresses mean nobody."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest
from conftest import ASYNCIO
from crew import running

import fauxtp
from fauxtp import (
    PID,
    ExitReason,
    GenServer,
    Joined,
    Left,
    Mailbox,
    NoProcess,
    Registered,
    Registry,
    Unregistered,
    call,
    dead_letters,
    groups,
    is_alive,
    join,
    members,
    monitor_group,
    publish,
    register,
    registered,
    watch_names,
    whereis,
)
from fauxtp._core.mailbox import _end
from fauxtp.registry import withdraw

LOOPS = [*ASYNCIO, pytest.param(("trio", {}), id="trio")]
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", LOOPS, indirect=True)]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Any:
    yield
    assert (groups(), registered()) == ([], [])


class Listener(GenServer[Any, Any]):
    """Monitors a group, and keeps what it hears."""

    async def init(self) -> list[Any]:
        monitor_group("crew")
        return []

    async def handle_info(self, message: Any, heard: list[Any]) -> list[Any]:
        return [*heard, message]

    async def handle_call(self, request: Any, from_: Any, heard: list[Any]) -> Any:
        return heard, heard


async def close(boxes: list[Any]) -> None:
    boxes[0].close()


async def close_twice(boxes: list[Any]) -> None:
    boxes[0].close()
    boxes[0].close()


async def close_in_a_thread(boxes: list[Any]) -> None:
    await anyio.to_thread.run_sync(boxes[0].close)


async def drop(boxes: list[Any]) -> None:
    boxes.clear()
    gc.collect()


async def drop_in_a_circle(boxes: list[Any]) -> None:
    circle = [*boxes]
    boxes.clear()
    circle.append(circle)  # which nothing but a collection ends
    del circle
    gc.collect()


ENDS = [close, close_twice, close_in_a_thread, drop, drop_in_a_circle]
each_end = pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
each_size = pytest.mark.parametrize("max_size", [0, 1])


@each_end
@each_size
async def test_it_is_in_no_group_and_has_no_name(end: Any, max_size: int) -> None:
    boxes: list[Any] = [Mailbox(max_size)]
    pid, mine = boxes[0].pid, Registry()
    assert join("crew", pid)
    assert join("band", pid)
    assert mine.join("crew", pid)
    for table in (fauxtp, mine):
        assert table.register("one", pid)
        assert table.register("other", pid)
    await end(boxes)
    assert (members("crew"), groups(), mine.groups()) == ((), [], [])
    assert (whereis("one"), registered(), mine.registered()) == (None, [], [])
    assert (is_alive(pid), is_alive("one")) == (False, False)
    assert publish("crew", "hello") == 0


@each_end
async def test_nobody_gives_it_a_name_or_lets_it_join_any_more(end: Any) -> None:
    boxes: list[Any] = [Mailbox()]
    pid = boxes[0].pid
    await end(boxes)
    for give in (register, join, Registry().register, Registry().join):
        with pytest.raises(NoProcess):
            give("crew", pid)


@each_end
async def test_who_monitors_its_groups_is_told_once_and_why(end: Any) -> None:
    async with running() as group:
        listener = await Listener.start(task_group=group)
        boxes: list[Any] = [Mailbox()]
        pid = boxes[0].pid
        join("crew", pid)
        await end(boxes)
        came, left = await call(listener, None)
        assert (type(came), came.pid) == (Joined, pid)
        assert (type(left), left.pid, left.group) == (Left, pid, "crew")
        assert isinstance(left.reason, ExitReason)
        assert (left.reason, left.reason.abnormal) == ("normal", False)


@each_end
async def test_who_watches_names_is_told_why_it_has_them_no_longer(end: Any) -> None:
    boxes: list[Any] = [Mailbox()]
    pid = boxes[0].pid
    register("one", pid)
    async with aclosing(watch_names("one")) as watch:
        assert await anext(watch) == Registered("one", pid)
        await end(boxes)
        assert await anext(watch) == Unregistered("one", pid, ExitReason("normal"))


@each_end
async def test_who_waits_for_it_can_take_its_name_at_once(end: Any) -> None:
    seen: list[Any] = []

    async def ask(pid: PID) -> None:
        with pytest.raises(NoProcess):
            await call(pid, "stats", timeout=None)
        seen.append((whereis("one"), members("crew")))
        successor = Mailbox()
        assert register("one", successor.pid)
        successor.close()

    async with running() as group:
        boxes: list[Any] = [Mailbox()]
        pid = boxes[0].pid
        register("one", pid)
        join("crew", pid)
        group.start_soon(ask, pid)
        await anyio.wait_all_tasks_blocked()
        await end(boxes)
    assert seen == [(None, ())]


async def test_whoever_hears_of_it_finds_it_closed() -> None:
    mailbox, seen = Mailbox(), list[Any]()
    join("crew", mailbox.pid)

    def look() -> None:
        seen.append((mailbox.closed, is_alive(mailbox.pid), members("crew")))

    fauxtp.registry.default.follow("crew", look)
    mailbox.close()
    fauxtp.registry.default.unfollow("crew", look)
    assert seen == [(True, False, ())]


async def test_what_a_listener_raises_is_its_own(caplog: pytest.LogCaptureFixture) -> None:
    mailbox = Mailbox()
    join("crew", mailbox.pid)
    fauxtp.registry.default.follow("crew", bad := partial(int, "no number"))
    mailbox.close()
    fauxtp.registry.default.unfollow("crew", bad)
    assert [record.getMessage() for record in caplog.records] == [f"a listener failed: {bad!r}"]
    assert (mailbox.closed, members("crew")) == (True, ())


@pytest.mark.parametrize("what", ["withdraw", "shut"])
async def test_what_has_no_memory_is_done_once_more(
    monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    mailbox, failed, letters = Mailbox(), list[str](), list[Any]()

    def failing(does: Callable[..., Any]) -> Callable[..., Any]:
        def once(*arguments: Any) -> Any:
            if not failed:
                failed.append(what)
                raise MemoryError
            return does(*arguments)

        return once

    join("crew", mailbox.pid)
    mailbox.put_nowait("hello")
    if what == "withdraw":
        defaults = tuple(
            failing(given) if given is withdraw else given for given in _end.__defaults__ or ()
        )
        monkeypatch.setattr(_end, "__defaults__", defaults)
    else:
        queue: Any = mailbox._queue
        monkeypatch.setattr(type(queue), "shut", failing(type(queue).shut))
    with dead_letters.observed_by(letters.append):
        mailbox.close()
    assert (failed, members("crew"), mailbox.closed, len(letters)) == ([what], (), True, 1)


async def test_one_that_was_never_made_ends_without_a_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ValueError, match="max_size"):
        Mailbox(-1)
    gc.collect()
    assert capsys.readouterr().err == ""
