"""A handler or a filter of the log that fails: it is printed, and all goes on as without it."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup
from crew import Boom, Puppet, boom, pid_of, running, supervisor
from lost import Plain, start

import fauxtp
from fauxtp import (
    Backoff,
    ChildSpec,
    DynamicSupervisor,
    ExitReason,
    call,
    cast,
    count_children,
    exit,
    is_alive,
    send,
    start_child,
    terminate_child,
    wait_exit,
    wait_registered,
)
from fauxtp._base.logs import logger
from fauxtp._core.crash_storms import storms
from fauxtp.registry import PID

pytestmark = pytest.mark.anyio


class Failing(logging.Handler):
    """Fails as a handler, as a filter, or as it puts an error of its own into words."""

    def __init__(self, error: Exception) -> None:
        super().__init__(logging.DEBUG)
        self.error = error
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        raise self.error

    def filter(self, record: logging.LogRecord) -> bool:
        if self in logging.getLogger(record.name).handlers:
            return True
        self.emit(record)
        return True


class Unprintable(Boom):
    def __str__(self) -> str:
        raise Boom

    __bool__ = __repr__ = __str__


LOGGER = re.compile(r"^(?! *(>>>|\.\.\.)).*\bgetLogger\(", re.MULTILINE)
LOGGERS = "fauxtp", "fauxtp.supervisor", "fauxtp.progress"


@pytest.fixture(params=["handler", "filter", "unprintable"])
def bad(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Failing]:
    monkeypatch.setattr(storms, "few", 1_000_000)
    monkeypatch.setattr(logging.getLogger("fauxtp"), "propagate", False)
    failing = Failing(Unprintable() if request.param == "unprintable" else Boom("a bad log"))
    for log in map(logging.getLogger, LOGGERS):
        monkeypatch.setattr(log, "level", logging.DEBUG)
        log.manager._clear_cache()  # type: ignore[attr-defined]
        if request.param == "filter":
            log.addFilter(failing)
        else:
            log.addHandler(failing)
    yield failing
    for log in map(logging.getLogger, LOGGERS):
        log.removeFilter(failing)
        log.removeHandler(failing)


ENDS: list[Any] = []


async def note(pid: PID, reason: ExitReason) -> None:
    ENDS.append(reason)


class Fails(Puppet):
    async def terminate(self, reason: str, state: Any) -> None:
        boom()


class Hangs(Puppet):
    async def terminate(self, reason: str, state: Any) -> None:
        await anyio.sleep_forever()


class StartsTwice(Puppet):
    """Its second `init` fails."""

    inits = 0

    async def init(self) -> None:
        type(self).inits += 1
        if self.inits == 2:
            boom()


async def crash(group: TaskGroup) -> None:
    diary: list[str] = []
    handle = await Puppet.start_link("a", diary, task_group=group, on_exit=note)
    await cast(handle.pid, boom)
    assert isinstance((await wait_exit(handle.pid)).exception, Boom)
    assert diary == ["+a", "-a"]
    assert [type(reason.exception) for reason in ENDS] == [Boom]


async def failing_terminate(group: TaskGroup) -> None:
    handle = await Fails.start_link(task_group=group, on_exit=note)
    exit(handle.pid)
    assert await wait_exit(handle.pid) == "shutdown"
    assert ENDS == ["shutdown"]


async def failing_on_exit(group: TaskGroup) -> None:
    async def on_exit(pid: PID, reason: ExitReason) -> None:
        boom()

    handle = await Puppet.start_link(task_group=group, on_exit=on_exit)
    exit(handle.pid)
    assert await wait_exit(handle.pid) == "shutdown"


async def unhandled(group: TaskGroup) -> None:
    class Deaf(fauxtp.GenServer[Any, Any]):
        async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
            return request, state

    pid = await Deaf.start(task_group=group)
    await cast(pid, "mistyped")
    await send(pid, "mistyped")
    assert await call(pid, 1) == 1


async def restarted(group: TaskGroup, *specs: ChildSpec, kind: Any = None) -> PID:
    """Have the child "a" crash, and come back."""
    chief = await (kind or supervisor(*specs)).start(task_group=group)
    if kind is not None:
        await start_child(chief, specs[0])
    pid = pid_of("a")
    await cast(pid, boom)
    await wait_exit(pid)
    assert await wait_registered("a") is not pid
    assert (await count_children(chief))["active"] == 1
    return chief


async def restart(group: TaskGroup) -> None:
    await restarted(group, ChildSpec("a", Puppet, register_as="a"))


async def restart_of_a_dynamic_child(group: TaskGroup) -> None:
    await restarted(group, ChildSpec("a", Puppet, register_as="a"), kind=DynamicSupervisor)


async def restart_that_fails(group: TaskGroup) -> None:
    StartsTwice.inits = 0
    await restarted(group, ChildSpec("a", StartsTwice, register_as="a"))


async def restart_after_a_while(group: TaskGroup) -> None:
    await restarted(group, ChildSpec("a", Puppet, register_as="a", backoff=Backoff(first=0.01)))


async def failing_hook(group: TaskGroup) -> None:
    kind = supervisor(ChildSpec("a", Puppet, register_as="a"))
    kind.on_restart = lambda *_: boom()  # type: ignore[method-assign]
    chief = await kind.start(task_group=group)
    pid = pid_of("a")
    await cast(pid, boom)
    await wait_exit(pid)
    await wait_registered("a")
    assert is_alive(chief)


async def child_that_is_given_up(group: TaskGroup) -> None:
    spec = ChildSpec("a", Puppet, register_as="a", max_restarts=0, max_seconds=1.0)
    chief = await supervisor(spec, ChildSpec("b", Puppet)).start(task_group=group)
    pid = pid_of("a")
    await cast(pid, boom)
    await wait_exit(pid)
    assert (await count_children(chief))["active"] == 1


async def child_that_is_cut_off(group: TaskGroup) -> None:
    spec = ChildSpec("a", Hangs, register_as="a", shutdown=0)
    chief = await supervisor(spec).start(task_group=group)
    await terminate_child(chief, "a")
    assert is_alive(chief)


async def supervisor_that_gives_up(group: TaskGroup) -> None:
    async def main(state: Any) -> None:
        async with anyio.create_task_group() as inner:
            spec = ChildSpec("a", Puppet, register_as="a")
            await supervisor(spec, max_restarts=0).start(task_group=inner, register_as="chief")
            await cast("a", boom)

    with pytest.raises(ExceptionGroup) as caught:
        await main(None)
    assert caught.group_contains(fauxtp.MaxRestartsExceeded)


async def many_crashes(group: TaskGroup) -> None:
    storms.few = 0
    await crash(group)
    storms.tell()


HAPPENINGS: list[Callable[[TaskGroup], Awaitable[None]]] = [
    crash,
    failing_terminate,
    failing_on_exit,
    unhandled,
    restart,
    restart_of_a_dynamic_child,
    restart_that_fails,
    restart_after_a_while,
    failing_hook,
    child_that_is_given_up,
    child_that_is_cut_off,
    supervisor_that_gives_up,
    many_crashes,
]


@pytest.mark.parametrize("happens", HAPPENINGS)
async def test_what_happens_goes_on(
    happens: Callable[[TaskGroup], Awaitable[None]],
    bad: Failing,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ENDS.clear()
    async with running() as group:
        await happens(group)
    assert bad.records
    if not isinstance(bad.error, Unprintable):
        printed = capsys.readouterr().err
        for record in bad.records:
            assert f"fauxtp could not log: {record.getMessage()}" in printed
        assert "a bad log" in printed


def test_who_is_lost_with_an_event_loop_is_dead(loop: Any, bad: Failing) -> None:
    pid = start(loop, Plain, register_as="lost")
    loop.close()
    assert not is_alive(pid)
    assert [record.levelname for record in bad.records] == ["WARNING"]


@pytest.mark.parametrize("stderr", ["closed", "none"])
def test_nothing_is_raised_where_it_cannot_be_printed(
    stderr: str, bad: Failing, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if stderr == "none":
        monkeypatch.setattr("sys.stderr", None)
    else:
        with (tmp_path / "stderr").open("w") as closed:
            monkeypatch.setattr("sys.stderr", closed)
    logger().warning("not %s", "printed")
    assert len(bad.records) == 1


def test_records_tell_who_has_logged(caplog: pytest.LogCaptureFixture) -> None:
    logger("fauxtp.watch").warning("told")
    (record,) = caplog.records
    assert (record.name, record.pathname) == ("fauxtp.watch", __file__)
    assert record.funcName == "test_records_tell_who_has_logged"


def test_nobody_goes_past_that() -> None:
    package = Path(fauxtp.__file__).parent
    names = {path.name for path in package.rglob("*.py") if LOGGER.search(path.read_text("utf-8"))}
    assert names == {"logs.py", "simulation.py"}  # the latter to take its place
