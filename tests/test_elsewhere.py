"""What stands here for a process that is not here is asked where there is no process of here."""

from __future__ import annotations

from contextvars import ContextVar
from functools import partial
from typing import Any

import anyio.to_thread
import pytest
from conftest import task_group
from crew import process_of

from fauxtp import (
    PID,
    Call,
    Cast,
    Down,
    ExitReason,
    GenServer,
    NameTaken,
    NoProcess,
    ReceiveTimeout,
    Ref,
    call,
    call_blocking,
    carry,
    cast,
    cast_nowait,
    dead_letters,
    demonitor,
    exit,
    is_alive,
    join,
    leave,
    link,
    monitor,
    publish,
    send,
    send_nowait,
    start_call,
    unlink,
    wait_exit,
    whereis,
)
from fauxtp._core.elsewhere import Elsewhere
from fauxtp._core.mailbox import places
from fauxtp._core.queue import no_process

pytestmark = pytest.mark.anyio


class Far(Elsewhere):
    """A stand-in that notes what it is asked."""

    __slots__ = ("bound", "calls", "given_up_calls", "lives", "messages", "reasons", "watchers")

    def __init__(self, pid: PID) -> None:
        super().__init__(pid)
        self.messages: list[Any] = []
        self.calls: list[tuple[Call, float | None]] = []
        self.given_up_calls: list[Call] = []
        self.watchers: dict[Ref, Any] = {}
        self.reasons: list[ExitReason] = []
        self.bound: list[Any] = []
        self.lives = True

    def stand_in(self, pid: PID) -> Far:
        return self

    def pass_on(self, message: Any) -> None:
        self.messages.append(message)

    def pass_on_call(self, call: Call, limit: float | None) -> None:
        self.calls.append((call, limit))
        call.take()
        if call.request == "answer":
            call.answer("here")

    def give_up(self, call: Call) -> bool:
        self.given_up_calls.append(call)
        return False

    def watch(self, ref: Ref, watcher: Any) -> bool:
        if self.lives:
            self.watchers[ref] = watcher
        return self.lives

    def unwatch(self, ref: Ref) -> None:
        self.watchers.pop(ref, None)

    def waited_for(self, call: Call) -> None:
        pass

    def request_exit(self, reason: ExitReason) -> bool:
        self.reasons.append(reason)
        return self.lives

    def bind(self, process: Any) -> bool:
        if self.lives:
            self.bound.append(process)
        return self.lives

    def unbind(self, process: Any) -> None:
        self.bound.remove(process)


@pytest.fixture
def far() -> Far:
    pid = PID()
    found = Far(pid)
    places[pid] = found
    return found


class Watcher(GenServer):
    """Watches and links with whom it is told to."""

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        what, whom = request
        return what(whom), state

    async def handle_cast(self, request: Any, state: Any) -> Any:
        request()
        return state

    async def handle_info(self, message: Any, state: Any) -> Any:
        return message


async def test_messages_go_to_what_stands_for_it(far: Far) -> None:
    await send(far.pid, 1)
    send_nowait(far.pid, 2)
    await cast(far.pid, 3)
    cast_nowait(far.pid, 4)
    assert far.messages[:2] == [1, 2]
    assert [message.request for message in far.messages[2:]] == [3, 4]
    assert all(type(message) is Cast for message in far.messages[2:])


async def test_what_messages_carry_here_stays_here(far: Far) -> None:
    user: ContextVar[str] = ContextVar("user")
    carry(user)
    user.set("Anna")
    await send(far.pid, 1)
    send_nowait(far.pid, 2)
    await cast(far.pid, 3)
    assert far.messages[:2] == [1, 2]
    assert type(far.messages[2]) is Cast


async def test_what_is_published_goes_there(far: Far) -> None:
    join("news", far.pid)
    try:
        assert publish("news", "rain") == 1
        assert far.messages == ["rain"]
    finally:
        leave("news", far.pid)


async def test_a_call_goes_there_with_its_time(far: Far) -> None:
    assert await call(far.pid, "answer", timeout=3.0) == "here"
    assert await start_call(far.pid, "answer", timeout=4.0) == "here"
    answer = await anyio.to_thread.run_sync(lambda: call_blocking(far.pid, "answer", 2.0))
    assert answer == "here"
    assert [limit for _, limit in far.calls] == [3.0, 4.0, 2.0]


async def test_who_gives_a_call_up_tells_it(far: Far) -> None:
    with pytest.raises(ReceiveTimeout) as caught:
        await call(far.pid, "wait", timeout=0)
    assert caught.value.taken_up, "nobody here knows that it was not"
    with pytest.raises(ReceiveTimeout):
        await anyio.to_thread.run_sync(lambda: call_blocking(far.pid, "wait", 0))
    start_call(far.pid, "wait").cancel()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await call(far.pid, "wait")
    assert far.given_up_calls == [asked for asked, _ in far.calls]
    assert len(far.given_up_calls) == 4


