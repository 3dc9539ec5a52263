"""Mailboxes at the moments between two steps, where another thread may come in.

Each of these moments is brought about on purpose, so that no test depends on luck.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import anyio
import anyio.to_thread
import pytest
from conftest import task_group

from fauxtp import (
    ANY,
    DeadLetter,
    Mailbox,
    MailboxClosed,
    MailboxFull,
    NoProcess,
    call,
    call_blocking,
    dead_letters,
    register,
    send,
    send_nowait,
    whereis,
)
from fauxtp._core import receiving, wait_for_room
from fauxtp._core.queue import no_process
from fauxtp._loops.current import new_waiter

pytestmark = pytest.mark.anyio


def same(message: Any) -> Any:
    return message


def before_waiting(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    """Let `act` happen once, when somebody has looked in vain and is about to wait."""

    def act_first() -> Any:
        monkeypatch.undo()
        act()
        return new_waiter()

    for module in (wait_for_room, receiving):
        monkeypatch.setattr(module, "new_waiter", act_first)


async def test_a_message_that_comes_just_before_the_wait_is_received(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mailbox = Mailbox()
    before_waiting(monkeypatch, lambda: mailbox.put_nowait("just now"))
    with anyio.fail_after(5):
        assert await mailbox.receive((ANY, same)) == "just now"


async def test_a_mailbox_that_closes_just_before_the_wait_is_heard_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mailbox = Mailbox()
    before_waiting(monkeypatch, mailbox.close)
    with anyio.fail_after(5), pytest.raises(MailboxClosed):
        await mailbox.receive((ANY, same))


async def test_room_that_comes_just_before_the_wait_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mailbox = Mailbox(max_size=1)
    mailbox.put_nowait("in the way")
    before_waiting(monkeypatch, mailbox.take_nowait)
    with anyio.fail_after(5):
        await mailbox.put("next")
    assert await mailbox.receive((ANY, same)) == "next"


async def test_a_full_mailbox_that_closes_just_before_the_wait_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mailbox, seen = Mailbox(max_size=1), list[DeadLetter]()
    mailbox.put_nowait("in the way")
    before_waiting(monkeypatch, mailbox.close)
    with dead_letters.observed_by(seen.append), anyio.fail_after(5):
        await mailbox.put("next")
    assert [letter.message for letter in seen] == ["in the way", "next"]


@pytest.mark.parametrize("max_size", [0, 1])
async def test_a_message_that_comes_in_while_the_mailbox_closes_is_one_dead_letter(
    max_size: int,
) -> None:
    mailbox, seen = Mailbox(max_size), list[DeadLetter]()

    class Closing(deque[Any]):
        def append(self, message: Any) -> None:
            mailbox.close()  # it was open when the sender looked
            super().append(message)

    mailbox._queue.inbox = Closing()
    with dead_letters.observed_by(seen.append):
        send_nowait(mailbox.pid, "too late")
    assert seen == [DeadLetter(mailbox.pid, "too late", "exited")]
    assert len(mailbox) == 0


async def test_a_sender_that_is_cancelled_just_before_its_turn_passes_it_on() -> None:
    mailbox = Mailbox(max_size=1)
    async with task_group() as group:
        await mailbox.put(0)
        scope, sent = anyio.CancelScope(), anyio.Event()

        async def first() -> None:
            with scope:
                await mailbox.put(1)

        async def second() -> None:
            await mailbox.put(2)
            sent.set()

        for sender in (first, second):
            group.start_soon(sender)
            await anyio.wait_all_tasks_blocked()
        scope.cancel()  # it has not heard of that yet, when the next line makes room
        assert mailbox.take_nowait() == 0
        await sent.wait()
        assert await mailbox.receive((ANY, same)) == 2


async def test_a_message_on_its_way_to_the_older_ones_makes_no_room() -> None:
    mailbox, outcomes = Mailbox(max_size=1), list[Any]()

    def intrude() -> None:
        try:
            mailbox.put_nowait("intruder")
        except MailboxFull:
            outcomes.append("full")

    thread = threading.Thread(target=intrude)

    class Slow(deque[Any]):
        def popleft(self) -> Any:
            message = super().popleft()
            thread.start()
            thread.join(0.05)  # time enough for a thread that nothing holds
            return message

    mailbox._queue.inbox = Slow()
    mailbox.put_nowait("noise")
    with pytest.raises(TimeoutError):
        await mailbox.receive((int, same), timeout=0)
    thread.join()
    assert outcomes == ["full"]
    assert len(mailbox) == 1
    mailbox._queue.inbox = deque()  # which is as quick as ever
    mailbox.close()


async def test_who_takes_whatever_comes_leaves_a_receiver_by_pattern_in_order() -> None:
    mailbox, got = Mailbox(), list[Any]()
    await mailbox.put("old")
    await mailbox.put("older")
    async with task_group() as group:
        done = anyio.Event()

        async def receive() -> None:
            got.append(await mailbox.receive(("new", lambda: "it came")))
            done.set()

        group.start_soon(receive)
        await anyio.wait_all_tasks_blocked()
        assert mailbox.take_nowait() == "old"
        await send(mailbox.pid, "new")
        await done.wait()
    assert got == ["it came"]
    assert await mailbox.receive((ANY, same)) == "older"


@pytest.mark.parametrize("max_size", [0, 1])
async def test_a_call_to_a_mailbox_that_is_closed_but_there_raises_at_once(max_size: int) -> None:
    """It has its name no more, but whoever has looked that up before comes here."""
    mailbox = Mailbox(max_size)
    register("closed", mailbox.pid)
    mailbox._queue.shut(no_process)  # `close` does that when the name is gone
    try:
        with pytest.raises(NoProcess) as caught:
            await call("closed", "stats", timeout=None)
        if not max_size:
            assert caught.value.to == "closed"
        with pytest.raises(NoProcess):
            await anyio.to_thread.run_sync(call_blocking, mailbox.pid, "stats", None)
    finally:
        mailbox.close()
    with pytest.raises(NoProcess) as caught:
        await call("closed", "stats", timeout=None)
    assert (caught.value.to, whereis("closed")) == ("closed", None)
