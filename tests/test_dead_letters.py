"""Dead letters: counted by reason, and told to whoever wants to know."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import Any

import anyio
import pytest
from conftest import PATIENCE, task_group

from fauxtp import (
    Call,
    Cast,
    DeadLetter,
    GenServer,
    Mailbox,
    call,
    cast,
    cast_nowait,
    dead_letters,
    exit,
    reply,
    send,
    send_nowait,
    wait_exit,
)
from fauxtp._core.dead_letters import DeadLetters
from fauxtp.registry import PID

pytestmark = pytest.mark.anyio


class Server(GenServer[Any, Any]):
    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        return request, state

    async def handle_cast(self, request: anyio.Event, state: Any) -> Any:
        request.set()
        await anyio.sleep_forever()


async def test_a_message_to_nobody_is_counted() -> None:
    before, nobody = dead_letters.counts().get("noproc", 0), PID()
    seen: list[DeadLetter] = []
    with dead_letters.observed_by(seen.append):
        await send("nobody", 1)
        await cast(nobody, 2)
        send_nowait(nobody, 3)
        cast_nowait("nobody", 4)
    assert dead_letters.counts()["noproc"] == before + 4
    assert [(letter.to, letter.reason) for letter in seen] == [
        ("nobody", "noproc"),
        (nobody, "noproc"),
        (nobody, "noproc"),
        ("nobody", "noproc"),
    ]
    requests = [m.request if isinstance(m, Cast) else m for m in (x.message for x in seen)]
    assert requests == [1, 2, 3, 4]


async def test_what_lies_in_the_mailbox_of_a_process_that_ends_is_counted_once() -> None:
    before = dead_letters.counts().get("exited", 0)
    seen: list[DeadLetter] = []
    async with task_group() as group:
        pid, busy = await Server.start(task_group=group), anyio.Event()
        await cast(pid, busy)
        await busy.wait()
        await send(pid, "first")
        await send(pid, "second")
        with dead_letters.observed_by(seen.append):
            exit(pid)
            await wait_exit(pid)
            await send(pid, "late")
    assert seen == [
        DeadLetter(pid, "first", "exited"),
        DeadLetter(pid, "second", "exited"),
        DeadLetter(pid, "late", "noproc"),
    ]
    assert dead_letters.counts()["exited"] == before + 2


async def test_a_reply_to_a_caller_that_gave_up_is_counted() -> None:
    mailbox, scope = Mailbox(), anyio.CancelScope()
    seen: list[DeadLetter] = []

    async def ask() -> None:
        with scope:
            await call(mailbox.pid, "stats", timeout=None)

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        asked = await mailbox.receive((Call, lambda asked: asked))
        scope.cancel()
    with dead_letters.observed_by(seen.append):
        assert not reply(asked, "too late")
    assert seen == [DeadLetter(None, "too late", "late reply")]


async def test_a_second_reply_goes_nowhere_and_is_counted() -> None:
    mailbox = Mailbox()
    seen: list[DeadLetter] = []

    async def serve() -> None:
        asked = await mailbox.receive((Call, lambda asked: asked))
        with dead_letters.observed_by(seen.append):
            assert reply(asked, 1)
            assert not reply(asked, 2)

    async with task_group() as group:
        group.start_soon(serve)
        assert await call(mailbox.pid, "stats", timeout=None) == 1
    assert seen == [DeadLetter(None, 2, "late reply")]


async def test_a_late_reply_tells_which_process_had_asked() -> None:
    mailbox, gave_up = Mailbox(), anyio.Event()
    letters: list[DeadLetter] = []

    class Asker(Server):
        async def handle_info(self, message: anyio.CancelScope, state: Any) -> Any:
            with message:
                await call(mailbox.pid, "stats", timeout=None)
            gave_up.set()

    async with task_group() as group:
        pid, scope = await Asker.start(task_group=group), anyio.CancelScope()
        await send(pid, scope)
        asked = await mailbox.receive((Call, lambda asked: asked))
        scope.cancel()
        await gave_up.wait()
        with dead_letters.observed_by(letters.append):
            reply(asked, "too late")
    assert letters == [DeadLetter(pid, "too late", "late reply")]


# Counting and telling


def test_nothing_is_counted_twice_or_lost_by_threads() -> None:
    letters = DeadLetters()

    def add() -> None:
        for number in range(2_000):
            letters.add("nobody", number, ("odd", "even")[number % 2])

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert letters.counts() == {"odd": 4_000, "even": 4_000}
    assert letters.total() == 8_000


def test_an_observer_is_told_while_its_context_lasts() -> None:
    letters, seen = DeadLetters(), list[DeadLetter]()
    letters.add("nobody", 0, "noproc")
    with letters.observed_by(seen.append):
        letters.add("nobody", 1, "noproc")
    letters.add("nobody", 2, "noproc")
    assert seen == [DeadLetter("nobody", 1, "noproc")]


def test_an_observer_twice_is_told_twice_and_leaves_once_at_a_time() -> None:
    letters, seen = DeadLetters(), list[Any]()
    with letters.observed_by(seen.append):
        with letters.observed_by(seen.append):
            letters.add("nobody", 1, "noproc")
        letters.add("nobody", 2, "noproc")
    letters.add("nobody", 3, "noproc")
    assert [letter.message for letter in seen] == [1, 1, 2]


def test_an_observer_that_fails_is_logged_and_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    letters, seen = DeadLetters(), list[DeadLetter]()

    def fail(letter: DeadLetter) -> None:
        raise ZeroDivisionError

    with letters.observed_by(fail), letters.observed_by(seen.append):
        letters.add("nobody", 1, "noproc")
    assert [letter.message for letter in seen] == [1]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("fauxtp", logging.ERROR)
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_an_observer_may_cause_a_dead_letter_itself() -> None:
    letters, seen = DeadLetters(), list[Any]()

    def echo(letter: DeadLetter) -> None:
        seen.append(letter.message)
        if letter.message:
            letters.add("nobody", letter.message - 1, "noproc")

    with letters.observed_by(echo):
        letters.add("nobody", 3, "noproc")
    assert seen == [3, 2, 1, 0]
    assert letters.total() == 4


def test_the_counts_are_a_copy() -> None:
    letters = DeadLetters()
    letters.counts()["noproc"] = 7
    assert letters.total() == 0


def test_a_finaliser_may_cause_a_dead_letter_while_one_is_counted() -> None:
    letters = DeadLetters()

    class Interrupted(Counter[str]):
        def __setitem__(self, reason: str, count: int) -> None:
            super().__setitem__(reason, count)
            if reason == "noproc":
                letters.add("nobody", "from a finaliser", "exited")

    letters._counts = Interrupted()
    thread = threading.Thread(target=letters.add, args=("nobody", 1, "noproc"), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert letters.counts() == {"noproc": 1, "exited": 1}


async def test_what_cannot_be_called_does_not_observe() -> None:
    with (
        pytest.raises(TypeError, match="expected observer to be callable, got int"),
        dead_letters.observed_by(5),  # type: ignore[arg-type]
    ):
        pass