async def test_where_it_is_known_to_be_gone_there_is_nobody(far: Far) -> None:
    assert is_alive(far.pid)
    far.closed_because = no_process
    assert not is_alive(far.pid)
    with pytest.raises(NoProcess):
        await call(far.pid, "answer")
    before = dead_letters.total()
    await send(far.pid, "hello")
    assert dead_letters.total() == before + 1
    assert (far.messages, far.calls) == ([], [])


async def test_a_monitor_is_told_by_what_stands_for_it(far: Far) -> None:
    async with task_group() as group:
        watcher = await Watcher.start(task_group=group)
        ref = await call(watcher, (monitor, far.pid))
        assert list(far.watchers) == [ref]
        assert await call(watcher, (demonitor, ref))
        assert not far.watchers
        ref = await call(watcher, (monitor, far.pid))
        far.watchers.pop(ref)(far.pid, ExitReason("gone"))
        down = await call(watcher, (lambda _: process_of(watcher).state, None))
        assert down == Down(ref, far.pid, ExitReason("gone"))
        assert not process_of(watcher).monitors


async def test_a_monitor_ends_with_who_watches(far: Far) -> None:
    async with task_group() as group:
        watcher = await Watcher.start(task_group=group)
        await call(watcher, (monitor, far.pid))
        exit(watcher)
        await wait_exit(watcher)
        assert not far.watchers


async def test_who_is_gone_there_is_told_of_at_once(far: Far) -> None:
    far.lives = False
    async with task_group() as group:
        watcher = await Watcher.start(task_group=group)
        ref = await call(watcher, (monitor, far.pid))
        down = await call(watcher, (lambda _: process_of(watcher).state, None))
        assert down == Down(ref, far.pid, ExitReason("noproc"))
        assert not process_of(watcher).monitors
    assert await wait_exit(far.pid) == "noproc"
    assert not exit(far.pid)


async def test_the_end_of_it_is_waited_for(far: Far) -> None:
    with pytest.raises(ReceiveTimeout):
        await wait_exit(far.pid, timeout=0)
    assert not far.watchers
    reasons = []

    async def wait() -> None:
        reasons.append(await wait_exit(far.pid))

    async with task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        ((ref, tell),) = far.watchers.items()
        tell(far.pid, ExitReason("over"))
        await anyio.wait_all_tasks_blocked()
        assert (reasons, ref in far.watchers) == (["over"], False)


async def test_an_exit_is_asked_for_there(far: Far) -> None:
    assert exit(far.pid, "enough")
    assert far.reasons == ["enough"]
    assert far.reasons[0].abnormal
    with pytest.raises(TypeError, match="expected reason to be a str, got int"):
        exit(far.pid, 3)  # type: ignore[arg-type]


async def test_a_link_is_made_there_and_ended(far: Far) -> None:
    async with task_group() as group:
        watcher = await Watcher.start(task_group=group)
        await call(watcher, (link, far.pid))
        assert far.bound == [process_of(watcher)]
        await call(watcher, (unlink, far.pid))
        assert far.bound == []
        far.lives = False
        await cast(watcher, partial(link, far.pid))
        assert await wait_exit(watcher) == "noproc"


class Name(str):
    """A name of elsewhere, of which all is noted."""

    __slots__ = ("claims", "holder")
    holder: PID | None
    claims: list[PID]

    def _fauxtp_whereis(self, _: str) -> PID | None:
        return self.holder

    async def _fauxtp_claim(self, pid: PID) -> bool:
        self.claims.append(pid)
        await anyio.sleep(0)
        if self.holder is not None:
            return False
        self.holder = pid
        return True


def name() -> Name:
    new = Name("billing@shop")
    new.holder, new.claims = None, []
    return new


async def test_a_name_of_elsewhere_is_looked_up_there(far: Far) -> None:
    billing = name()
    with pytest.raises(NoProcess, match="billing@shop"):
        await call(billing, "answer")
    billing.holder = far.pid
    assert await call(billing, "answer") == "here"
    await send(billing, "hello")
    assert far.messages == ["hello"]


async def test_who_starts_under_such_a_name_claims_it_first(far: Far) -> None:
    billing = name()

    class Billing(GenServer):
        async def init(self) -> Any:
            assert billing.holder is self.pid

    async with task_group() as group:
        pid = await Billing.start(task_group=group, register_as=billing)
        assert (billing.claims, whereis(str(billing))) == ([pid], None)
        with pytest.raises(NameTaken) as caught:
            await Billing.start(task_group=group, register_as=billing)
        assert caught.value.holder is pid


async def test_who_claims_a_name_can_be_cancelled() -> None:
    class Slow(Name):
        async def _fauxtp_claim(self, pid: PID) -> bool:
            self.claims.append(pid)
            await anyio.sleep_forever()
            raise AssertionError

    slow = Slow("slow@shop")
    slow.holder, slow.claims = None, []
    async with task_group() as group:
        group.start_soon(lambda: GenServer.start(task_group=group, register_as=slow))
        await anyio.wait_all_tasks_blocked()
        (pid,) = slow.claims
        exit(pid)
        await wait_exit(pid)
        group.cancel_scope.cancel()
