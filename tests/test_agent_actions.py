"""What those who look into a program may do where it allows that: ask for states, end, restart."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
from agents import shows, until
from conftest import PATIENCE
from crew import Idle

from fauxtp import (
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    RestartType,
    Supervisor,
    call_blocking,
    cast_nowait,
    in_thread,
    is_alive,
    whereis,
)
from fauxtp import __main__ as commands
from fauxtp._commands import client
from fauxtp._commands.client import Viewer
from fauxtp._supervision.child import Question
from fauxtp.observe import actions, agent_answers, reports, serve, states

pytestmark = [
    pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets"),
    pytest.mark.usefixtures("place"),
]
SECRET = "hunter2"
HERE = ("--pid", str(os.getpid()))


class Store(GenServer[Any, Any]):
    """Keeps what it is told to; waits, or blocks its event loop, where it is asked to."""

    async def init(self) -> Any:
        return {"password": SECRET}

    async def handle_cast(self, request: Any, state: Any) -> Any:
        if request == "hang":
            await anyio.sleep_forever()
        if callable(request):
            request()
        elif isinstance(request, tuple):
            state = {**state, request[0]: request[1]}
        return state

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return sorted(state), state


class Silent(Store):
    def format_state(self, state: Any) -> Any:
        return None


class Application(Supervisor):
    max_restarts = 100

    def child_specs(self) -> list[ChildSpec]:
        once = RestartType.TEMPORARY
        return [
            ChildSpec("store", Store, register_as="store", shutdown=0.01),
            ChildSpec("silent", Silent, register_as="silent"),
            ChildSpec("once", Store, register_as="once", restart=once),
            ChildSpec("waits", Idle, register_as="waits"),
            ChildSpec("crew", DynamicSupervisor, register_as="crew"),
        ]


@pytest.fixture(params=["asyncio", "trio"])
def application(request: pytest.FixtureRequest) -> Iterator[None]:
    with in_thread(Application, register_as="app", backend=request.param):
        yield


@pytest.fixture(autouse=True)
def time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event loop of a machine that has much to do has time to tell a state."""
    monkeypatch.setattr(states, "PATIENCE", PATIENCE)


@contextmanager
def viewing(*rights: str) -> Iterator[Viewer]:
    with serve(allow={"look", *rights}) as agent, Viewer(agent.path) as viewer:
        yield viewer


def number(name: str) -> int:
    pid = whereis(name)
    assert pid is not None
    return actions.number_of(pid)


# Rights


@pytest.mark.parametrize(
    ("allow", "told"),
    [
        ("look", (TypeError, "expected allow to be a set of look, state, exit, got str")),
        (5, (TypeError, "expected allow to be a set of look, state, exit, got int")),
        ([5], (TypeError, "expected each of allow to be a str, got int")),
        ({"eval"}, (ValueError, "each of allow to be one of look, state, exit, got 'eval'")),
    ],
)
def test_what_can_be_allowed_is_a_closed_list(
    allow: Any, told: tuple[type[Exception], str]
) -> None:
    with pytest.raises(told[0], match=told[1]):
        serve(allow=allow)
    with serve():  # nothing was begun
        pass


@pytest.mark.usefixtures("application")
@pytest.mark.parametrize("question", ["state", *actions.ACTIONS])
def test_nothing_is_done_that_is_not_allowed(question: str) -> None:
    for rights in ((), ("exit",) if question == "state" else ("state",)):
        with viewing(*rights) as viewer:
            before = whereis("store")
            with pytest.raises(ValueError, match=f"does not allow '{question}': one does that"):
                viewer.answer(question, which=number("store"))
            assert whereis("store") is before
            assert viewer.program()["allows"] == sorted({"look", *rights})


# States


@pytest.mark.usefixtures("application")
def test_a_state_is_told_but_for_secrets() -> None:
    cast_nowait("store", ("user", "anna"))
    call_blocking("store", "all is done")
    with viewing("state") as viewer:
        told = viewer.answer("state", which="store")
        assert told["state"] == "{'password': <hidden>, 'user': 'anna'}"
        assert (told["type"], told["size"], told["is_blocked"]) == ("dict", 2, False)
        assert viewer.answer("state", which=number("store"))["process"]["names"] == ["store"]
        reports.configure(redact=["user"])
        try:
            assert "anna" not in viewer.answer("state", which="store")["state"]
        finally:
            reports.configure()
        silent = viewer.answer("state", which="silent")
        assert (silent["state"], silent["is_shown"]) == (None, False)


