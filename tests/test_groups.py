"""Groups of processes: joining, publishing, and hearing of who comes and goes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest
from conftest import ASYNCIO, Run
from crew import Boom, Idle, Puppet, boom, process_of, running

import fauxtp
from fauxtp import (
    PID,
    DeadLetter,
    GenServer,
    Joined,
    Left,
    Mailbox,
    NoProcess,
    Ref,
    call,
    cast,
    dead_letters,
    demonitor,
    exit,
    groups,
    is_alive,
    join,
    leave,
    members,
    monitor_group,
    process_info,
    publish,
    send_nowait,
    whereis,
)
from fauxtp._core.process import find_process

LOOPS = [*ASYNCIO, pytest.param(("trio", {}), id="trio")]
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", LOOPS, indirect=True)]


@pytest.fixture(autouse=True)
def no_group_is_left() -> Any:
    yield
    assert groups() == []


class Listener(GenServer[Any, Any]):
    """Keeps what it is sent; does what it is called with."""

    async def init(self) -> list[Any]:
        return []

    async def handle_info(self, message: Any, heard: list[Any]) -> list[Any]:
        return [*heard, message]

    async def handle_call(self, request: Any, from_: Any, heard: list[Any]) -> Any:
        return heard if request is None else request(), heard


class Narrow(Listener):
    mailbox_size = 2


async def heard_by(pid: PID) -> list[Any]:
    """Return what a listener was sent so far, each without its reference."""
    news: list[Any] = []
    for message in await call(pid, None):
        match message:
            case Joined(Ref(), "crew", member):
                news.append(("+", member))
            case Left(Ref(), "crew", member, reason):
                news.append(("-", member, reason))
            case other:
                news.append(other)
    return news


# Joining


async def test_a_process_joins_and_leaves_by_itself() -> None:
    async with running() as group:
        pid = await Puppet.start(task_group=group)
        assert await call(pid, lambda: (join("crew"), join("crew"))) == (True, False)
        assert members("crew") == (pid,)
        assert await call(pid, lambda: (leave("crew"), leave("crew"))) == (True, False)
        assert members("crew") == ()


async def test_a_process_may_join_as_it_starts() -> None:
    class Early(Listener):
        async def init(self) -> list[Any]:
            assert join("crew")
            return []

    async with running() as group:
        pids = [await Early.start(task_group=group) for _ in range(3)]
        assert members("crew") == (*pids,)


async def test_who_is_no_actor_says_whom_it_means() -> None:
    for function in (join, leave):
        with pytest.raises(RuntimeError, match=f"{function.__name__} works for actors; elsewhere"):
            function("crew")
    with pytest.raises(RuntimeError, match="monitor_group works for actors only"):
        monitor_group("crew")
    async with running() as group:
        pid = await Idle.start(task_group=group)
        assert join("crew", pid)
        assert leave("crew", pid)


@pytest.mark.parametrize("how", ["shutdown", "kill", "a crash", "cancelled"])
async def test_who_ends_leaves_its_groups_before_anybody_hears_of_it(how: str) -> None:
    seen: list[Any] = []
    async with running() as group, anyio.create_task_group() as inner:
        pid = await Puppet.start(task_group=inner)
        join("crew", pid)
        join("band", pid)
        process_of(pid).watch(Ref(), lambda *_: seen.append((groups(), members("crew"))))
        if how == "a crash":
            await cast(pid, boom)
        elif how == "cancelled":
            inner.cancel_scope.cancel()
        else:
            exit(pid, how)
        await fauxtp.wait_exit(pid)
        group.cancel_scope.cancel()
    assert seen == [([], ())]
    with pytest.raises(NoProcess):
        join("crew", pid)


async def test_an_init_that_fails_leaves_no_member() -> None:
    class Broken(Listener):
        async def init(self) -> list[Any]:
            join("crew")
            raise Boom

    async with running() as group:
        with pytest.raises(Boom):
            await Broken.start(task_group=group)
        assert members("crew") == ()


# Publishing


async def test_what_is_published_is_sent_to_each_member() -> None:
    async with running() as group:
        pids = [await Listener.start(task_group=group) for _ in range(3)]
        mailbox = Mailbox()
        for pid in (*pids, mailbox.pid):
            join("crew", pid)
        assert publish("crew", "hello") == 4
        assert [await heard_by(pid) for pid in pids] == [["hello"]] * 3
        assert mailbox.take_nowait() == "hello"
        leave("crew", mailbox.pid)
        assert publish("nobody", "hello") == 0


async def test_a_member_is_sent_what_it_publishes() -> None:
    async with running() as group:
        pid = await Listener.start(task_group=group)
        join("crew", pid)
        assert await call(pid, partial(publish, "crew", "hello")) == 1
        assert await heard_by(pid) == ["hello"]


async def test_who_has_no_room_gets_nothing_and_is_not_counted() -> None:
    full, roomy = Mailbox(max_size=1), Mailbox(max_size=2)
    letters: list[DeadLetter] = []
    full.put_nowait("before")
    for pid in (full.pid, roomy.pid):
        join("crew", pid)
    with dead_letters.observed_by(letters.append):
        assert publish("crew", "hello") == 1
    assert letters == [DeadLetter(full.pid, "hello", "mailbox full")]
    assert (len(full), roomy.take_nowait()) == (1, "hello")
    for pid in (full.pid, roomy.pid):
        leave("crew", pid)


async def test_who_cannot_be_reached_any_more_is_not_counted() -> None:
    """As one that is closed by who is told before it: that was a member as this began."""
    open_, closed, narrow = Mailbox(), Mailbox(), Mailbox(max_size=1)
    gone, closing = PID(), (closed, narrow)
    letters: list[DeadLetter] = []
    for pid in (gone, closed.pid, narrow.pid, open_.pid):
        join("crew", pid)

    def close(_: DeadLetter) -> None:
        for mailbox in closing:
            mailbox.close()

    with dead_letters.observed_by(letters.append), dead_letters.observed_by(close):
        assert publish("crew", "hello") == 1
    expected = [DeadLetter(pid, "hello", "noproc") for pid in (gone, closed.pid, narrow.pid)]
    assert (letters, members("crew")) == (expected, (gone, open_.pid))
    for pid in members("crew"):
        leave("crew", pid)


async def test_any_thread_may_join_and_publish() -> None:
    async with running() as group:
        pid = await Listener.start(task_group=group)

        def work() -> list[Any]:
            return [join("crew", pid), publish("crew", "hello"), leave("crew", pid)]

        assert await anyio.to_thread.run_sync(work) == [True, 1, True]
        assert await heard_by(pid) == ["hello"]


# Monitors


async def test_a_monitor_tells_who_is_there_and_who_comes_and_goes() -> None:
    async with running() as group:
        one, two, three = [await Puppet.start(task_group=group) for _ in range(3)]
        join("crew", one)
        listener = await Listener.start(task_group=group)
        ref = await call(listener, partial(monitor_group, "crew"))
        assert type(ref) is Ref
        join("crew", two)
        join("band", three)
        leave("crew", one)
        exit(two, "its time has come")
        await fauxtp.wait_exit(two)
        join("crew", one)
        expected = [("+", one), ("+", two), ("-", one, None), ("-", two, "its time has come")]
        assert await heard_by(listener) == [*expected, ("+", one)]
        assert {message.ref for message in await call(listener, None)} == {ref}


async def test_a_crash_is_told_with_its_error() -> None:
    async with running() as group:
        pid = await Puppet.start(task_group=group)
        join("crew", pid)
        listener = await Listener.start(task_group=group)
        await call(listener, partial(monitor_group, "crew"))
        await cast(pid, boom)
        await fauxtp.wait_exit(pid)
        *_, left = await call(listener, None)
        assert (left.pid, type(left.reason.exception)) == (pid, Boom)


async def test_each_monitor_is_one_of_its_own_and_ends_by_demonitor() -> None:
    async with running() as group:
        pid = await Idle.start(task_group=group)
        listener = await Listener.start(task_group=group)
        refs = [await call(listener, partial(monitor_group, "crew")) for _ in range(2)]
        join("crew", pid)
        assert [message.ref for message in await call(listener, None)] == refs
        assert await call(listener, partial(demonitor, refs[0])) is True
        assert await call(listener, partial(demonitor, refs[0])) is False
        leave("crew", pid)
        assert [message.ref for message in await call(listener, None)] == [*refs, refs[1]]


async def test_nobody_ends_the_monitor_of_another() -> None:
    async with running() as group:
        one, two = [await Listener.start(task_group=group) for _ in range(2)]
        ref = await call(one, partial(monitor_group, "crew"))
        assert await call(two, partial(demonitor, ref)) is False
        assert await call(one, partial(demonitor, ref)) is True


async def test_a_monitor_ends_with_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[Any] = []
    unfollow: Callable[..., bool] = fauxtp.Registry.unfollow

    class Table(fauxtp.Registry):
        __slots__ = ()

        def unfollow(self, group: str, listener: Callable[[], object], /) -> bool:
            ended.append(unfollow(self, group, listener))
            return ended[-1] is True

    monkeypatch.setattr("fauxtp._messaging.groups.default", table := Table())
    async with running() as group:
        listener = await Listener.start(task_group=group)
        for _ in range(2):
            await call(listener, partial(monitor_group, "crew"))
        assert process_info(listener).monitored_by == 0
        exit(listener)
        await fauxtp.wait_exit(listener)
        assert ended == [True, True]
        with dead_letters.observed_by(ended.append):
            table.join("crew", pid := PID())
        assert (len(ended), table.leave("crew", pid)) == (2, True)


async def test_news_come_into_a_mailbox_that_is_full() -> None:
    async with running() as group:
        pids = [await Idle.start(task_group=group) for _ in range(5)]
        listener = await Narrow.start(task_group=group)
        await call(listener, partial(monitor_group, "crew"))
        for pid in pids:
            join("crew", pid)
        assert await heard_by(listener) == [("+", pid) for pid in pids]


async def test_a_bad_name_is_refused_and_nothing_begins() -> None:
    async with running() as group:
        listener = await Listener.start(task_group=group)
        for bad, error in ((1, TypeError), ("", ValueError)):

            def refused(bad: Any = bad, error: Any = error) -> bool:
                with pytest.raises(error, match="expected group"):
                    monitor_group(bad)
                return True

            assert await call(listener, refused)


async def test_who_hears_that_one_has_left_finds_it_dead_and_its_name_free() -> None:
    """Also in another thread: it is told when all the rest has been done."""
    seen: list[Any] = []

    async with running() as group:
        pid = await Idle.start(task_group=group, register_as="a member")
        join("crew", pid)
        fauxtp.registry.default.follow(
            "crew", look := lambda: seen.append((find_process(pid), whereis("a member")))
        )
        exit(pid)
        await fauxtp.wait_exit(pid)
        fauxtp.registry.default.unfollow("crew", look)
    assert seen == [(None, None)]
    assert not is_alive(pid)


async def test_news_from_many_threads_come_in_order() -> None:
    """Each PID is told to come and to go in turn, and who is there in the end is known."""
    async with running() as group:
        listener = await Listener.start(task_group=group)
        pids = [PID() for _ in range(4)]
        join("crew", pids[0])
        start = threading.Barrier(4)

        def work(mine: PID) -> None:
            start.wait()
            for _ in range(100):
                join("crew", mine)
                leave("crew", mine)

        async with anyio.create_task_group() as threads:
            for pid in pids:
                threads.start_soon(anyio.to_thread.run_sync, work, pid)
            ref = await call(listener, partial(monitor_group, "crew"))
        there: set[PID] = set()
        for message in await call(listener, None):
            assert message.ref is ref
            if isinstance(message, Joined):
                assert message.pid not in there, "told to come twice"
                there.add(message.pid)
            else:
                there.remove(message.pid)
        assert there == {*members("crew")} == set()


async def test_a_signal_that_comes_in_while_news_are_passed_on_loses_none() -> None:
    """Who comes in leaves it to what it has interrupted."""
    async with running() as group:
        listener = await Listener.start(task_group=group)
        await call(listener, partial(monitor_group, "crew"))
        one, two = PID(), PID()
        mailbox: Any = process_of(listener).mailbox
        deliver = type(mailbox).deliver
        came_in: list[bool] = []

        def interrupted(queue: Any, message: Any) -> Any:
            if not came_in:
                came_in.append(join("crew", two))
                assert leave("crew", one)
            return deliver(queue, message)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(mailbox), "deliver", interrupted)
            join("crew", one)
        assert await heard_by(listener) == [("+", one), ("+", two), ("-", one, None)]
        leave("crew", two)


FORKED = """
import os, anyio
from functools import partial
from fauxtp import GenServer, join, members, monitor_group, groups, PID, publish
class Member(GenServer):
    async def init(self):
        join("crew")
        monitor_group("crew")
    async def handle_info(self, message, state):
        return state
async def main():
    async with anyio.create_task_group() as group:
        await Member.start(task_group=group)
        child = os.fork()
        if child == 0:
            pid = PID()
            right = groups() == [] and join("crew", pid) and members("crew") == (pid,)
            os._exit(0 if right and publish("crew", 1) == 0 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert len(members("crew")) == 1
        group.cancel_scope.cancel()
anyio.run(main)
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork on this platform")
async def test_in_a_forked_child_the_groups_are_empty(run: Run) -> None:
    done = run(FORKED, options=("-W", "ignore::DeprecationWarning"))
    assert (done.returncode, done.stderr) == (0, "")


async def test_a_message_to_a_member_and_one_to_all_come_in_order() -> None:
    async with running() as group:
        pid = await Listener.start(task_group=group)
        join("crew", pid)
        for number in range(3):
            publish("crew", ("to all", number))
            send_nowait(pid, ("to one", number))
        expected = [(to, number) for number in range(3) for to in ("to all", "to one")]
        assert await heard_by(pid) == expected
