"""Mailboxes: selective receive, several receivers, timeouts, and closing."""

from __future__ import annotations

import gc
import math
from collections import Counter
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from conftest import Run, task_group

import fauxtp
from fauxtp import (
    ANY,
    IGNORE,
    Call,
    DeadLetter,
    Mailbox,
    MailboxClosed,
    NoProcess,
    ReceiveTimeout,
    call,
    dead_letters,
    reply,
    send,
    send_nowait,
)
from fauxtp._core.mailbox import find_queue, queues
from fauxtp._loops.current import new_waiter

pytestmark = pytest.mark.anyio


def same(*extracted: Any) -> Any:
    return extracted[0] if extracted else None


async def all_of(mailbox: Mailbox) -> list[Any]:
    """Take out what lies in `mailbox`."""
    return [await mailbox.receive((ANY, same)) for _ in range(len(mailbox))]


class Waiting:
    """A task that receives, and what came of it."""

    def __init__(self, mailbox: Mailbox, *patterns: Any, timeout: float | None = None) -> None:
        self.mailbox, self.patterns, self.timeout = mailbox, patterns, timeout
        self.done = anyio.Event()
        self.result: Any = None

    async def receive(self) -> None:
        try:
            self.result = await self.mailbox.receive(*self.patterns, timeout=self.timeout)
        except fauxtp.FauxtpError as error:
            self.result = error
        self.done.set()


# Patterns and order


async def test_the_first_message_that_matches_is_taken_and_the_others_stay_in_order() -> None:
    mailbox = Mailbox()
    for message in ("a", 1, "b", 2, "c"):
        await mailbox.put(message)
    assert await mailbox.receive((int, same)) == 1
    assert await mailbox.receive((int, same)) == 2
    assert await all_of(mailbox) == ["a", "b", "c"]


async def test_the_oldest_message_wins_over_the_first_pattern() -> None:
    mailbox = Mailbox()
    await mailbox.put("a")
    await mailbox.put(1)
    assert await mailbox.receive((int, same), (str, same)) == "a"


async def test_of_patterns_that_match_a_message_the_first_handles_it() -> None:
    mailbox = Mailbox()
    await mailbox.put("a")
    assert await mailbox.receive((str, lambda _: 1), (ANY, lambda _: 2)) == 1


async def test_a_handler_gets_what_was_extracted() -> None:
    mailbox = Mailbox()
    await mailbox.put(("set", "x", 1))
    assert await mailbox.receive((("set", ANY, IGNORE), lambda *found: found)) == ("x",)


async def test_a_handler_may_be_async() -> None:
    mailbox = Mailbox()

    async def double(number: int) -> int:
        await checkpoint()
        return 2 * number

    await mailbox.put(4)
    assert await mailbox.receive((int, double)) == 8


async def test_what_a_handler_raises_goes_to_the_receiver_and_the_message_is_gone() -> None:
    mailbox = Mailbox()
    await mailbox.put(0)
    with pytest.raises(ZeroDivisionError):
        await mailbox.receive((int, lambda number: 1 / number))
    assert len(mailbox) == 0


async def test_what_a_matcher_raises_goes_to_the_receiver_and_the_message_stays() -> None:
    mailbox = Mailbox()
    await mailbox.put(0)
    with pytest.raises(ZeroDivisionError):
        await mailbox.receive((lambda number: 1 / number, same))
    assert await all_of(mailbox) == [0]


async def test_receive_needs_a_pattern() -> None:
    with pytest.raises(ValueError, match=r"^expected at least one pattern$"):
        await Mailbox().receive()


async def test_a_message_that_does_not_match_is_not_scanned_again_while_waiting() -> None:
    mailbox = Mailbox()
    looks: Counter[Any] = Counter()

    def wanted(message: Any) -> bool:
        looks[message] += 1
        return bool(message == "wanted")

    for number in range(5):
        await mailbox.put(number)
    async with task_group() as group:
        waiting = Waiting(mailbox, (wanted, same))
        group.start_soon(waiting.receive)
        for message in (5, 6, "wanted"):
            await anyio.wait_all_tasks_blocked()
            await mailbox.put(message)
        await waiting.done.wait()
    assert set(looks.values()) == {1}
    assert await all_of(mailbox) == [0, 1, 2, 3, 4, 5, 6]


