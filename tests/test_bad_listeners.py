"""One bad listener: all others are told, its error is logged, and what was done stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
from crew import Boom, Idle, Puppet, end_of, process_of, running

from fauxtp import (
    ANY,
    Call,
    DeadLetter,
    ExitReason,
    Mailbox,
    NoProcess,
    call,
    dead_letters,
    exit,
    is_alive,
    link,
    monitor,
    register,
    send_nowait,
    start_or_find,
    unregister,
    wait_exit,
    wait_registered,
    whereis,
)
from fauxtp._base.stack import TO_WAKE, has_room
from fauxtp._base.tell_all import tell_all
from fauxtp._core.death import bury
from fauxtp._core.process import Process
from fauxtp._loops.current import current_home
from fauxtp.observe import events
from fauxtp.registry import PID, Ref, default

Listener = Callable[..., None]


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def fails(*_: object) -> None:
    raise Boom


def logged(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [record.exc_info and record.exc_info[0] for record in caplog.records]


@pytest.fixture(params=["first", "last"])
def among(request: pytest.FixtureRequest) -> Callable[[Any, Any], list[Any]]:
    """Put a bad listener before or behind the good one."""
    return lambda bad, good: [bad, good] if request.param == "first" else [good, bad]


def test_all_are_told_whatever_one_raises(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[int] = []
    tell_all([fails, heard.append, fails, heard.append], 7)
    assert heard == [7, 7]
    assert logged(caplog) == [Boom, Boom]


def test_what_is_more_than_an_error_is_raised_when_all_have_been_told() -> None:
    def leaves(*_: object) -> None:
        raise SystemExit

    heard: list[int] = []
    with pytest.raises(KeyboardInterrupt) as caught:
        tell_all([heard.append, interrupted, leaves, heard.append], 7)
    assert heard == [7, 7]
    assert caught.value.__context__ is None


def test_a_log_that_fails_keeps_nobody_from_being_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("logging.Logger.log", fails)
    heard: list[int] = []
    tell_all([fails, heard.append], 7)
    assert heard == [7]
    assert "Boom" in capsys.readouterr().err


def test_who_recurses_without_end_is_logged_and_who_is_told_at_the_end_of_the_stack_hears(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Without `*_`: CPython 3.13.0 does not count calls of functions that have it
    def endless(fact: object) -> None:
        endless(fact)

    def deep() -> None:
        try:
            deep()
        except RecursionError:
            if not has_room(TO_WAKE):
                tell_all([endless, heard.append], 7)
            raise

    heard: list[int] = []
    tell_all([endless, heard.append], 7)
    assert heard == [7]
    assert logged(caplog) == [RecursionError]
    with pytest.raises(RecursionError):
        deep()
    assert heard[-1] == 7
    assert len(heard) > 1


def test_a_watch_of_a_name(
    twin: Any, among: Callable[[Any, Any], list[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    registry, pid = twin.Registry(), twin.PID()
    heard: list[Any] = []
    for listener in among(fails, heard.append):
        registry.watch("kvstore", listener)
    assert registry.register("kvstore", pid) is True
    assert heard == [pid]
    assert registry.whereis("kvstore") is pid
    assert logged(caplog) == [Boom]


def test_an_interrupt_in_a_watch_of_a_name(
    twin: Any, among: Callable[[Any, Any], list[Any]]
) -> None:
    registry, pid = twin.Registry(), twin.PID()
    heard: list[Any] = []
    for listener in among(interrupted, heard.append):
        registry.watch("kvstore", listener)
    with pytest.raises(KeyboardInterrupt):
        registry.register("kvstore", pid)
    assert heard == [pid]
    assert registry.whereis("kvstore") is pid


def test_an_observer_of_dead_letters(among: Callable[[Any, Any], list[Any]]) -> None:
    heard: list[DeadLetter] = []
    first, second = among(interrupted, heard.append)
    before = dead_letters.total()
    with (
        dead_letters.observed_by(first),
        dead_letters.observed_by(second),
        pytest.raises(KeyboardInterrupt),
    ):
        send_nowait("nobody", 1)
    assert len(heard) == 1
    assert dead_letters.total() == before + 1


@pytest.mark.parametrize("listener", [fails, interrupted])
def test_a_mailbox_is_cleared_away_whatever_an_observer_raises(listener: Listener) -> None:
    box, before = Mailbox(max_size=3), dead_letters.total()
    for number in range(3):
        box.put_nowait(number)
    with dead_letters.observed_by(listener):
        if listener is interrupted:
            with pytest.raises(KeyboardInterrupt):
                box.close()
        else:
            box.close()
    assert (len(box), dead_letters.total()) == (0, before + 3)


@contextmanager
def watched(name: str, listener: Listener) -> Iterator[None]:
    default.watch(name, listener)
    try:
        yield
    finally:
        default.unwatch(name, listener)


@pytest.mark.anyio
async def test_who_waits_for_a_name_hears_of_it_and_its_process_starts() -> None:
    found: list[PID] = []

    async def wait() -> None:
        found.append(await wait_registered("kvstore"))

    with watched("kvstore", fails):
        async with running() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            pid = await Puppet.start(task_group=group, register_as="kvstore")
            await anyio.wait_all_tasks_blocked()
            assert found == [pid]
            assert await start_or_find("kvstore", Puppet, task_group=group) is pid


class Dying:
    """A puppet that dies with a bad listener among those who are to hear of it."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener

    async def die(self, among: Callable[[Any, Any], list[Any]], good: Any, group: Any) -> None:
        pid = await Puppet.start(task_group=group, register_as="dying")
        process = process_of(pid)
        for act in among(lambda: process.watch(Ref(), self.listener), lambda: good(pid)):
            result = act()
            if hasattr(result, "__await__"):
                await result
        exit(pid)
        await wait_exit(pid)
        assert whereis("dying") is None


