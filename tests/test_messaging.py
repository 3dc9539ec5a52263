"""Sending, casting and calling: who is reached, in which order, and what a bad input says."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest
from conftest import task_group

from fauxtp import (
    ANY,
    Actor,
    Call,
    Cast,
    GenServer,
    Mailbox,
    NoProcess,
    ReceiveTimeout,
    call,
    call_blocking,
    cast,
    cast_nowait,
    dead_letters,
    exit,
    register,
    reply,
    send,
    send_nowait,
    unregister,
    wait_exit,
)
from fauxtp.registry import PID

pytestmark = pytest.mark.anyio


class Recorder(GenServer[Any, list[Any]]):
    """A server that notes what it handles, and tells when asked for it."""

    async def init(self) -> list[Any]:
        return []

    async def handle_call(self, request: Any, from_: Call, state: list[Any]) -> Any:
        return list(state), [*state, ("call", request)]

    async def handle_cast(self, request: Any, state: list[Any]) -> list[Any]:
        return [*state, ("cast", request)]

    async def handle_info(self, message: Any, state: list[Any]) -> list[Any]:
        return [*state, ("info", message)]


class Gate(GenServer[Any, list[Any]]):
    """A server that is busy from a cast until its event is set, and notes what it is asked."""

    def __init__(self) -> None:
        self.busy, self.release = anyio.Event(), anyio.Event()
        self.asked: list[Any] = []

    async def handle_cast(self, request: Any, state: Any) -> Any:
        self.busy.set()
        await self.release.wait()
        return state

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        self.asked.append(request)
        return request, state


async def start_gate(group: Any) -> tuple[Gate, PID]:
    """Start a gate that is busy, and return it with its PID."""
    gates: list[Gate] = []

    class OneGate(Gate):
        async def init(self) -> Any:
            gates.append(self)
            return []

    pid = await OneGate.start(task_group=group)
    await cast(pid, "be busy")
    await gates[0].busy.wait()
    return gates[0], pid


# Reaching somebody


async def test_messages_reach_a_process_by_pid_and_by_name_in_order() -> None:
    async with task_group() as group:
        pid = await Recorder.start(task_group=group, register_as="recorder")
        await send(pid, 1)
        await cast("recorder", 2)
        send_nowait("recorder", 3)
        cast_nowait(pid, 4)
        assert await call("recorder", "stats", timeout=None) == [
            ("info", 1),
            ("cast", 2),
            ("info", 3),
            ("cast", 4),
        ]
        assert (await call(pid, "again", timeout=None))[-1] == ("call", "stats")


async def test_a_name_means_the_process_that_has_it_now() -> None:
    first, second = Mailbox(), Mailbox()
    for number, mailbox in enumerate((first, second)):
        register("name", mailbox.pid)
        await send("name", number)
        unregister("name")
    assert await first.receive((ANY, lambda message: message)) == 0
    assert await second.receive((ANY, lambda message: message)) == 1


async def test_messages_from_one_process_to_another_arrive_in_the_order_they_were_sent() -> None:
    class Sender(Actor):
        async def run(self, state: Any) -> Any:
            for number in range(100):
                await (send, cast)[number % 2]("recorder", (self.pid, number, "a"))
                (send_nowait, cast_nowait)[number % 2]("recorder", (self.pid, number, "b"))
            self.stop()

    async with task_group() as group:
        await Recorder.start(task_group=group, register_as="recorder")
        senders = [await Sender.start(task_group=group) for _ in range(3)]
        for sender in senders:
            await wait_exit(sender)
        got = [message for _, message in await call("recorder", "all", timeout=None)]
        for sender in senders:
            mine = [(number, which) for who, number, which in got if who is sender]
            assert mine == [(number, which) for number in range(100) for which in "ab"]


async def test_who_only_sends_does_not_keep_the_reader_from_reading() -> None:
    mailbox, read = Mailbox(), anyio.Event()

    async def read_one() -> None:
        await mailbox.receive((ANY, lambda _: read.set()))

    async with task_group() as group:
        group.start_soon(read_one)
        while not read.is_set():
            await send(mailbox.pid, "hello")
    mailbox.close()


async def test_a_send_that_is_cancelled_has_sent_nothing() -> None:
    mailbox = Mailbox()
    sent = 0
    with anyio.CancelScope() as scope:
        scope.cancel()
        while True:  # until the event loop has its turn
            await send(mailbox.pid, "hello")
            sent += 1
    assert len(mailbox) == sent
    mailbox.close()


# Nobody there


@pytest.mark.parametrize("ask", [call, call_blocking])
async def test_a_call_to_nobody_raises_at_once(ask: Any) -> None:
    async def attempt(to: Any) -> None:
        if ask is call:
            await call(to, "stats", timeout=None)
        else:
            await anyio.to_thread.run_sync(call_blocking, to, "stats", None)

    stranger = PID()
    with pytest.raises(NoProcess, match=r"^no living process behind 'nobody'$") as caught:
        await attempt("nobody")
    assert caught.value.to == "nobody"
    with pytest.raises(NoProcess, match=rf"^no living process behind {stranger!r}$") as caught:
        await attempt(stranger)
    assert caught.value.to is stranger


async def test_a_call_to_a_process_that_has_ended_raises_at_once() -> None:
    async with task_group() as group:
        pid = await Recorder.start(task_group=group)
        exit(pid)
        await wait_exit(pid)
        with pytest.raises(NoProcess):
            await call(pid, "stats", timeout=None)
        with pytest.raises(NoProcess):
            await anyio.to_thread.run_sync(call_blocking, pid, "stats", None)


async def test_a_call_to_a_name_that_a_corpse_or_nothing_stands_behind_raises_at_once() -> None:
    register("plain", PID())
    with pytest.raises(NoProcess, match="'plain'"):
        await call("plain", "stats", timeout=None)
    unregister("plain")


# Bad inputs

EVERY: list[Callable[[Any], Awaitable[Any]]] = [
    lambda to: send(to, 1),
    lambda to: cast(to, 1),
    lambda to: call(to, 1),
    lambda to: anyio.to_thread.run_sync(send_nowait, to, 1),
    lambda to: anyio.to_thread.run_sync(cast_nowait, to, 1),
    lambda to: anyio.to_thread.run_sync(call_blocking, to, 1),
]


@pytest.mark.parametrize("attempt", EVERY)
@pytest.mark.parametrize("to", [None, 1, b"name", ["name"], object()])
async def test_whoever_is_neither_a_pid_nor_a_name_is_refused(attempt: Any, to: Any) -> None:
    text = f"^expected a PID or a name, got {type(to).__name__}$"
    before = dead_letters.total()
    with pytest.raises(TypeError, match=text):
        await attempt(to)
    assert dead_letters.total() == before


@pytest.mark.parametrize("attempt", EVERY)
async def test_an_empty_name_is_refused_as_by_whereis(attempt: Any) -> None:
    with pytest.raises(ValueError, match="name"):
        await attempt("")


@pytest.mark.parametrize("ask", [call, call_blocking])
async def test_a_timeout_that_is_no_number_is_refused_and_nothing_is_sent(ask: Any) -> None:
    mailbox = Mailbox()

    async def attempt(timeout: Any) -> None:
        if ask is call:
            await call(mailbox.pid, 1, timeout=timeout)
        else:
            await anyio.to_thread.run_sync(call_blocking, mailbox.pid, 1, timeout)

    for bad in ("5", [5], 5j):
        text = f"^expected timeout to be a number or None, got {type(bad).__name__}$"
        with pytest.raises(TypeError, match=text):
            await attempt(bad)
    with pytest.raises(ValueError, match=r"^expected timeout to be a number of seconds, got nan$"):
        await attempt(math.nan)
    assert len(mailbox) == 0


async def test_call_blocking_is_refused_where_it_would_block_the_event_loop() -> None:
    text = "^call_blocking would block the event loop; await call instead$"
    with pytest.raises(RuntimeError, match=text):
        call_blocking("nobody", "stats")


async def test_reply_wants_a_call() -> None:
    with pytest.raises(TypeError, match=r"^expected from_ to be a Call, got str$"):
        reply("from", 1)  # type: ignore[arg-type]


def test_what_lies_in_a_mailbox_has_a_readable_text() -> None:
    assert repr(Cast("reset")) == "Cast('reset')"
    assert repr(Call("stats", PID(), None)) == "Call('stats')"


# Timeouts


NOT = "the request was not taken up, and never will be"


async def test_a_call_that_timed_out_before_it_was_taken_up_is_never_executed() -> None:
    async with task_group() as group:
        gate, pid = await start_gate(group)
        with pytest.raises(
            ReceiveTimeout, match=rf"^no answer from <PID \d+> within 0\.01 s: {NOT}$"
        ):
            await call(pid, "in vain", timeout=0.01)
        with pytest.raises(
            ReceiveTimeout, match=rf"^no answer from <PID \d+> within 0\.01 s: {NOT}$"
        ):
            await anyio.to_thread.run_sync(call_blocking, pid, "in vain, too", 0.01)
        gate.release.set()
        assert await call(pid, "in time", timeout=None) == "in time"
        assert gate.asked == ["in time"]


@pytest.mark.parametrize("timeout", [0, 0.0, -1, -math.inf])
async def test_a_call_without_time_gives_up_and_is_never_executed(timeout: float) -> None:
    async with task_group() as group:
        gate, pid = await start_gate(group)
        with pytest.raises(ReceiveTimeout):
            await call(pid, "in vain", timeout=timeout)
        with pytest.raises(ReceiveTimeout):
            await anyio.to_thread.run_sync(call_blocking, pid, "in vain", timeout)
        gate.release.set()
        assert await call(pid, "in time", timeout=None) == "in time"
        assert gate.asked == ["in time"]


@pytest.mark.parametrize("timeout", [None, math.inf, 1e300, 10**400])
async def test_a_call_may_wait_for_ever(timeout: Any) -> None:
    async with task_group() as group:
        pid = await Recorder.start(task_group=group)
        assert await call(pid, "stats", timeout=timeout) == []
        assert len(await anyio.to_thread.run_sync(call_blocking, pid, "stats", timeout)) == 1


async def test_a_caller_that_is_cancelled_counts_as_timed_out() -> None:
    async with task_group() as group:
        gate, pid = await start_gate(group)
        async with anyio.create_task_group() as callers:
            callers.start_soon(call, pid, "in vain", None)
            await anyio.wait_all_tasks_blocked()
            callers.cancel_scope.cancel()
        gate.release.set()
        assert await call(pid, "in time", timeout=None) == "in time"
        assert gate.asked == ["in time"]


async def test_a_call_whose_caller_gave_up_is_not_received_by_pattern_either() -> None:
    mailbox = Mailbox()
    with pytest.raises(ReceiveTimeout):
        await call(mailbox.pid, "in vain", timeout=0)
    with pytest.raises(ReceiveTimeout):
        await mailbox.receive((Call, lambda asked: asked), timeout=0)
    assert len(mailbox) == 0


async def test_a_handler_that_has_begun_is_not_interrupted_by_the_callers_timeout() -> None:
    begun, release = anyio.Event(), anyio.Event()

    class Slow(Recorder):
        async def handle_call(self, request: Any, from_: Call, state: list[Any]) -> Any:
            if request == "slow":
                begun.set()
                await release.wait()
                return "too late", [*state, "ended"]
            return state, state

    async with task_group() as group:
        pid = await Slow.start(task_group=group)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as callers:
                callers.start_soon(call, pid, "slow", None)
                await begun.wait()
                scope.cancel()
        late = dead_letters.counts().get("late reply", 0)
        release.set()
        assert await call(pid, "stats", timeout=None) == ["ended"]
        assert dead_letters.counts()["late reply"] == late + 1
