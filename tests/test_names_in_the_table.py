"""News of names, in the table: what is told, to whom, when, and what it keeps. Both twins."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from weakref import ref

import pytest
from conftest import PATIENCE
from hostile.operations import names_told, table_of
from twins_of import FORMS, form_of


def since(news: Any) -> Iterator[tuple[bool, list[str], Any, Any]]:
    """Return what has come since: whether the names came, which, whose, and why not."""
    while (news := news.next) is not None:
        yield news.came, news.names, news.pid, news.reason


def test_who_follows_the_names_misses_nothing(twin: Any, registry: Any) -> None:
    one, other = twin.PID(), twin.PID()
    registry.register("before", one)
    news = registry.follow_names("", bool)
    assert news.next is None
    registry.register("a", one)
    assert registry.register("a", other) is False
    assert registry.unregister("a", other) is False
    registry.register("b", other)
    registry.transfer("a", one, other)
    registry.transfer("a", other, other)
    registry.unregister("a")
    registry.register("c", one)
    registry.release(one)
    registry.release(one)
    twin.withdraw(other, "a reason")
    assert [*since(news)] == [
        (True, ["a"], one, None),
        (True, ["b"], other, None),
        (False, ["a"], one, None),
        (True, ["a"], other, None),
        (False, ["a"], other, None),
        (True, ["c"], one, None),
        (False, ["before", "c"], one, None),
        (False, ["b"], other, "a reason"),
    ]


def test_news_are_numbered_by_their_names(twin: Any, registry: Any) -> None:
    one, other = twin.PID(), twin.PID()
    news = registry.follow_names("", bool)
    for name in ("a", "b", "c"):
        registry.register(name, one)
    registry.transfer("c", one, other)
    registry.release(one)
    twin.retire(other)
    numbers = []
    while (news := news.next) is not None:
        numbers.append(news.number)
    assert numbers == [1, 2, 3, 4, 5, 7, 8]


def test_a_guest_of_a_registry_is_told_of_there(twin: Any, registry: Any) -> None:
    home, guest = twin.Registry(), twin.PID()
    home.register("at home", guest)
    for name in ("a", "b"):
        registry.register(name, guest)
    news = registry.follow_names("", bool)
    twin.withdraw(guest, "a reason")
    assert [*since(news)] == [(False, ["a", "b"], guest, "a reason")]


def test_who_waits_is_told_once_of_what_it_waits_for(twin: Any, registry: Any) -> None:
    pid, heard = twin.PID(), list[int]()
    listener = heard.append
    registry.follow_names("a:", listener)
    registry.register("b", pid)
    assert heard == []
    registry.register("a:1", pid)
    registry.register("a:2", pid)
    assert heard == [2]
    registry.follow_names("a:", listener)
    registry.release(pid)
    assert heard == [2, 6]
    assert registry.unfollow_names(listener) is True
    assert registry.unfollow_names(listener) is False


def test_who_asks_again_may_ask_for_others(twin: Any, registry: Any) -> None:
    pid, heard = twin.PID(), list[int]()
    listener = heard.append
    registry.follow_names("a:", listener)
    registry.follow_names("b:", listener)
    registry.register("a:1", pid)
    registry.register("b:1", pid)
    assert heard == [2]


def test_an_end_is_told_by_who_asked_for_it(twin: Any, registry: Any) -> None:
    pid, heard = twin.PID(), list[int]()
    registry.register("a", pid)
    registry.follow_names("a", heard.append)
    told = twin.withdraw(pid, "a reason")
    assert (registry.whereis("a"), heard) == (None, [])
    for tell in told:
        tell()
    assert heard == [1]


def test_now_and_then_everybody_is_told_of_all(
    twin: Any, registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for form in FORMS:
        monkeypatch.setattr(form_of("registry", form), "EACH", 4)
    pid, heard = twin.PID(), list[int]()
    registry.follow_names("nobody", heard.append)
    for number in range(10):
        registry.register(f"name:{number}", pid)
    registry.release(pid)
    assert heard == [4, 8, 20]


def test_news_that_nobody_follows_are_not_kept(twin: Any, registry: Any) -> None:
    class Reason:
        pass

    def end() -> Any:
        pid, reason = twin.PID(), Reason()
        registry.register("a", pid)
        twin.withdraw(pid, reason)
        return ref(reason)

    assert end()() is None
    registry.follow_names("", bool)
    assert end()() is not None, "the latest news"
    registry.unfollow_names(bool)
    gc.collect()
    assert end()() is None


def test_news_that_all_have_taken_are_not_kept(twin: Any, registry: Any) -> None:
    class Reason:
        pass

    def end() -> Any:
        pid, reason = twin.PID(), Reason()
        registry.register("a", pid)
        twin.withdraw(pid, reason)
        return ref(reason)

    registry.follow_names("", bool)
    first, second = end(), end()
    assert (first(), second() is None) == (None, False)


def test_a_row_of_news_may_be_as_long_as_it_likes(twin: Any, registry: Any) -> None:
    pid = twin.PID()
    news = registry.follow_names("", bool)
    for _ in range(100_000):
        registry.register("a", pid)
        registry.unregister("a")
    assert sum(1 for _ in since(news)) == 200_000
    del news  # which ends each of them


def test_a_bad_listener_harms_nobody(
    twin: Any, registry: Any, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[int] = []
    registry.follow_names("", "names".index)  # which wants a text
    registry.follow_names("", heard.append)
    assert registry.register("a", twin.PID())
    assert heard == [1]
    assert "a listener failed" in caplog.text


@pytest.mark.parametrize("bad", [None, 1, b"a", ["a"]])
def test_a_bad_argument_is_refused(registry: Any, bad: Any) -> None:
    with pytest.raises(TypeError, match="expected prefix to be a str, got "):
        registry.follow_names(bad, print)
    with pytest.raises(TypeError, match="expected listener to be a function, got "):
        registry.follow_names("", bad)
    assert registry.unfollow_names(bad) is False


def test_a_prefix_may_be_any_str(twin: Any, registry: Any) -> None:
    class Text(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            raise AssertionError

        __hash__ = None  # type: ignore[assignment]

    heard: list[int] = []
    registry.follow_names(Text("a"), heard.append)
    registry.register("a", twin.PID())
    assert heard == [1]


def test_threads_that_change_names_are_told_of_in_order(twin: Any, registry: Any) -> None:
    """What is told of the names is what has become of them, whichever threads do it."""
    start = threading.Barrier(4)
    over = threading.Event()
    news = registry.follow_names("shared:", bool)

    def change(number: int) -> None:
        mine = twin.PID()
        start.wait(PATIENCE)
        for turn in range(300):
            name = f"shared:{turn % 7}"
            if registry.register(name, mine) and turn % 3:
                registry.transfer(name, mine, twin.PID())
            registry.register(f"own:{number}:{turn}", mine)
            registry.unregister(name)
            if turn % 10 == 0:
                registry.release(mine)
            if turn % 50 == 49:
                twin.withdraw(mine, "its time has come")
                mine = twin.PID()

    def come_and_go() -> None:
        start.wait(PATIENCE)
        while not over.is_set():
            registry.follow_names("own:", listener := partial(bool))
            registry.follow_names("own:", listener)
            assert registry.unfollow_names(listener)

    with ThreadPoolExecutor(4) as pool:
        guest = pool.submit(come_and_go)
        for done in [pool.submit(change, number) for number in range(3)]:
            done.result()
        over.set()
        guest.result()
    assert names_told({}, news) == table_of(registry)
