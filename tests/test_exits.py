"""Monitors, links and exits: who hears of an end, and who is taken along."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest
from crew import Boom, Idle, Puppet, Trapper, boom, end_of, pid_of, process_of, running

from fauxtp import (
    ANY,
    PID,
    Actor,
    Call,
    Down,
    Exit,
    ExitReason,
    GenServer,
    Mailbox,
    NoProcess,
    ReceiveTimeout,
    Ref,
    call,
    cast,
    cast_nowait,
    demonitor,
    exit,
    is_alive,
    link,
    monitor,
    process_info,
    register,
    send,
    send_nowait,
    unlink,
    unregister,
    wait_exit,
)
from fauxtp._actors.lifecycle import launch
from fauxtp._actors.task import TaskEnd

pytestmark = pytest.mark.anyio


def itself(message: Any) -> Any:
    return message


async def heard(mailbox: Mailbox) -> list[Any]:
    """Return the messages that came so far, without waiting for more."""
    await anyio.wait_all_tasks_blocked()
    return [await mailbox.receive((ANY, itself)) for _ in range(len(mailbox))]


# Monitors


async def test_a_monitor_tells_of_the_end_once() -> None:
    outside = Mailbox()
    async with running() as task_group:
        watcher = await Puppet.start(outside=outside, task_group=task_group)
        watched = await Puppet.start(task_group=task_group, register_as="watched")
        ref = await call(watcher, lambda: monitor("watched"))
        assert isinstance(ref, Ref)
        await cast(watched, boom)
        await wait_exit(watched)
        [down] = await heard(outside)
        assert (down.ref, down.pid, down.reason) == (ref, watched, "error: Boom()")
        assert isinstance(down.reason.exception, Boom)
        assert await call(watcher, lambda: demonitor(ref)) is False


async def test_a_monitor_of_what_is_gone_tells_at_once() -> None:
    outside = Mailbox()
    async with running() as task_group:
        watcher = await Puppet.start(outside=outside, task_group=task_group)
        gone = await Puppet.start(task_group=task_group)
        exit(gone)
        await wait_exit(gone)
        refs = [await call(watcher, lambda to=to: monitor(to)) for to in (gone, "nobody")]
        first, second = await heard(outside)
        assert first == Down(refs[0], gone, ExitReason("noproc"))
        assert second == Down(refs[1], second.pid, ExitReason("noproc"), "nobody")


async def test_a_monitor_tells_a_pid_and_the_name_if_it_was_told_one() -> None:
    outside = Mailbox()
    async with running() as task_group:
        watcher = await Puppet.start(outside=outside, task_group=task_group)
        watched = await Puppet.start(task_group=task_group, register_as="watched")
        for to in (watched, "watched", "nobody"):
            await call(watcher, lambda to=to: monitor(to))
        exit(watched)
        downs = sorted(await heard(outside), key=lambda down: str(down.name))
        assert [(type(down.pid), down.name) for down in downs] == [
            (PID, None),
            (PID, "nobody"),
            (PID, "watched"),
        ]
        assert [down.pid is watched for down in downs] == [True, False, True]


async def test_nobody_is_no_process_and_never_will_be_one() -> None:
    outside = Mailbox()
    async with running() as task_group:
        watcher = await Puppet.start(outside=outside, task_group=task_group)
        await call(watcher, lambda: monitor("nobody"))
        [down] = await heard(outside)
        assert not is_alive(down.pid)
        with pytest.raises(NoProcess):
            register("nobody", down.pid)


async def test_who_comes_too_late_to_watch_is_told_so() -> None:
    told: list[PID] = []
    async with running() as task_group:
        process = process_of(await Idle.start(task_group=task_group))
        exit(process.pid)
        await wait_exit(process.pid)
        # As a monitor in another thread that found the process before its death:
        assert process.watch(Ref(), lambda pid, _: told.append(pid)) is False
        assert told == []
        assert process.watchers == {}


async def test_each_monitor_is_one_of_its_own() -> None:
    outside = Mailbox()
    async with running() as task_group:
        watcher = await Puppet.start(outside=outside, task_group=task_group)
        watched = await Puppet.start(task_group=task_group)
        one, two, three = [await call(watcher, lambda: monitor(watched)) for _ in range(3)]
        assert await call(watcher, lambda: demonitor(two)) is True
        assert await call(watcher, lambda: demonitor(two)) is False
        exit(watched)
        await wait_exit(watched)
        assert {down.ref for down in await heard(outside)} == {one, three}


async def test_a_watcher_that_ends_is_forgotten_by_those_it_watched() -> None:
    async with running() as task_group:
        watcher = await Puppet.start(task_group=task_group)
        watched = await Puppet.start(task_group=task_group)
        await call(watcher, lambda: monitor(watched))
        assert process_info(watched).monitored_by == 1
        exit(watcher)
        await wait_exit(watcher)
        assert process_info(watched).monitored_by == 0


async def test_only_actors_monitor_and_link() -> None:
    for attempt in (monitor, link, unlink):
        with pytest.raises(RuntimeError, match="works for actors"):
            attempt("nobody")
    with pytest.raises(RuntimeError, match="works for actors"):
        demonitor(Ref())


# Links


async def test_a_link_ends_the_other_with_the_same_reason() -> None:
    async with running() as task_group:
        one = await Puppet.start(task_group=task_group)
        two = await Puppet.start(task_group=task_group)
        await call(one, lambda: link(two))
        assert process_info(two).links == [one]
        await cast(one, boom)
        reasons = [await wait_exit(two), "error: Boom()"]
        assert reasons[0] == reasons[1]
        assert isinstance(reasons[0].exception, Boom)  # type: ignore[attr-defined]


async def test_a_normal_end_leaves_linked_processes_alone() -> None:
    async with running() as task_group:
        other = await Puppet.start(task_group=task_group)
        process = await launch(quitter := Puppet(), task_group)
        await call(process.pid, lambda: link(other))
        quitter.stop("error, it says")
        await wait_exit(process.pid)
        assert await call(other, lambda: "alive") == "alive"
        assert process_info(other).links == []


async def test_links_in_a_circle_end_all_of_it() -> None:
    async with running() as task_group:
        ring = [await Puppet.start(task_group=task_group) for _ in range(5)]
        for one, other in zip(ring, ring[1:] + ring[:1], strict=True):
            await call(one, lambda other=other: link(other))
            await call(one, lambda other=other: link(other))
        processes = [process_of(pid) for pid in ring]
        exit(ring[2], "a hole")
        for process in processes:
            assert await end_of(process) == "a hole"


async def test_what_is_unlinked_lives_on() -> None:
    async with running() as task_group:
        one = await Puppet.start(task_group=task_group)
        two = await Puppet.start(task_group=task_group)
        await call(one, lambda: link(two))
        await call(two, lambda: unlink(one))
        await call(two, lambda: unlink("nobody"))
        await cast(one, boom)
        await wait_exit(one)
        assert await call(two, lambda: "alive") == "alive"


async def test_who_links_with_the_dead_ends_or_is_told() -> None:
    outside = Mailbox()
    async with running() as task_group:
        plain = await Puppet.start(task_group=task_group)
        trapper = await Trapper.start(outside=outside, task_group=task_group)
        await cast(plain, lambda: link("nobody"))
        assert await wait_exit(plain) == "noproc"
        await call(trapper, lambda: link(plain))
        assert await heard(outside) == [Exit(plain, ExitReason("noproc"))]


async def test_a_link_to_who_dies_just_now_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    outside = Mailbox()
    async with running() as task_group:
        trapper = await Trapper.start(outside=outside, task_group=task_group)
        dying = await Puppet.start(task_group=task_group)
        process, me = process_of(dying), process_of(trapper)
        exit(dying)
        await wait_exit(dying)
        with monkeypatch.context() as found_before:
            found_before.setattr("fauxtp._messaging.links.meet", lambda _: process)
            await call(trapper, lambda: link(dying))
        assert await heard(outside) == [Exit(dying, ExitReason("noproc"))]
        assert not me.links
        assert not process.links


async def test_a_link_to_oneself_is_none() -> None:
    async with running() as task_group:
        pid = await Puppet.start(task_group=task_group, register_as="me")
        await call(pid, lambda: link("me"))
        assert process_info(pid).links == []


async def test_who_traps_exits_is_told_of_every_end() -> None:
    outside = Mailbox()
    async with running() as task_group:
        trapper = await Trapper.start(outside=outside, task_group=task_group)
        for end in (boom, lambda: exit("other", "go away")):
            other = await Puppet.start(task_group=task_group, register_as="other")
            await call(trapper, lambda other=other: link(other))
            await cast(other, end)
            reason = await wait_exit(other)
            assert await heard(outside) == [Exit(other, reason)]
        exit(trapper, "please")
        [polite] = await heard(outside)
        assert (polite.pid, polite.reason, polite.reason.abnormal) == (None, "please", True)
        assert is_alive(trapper)


# Exit and kill


async def test_exit_runs_terminate_with_the_reason() -> None:
    reasons: list[str] = []

    class Notes(Puppet):
        async def terminate(self, reason: str, state: Any) -> None:
            await anyio.sleep(0)
            reasons.append(reason)

    async with running() as task_group:
        for reason in ("shutdown", "normal", "whatever"):
            pid = await Notes.start(task_group=task_group)
            assert exit(pid, reason) is True
            assert (await wait_exit(pid)).abnormal
            assert exit(pid) is False
    assert reasons == ["shutdown", "normal", "whatever"]
    with pytest.raises(TypeError, match="reason"):
        exit("nobody", 7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="PID or a name"):
        exit(7)  # type: ignore[arg-type]


async def test_a_second_exit_changes_nothing() -> None:
    terminating, go = anyio.Event(), anyio.Event()

    class Slow(Puppet):
        async def terminate(self, reason: str, state: Any) -> None:
            terminating.set()
            await go.wait()
            self.diary.append("in full")

    diary: list[str] = []
    async with running() as task_group:
        pid = await Slow.start("slow", diary, task_group=task_group)
        exit(pid, "first")
        exit(pid, "at the same time")
        await terminating.wait()
        exit(pid, "second")
        go.set()
        assert await wait_exit(pid) == "first"
        assert diary == ["+slow", "in full"]


@pytest.mark.parametrize("first", [None, "please"])
async def test_kill_cannot_be_trapped_and_does_not_wait_for_terminate(first: str | None) -> None:
    terminating, ends = anyio.Event(), []

    class Hangs(Puppet):
        async def terminate(self, reason: str, state: Any) -> None:
            terminating.set()
            try:
                await anyio.sleep_forever()
            finally:
                ends.append(reason)

    class HangsAndTraps(Hangs):
        trap_exit = True

    async with running() as task_group:
        pid = await (Hangs if first else HangsAndTraps).start(task_group=task_group)
        if first:
            exit(pid, first)
            await terminating.wait()
        exit(pid, "kill")
        assert await wait_exit(pid) == ends[0] == (first or "kill")


# From where there is no actor, and from other threads


async def test_wait_exit_waits_no_longer_than_its_timeout() -> None:
    async with running() as task_group:
        pid = await Idle.start(task_group=task_group)
        with pytest.raises(ReceiveTimeout, match="has not ended"):
            await wait_exit(pid, timeout=0)
        assert process_info(pid).monitored_by == 0
        exit(pid)
        assert await wait_exit(pid, timeout=10) == "shutdown"
        assert await wait_exit(pid) == "noproc"
        assert await wait_exit("nobody") == "noproc"


async def test_is_alive_is_true_of_processes_and_open_mailboxes() -> None:
    mailbox = Mailbox()
    assert is_alive(mailbox.pid)
    assert register("box", mailbox.pid)
    assert is_alive("box")
    unregister("box")
    mailbox.close()
    assert not is_alive(mailbox.pid)
    assert not is_alive(PID())
    async with running() as task_group:
        pid = await Idle.start(task_group=task_group, register_as="idle")
        assert is_alive("idle")
        exit(pid)
        assert is_alive(pid)  # until it has cleaned up
        await wait_exit(pid)
        assert not is_alive("idle")


async def test_any_thread_may_end_a_process() -> None:
    async with running() as task_group:
        for reason in ("from a thread", "kill"):
            process = process_of(await Idle.start(task_group=task_group))
            assert await anyio.to_thread.run_sync(exit, process.pid, reason)
            assert await end_of(process) == reason


async def test_other_event_loops_watch_link_and_wait(anyio_backend: tuple[str, Any]) -> None:
    outside, over, waited = Mailbox(), Mailbox(), []

    async def other_loop() -> None:
        async with running() as task_group:
            watcher = await Trapper.start(outside=outside, task_group=task_group)
            victim = await Puppet.start(task_group=task_group)
            ref = await call(watcher, lambda: monitor("watched"))
            await call(watcher, lambda: link("watched"))
            await call(victim, lambda: link("watched"))
            processes = [process_of(pid_of("watched")), process_of(victim)]
            await send(outside.pid, ref)
            waited.extend([await end_of(process) for process in processes])
            await over.receive(("over", lambda: None))

    left = anyio.Event()

    async def watch_from_there() -> None:
        await anyio.to_thread.run_sync(lambda: anyio.run(other_loop, backend=anyio_backend[0]))
        left.set()

    async with running() as task_group:
        watched = await Puppet.start(task_group=task_group, register_as="watched")
        task_group.start_soon(watch_from_there)
        ref = await outside.receive((Ref, itself))
        await cast(watched, boom)
        down = await outside.receive((Down, itself))
        end = await outside.receive((Exit, itself))
        assert (down.ref, down.pid, end.pid) == (ref, watched, watched)
        assert isinstance(end.reason.exception, Boom)
        await send(over.pid, "over")
        await left.wait()
    assert waited == ["error: Boom()", "error: Boom()"]


async def test_a_death_in_another_thread_is_told_to_all_that_watch_or_link(
    anyio_backend: tuple[str, Any],
) -> None:
    """Monitors and links that race with the death are told once each, by one or the other."""
    rounds, outside, theirs = 200, Mailbox(), Mailbox()

    async def other_loop() -> None:
        async with running() as task_group:
            for _ in range(rounds):
                pid = await Idle.start(task_group=task_group)
                await send(theirs.pid, pid)
                exit(pid)
                await wait_exit(pid)

    def thread() -> None:
        anyio.run(other_loop, backend=anyio_backend[0])

    def watch(pid: PID) -> Ref:
        ref = monitor(pid)
        link(pid)
        return ref

    async with running() as task_group:
        watcher = await Trapper.start(outside=outside, task_group=task_group)
        async with anyio.create_task_group() as threads:
            threads.start_soon(anyio.to_thread.run_sync, thread)
            refs = []
            for _ in range(rounds):
                pid = await theirs.receive((PID, itself))
                refs.append(await call(watcher, lambda pid=pid: watch(pid)))
        seen = [await outside.receive((ANY, itself)) for _ in range(2 * rounds)]
        assert [down.ref for down in seen if isinstance(down, Down)] == refs
        assert len({end.pid for end in seen if isinstance(end, Exit)}) == rounds
        assert not await heard(outside)
        assert process_info(watcher).links == process_info(watcher).monitors == []


async def test_what_is_no_ref_is_no_monitor() -> None:
    async with running() as group:
        puppet = await Puppet.start(task_group=group)
        refs: list[Any] = [5, []]
        for ref in refs:
            await call(puppet, partial(refused, ref))


def refused(ref: Any) -> None:
    with pytest.raises(TypeError, match="expected ref to be a Ref, got "):
        demonitor(ref)


# What is asked to end begins nothing any more


class Worker(GenServer[str, None]):
    """Asks itself to end at the first thing that it handles; notes what it handles."""

    def __init__(self, diary: list[str], reason: str) -> None:
        self.diary = diary
        self.reason = reason

    def work(self, what: str) -> None:
        self.diary.append(what)
        exit(self.pid, self.reason)

    async def handle_call(self, request: str, from_: Call, state: None) -> tuple[str, None]:
        self.work(request)
        return request, state

    async def handle_cast(self, request: str, state: None) -> None:
        self.work(request)

    async def handle_info(self, message: Any, state: None) -> None:
        self.work(message)

    async def handle_task_end(self, pid: PID, status: str, result: Any, state: None) -> None:
        self.work(result)


def call_of(to: PID, request: str) -> None:
    process_of(to).mailbox.deliver(Call(request, to, None))


KINDS: dict[str, Callable[[PID, str], object]] = {
    "a cast": cast_nowait,
    "a message": send_nowait,
    "a call": call_of,
    "the end of a task": lambda to, what: send_nowait(to, TaskEnd(to, "ok", what)),
}


@pytest.mark.parametrize("reason", ["enough", "kill"])
@pytest.mark.parametrize("second", KINDS)
@pytest.mark.parametrize("first", KINDS)
async def test_who_is_asked_to_end_begins_nothing_that_would_be_cut_off(
    first: str, second: str, reason: str
) -> None:
    diary: list[str] = []
    async with running() as task_group:
        worker = await Worker.start(diary, reason, task_group=task_group)
        await anyio.wait_all_tasks_blocked()
        KINDS[first](worker, "first")
        KINDS[second](worker, "second")
        assert await wait_exit(worker) == reason
    assert diary == ["first"]


async def test_a_run_is_not_begun_again_once_it_is_asked_to_end() -> None:
    class Runner(Actor):
        async def init(self) -> int:
            return 0

        async def run(self, state: int) -> int:
            rounds.append(state)
            exit(self.pid)
            return state + 1

    rounds: list[int] = []
    async with running() as task_group:
        await wait_exit(await Runner.start(task_group=task_group))
    assert rounds == [0]


async def test_a_wait_for_the_end_of_nothing_is_refused() -> None:
    nothing: Any = 5
    with pytest.raises(TypeError, match="PID or a name"):
        await wait_exit(nothing)
    with pytest.raises(ValueError, match="nan"):
        await wait_exit("nobody", timeout=math.nan)