# Several receivers


async def test_each_of_several_receivers_gets_what_it_waits_for() -> None:
    mailbox = Mailbox()
    async with task_group() as group:
        receivers = [Waiting(mailbox, (number, lambda n=number: n)) for number in range(5)]
        for receiver in receivers:
            group.start_soon(receiver.receive)
        await anyio.wait_all_tasks_blocked()
        for number in (3, "noise", 0, 4, 1, 2):
            await mailbox.put(number)
        for receiver in receivers:
            await receiver.done.wait()
    assert [receiver.result for receiver in receivers] == [0, 1, 2, 3, 4]
    assert await all_of(mailbox) == ["noise"]


async def test_receivers_that_want_anything_share_the_messages() -> None:
    mailbox = Mailbox()
    async with task_group() as group:
        receivers = [Waiting(mailbox, (ANY, same)) for _ in range(5)]
        for receiver in receivers:
            group.start_soon(receiver.receive)
        await anyio.wait_all_tasks_blocked()
        for number in range(5):
            await mailbox.put(number)
        for receiver in receivers:
            await receiver.done.wait()
    assert sorted(receiver.result for receiver in receivers) == [0, 1, 2, 3, 4]


async def test_a_receiver_that_takes_an_older_message_leaves_the_one_that_waits_in_order() -> None:
    mailbox = Mailbox()
    await mailbox.put("old")
    await mailbox.put("older still")
    async with task_group() as group:
        waiting = Waiting(mailbox, ("new", lambda: "it came"))
        group.start_soon(waiting.receive)
        await anyio.wait_all_tasks_blocked()
        assert await mailbox.receive(("old", lambda: "old")) == "old"
        await mailbox.put("new")
        await waiting.done.wait()
    assert waiting.result == "it came"
    assert await all_of(mailbox) == ["older still"]


async def test_a_receiver_that_is_cancelled_takes_nothing_with_it() -> None:
    mailbox = Mailbox()
    async with task_group() as group:
        first, second = Waiting(mailbox, (ANY, same)), Waiting(mailbox, (ANY, same))
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as cancelled:
                cancelled.start_soon(first.receive)
                await anyio.wait_all_tasks_blocked()
                group.start_soon(second.receive)
                await anyio.wait_all_tasks_blocked()
                mailbox.put_nowait("hello")
                scope.cancel()
        await second.done.wait() if first.result is None else mailbox.close()
    assert {first.result, second.result} >= {"hello"}


# Timeouts


async def test_receive_gives_up_after_the_timeout() -> None:
    mailbox = Mailbox()
    await mailbox.put("noise")
    with pytest.raises(ReceiveTimeout, match=r"^no matching message within 0\.001 s$") as caught:
        await mailbox.receive((int, same), timeout=0.001)
    assert isinstance(caught.value, TimeoutError)
    assert await all_of(mailbox) == ["noise"]


@pytest.mark.parametrize("timeout", [0, 0.0, -1, -math.inf])
async def test_no_time_to_wait_is_time_to_look(timeout: float) -> None:
    mailbox = Mailbox()
    await mailbox.put(1)
    assert await mailbox.receive((int, same), timeout=timeout) == 1
    with pytest.raises(ReceiveTimeout):
        await mailbox.receive((int, same), timeout=timeout)


@pytest.mark.parametrize("timeout", [None, math.inf, 1e300, 10**400])
async def test_an_endless_timeout_is_none(timeout: Any) -> None:
    mailbox = Mailbox()
    async with task_group() as group:
        waiting = Waiting(mailbox, (ANY, same), timeout=timeout)
        group.start_soon(waiting.receive)
        await anyio.wait_all_tasks_blocked()
        await mailbox.put("hello")
        await waiting.done.wait()
    assert waiting.result == "hello"


