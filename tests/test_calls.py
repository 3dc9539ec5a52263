"""Nothing waits for the dead, nor for itself: how calls fail."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio import from_thread
from conftest import task_group
from crew import Puppet, process_of

from fauxtp import (
    NO_REPLY,
    Actor,
    Call,
    CallCycle,
    GenServer,
    Mailbox,
    NoProcess,
    ProcessExited,
    call,
    call_blocking,
    cast,
    exit,
    process_info,
    reply,
    wait_exit,
)
from fauxtp._messaging import sending as messaging
from fauxtp._messaging.delivery import attempt
from fauxtp.registry import PID

pytestmark = pytest.mark.anyio


class Boom(Exception):
    pass


class Fragile(GenServer[Any, Any]):
    """A server that never answers "wait" or "defer", and crashes on any cast."""

    def __init__(self) -> None:
        self.handling, self.release = anyio.Event(), anyio.Event()

    async def init(self) -> Any:
        return self

    async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
        if request == "defer":
            return NO_REPLY, state
        if request == "self":
            return self, state
        self.handling.set()
        await self.release.wait()
        raise Boom(request)

    async def handle_cast(self, request: Any, state: Any) -> Any:
        raise Boom(request)


class Callers:
    """Tasks and threads that call, and the errors that they get."""

    def __init__(self, group: Any) -> None:
        self.group = group
        self.errors: list[BaseException] = []
        self.waiting = 0
        self.all_failed = anyio.Event()

    def call(self, to: Any, request: Any, blocking: bool = False) -> None:
        self.waiting += 1
        self.group.start_soon(self._call, to, request, blocking)

    async def _call(self, to: Any, request: Any, blocking: bool) -> None:
        try:
            if blocking:
                await anyio.to_thread.run_sync(call_blocking, to, request, None)
            else:
                await call(to, request, timeout=None)
        except Exception as error:
            self.errors.append(error)
        if len(self.errors) == self.waiting:
            self.all_failed.set()


# Death


async def test_a_process_that_crashes_fails_all_its_waiting_callers_with_the_real_cause() -> None:
    async with task_group() as group:
        pid, callers = await Fragile.start(task_group=group), Callers(group)
        server: Fragile = await call(pid, "self", timeout=None)
        for request in ("defer", "defer", "in the handler", "in the mailbox", "in the mailbox"):
            callers.call(pid, request)
            await anyio.wait_all_tasks_blocked()
        await server.handling.wait()
        server.release.set()
        await callers.all_failed.wait()
        assert len(callers.errors) == 5
        causes = {error.__cause__ for error in callers.errors}
        assert len(causes) == 1
        assert isinstance(causes.pop(), Boom)
        assert len(set(map(id, callers.errors))) == 5
        for error in callers.errors:
            assert isinstance(error, ProcessExited)
            assert error.pid is pid
            assert error.reason == "error: Boom('in the handler')"
            assert str(error) == f"{pid!r} exited: error: Boom('in the handler')"


async def test_callers_in_threads_hear_of_the_death_too() -> None:
    async with task_group() as group:
        pid, callers = await Fragile.start(task_group=group), Callers(group)
        server: Fragile = await call(pid, "self", timeout=None)
        callers.call(pid, "in the handler", blocking=True)
        await server.handling.wait()
        callers.call(pid, "in the mailbox", blocking=True)
        server.release.set()
        await callers.all_failed.wait()
        exits = [error for error in callers.errors if not isinstance(error, NoProcess)]
        assert exits
        for error in exits:
            assert isinstance(error, ProcessExited)
            assert isinstance(error.__cause__, Boom)


async def test_callers_of_a_process_that_is_ended_hear_the_reason() -> None:
    async with task_group() as group:
        pid, callers = await Fragile.start(task_group=group), Callers(group)
        for request in ("defer", "in the handler", "in the mailbox"):
            callers.call(pid, request)
            await anyio.wait_all_tasks_blocked()
        exit(pid, "no longer needed")
        await callers.all_failed.wait()
        assert [str(e.reason) for e in callers.errors if isinstance(e, ProcessExited)] == [
            "no longer needed"
        ] * 3
        assert all(error.__cause__ is None for error in callers.errors)


async def test_a_deferred_call_that_was_answered_is_not_failed_at_death() -> None:
    async with task_group() as group:
        answers: list[Any] = []
        asked: list[Call] = []

        class Later(Fragile):
            async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
                asked.append(from_)
                return NO_REPLY, state

        async def ask() -> None:
            answers.append(await call(pid, "later", timeout=None))

        pid = await Later.start(task_group=group)
        async with anyio.create_task_group() as askers:
            askers.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            assert reply(asked[0], "in time")
            exit(pid)
        assert answers == ["in time"]


async def test_a_call_that_an_actor_received_by_pattern_fails_when_the_actor_ends() -> None:
    class Picky(Actor):
        async def run(self, state: Any) -> Any:
            await self.receive((Call, lambda _: None))
            raise Boom

    async with task_group() as group:
        pid = await Picky.start(task_group=group)
        with pytest.raises(ProcessExited) as caught:
            await call(pid, "stats", timeout=None)
        assert isinstance(caught.value.__cause__, Boom)


async def test_a_call_that_was_received_by_pattern_fails_when_the_mailbox_is_closed() -> None:
    mailbox = Mailbox()
    async with task_group() as group:
        callers = Callers(group)
        for number in range(40):
            callers.call(mailbox.pid, number)
            asked = await mailbox.receive((Call, lambda asked: asked))
            if number % 4:
                reply(asked, "fine")
                callers.waiting -= 1
        mailbox.close()
        await callers.all_failed.wait()
        assert [type(error) for error in callers.errors] == [NoProcess] * 10


async def test_a_server_that_crashes_under_load_leaves_no_caller_waiting() -> None:
    async with task_group() as group:
        pid, callers = await Fragile.start(task_group=group), Callers(group)
        for number in range(60):
            callers.call(pid, "defer", blocking=number % 3 == 0)
        await anyio.wait_all_tasks_blocked()
        await cast(pid, "crash")
        await callers.all_failed.wait()
        assert {type(error) for error in callers.errors} <= {ProcessExited, NoProcess}


# Circles


class Relay(GenServer[Any, Any]):
    """A server that hands a call on to the next of a route; at its end there is the answer."""

    async def handle_call(self, request: list[Any], from_: Call, state: Any) -> Any:
        if not request:
            return "arrived", state
        try:
            return await call(request[0], request[1:], timeout=None), state
        except CallCycle as cycle:
            return cycle, state


async def test_a_process_that_calls_itself_is_told_at_once() -> None:
    async with task_group() as group:
        pid = await Relay.start(task_group=group)
        cycle = await call(pid, [pid], timeout=None)
        assert isinstance(cycle, CallCycle)
        assert cycle.circle == [pid, pid]
        assert str(cycle) == f"a wait in a circle: {pid!r} -> {pid!r}"
        named = await Relay.start(task_group=group, register_as="relay")
        cycle = await call(named, [pid, named], timeout=None)
        assert str(cycle) == f"a wait in a circle: {pid!r} -> 'relay' {named!r} -> {pid!r}"


async def test_who_was_interrupted_as_a_call_began_waits_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As by a signal handler that raises, just when `attempt` has returned."""

    def interrupted(to: PID | str, request: Any) -> Any:
        attempt(to, request)
        raise Boom

    class Busy(GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            with monkeypatch.context() as context:
                context.setattr(messaging, "attempt", interrupted)
                with pytest.raises(Boom):
                    await call(self.pid, request)
            return process_of(self.pid).waiting_for, state

    async with task_group() as group:
        assert await call(await Busy.start(task_group=group), "anything") is None


@pytest.mark.parametrize("length", [2, 3])
async def test_a_circle_of_calls_is_told_at_once(length: int) -> None:
    async with task_group() as group:
        relays = [await Relay.start(task_group=group) for _ in range(length)]
        cycle = await call(relays[0], [*relays[1:], relays[0]], timeout=None)
        assert isinstance(cycle, CallCycle)
        assert cycle.circle == [relays[-1], *relays]
        assert await call(relays[0], relays[1:], timeout=None) == "arrived"


async def test_a_circle_is_found_by_name_too() -> None:
    async with task_group() as group:
        pid = await Relay.start(task_group=group, register_as="relay")
        cycle = await call("relay", ["relay"], timeout=None)
        assert cycle.circle == [pid, pid]


async def test_a_circle_across_threads_is_told_at_once() -> None:
    async def live_there(started: Any, stop: Any) -> None:
        async with anyio.create_task_group() as there:
            started(await Relay.start(task_group=there))
            await stop()
            there.cancel_scope.cancel()

    def thread(backend: str, box: Mailbox, stop: Mailbox) -> None:
        async def tell(pid: PID) -> None:
            box.put_nowait(pid)

        anyio.run(
            live_there,
            box.put_nowait,
            lambda: stop.receive((str, lambda text: text)),
            backend=backend,
        )

    async with task_group() as group:
        here, pids = await Relay.start(task_group=group), []
        for backend in ("asyncio", "trio"):
            box, stop = Mailbox(), Mailbox()
            group.start_soon(anyio.to_thread.run_sync, thread, backend, box, stop)
            pids.append((await box.receive((PID, lambda pid: pid)), stop))
        (first, stop_first), (second, stop_second) = pids
        cycle = await call(here, [first, second, here], timeout=None)
        assert isinstance(cycle, CallCycle)
        assert cycle.circle == [second, here, first, second]
        stop_first.put_nowait("stop")
        stop_second.put_nowait("stop")


async def test_a_process_that_waits_for_a_deferred_answer_can_be_called_by_who_owes_it() -> None:
    class Owing(Relay):
        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            owed.put_nowait(from_)
            return NO_REPLY, state

        async def handle_cast(self, request: PID, state: Any) -> Any:
            done.put_nowait(await call(request, [], timeout=None))

    class Asker(Relay):
        async def handle_cast(self, request: PID, state: Any) -> Any:
            done.put_nowait(await call(request, "later", timeout=None))

    owed, done = Mailbox(), Mailbox()
    async with task_group() as group:
        owing, asker = [await cls.start(task_group=group) for cls in (Owing, Asker)]
        await cast(asker, owing)
        from_ = await owed.receive((lambda _: True, lambda call: call))
        await cast(owing, asker)
        await anyio.wait_all_tasks_blocked()  # each waits for the other, but one is promised
        reply(from_, "later has come")
        for answer in ("later has come", "arrived"):
            assert await done.receive((str, lambda answer: answer)) == answer


async def test_who_waits_for_a_deferred_answer_can_be_called_by_child_tasks_of_the_other() -> None:
    class Server(Relay):
        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            self.start_soon_child(self.answer_later, from_)
            return NO_REPLY, state

        async def answer_later(self, from_: Call) -> None:
            reply(from_, await call(self.pid_of_third, [], timeout=None))

        @property
        def pid_of_third(self) -> PID:
            return third

    async with task_group() as group:
        third = await Relay.start(task_group=group)
        server = await Server.start(task_group=group)
        relay = await Relay.start(task_group=group)
        assert await call(relay, [server], timeout=None) == "arrived"


async def test_a_child_task_of_a_process_may_call_the_process() -> None:
    class Parent(Relay):
        async def handle_cast(self, request: Any, state: Any) -> Any:
            self.start_soon_child(self.ask_myself)

        async def ask_myself(self) -> None:
            done.put_nowait(await call(self.pid, [], timeout=None))

    done = Mailbox()
    async with task_group() as group:
        await cast(await Parent.start(task_group=group), "go")
        assert await done.receive((str, lambda answer: answer)) == "arrived"


async def test_a_caller_that_has_its_answer_already_can_be_called_back() -> None:
    class Answering(Relay):
        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            reply(from_, "arrived")  # the caller cannot run before the next line
            done.put_nowait(await call(request, [], timeout=None))
            return NO_REPLY, state

    class Asker(Relay):
        async def handle_cast(self, request: PID, state: Any) -> Any:
            await call(request, self.pid, timeout=None)

    done = Mailbox()
    async with task_group() as group:
        answering, asker = [await cls.start(task_group=group) for cls in (Answering, Asker)]
        await cast(asker, answering)
        assert await done.receive((str, lambda answer: answer)) == "arrived"


async def test_a_call_that_failed_leaves_no_trace_that_makes_a_circle() -> None:
    async with task_group() as group:
        first, second = [await Relay.start(task_group=group) for _ in range(2)]
        silent = Mailbox()
        gone = await Relay.start(task_group=group)
        exit(gone)
        await wait_exit(gone)

        class Asker(Relay):
            async def handle_cast(self, request: Any, state: Any) -> Any:
                with pytest.raises(NoProcess):
                    await call(gone, [], timeout=None)
                with pytest.raises(TimeoutError):
                    await call(silent.pid, [], timeout=0)
                done.set()

        done = anyio.Event()
        asker = await Asker.start(task_group=group)
        await cast(asker, "go")
        await done.wait()
        assert process_info(asker).waiting_for is None
        assert await call(first, [second, asker], timeout=None) == "arrived"
        assert await call(asker, [first, second], timeout=None) == "arrived"


async def test_a_worker_thread_of_a_handler_may_call_others() -> None:
    class Offloading(Relay):
        async def handle_call(self, request: Any, from_: Call, state: Any) -> Any:
            return await anyio.to_thread.run_sync(self.work, request), state

        def work(self, other: PID) -> list[Any]:
            direct = call_blocking(other, [], timeout=None)
            return [direct, from_thread.run(call, other, [], None)]

    async with task_group() as group:
        relay = await Relay.start(task_group=group)
        offloading = await Offloading.start(task_group=group)
        assert await call(offloading, relay, timeout=None) == ["arrived", "arrived"]


async def test_a_call_that_fails_in_a_task_beside_an_actor_ends_none_of_its_own() -> None:
    asked, failed = anyio.Event(), anyio.Event()

    async def answer() -> str:
        asked.set()
        await failed.wait()
        return "answer"

    async def fail() -> None:
        await asked.wait()
        with pytest.raises(TypeError):
            await call(slow, answer, timeout="5")  # type: ignore[call-overload]
        failed.set()

    async def ask() -> Any:
        async with anyio.create_task_group() as beside:
            beside.start_soon(fail)
            return await call(slow, answer)

    async with task_group() as group:
        slow = await Puppet.start(task_group=group)
        actor = await Puppet.start(task_group=group)
        assert await call(actor, ask) == "answer"
