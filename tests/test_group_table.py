"""Groups in the table: who is in them, in which order, and what is told of it. Both twins."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from weakref import ref

import pytest
from conftest import PATIENCE, calls

from fauxtp.errors import NoProcess


def since(news: Any) -> Iterator[tuple[bool, Any, Any]]:
    """Return what has come since: whether who came, and why not."""
    while (news := news.next) is not None:
        yield news.came, news.pid, news.reason


def test_a_group_has_its_members_in_the_order_in_which_they_joined(
    twin: Any, registry: Any
) -> None:
    pids = [twin.PID() for _ in range(5)]
    assert registry.members("crew") == ()
    for pid in reversed(pids):
        assert registry.join("crew", pid) is True
    assert registry.members("crew") == (*reversed(pids),)
    assert registry.leave("crew", pids[2]) is True
    assert registry.join("crew", pids[2]) is True
    assert registry.members("crew") == (pids[4], pids[3], pids[1], pids[0], pids[2])


def test_who_joins_twice_is_there_once(twin: Any, registry: Any) -> None:
    pid = twin.PID()
    assert [registry.join("crew", pid) for _ in range(3)] == [True, False, False]
    assert registry.members("crew") == (pid,)
    assert [registry.leave("crew", pid) for _ in range(2)] == [True, False]
    assert registry.members("crew") == ()


def test_a_group_is_there_as_long_as_it_has_members(twin: Any, registry: Any) -> None:
    one, other = twin.PID(), twin.PID()
    for group in ("b:1", "a", "b:2"):
        registry.join(group, one)
    assert registry.groups() == ["b:1", "a", "b:2"]
    assert registry.groups("b:") == ["b:1", "b:2"]
    registry.leave("b:1", one)
    registry.join("b:1", other)
    registry.leave("a", one)
    assert registry.groups() == ["b:2", "b:1"]


def test_groups_and_names_have_nothing_to_do_with_each_other(twin: Any, registry: Any) -> None:
    one, other = twin.PID(), twin.PID()
    registry.register("crew", one)
    registry.join("crew", other)
    assert (registry.whereis("crew"), registry.members("crew")) == (one, (other,))
    assert (registry.release(other), registry.unregister("crew")) == ([], True)
    assert (len(registry), registry.members("crew")) == (0, (other,))


def test_who_has_exited_is_in_no_group_and_joins_none(twin: Any, registry: Any) -> None:
    elsewhere, one, other = twin.Registry(), twin.PID(), twin.PID()
    for pid in (one, other):
        registry.join("crew", pid)
        registry.join(f"of {pid}", pid)
        elsewhere.join("crew", pid)
    twin.retire(one)
    for table in (registry, elsewhere):
        assert table.members("crew") == (other,)
        with pytest.raises(NoProcess):
            table.join("crew", one)
        assert table.leave("crew", one) is False
    assert registry.groups() == ["crew", f"of {other}"]


def test_a_name_of_a_group_may_be_any_str(twin: Any, registry: Any) -> None:
    class Text(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            raise AssertionError

        __hash__ = None  # type: ignore[assignment]

    pid = twin.PID()
    assert registry.join(Text("crew"), pid)
    assert registry.members(Text("crew")) == registry.members("crew") == (pid,)
    [group] = registry.groups(Text("cr"))
    assert type(group) is str
    assert registry.leave(Text("crew"), pid)


@pytest.mark.parametrize("bad", [None, 1, b"crew", ["crew"]])
def test_a_bad_argument_is_refused_where_it_is_given(twin: Any, registry: Any, bad: Any) -> None:
    pid = twin.PID()
    for attempt in calls(
        partial(registry.join, bad, pid),
        partial(registry.leave, bad, pid),
        partial(registry.members, bad),
        partial(registry.follow, bad, print),
        partial(registry.unfollow, bad, print),
    ):
        with pytest.raises(TypeError, match="expected group to be a str, got "):
            attempt()
    for attempt in calls(
        partial(registry.join, "crew", bad),
        partial(registry.leave, "crew", bad),
    ):
        with pytest.raises(TypeError, match="expected pid to be a PID"):
            attempt()
    with pytest.raises(TypeError, match="expected prefix to be a str"):
        registry.groups(bad)
    assert registry.groups() == []


def test_a_group_has_a_name(twin: Any, registry: Any) -> None:
    for attempt in calls(
        lambda: registry.join("", twin.PID()),
        lambda: registry.leave("", twin.PID()),
        lambda: registry.members(""),
        lambda: registry.follow("", print),
        lambda: registry.unfollow("", print),
    ):
        with pytest.raises(ValueError, match="expected group to have at least one character"):
            attempt()


# Reading


def test_a_read_is_a_look_up_until_the_group_changes(twin: Any, registry: Any) -> None:
    pids = [twin.PID() for _ in range(3)]
    for pid in pids:
        registry.join("crew", pid)
    seen = registry.members("crew")
    registry.join("others", pids[0])
    registry.join("crew", pids[0])
    assert registry.members("crew") is seen
    registry.leave("crew", pids[0])
    assert (registry.members("crew"), seen) == ((*pids[1:],), (*pids,))


def test_the_table_keeps_nobody_who_has_left(twin: Any, registry: Any) -> None:
    def come_and_go() -> Any:
        pid = twin.PID()
        registry.join("crew", pid)
        registry.members("crew")
        registry.leave("crew", pid)
        return ref(pid)

    registry.join("crew", twin.PID())
    assert come_and_go()() is None


def test_to_join_takes_as_long_as_ever_however_many_there_are(twin: Any, registry: Any) -> None:
    """Nothing is copied: the blocks that are taken are those of the members."""
    pids = [twin.PID() for _ in range(20_000)]
    gc.collect()
    before = sys.getallocatedblocks()
    for pid in pids[:10_000]:
        registry.join("crew", pid)
    middle = sys.getallocatedblocks()
    for pid in pids[10_000:]:
        registry.join("crew", pid)
    assert sys.getallocatedblocks() - middle < 1.2 * (middle - before) + 100
    assert registry.members("crew") == (*pids,)


# Following


def test_who_follows_a_group_misses_nothing(twin: Any, registry: Any) -> None:
    one, two, three = (twin.PID() for _ in range(3))
    heard: list[int] = []
    registry.join("crew", one)
    there, news = registry.follow("crew", partial(heard.append, 1))
    assert (there, news.next) == ((one,), None)
    registry.join("crew", two)
    registry.join("crew", two)
    registry.join("others", three)
    registry.leave("crew", one)
    twin.retire(two)
    assert [*since(news)] == [(True, two, None), (False, one, None), (False, two, None)]
    assert news.next.names == ["crew"]
    assert len(heard) == 3


def test_who_is_to_be_told_of_an_end_is_told_by_who_asked(twin: Any, registry: Any) -> None:
    pid = twin.PID()
    heard: list[int] = []
    for group in ("crew", "band", "club"):
        registry.join(group, pid)
    listeners = [partial(heard.append, number) for number in range(3)]
    followed = [
        registry.follow(group, listener)[1]
        for group, listener in zip(("crew", "crew", "band"), listeners, strict=True)
    ]
    told = twin.withdraw(pid, "a reason")
    assert (registry.groups(), heard) == ([], [])
    assert [[*since(news)] for news in followed] == [[(False, pid, "a reason")]] * 3
    for tell in told:
        tell()
    assert sorted(heard) == [0, 1, 2]


def test_a_listener_is_one_however_often_it_is_given(twin: Any, registry: Any) -> None:
    heard: list[int] = []
    listener = partial(heard.append, 1)
    registry.follow("crew", listener)
    registry.follow("crew", listener)
    registry.join("crew", twin.PID())
    assert heard == [1]
    assert registry.unfollow("crew", listener) is True
    assert registry.unfollow("crew", listener) is False
    registry.join("crew", twin.PID())
    assert heard == [1]


def test_news_of_a_group_that_nobody_follows_are_not_kept(twin: Any, registry: Any) -> None:
    class Reason:
        pass

    def end() -> Any:
        pid, reason = twin.PID(), Reason()
        registry.join("crew", pid)
        twin.withdraw(pid, reason)
        return ref(reason)

    assert end()() is None
    registry.follow("crew", bool)
    assert end()() is not None, "the latest news"
    registry.unfollow("crew", bool)
    gc.collect()
    assert end()() is None


def test_a_bad_listener_harms_nobody(
    twin: Any, registry: Any, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[int] = []
    registry.follow("crew", "crew".index)  # which wants an argument
    registry.follow("crew", partial(heard.append, 1))
    assert registry.join("crew", twin.PID())
    assert heard == [1]
    assert "a listener failed" in caplog.text


def test_news_are_not_made_by_hand(twin: Any) -> None:
    with pytest.raises(TypeError, match=r"cannot create 'fauxtp\.News' instances"):
        twin.News()


def test_a_row_of_news_may_be_as_long_as_it_likes(twin: Any, registry: Any) -> None:
    pid = twin.PID()
    _, news = registry.follow("crew", bool)
    for _ in range(100_000):
        registry.join("crew", pid)
        registry.leave("crew", pid)
    assert sum(1 for _ in since(news)) == 200_000
    del news  # which ends each of them


# Threads


def test_threads_that_join_and_leave_lose_nobody(twin: Any, registry: Any) -> None:
    """What is told of a group is what has become of it, whichever threads do it."""
    start = threading.Barrier(4)
    pids = [[twin.PID() for _ in range(100)] for _ in range(4)]
    there, news = registry.follow("crew", bool)

    def work(mine: list[Any]) -> None:
        start.wait(PATIENCE)
        for _ in range(5):
            for pid in mine:
                assert registry.join("crew", pid)
            assert {*mine} <= {*registry.members("crew")}
            for pid in mine[::2]:
                assert registry.leave("crew", pid)
            for pid in mine[1::2]:
                assert registry.leave("crew", pid) or pid is None
        for pid in mine[:50]:
            assert registry.join("crew", pid)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, mine) for mine in pids]:
            done.result()
    members = dict.fromkeys(there)
    for came, pid, _ in since(news):
        if came:
            assert pid not in members
            members[pid] = None
        else:
            del members[pid]
    assert registry.members("crew") == (*members,)
    assert len(members) == 200


def test_who_is_seen_in_a_group_has_not_been_retired_before(twin: Any, registry: Any) -> None:
    over = threading.Event()
    retired: dict[Any, None] = {}

    def work() -> None:
        for _ in range(2_000):
            pid = twin.PID()
            registry.join("crew", pid)
            registry.join("band", pid)
            twin.retire(pid)
            retired[pid] = None
        over.set()

    with ThreadPoolExecutor(2) as pool:
        done = pool.submit(work)
        while not over.is_set() and not done.done():
            before = {*retired.copy()}
            assert not before & {*registry.members("crew"), *registry.members("band")}
        done.result()
    assert registry.groups() == []