async def test_a_timeout_that_is_no_number_is_refused() -> None:
    mailbox = Mailbox()
    await mailbox.put(1)
    with pytest.raises(TypeError, match=r"^expected timeout to be a number or None, got str$"):
        await mailbox.receive((ANY, same), timeout="1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^expected timeout to be a number of seconds, got nan$"):
        await mailbox.receive((ANY, same), timeout=math.nan)
    assert len(mailbox) == 1


async def test_the_timeout_does_not_cover_the_handler() -> None:
    mailbox = Mailbox()
    release = anyio.Event()

    async def handler(message: Any) -> Any:
        await release.wait()
        return message

    async with task_group() as group:
        await mailbox.put("hello")
        waiting = Waiting(mailbox, (ANY, handler), timeout=0)
        group.start_soon(waiting.receive)
        with pytest.raises(ReceiveTimeout):
            await Mailbox().receive((ANY, same), timeout=0.01)
        release.set()
        await waiting.done.wait()
    assert waiting.result == "hello"


async def test_a_stream_of_messages_that_do_not_match_does_not_put_off_the_timeout() -> None:
    mailbox = Mailbox()

    async def make_noise() -> None:
        while True:
            mailbox.put_nowait("noise")
            await checkpoint()

    async with task_group() as group:
        group.start_soon(make_noise)
        with pytest.raises(ReceiveTimeout):
            await mailbox.receive((int, same), timeout=0.01)
    mailbox.close()


# Addresses


async def test_a_mailbox_can_be_sent_messages_and_found_by_name() -> None:
    mailbox = Mailbox()
    fauxtp.register("mailbox", mailbox.pid)
    await send("mailbox", 1)
    await send(mailbox.pid, 2)
    fauxtp.unregister("mailbox")
    assert await all_of(mailbox) == [1, 2]


async def test_a_mailbox_can_stand_in_for_a_server() -> None:
    mailbox = Mailbox()

    async def serve() -> None:
        await mailbox.receive((Call, lambda asked: reply(asked, asked.request + 1)))

    async with task_group() as group:
        group.start_soon(serve)
        assert await call(mailbox.pid, 1, timeout=None) == 2


async def test_a_mailbox_that_nobody_has_any_more_is_forgotten() -> None:
    mailbox = Mailbox()
    pid = mailbox.pid
    assert find_queue(pid) is not None
    del mailbox
    gc.collect()
    assert find_queue(pid) is None
    assert pid not in queues


@pytest.mark.parametrize("taken_up", [False, True])
async def test_a_call_to_a_mailbox_that_is_dropped_fails_at_once(taken_up: bool) -> None:
    async with task_group() as group:
        mailbox = Mailbox()
        pid, failed = mailbox.pid, anyio.Event()

        async def ask() -> None:
            with pytest.raises(NoProcess):
                await call(pid, "stats", timeout=None)
            failed.set()

        group.start_soon(ask)
        if taken_up:
            await mailbox.receive((Call, lambda _: None))
        else:
            await anyio.wait_all_tasks_blocked()
        del mailbox
        gc.collect()
        await failed.wait()


async def test_a_call_that_was_given_up_is_offered_to_no_other_pattern() -> None:
    mailbox = Mailbox()
    with pytest.raises(ReceiveTimeout):
        await call(mailbox.pid, "given up", timeout=0)
    await send(mailbox.pid, "message")
    assert await mailbox.receive((Call, same), (ANY, same)) == "message"
    assert await all_of(mailbox) == []


async def test_who_finds_no_message_and_then_one_as_it_begins_to_listen_need_not_wait() -> None:
    mailbox, waiter = Mailbox(), new_waiter()
    assert mailbox._queue.listen(waiter)
    mailbox._queue.stop_listening(waiter)
    mailbox.put_nowait("another thread was quick")
    assert not mailbox._queue.listen(waiter)
    mailbox._queue.stop_listening(waiter)
    mailbox.close()


