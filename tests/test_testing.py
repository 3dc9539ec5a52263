"""The helpers for tests of systems that are built with fauxtp."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from conftest import PATIENCE
from crew import Idle, process_of, running

from fauxtp import (
    ANY,
    PID,
    Actor,
    GenServer,
    Mailbox,
    NoProcess,
    ReceiveTimeout,
    call,
    exit,
    reply,
    send,
)
from fauxtp.testing import TestActor, assert_receives, wait_for, with_timeout

pytestmark = pytest.mark.anyio

SOON = 0.01  # for what is to time out


async def test_with_timeout_returns_what_it_waited_for() -> None:
    async def answer() -> int:
        return 42

    assert await with_timeout(answer()) == 42


async def test_with_timeout_ends_what_takes_too_long() -> None:
    ended = []

    async def forever() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(True)

    with pytest.raises(TimeoutError, match=r"not done within 0\.01 s"):
        await with_timeout(forever(), timeout=SOON)
    assert ended == [True]


async def test_with_timeout_lets_other_errors_through() -> None:
    async def fail() -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        await with_timeout(fail())


async def test_a_condition_that_holds_is_not_waited_for() -> None:
    answers = iter([True, False])
    await wait_for(lambda: next(answers), timeout=0)
    assert next(answers) is False


async def test_a_condition_is_asked_again_until_it_holds() -> None:
    answers = iter([False, None, "yes"])
    await wait_for(lambda: next(answers), interval=0)
    assert next(answers, "none left") == "none left"


async def test_a_condition_is_asked_once_more_at_the_deadline() -> None:
    answers = iter([False, True])
    with anyio.fail_after(PATIENCE):
        await wait_for(lambda: next(answers), timeout=SOON, interval=3600)


async def test_a_condition_may_be_async() -> None:
    answers = iter([False, True])

    async def ask() -> bool:
        await anyio.lowlevel.checkpoint()
        return next(answers)

    await wait_for(ask, interval=0)
    assert next(answers, "none left") == "none left"


async def test_a_condition_that_never_holds_is_a_timeout() -> None:
    with pytest.raises(TimeoutError, match=r"not met within 0\.01 s"):
        await wait_for(lambda: False, timeout=SOON, interval=0.001)


async def test_an_async_condition_that_hangs_is_a_timeout() -> None:
    async def ask() -> bool:
        await anyio.sleep_forever()
        return True

    with pytest.raises(TimeoutError, match=r"not met within 0\.01 s"):
        await wait_for(ask, timeout=SOON)


async def test_what_a_condition_raises_goes_to_the_test() -> None:
    with pytest.raises(ZeroDivisionError):
        await wait_for(lambda: 1 / 0)


async def test_a_mailbox_stands_in_for_a_process() -> None:
    mailbox = Mailbox()
    await send(mailbox.pid, "noise")
    await send(mailbox.pid, ("sum", 3))
    assert await assert_receives(mailbox, (("sum", int), lambda n: n + 1)) == 4
    assert await assert_receives(mailbox, (ANY, str.upper)) == "NOISE"


async def test_an_actor_that_receives_nothing_in_time_fails_the_test() -> None:
    mailbox = Mailbox()
    await send(mailbox.pid, "noise")
    with pytest.raises(TimeoutError) as caught:
        await assert_receives(mailbox, (("sum", int), lambda n: n), timeout=SOON)
    assert isinstance(caught.value, ReceiveTimeout)
    assert caught.value.__notes__ == ["in the mailbox:\n  'noise'"]
    for _ in range(11):
        await send(mailbox.pid, "noise")
    with pytest.raises(ReceiveTimeout) as caught:
        await assert_receives(mailbox, (int, print), timeout=SOON)
    [note] = caught.value.__notes__
    assert note.count("'noise'") == 10
    assert note.endswith("\n  and 2 more")


async def test_what_an_actor_does_not_receive_is_shown() -> None:
    async with running() as group:
        pid = await Idle.start(task_group=group)
        actor: Any = process_of(pid).actor
        await send(pid, ("log in", "anna"))
        with pytest.raises(ReceiveTimeout) as caught:
            await assert_receives(actor, (int, print), timeout=SOON)
        assert caught.value.__notes__ == ["in the mailbox:\n  ('log in', 'anna')"]
        exit(pid)


async def test_a_slow_handler_is_not_a_message_that_did_not_come() -> None:
    async def take_long(message: Any) -> Any:
        await anyio.sleep(SOON * 2)
        return message

    mailbox = Mailbox()
    await send(mailbox.pid, "hello")
    assert await assert_receives(mailbox, (str, take_long), timeout=SOON) == "hello"


async def test_an_actor_can_check_its_own_mailbox() -> None:
    results = []

    class Checker(Actor):
        async def run(self, state: Any) -> Any:
            results.append(await assert_receives(self, (int, lambda n: n * 2)))
            self.stop()

    async with anyio.create_task_group() as task_group:
        await send(await Checker.start(task_group=task_group), 21)
    assert results == [42]


async def test_a_test_actor_collects_what_it_is_sent() -> None:
    async with anyio.create_task_group() as task_group:
        pid = await TestActor.start(task_group=task_group, register_as="test:collector")
        collector = TestActor.of(pid)
        for message in ("one", ("two", 2)):
            await send("test:collector", message)
        await wait_for(lambda: len(collector.get_messages()) == 2)
        assert collector.get_messages() == ["one", ("two", 2)]
        exit(pid)


async def test_the_messages_of_a_test_actor_are_a_copy() -> None:
    actor = TestActor()
    actor.messages.append("one")
    actor.get_messages().clear()
    assert actor.get_messages() == ["one"]
    actor.clear_messages()
    assert actor.get_messages() == []


async def test_a_test_actor_can_answer_a_call_as_the_test_likes() -> None:
    answers = []

    async def ask() -> None:
        answers.append(await call("test:server", "stats"))

    async with anyio.create_task_group() as task_group:
        pid = await TestActor.start(task_group=task_group, register_as="test:server")
        async with anyio.create_task_group() as caller:
            caller.start_soon(ask)
            await wait_for(TestActor.of(pid).get_messages)
            [asked] = TestActor.of(pid).get_messages()
            assert asked.request == "stats"
            reply(asked, "none")
        exit(pid)
    assert answers == ["none"]


async def test_a_test_actor_is_found_by_its_pid_only_if_it_is_one() -> None:
    with pytest.raises(NoProcess):
        TestActor.of(PID())
    async with anyio.create_task_group() as task_group:
        pid = await GenServer.start(task_group=task_group)
        with pytest.raises(TypeError, match=r"expected <PID .*> to be a TestActor, got GenServer"):
            TestActor.of(pid)
        exit(pid)


class OfOurOwn(TestActor):
    """The way it was done before there was `TestActor.of`."""

    created: list[OfOurOwn] = []  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.created.append(self)


async def test_a_test_actor_can_be_subclassed() -> None:
    async with anyio.create_task_group() as task_group:
        pid = await OfOurOwn.start(task_group=task_group)
        assert OfOurOwn.created.pop() is OfOurOwn.of(pid)
        exit(pid)


async def test_what_is_no_time_is_refused() -> None:
    nan = float("nan")
    for timeout, error in (("soon", TypeError), (None, TypeError), (nan, ValueError)):
        waiting = anyio.sleep(0)
        with pytest.raises(error, match=r"expected timeout to be .* got "):
            await with_timeout(waiting, timeout)  # type: ignore[arg-type]
        waiting.close()
        with pytest.raises(error, match=r"expected timeout to be .* got "):
            await wait_for(lambda: False, timeout)  # type: ignore[arg-type]
        with pytest.raises(error, match=r"expected interval to be .* got "):
            await wait_for(lambda: False, SOON, timeout)  # type: ignore[arg-type]
    with pytest.raises(TimeoutError):
        await wait_for(lambda: False, SOON, -1.0)


async def test_what_helps_nobody_is_refused() -> None:
    with pytest.raises(TypeError, match="expected coro to be awaitable, got int"):
        await with_timeout(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected condition to be callable, got bool"):
        await wait_for(True)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected actor to be an actor or a Mailbox, got PID"):
        await assert_receives(Mailbox().pid, (ANY, print))  # type: ignore[arg-type]
    pids: list[Any] = ["kvstore", []]
    for pid in pids:
        with pytest.raises(TypeError, match="expected pid to be a PID, got "):
            TestActor.of(pid)


async def test_a_message_that_could_be_awaited_is_collected_as_it_is() -> None:
    message = anyio.sleep_forever()
    async with anyio.create_task_group() as task_group:
        pid = await TestActor.start(task_group=task_group)
        await send(pid, message)
        await wait_for(TestActor.of(pid).get_messages)
        assert TestActor.of(pid).get_messages() == [message]
        exit(pid)
    message.close()
