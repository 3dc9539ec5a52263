"""Names as events: each that is taken, and each that is released, is told once, in order."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from conftest import PATIENCE, Run, task_group
from crew import Boom, Puppet, boom
from event_kinds import OF_NAMES

from fauxtp import PID, Mailbox, cast, exit, register, send_nowait, unregister, wait_exit, whereis
from fauxtp._base.events import tell
from fauxtp.observe import events, name_events
from fauxtp.observe.events import Event, Kind
from fauxtp.registry import default, registered, retire

pytestmark = pytest.mark.anyio


@contextmanager
def told(kinds: Kind = OF_NAMES) -> Iterator[list[Event]]:
    heard: list[Event] = []
    with events.listen(heard.append, kinds):
        yield heard


def short(heard: list[Event]) -> list[tuple[str | None, PID | None, Any]]:
    return [(event.kind.name, event.pid, event.details["name"]) for event in heard]


async def test_who_takes_a_name_and_has_it_no_longer_is_told() -> None:
    async with task_group() as group:
        with told() as heard:
            pid = await Puppet.start(task_group=group, register_as="names:one")
            register("names:two", pid)
            assert short(heard) == [
                ("REGISTERED", pid, "names:one"),
                ("REGISTERED", pid, "names:two"),
            ]
            assert {event.labels for event in heard} == {("Puppet",)}
            heard.clear()
            unregister("names:two")
            (freed,) = heard
            assert freed[:3] == (Kind.UNREGISTERED, pid, ("Puppet",))
            assert freed.details == {"name": "names:two", "reason": None}
            heard.clear()
            await cast(pid, boom)
            reason = await wait_exit(pid)
            assert short(heard) == [("UNREGISTERED", pid, "names:one")]
            assert heard[0].details["reason"] is reason
            assert isinstance(reason.exception, Boom)


async def test_a_name_that_is_passed_on_goes_and_comes() -> None:
    one, other = Mailbox(), Mailbox()
    register("names:passed", one.pid)
    with told() as heard:
        assert default.transfer("names:passed", one.pid, other.pid)
    assert short(heard) == [
        ("UNREGISTERED", one.pid, "names:passed"),
        ("REGISTERED", other.pid, "names:passed"),
    ]
    assert {event.labels for event in heard} == {("Mailbox",)}
    unregister("names:passed")


async def test_who_hears_of_a_name_that_was_released_can_take_it() -> None:
    taken: list[bool] = []
    spare = Mailbox()

    def take(event: Event) -> None:
        taken.append(register(event.details["name"], spare.pid))

    async with task_group() as group:
        pid = await Puppet.start(task_group=group, register_as="names:again")
        with events.listen(take, Kind.UNREGISTERED):
            exit(pid)
            await wait_exit(pid)
    assert taken == [True]
    assert whereis("names:again") is spare.pid
    unregister("names:again")


async def test_what_a_listener_takes_itself_is_told_to_others_only() -> None:
    pid, other = PID(), PID()

    def take(event: Event) -> None:
        register("names:more", other)
        own.append(event)

    own: list[Event] = []
    with told() as heard, events.listen(take, Kind.REGISTERED):
        register("names:first", pid)
    retire(pid)
    retire(other)
    assert short(own) == [("REGISTERED", pid, "names:first")]
    assert sorted(name for _, _, name in short(heard)) == ["names:first", "names:more"]


async def test_only_what_is_wanted_is_told_and_nothing_at_the_end() -> None:
    pid = PID()
    with told(Kind.UNREGISTERED) as heard:
        register("names:a", pid)
        assert heard == []
        unregister("names:a")
        assert short(heard) == [("UNREGISTERED", pid, "names:a")]
    register("names:a", pid)
    with told(Kind.STARTED | Kind.REGISTERED) as heard:
        retire(pid)
    assert heard == []


async def test_nobody_follows_the_names_while_nobody_listens() -> None:
    def hear(number: int) -> None:
        """Stand for whoever has the news, which are made for who follows alone."""

    with told():
        latest = default.follow_names("", hear)
    pid = PID()
    default.unfollow_names(hear)
    register("names:quiet", pid)
    retire(pid)
    assert latest.next is None  # nobody followed: so nothing was noted


async def test_a_listener_that_comes_as_another_begins_to_listen_hears_of_each_name_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a finaliser may, between any two lines."""
    heard: list[Event] = []
    pid, begin = PID(), name_events._Place.__init__

    def comes_in(place: Any, *those: Any) -> None:
        begin(place, *those)
        monkeypatch.undo()
        heard_by.append(events.listen(heard.append, OF_NAMES))
        register("names:between", pid)

    heard_by: list[events.Listener] = []
    monkeypatch.setattr(name_events._Place, "__init__", comes_in)
    with told() as others:
        register("names:after", pid)
        heard_by[0].detach()
        unregister("names:after")
    register("names:end", pid)
    retire(pid)
    assert [name for _, _, name in short(heard)] == ["names:between", "names:after"]
    assert [name for _, _, name in short(others)][-2:] == ["names:after", "names:after"]