@pytest.mark.usefixtures("application")
def test_a_large_state_is_cut() -> None:
    cast_nowait("store", ("rows", ["x" * 1000] * 1_000_000))
    call_blocking("store", "all is done")
    with viewing("state") as viewer:
        assert len(viewer.answer("state", which="store")["state"]) == states.LIMIT + 1


@pytest.mark.usefixtures("application")
def test_of_a_blocked_event_loop_the_type_and_the_size_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(states, "PATIENCE", 0.01)
    blocked, may_go_on = threading.Event(), threading.Event()

    def block() -> None:
        blocked.set()
        may_go_on.wait(PATIENCE)

    cast_nowait("store", block)
    assert blocked.wait(PATIENCE)
    try:
        with viewing("state") as viewer:
            told = viewer.answer("state", which="store")
        assert (told["state"], told["is_blocked"]) == (None, True)
        assert (told["type"], told["size"]) == ("dict", 1)
    finally:
        may_go_on.set()


class Evil:
    """Its text would take over a terminal, and take for ever."""

    def __init__(self) -> None:
        self.name = "\x1b[2J" * 1000

    def __repr__(self) -> str:
        raise AssertionError("nobody asks it")

    __str__ = __len__ = __repr__


@pytest.mark.usefixtures("application")
def test_the_command_shows_a_state(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cast_nowait("store", ("\x1b[2J", Evil()))
    call_blocking("store", "all is done")
    with serve(allow={"state"}):
        shown = shows(capsys, "state", *HERE, "store")
        assert "Store 'store' <PID" in shown
        assert "dict of 2" in shown
        assert "<hidden>" in shown
        assert SECRET not in shown
        assert "\x1b" not in shown
        assert "its class shows nothing of it" in shows(capsys, "state", *HERE, "silent")
        told = json.loads(shows(capsys, "state", *HERE, str(number("store")), "--json"))
        assert told["type"] == "dict"
        monkeypatch.setattr(client.Viewer, "answer", lambda *_, **__: {**told, "is_blocked": True})
        assert "event loop is blocked" in shows(capsys, "state", *HERE, "store")


# Actions


@pytest.mark.usefixtures("application")
@pytest.mark.parametrize("action", ["exit", "kill", "restart"])
def test_one_process_is_ended_and_its_supervisor_starts_another(
    action: str, caplog: pytest.LogCaptureFixture
) -> None:
    cast_nowait("store", "hang")
    before, number_before = whereis("store"), number("store")
    with viewing("exit") as viewer:
        told = viewer.answer(action, which=number_before)
        assert told["done"].startswith(f"Store 'store' <PID {number_before}>: ")
        until(lambda: whereis("store") not in {None, before})
        with pytest.raises(ValueError, match=f"no living process {number_before}"):
            viewer.answer(action, which=number_before)
    assert before is not None
    assert not is_alive(before)
    [record] = [record for record in caplog.records if record.name == "fauxtp.observe"]
    assert record.levelno == logging.WARNING
    user = f"user {os.geteuid()}" if hasattr(socket, "SO_PEERCRED") else "somebody"
    assert record.getMessage() == (
        f"{action}: asked for by {user}, who looks in, for Store 'store' {before!r}"
    )
    facts = record.fauxtp  # type: ignore[attr-defined]
    assert (facts["action"], facts["pid"]) == (action, repr(before))


@pytest.mark.usefixtures("application")
def test_a_server_is_suspended_and_resumed() -> None:
    with viewing("exit", "state") as viewer:
        assert viewer.answer("suspend", which=number("store"))["done"].endswith(": suspended")
        cast_nowait("store", ("later", 1))
        assert "later" not in viewer.answer("state", which="store")["state"]
        assert viewer.answer("resume", which=number("store"))["done"].endswith(": resumed")
        assert call_blocking("store", "all is done") == ["later", "password"]


@pytest.mark.usefixtures("application")
def test_what_cannot_be_done_is_said_and_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    cast_nowait("store", "hang")
    refused = {
        ("suspend", "waits"): "expected a server, got Idle, which has its own run",
        ("resume", "waits"): "expected a server, got Idle",
        ("restart", "app"): "has no supervisor, which would restart it",
        ("restart", "once"): "no child that its supervisor starts again",
    }
    with viewing("exit") as viewer:
        with monkeypatch.context() as brief:
            brief.setattr(actions, "PATIENCE", 0.01)
            with pytest.raises(ValueError, match=r"not come to it within 0\.01 s, and will not"):
                viewer.answer("suspend", which=number("store"))
        for (action, name), told in refused.items():
            with pytest.raises(ValueError, match=told):
                viewer.answer(action, which=number(name))
        for which in ("store", None, True, 1.5, [1]):
            with pytest.raises(ValueError, match="which to be the number of a PID"):
                viewer.answer("exit", which=which)
    assert all(whereis(name) for name in ("store", "waits", "app", "once"))


class Slow(GenServer[Any, Any]):
    """Ends, and begins, when `MAY` says so; fails in `init` if that says something else."""

    async def init(self) -> None:
        while MAY["begin"] == "wait":
            await anyio.sleep(0.005)
        if MAY["begin"] != "yes":
            raise LookupError(SECRET)

    async def terminate(self, reason: Any, state: Any) -> None:
        ENDS.set()
        with anyio.CancelScope(shield=True):
            while MAY["end"] == "wait":
                await anyio.sleep(0.005)


MAY: dict[str, str] = {}
ENDS = threading.Event()


class Floor(Supervisor):
    def child_specs(self) -> list[ChildSpec]:
        return [
            ChildSpec("slow", Slow, register_as="slow", shutdown=PATIENCE),
            ChildSpec("crew", DynamicSupervisor, register_as="crew"),
        ]


@pytest.fixture(params=["asyncio", "trio"])
def floor(request: pytest.FixtureRequest) -> Iterator[None]:
    MAY.update(begin="yes", end="yes")
    ENDS.clear()
    with in_thread(Floor, register_as="floor", backend=request.param):
        try:
            yield
        finally:
            MAY.update(begin="yes", end="yes")


@pytest.mark.usefixtures("floor")
@pytest.mark.parametrize("what", ["end", "begin"])
def test_who_is_slow_to_end_or_to_start_is_restarted_even_so(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "PATIENCE", 1.0)  # half of it for who is asked for its children
    before = whereis("slow")
    MAY[what] = "wait"
    with viewing("exit") as viewer:
        told = viewer.answer("restart", which=number("slow"))["done"]
    assert "has yet to end, or to start: its supervisor starts it again" in told
    assert ENDS.is_set()
    MAY[what] = "yes"
    until(lambda: whereis("slow") not in {None, before})


@pytest.mark.usefixtures("floor")
def test_who_fails_to_start_again_is_told_of_without_secrets() -> None:
    MAY["begin"] = "no"
    with viewing("exit") as viewer:
        with pytest.raises(
            ValueError, match=r"was ended, but could not be restarted: LookupError$"
        ):
            viewer.answer("restart", which=number("slow"))
        assert viewer.program()  # in the same connection
    assert whereis("slow") is None


@pytest.mark.usefixtures("floor")
@pytest.mark.parametrize("restart", [RestartType.PERMANENT, RestartType.TRANSIENT])
def test_a_child_that_came_and_may_go_is_restarted_too(restart: RestartType) -> None:
    spec = ChildSpec("session", Slow, register_as="session", restart=restart)
    call_blocking("crew", Question("start", spec))
    before = whereis("session")
    with viewing("exit") as viewer:
        told = viewer.answer("restart", which=number("session"))["done"]
    assert told.endswith(": asked to end, after which its supervisor starts another")
    until(lambda: whereis("session") not in {None, before})


@pytest.mark.usefixtures("floor")
def test_a_child_that_came_and_is_not_started_again_is_left_alone() -> None:
    spec = ChildSpec("session", Slow, register_as="session", restart=RestartType.TEMPORARY)
    call_blocking("crew", Question("start", spec))
    before = whereis("session")
    with viewing("exit") as viewer, pytest.raises(ValueError, match="no child that its superv"):
        viewer.answer("restart", which=number("session"))
    assert before is not None
    assert is_alive(before)


@pytest.mark.usefixtures("application")
def test_who_crashes_before_it_is_suspended_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    began, may_go_on = threading.Event(), threading.Event()

    def crash() -> None:
        began.set()
        may_go_on.wait(PATIENCE)
        raise LookupError(SECRET)

    deliver = actions._posted

    def delivered(*given: Any) -> Any:
        done = deliver(*given)
        may_go_on.set()
        return done

    monkeypatch.setattr(actions, "_posted", delivered)
    cast_nowait("store", crash)
    assert began.wait(PATIENCE)
    with viewing("exit") as viewer:
        with pytest.raises(ValueError, match=r"it has ended before: ProcessExited$") as told:
            viewer.answer("suspend", which=number("store"))
        assert SECRET not in str(told.value)
        assert viewer.program()


# Commands that act


@pytest.mark.usefixtures("application")
@pytest.mark.parametrize("words", [(), ("--yes",)])
def test_what_is_not_allowed_is_said_before_anything_is_asked(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with serve(allow={"look"}):
        for action in ("exit", "kill", "restart", "suspend", "resume"):
            with pytest.raises(SystemExit):
                commands.main((action, *HERE, "store", *words))
            told = capsys.readouterr().err
            assert f"the program does not allow '{action}': one does that calls" in told


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("application")
def test_a_command_acts_if_the_name_is_typed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = whereis("store")
    with serve(allow={"exit"}):
        for stdin, told in (
            (io.StringIO("store\n"), "expected --yes, as there is nobody to be asked"),
            (Terminal("no\n"), "nothing was done"),
            (Terminal(""), "nothing was done"),
        ):
            monkeypatch.setattr(sys, "stdin", stdin)
            with pytest.raises(SystemExit):
                commands.main(("exit", *HERE, "store"))
            assert told in capsys.readouterr().err
            assert whereis("store") is before
        monkeypatch.setattr(sys, "stdin", Terminal("store\n"))
        commands.main(("exit", *HERE, "store"))
        asked = capsys.readouterr()
        assert f"exit Store 'store' {before!r}, in program {os.getpid()} (" in asked.err
        assert "Type store to do so: " in asked.err
        assert asked.out == f"Store 'store' {before!r}: asked to end\n"
        until(lambda: whereis("store") not in {None, before})
        told = shows(capsys, "suspend", *HERE, str(number("silent")), "--yes", "--json")
        assert "suspended" in json.loads(told)["done"]
        shows(capsys, "resume", *HERE, "silent", "--yes")


@pytest.mark.usefixtures("application")
@pytest.mark.parametrize("is_another", [False, True])
def test_who_thinks_longer_than_an_agent_waits_is_let_in_again(
    is_another: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before, agents = whereis("store"), [serve(allow={"exit"})]

    class Slow(Terminal):
        """Types the name when the connection has been closed, and perhaps the program ended."""

        def readline(self, *_: Any) -> str:  # type: ignore[override]
            agents.pop().close()
            agents.append(serve(allow={"exit"}))
            if is_another:
                monkeypatch.setattr(agent_answers, "_began", time.monotonic())
            return "store\n"

    monkeypatch.setattr(sys, "stdin", Slow())
    try:
        if is_another:
            with pytest.raises(SystemExit):
                commands.main(("exit", *HERE, "store"))
            assert "has ended, and another has its PID" in capsys.readouterr().err
            assert whereis("store") is before
        else:
            commands.main(("exit", *HERE, "store"))
            until(lambda: whereis("store") not in {None, before})
    finally:
        agents.pop().close()


@pytest.mark.usefixtures("application")
def test_who_has_a_name_by_now_is_not_hit_in_anothers_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = whereis("store")

    class Slow(Terminal):
        """Types the name when somebody else has it."""

        def readline(self, *_: Any) -> str:  # type: ignore[override]
            cast_nowait("store", boom)
            until(lambda: whereis("store") not in {None, before})
            return "store\n"

    def boom() -> None:
        raise ValueError("a crash")

    monkeypatch.setattr(sys, "stdin", Slow())
    with serve(allow={"exit"}), pytest.raises(SystemExit):
        commands.main(("exit", *HERE, "store"))
    assert "no living process" in capsys.readouterr().err
    successor = whereis("store")
    assert successor is not None
    assert is_alive(successor)