@pytest.mark.parametrize("max_size", ["1", None, 1.0])
async def test_a_size_that_is_no_int_is_refused(max_size: Any) -> None:
    name = type(max_size).__name__
    with pytest.raises(TypeError, match=rf"^expected max_size to be an int, got {name}$"):
        Mailbox(max_size)


async def test_a_negative_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^expected max_size to be at least 0, got -1$"):
        Mailbox(-1)


# Closing


async def test_closing_wakes_who_receives() -> None:
    mailbox = Mailbox()
    async with task_group() as group:
        receivers = [Waiting(mailbox, (int, same)), Waiting(mailbox, (str, same), timeout=60)]
        for receiver in receivers:
            group.start_soon(receiver.receive)
        await anyio.wait_all_tasks_blocked()
        mailbox.close()
        for receiver in receivers:
            await receiver.done.wait()
            assert isinstance(receiver.result, MailboxClosed)
            assert str(receiver.result) == f"the mailbox of {mailbox.pid!r} is closed"
            assert receiver.result.pid is mailbox.pid


async def test_nothing_can_be_received_from_a_closed_mailbox() -> None:
    mailbox = Mailbox()
    mailbox.close()
    mailbox.close()
    assert mailbox.closed
    with pytest.raises(MailboxClosed):
        await mailbox.receive((ANY, same))
    with pytest.raises(NoProcess):
        await call(mailbox.pid, "stats")


async def test_what_lies_in_a_closed_mailbox_and_what_comes_later_are_dead_letters() -> None:
    mailbox = Mailbox()
    for message in ("kept", "kept too"):
        await mailbox.put(message)
    with pytest.raises(ReceiveTimeout):
        await mailbox.receive((int, same), timeout=0)
    await mailbox.put("new")
    seen: list[DeadLetter] = []
    with dead_letters.observed_by(seen.append):
        mailbox.close()
        send_nowait(mailbox.pid, "late")
        await send(mailbox.pid, "later")
    pid = mailbox.pid
    assert seen == [
        DeadLetter(pid, "kept", "exited"),
        DeadLetter(pid, "kept too", "exited"),
        DeadLetter(pid, "new", "exited"),
        DeadLetter(pid, "late", "noproc"),
        DeadLetter(pid, "later", "noproc"),
    ]


async def test_a_message_whose_matcher_closes_the_mailbox_is_handled_and_no_dead_letter() -> None:
    mailbox = Mailbox()
    await mailbox.put("first")
    await mailbox.put("second")

    def close(message: str) -> bool:
        mailbox.close()
        return True

    seen: list[DeadLetter] = []
    with dead_letters.observed_by(seen.append):
        assert await mailbox.receive((close, same)) == "first"
    assert [letter.message for letter in seen] == ["second"]


@pytest.mark.parametrize("pattern", [5, "ab", (ANY,), (ANY, 5), (ANY, same, same)])
async def test_a_pattern_that_is_no_pair_costs_no_message(pattern: Any) -> None:
    mailbox = Mailbox()
    mailbox.put_nowait("hello")
    said = r"expected (the handler of )?each pattern to be (\(matcher, handler\)|callable), got "
    with pytest.raises(TypeError, match=said):
        await mailbox.receive(pattern)
    assert await all_of(mailbox) == ["hello"]


def test_a_mailbox_that_outlives_its_module_ends_quietly(run: Run) -> None:
    """At the interpreter's end, modules lose their names, and some things are left even then."""
    done = run(
        "from fauxtp import Mailbox\n"
        "from fauxtp._core import mailbox\n"
        "left = Mailbox()\n"
        "vars(mailbox).update(dict.fromkeys(name for name in vars(mailbox) if name[:2] != '__'))\n"
        "del left"
    )
    assert (done.returncode, done.stderr) == (0, "")