async def test_what_comes_as_it_begins_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pid, follow = PID(), default.follow_names

    class Follows:
        """Stands for the registry, where another thread takes a name at once."""

        def follow_names(self, prefix: str, listener: Any) -> Any:
            news = follow(prefix, listener)
            if not registered("names:"):
                register("names:at once", pid)
            return news

        unfollow_names = staticmethod(default.unfollow_names)

    monkeypatch.setattr(name_events, "default", Follows())
    with told() as heard:
        pass
    retire(pid)
    assert short(heard) == [("REGISTERED", pid, "names:at once")]


async def test_who_has_left_or_failed_is_followed_by_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(event: Event) -> None:
        raise Boom

    pid = PID()
    with events.listen(fails, OF_NAMES), told() as heard:
        register("names:x", pid)
        register("names:y", pid)
    retire(pid)
    assert [name for _, _, name in short(heard)] == ["names:x", "names:y"]
    assert len(caplog.records) == 1


class Elsewhere:
    """Stands for the registry: who takes a name in `thread` is kept, as its news can be told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_noted, self.goes_on = threading.Event(), threading.Event()
        self.follow, self.unfollow_names = default.follow_names, default.unfollow_names
        self.thread = threading.Thread(target=register, args=("names:elsewhere", PID()))
        monkeypatch.setattr(name_events, "default", self)

    def follow_names(self, prefix: str, listener: Any) -> Any:
        news = self.follow(prefix, listener)
        if threading.current_thread() is self.thread:
            self.is_noted.set()
            assert self.goes_on.wait(PATIENCE)
        return news

    def takes_a_name(self) -> None:
        self.thread.start()
        assert self.is_noted.wait(PATIENCE)

    def ends(self) -> None:
        self.goes_on.set()
        self.thread.join()
        unregister("names:elsewhere")


@pytest.mark.parametrize("heard_first", [Kind.REGISTERED, Kind.DEAD_LETTER])
def test_a_listener_that_takes_a_name_hears_of_those_of_other_threads(
    heard_first: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere, pid = Elsewhere(monkeypatch), PID()
    own: list[str] = []

    def take(event: Event) -> None:
        if not own:
            elsewhere.takes_a_name()
            register("names:own", pid)
        own.append(event.details.get("name", "first"))

    with told(Kind.REGISTERED) as heard, events.listen(take, Kind.REGISTERED | heard_first):
        if heard_first is Kind.REGISTERED:
            register("first", pid)
        else:
            send_nowait("names:nobody", 1)
        others = [name for _, _, name in short(heard) if name != "first"]
        assert own == ["first", "names:elsewhere"]
        assert others == ["names:elsewhere", "names:own"]
        elsewhere.ends()
        assert own == ["first", "names:elsewhere"]
        assert len(heard) == len(others) + (heard_first is Kind.REGISTERED)
    retire(pid)


def test_what_threads_do_to_a_name_is_told_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if one is kept between that it takes the news and that it tells them."""
    pid = PID()
    releaser = threading.Thread(target=unregister, args=("names:x",))

    def kept(*those: Any) -> None:
        if threading.current_thread() is not releaser and not releaser.ident:
            releaser.start()
            releaser.join()
        tell(*those)

    monkeypatch.setattr(name_events, "tell", kept)
    with told() as heard:
        register("names:x", pid)
    assert short(heard) == [("REGISTERED", pid, "names:x"), ("UNREGISTERED", pid, "names:x")]


def test_news_after_an_error_that_is_nobodys_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(event: Event) -> None:
        raise KeyboardInterrupt

    pid = PID()
    with told() as heard:
        with (
            events.listen(interrupted, Kind.REGISTERED),
            suppress(KeyboardInterrupt),
        ):
            register("names:a", pid)
        register("names:b", pid)
    retire(pid)
    assert [name for _, _, name in short(heard)] == ["names:a", "names:b"]


@pytest.mark.parametrize("takes_itself", [False, True])
def test_each_is_told_once_and_in_order_whichever_threads_take_and_release_names(
    takes_itself: bool,
) -> None:
    threads, each = 4, 300
    heard: list[Event] = []
    spare = PID()

    def hear(event: Event) -> None:
        if event.pid is not spare:
            heard.append(event)
            if takes_itself:
                register(f"spare:{event.details['name']}:{event.kind.name}", spare)

    def work(number: int) -> None:
        pid = PID()
        for turn in range(each):
            register(f"names:{number}:{turn}", pid)
            if turn % 2:
                unregister(f"names:{number}:{turn}")
        retire(pid)

    with events.listen(hear, OF_NAMES):
        workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    retire(spare)
    assert not registered("names:0:")
    of_names: dict[str, list[str | None]] = {}
    for what, _, name in short(heard):
        of_names.setdefault(name, []).append(what)
    assert len(of_names) == threads * each
    assert {tuple(those) for those in of_names.values()} == {("REGISTERED", "UNREGISTERED")}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked here")
def test_a_forked_process_hears_of_its_names(run: Run) -> None:
    program = """
import os
from fauxtp import PID, register
from fauxtp.observe import events
heard = []
pid = PID()
with events.listen(heard.append, events.REGISTERED | events.UNREGISTERED):
    register("a", pid)
    child = os.fork()
    if child == 0:
        register("b", pid)
        os._exit(len(heard))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
child = os.fork()
if child == 0:
    register("c", pid)
    os._exit(len(heard))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
"""
    assert run(program).stderr == ""
