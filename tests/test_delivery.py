"""The way of messages and calls to whom they are for, by both twins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import calls, task_group
from twins_of import form_of

from fauxtp import PID, DeadLetter, GenServer, Mailbox, NoProcess, call, dead_letters
from fauxtp._core.calls import DECLINED, GAVE_WAY, PENDING, Call
from fauxtp._core.process import Process, find_process

pytestmark = pytest.mark.anyio


@pytest.fixture
def delivery(form: str) -> Any:
    """Each implementation: a module with post, attempt and Attempt."""
    return form_of("_messaging.delivery", form)


class Server(GenServer[Any, None]):
    """Calls what it is asked to, in its own task."""

    async def init(self) -> None: ...

    async def handle_call(self, request: Callable[[], Any], from_: Call, state: None) -> Any:
        return request(), state


async def server(group: Any, name: str | None = None) -> tuple[PID, Process]:
    """Start a server, and return it as others and as the runtime know it."""
    pid = await Server.start(task_group=group, register_as=name)
    process = find_process(pid)
    assert process is not None
    return pid, process


@contextmanager
def as_if(process: Process, **state: Any) -> Iterator[None]:
    """Let a process be in that state for a while; it could not end like that."""
    before = {name: getattr(process, name) for name in state}
    try:
        for name, value in state.items():
            setattr(process, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(process, name, value)


async def in_the_server(pid: PID, work: Callable[[], Any]) -> Any:
    """Let a server call something, and return the result, which may be an Attempt."""
    return (await call(pid, lambda: [work()]))[0]


# Posting


@pytest.mark.parametrize("by_name", [False, True])
async def test_a_message_lies_in_the_mailbox_of_a_process(delivery: Any, by_name: bool) -> None:
    async with task_group() as group:
        pid, process = await server(group, "named")
        assert delivery.post("named" if by_name else pid, "hello") is None
        assert len(process.mailbox) == 1


async def test_a_message_lies_in_a_mailbox_that_stands_alone(delivery: Any) -> None:
    mailbox = Mailbox()
    for message in ("first", "second"):
        assert delivery.post(mailbox.pid, message) is None
    assert [await mailbox.receive((str, str)) for _ in range(2)] == ["first", "second"]


class Waiter:
    """Stands in for one who waits for messages."""

    def __init__(self, *, woken: bool, by: Callable[[], object] = list) -> None:
        self.woken, self.by = woken, by
        self.count = 0

    def wake(self) -> None:
        self.count += 1
        self.by()


async def test_a_message_wakes_who_waits_and_is_not_woken_yet(delivery: Any) -> None:
    mailbox, waiters = Mailbox(), (Waiter(woken=False), Waiter(woken=True))
    for message in range(2):  # the first makes the deque, the second finds it
        mailbox._queue.waiting = waiters
        assert delivery.post(mailbox.pid, message) is None
    assert [waiter.count for waiter in waiters] == [2, 0]


async def test_what_comes_in_as_a_mailbox_closes_is_cleared_away(delivery: Any) -> None:
    mailbox, letters = Mailbox(), list[DeadLetter]()
    delivery.post(mailbox.pid, "before")
    mailbox._queue.waiting = (Waiter(woken=False, by=mailbox.close),)
    with dead_letters.observed_by(letters.append):
        delivery.post(mailbox.pid, "late")
    assert {letter.message for letter in letters} == {"before", "late"}
    assert len(mailbox) == 0


async def test_who_is_bounded_or_closed_is_returned_and_has_nothing(
    delivery: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounded = Mailbox(1)
    assert delivery.post(bounded.pid, "hello") is bounded._queue
    assert len(bounded) == 0
    async with task_group() as group:
        for before in (0, 1):
            pid, process = await server(group)
            for _ in range(before):
                delivery.post(pid, "before")
            with monkeypatch.context() as patch:
                patch.setattr(process.mailbox, "closed_because", NoProcess)
                assert delivery.post(pid, "hello") is process.mailbox
            assert len(process.mailbox) == before


@pytest.mark.parametrize("to", [PID(), "nobody"])
async def test_what_is_for_nobody_is_a_dead_letter(delivery: Any, to: PID | str) -> None:
    letters: list[DeadLetter] = []
    with dead_letters.observed_by(letters.append):
        assert delivery.post(to, "hello") is None
    assert letters == [DeadLetter(to, "hello", "noproc")]


@pytest.mark.parametrize(
    ("to", "told"),
    [(None, "NoneType"), (1, "int"), (b"name", "bytes"), (object, "the class object")],
)
async def test_who_is_neither_a_pid_nor_a_name_is_refused(
    delivery: Any, to: Any, told: str
) -> None:
    for attempt in calls(lambda: delivery.post(to, 1), lambda: delivery.attempt(to, 1)):
        with pytest.raises(TypeError, match=f"expected a PID or a name, got {told}"):
            attempt()


# Calling


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("answer", ["the answer", None, PENDING, GAVE_WAY, DECLINED])
async def test_an_idle_process_is_stepped(
    delivery: Any, answer: Any, inside: bool, by_name: bool
) -> None:
    """What is no answer is the outcome of an attempt, and its caller waits."""
    steps: list[Any] = []
    async with task_group() as group:
        pid, process = await server(group, "named")
        caller_pid, caller = await server(group)

        def step(*given: Any) -> Any:
            steps.append((*given, caller.waiting_for))
            return answer

        def ask() -> Any:
            return delivery.attempt("named" if by_name else pid, "request")

        with as_if(process, step=step, idle=True):
            result = await in_the_server(caller_pid, ask) if inside else ask()
        ((stepped, request, by, waited_for),) = steps
        assert stepped is process
        assert by is (caller if inside else None)
        assert (request.request, request.target) == ("request", pid)
        assert request.caller is (caller_pid if inside else None)
        assert waited_for is (request if inside else None)
        if answer in (PENDING, GAVE_WAY, DECLINED):
            assert type(result) is delivery.Attempt
            assert (result.call, result.outcome) == (request, answer)
            assert (result.mailbox, result.process) == (process.mailbox, process)
            assert result.caller is by
            assert caller.waiting_for is waited_for
        else:
            assert result == answer
            assert caller.waiting_for is None


@pytest.mark.parametrize(("idle", "can"), [(False, True), (True, False), (False, False)])
async def test_who_is_not_idle_or_cannot_be_stepped_is_left_alone(
    delivery: Any, idle: bool, can: bool
) -> None:
    async with task_group() as group:
        pid, process = await server(group)
        step = (lambda *_: pytest.fail("stepped")) if can else None
        with as_if(process, idle=idle, step=step):
            result = delivery.attempt(pid, "request")
        assert (result.outcome, result.process) == (DECLINED, process)
        assert result.mailbox is process.mailbox
        assert len(process.mailbox) == 0  # to put it in is the caller's affair


async def test_a_mailbox_that_stands_alone_has_no_process(delivery: Any) -> None:
    mailbox = Mailbox()
    result = delivery.attempt(mailbox.pid, "request")
    assert (result.outcome, result.mailbox, result.process) == (DECLINED, mailbox._queue, None)
    assert (result.call.request, result.call.target) == ("request", mailbox.pid)


@pytest.mark.parametrize("to", [PID(), "nobody"])
async def test_nobody_cannot_be_called(delivery: Any, to: PID | str) -> None:
    with pytest.raises(NoProcess):
        delivery.attempt(to, "request")


async def test_who_is_called_in_vain_is_still_waited_for(delivery: Any) -> None:
    """That is how the death of a target, or an interruption, finds the call."""
    error = KeyError("in vain")

    def step(*_: Any) -> Any:
        raise error

    async with task_group() as group:
        pid, process = await server(group)
        caller_pid, caller = await server(group)

        def ask() -> tuple[Any, Any]:
            with pytest.raises(KeyError) as raised:
                delivery.attempt(pid, "request")
            return raised.value, caller.waiting_for

        with as_if(process, step=step, idle=True):
            raised, waited_for = await in_the_server(caller_pid, ask)
        assert raised is error
        assert waited_for.request == "request"
        caller.waiting_for = None