@pytest.mark.anyio
async def test_a_monitor_hears_of_a_death_whatever_another_listener_raises(
    among: Callable[[Any, Any], list[Any]],
) -> None:
    async with running() as group:
        outside = Mailbox()
        watcher = await Puppet.start("watcher", None, outside, task_group=group)
        link_to = Dying(fails)
        await link_to.die(among, lambda pid: call(watcher, lambda: monitor(pid)), group)
        assert (await outside.receive((ANY, lambda down: down))).reason == "shutdown"


@pytest.mark.anyio
async def test_a_link_ends_whatever_another_link_raises() -> None:
    class Odd(Puppet):
        @property
        def trap_exit(self) -> bool:  # type: ignore[override]
            raise Boom

    async with running() as group:
        pid = await Puppet.start(task_group=group)
        linked = [await kind.start(task_group=group) for kind in (Puppet, Odd, Puppet)]
        ends = [process_of(linked[0]), process_of(linked[2])]
        for other in linked:
            await call(other, lambda: link(pid))
        exit(pid)
        for end in ends:
            assert await end_of(end) == "shutdown"
        assert is_alive(linked[1])


@pytest.mark.anyio
async def test_a_process_is_dead_whatever_an_observer_of_its_messages_raises() -> None:
    told: list[PID] = []
    home = current_home()
    assert home is not None
    process = Process(Idle(), home, None)  # without a task, which would raise it, too
    register("dying", process.pid)
    process.watch(Ref(), lambda gone, _: told.append(gone))
    send_nowait(process.pid, "unread")
    with dead_letters.observed_by(interrupted), pytest.raises(KeyboardInterrupt):
        bury(process, ExitReason("gone"))
    assert told == [process.pid]
    assert not is_alive("dying")
    with pytest.raises(NoProcess):
        await call(process.pid, 1)


ROLES = ("starter", "listener", "letter", "caller", "watcher", "link", "group")


@pytest.mark.anyio
@pytest.mark.parametrize("role", ROLES)
async def test_all_hear_of_a_death_whoever_of_them_interrupts(role: str) -> None:
    heard: list[str] = []

    def hear(who: str) -> None:
        heard.append(who)
        if who == role:
            raise KeyboardInterrupt

    class Linked(Process):
        def linked_exit(self, pid: PID | None, reason: ExitReason) -> None:
            hear("link")

    def follower() -> None:
        hear("group")

    home = current_home()
    assert home is not None
    dying, other = Process(Idle(), home, None), Linked(Idle(), home, None)
    try:
        dying.on_started(lambda: hear("starter"))
        dying.watch(Ref(), lambda *_: hear("watcher"))
        dying.bind(other)
        owed = Call("owed", dying.pid, None)
        owed.wake = lambda: hear("caller")
        dying.defer(owed)
        default.join("dying", dying.pid)
        default.follow("dying", follower)
        send_nowait(dying.pid, "unread")
        dying.scope = object()  # type: ignore[assignment]  # as one that has begun
        with (
            dead_letters.observed_by(lambda _: hear("letter")),
            events.listen(lambda _: hear("listener"), events.Kind.INIT_FAILED),
            pytest.raises(KeyboardInterrupt),
        ):
            bury(dying, ExitReason("gone"))
        assert sorted(heard) == sorted(ROLES)
        assert not is_alive(dying.pid)
        assert not other.links
    finally:
        default.unfollow("dying", follower)
        bury(other, ExitReason("over"))


def test_a_name_is_given_though_a_listener_in_the_way_fails() -> None:
    pid = PID()
    with watched("kvstore", fails):
        assert register("kvstore", pid) is True
    assert unregister("kvstore") is True
