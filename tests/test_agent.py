"""Looking into a program: what its agent answers, whom it lets in, and what the commands show."""

from __future__ import annotations

import itertools
import json
import os
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from agents import until
from conftest import PATIENCE
from crew import Puppet
from hypothesis import given, settings
from hypothesis import strategies as st

from fauxtp import (
    ChildSpec,
    GenServer,
    Supervisor,
    call,
    cast,
    cast_nowait,
    in_thread,
    send_nowait,
)
from fauxtp import __main__ as commands
from fauxtp.observe import Agent, agent, agent_answers, client, events, happenings, places, serve
from fauxtp.observe.actions import ACTIONS
from fauxtp.observe.agent_answers import PIECE, answers
from fauxtp.observe.asker import RIGHTS, Asker
from fauxtp.observe.client import Unreachable, Viewer, programs, viewer_of
from fauxtp.observe.process_rows import MOST

pytestmark = [
    pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets"),
    pytest.mark.usefixtures("place"),
]
SECRET = "hunter2"
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="it cannot fork")


ROW: dict[str, Any] = {
    **dict.fromkeys(("pid", "mailbox", "children", "watchers", "restarts", "restarts_below"), 1),
    "names": [],
    "class": "Store",
    "phase": "running",
    "handling": None,
    "handling_for": 0.0,
    "waiting_for": None,
    "supervisor": None,
}


@pytest.fixture
def served() -> Iterator[Agent]:
    with serve() as one:
        yield one


@contextmanager
def looking(one: Agent) -> Iterator[Viewer]:
    with Viewer(one.path) as viewer:
        yield viewer


class Busy(GenServer[Any, Any]):
    """Waits in a handler, or blocks its event loop, until it is let go on."""

    async def handle_cast(self, request: Any, state: Any) -> Any:
        if request == "wait":
            await self.waits_here()
        elif callable(request):
            request()
        return state

    async def waits_here(self) -> None:
        await anyio.sleep_forever()

    async def handle_call(self, request: Any, from_: Any, state: Any) -> Any:
        return await call(request, "anything", timeout=None), state


class Application(Supervisor):
    def child_specs(self) -> list[ChildSpec]:
        return [ChildSpec(name, Busy, register_as=name, shutdown=0.01) for name in ("a", "b", "c")]


@pytest.fixture(params=["asyncio", "trio"])
def application(request: pytest.FixtureRequest) -> Iterator[None]:
    with in_thread(Application, register_as="app", backend=request.param):
        yield


# What is answered


@pytest.mark.usefixtures("application")
def test_it_tells_of_each_process_what_it_does(served: Agent) -> None:
    send_nowait("a", "one")
    with looking(served) as viewer:
        send_nowait("b", "two")
        cast_nowait("a", "wait")
        rows = {name: row for row in viewer.processes() for name in row["names"]}
        assert set(rows) == {"app", "a", "b", "c"}
        assert rows["app"]["supervisor"] is None
        assert {rows[name]["supervisor"] for name in "abc"} == {rows["app"]["pid"]}
        assert rows["app"]["children"] == 3
        row = until(lambda: busy(viewer, "a"))
        assert (row["class"], row["phase"], row["handling"]) == ("Busy", "running", "Cast 'wait'")
        for message in range(3):
            send_nowait("a", message)
        assert viewer.processes("top", by="mailbox")[0]["names"] == ["a"]
        assert viewer.processes("top", by="handler", most=1)[0]["names"] == ["a"]
        assert viewer.processes("top", by="children", most=1)[0]["names"] == ["app"]
        assert len(viewer.processes("top", by="monitors", most=2)) == 2


def busy(viewer: Viewer, name: str) -> Any:
    row = next(iter(viewer.ask("process", which=name)))["process"]
    return row if row["handling"] is not None and row["stack"] else None


@pytest.mark.usefixtures("application")
def test_it_tells_where_a_handler_waits(served: Agent) -> None:
    cast_nowait("a", "wait")
    with looking(served) as viewer:
        row = until(lambda: busy(viewer, "a"))
        assert "waits_here" in [name for _, _, name in row["stack"]]
        assert row["module"] == __name__
        by_number = next(iter(viewer.ask("process", which=row["pid"])))["process"]
        assert by_number["names"] == ["a"]
        [one] = [row for row in viewer.processes("stacks") if row["names"] == ["a"]]
        assert one["stack"] == row["stack"]


@pytest.mark.usefixtures("application")
def test_it_answers_while_an_event_loop_is_blocked(served: Agent) -> None:
    blocked, may_go_on = threading.Event(), threading.Event()

    def block() -> None:
        blocked.set()
        may_go_on.wait(PATIENCE)

    cast_nowait("a", block)
    assert blocked.wait(PATIENCE)
    try:
        with looking(served) as viewer:
            assert viewer.processes("top", by="handler", most=1)[0]["names"] == ["a"]
    finally:
        may_go_on.set()


@pytest.mark.anyio
async def test_many_processes_are_told_of_in_pieces(served: Agent) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(2 * PIECE + 1):
            await Puppet.start(task_group=group)

        def look() -> list[int]:
            with looking(served) as viewer:
                return [len(piece["processes"]) for piece in viewer.ask("processes")]

        assert await anyio.to_thread.run_sync(look) == [PIECE, PIECE, 1, 0]
        group.cancel_scope.cancel()


@pytest.mark.anyio
async def test_who_waits_for_whom_is_told(served: Agent) -> None:
    async with anyio.create_task_group() as group:
        first = await Busy.start(task_group=group, register_as="first")
        await Busy.start(task_group=group, register_as="second")
        await cast("second", "wait")
        await anyio.wait_all_tasks_blocked()
        group.start_soon(lambda: call(first, "second", timeout=None))
        await anyio.wait_all_tasks_blocked()

        def look() -> dict[str, Any]:
            with looking(served) as viewer:
                return {row["names"][0]: row for row in viewer.processes()}

        rows = await anyio.to_thread.run_sync(look)
        assert rows["first"]["waiting_for"] == rows["second"]["pid"]
        group.cancel_scope.cancel()


# What happens


class Happens(GenServer[Any, Any]):
    async def handle_cast(self, request: Any, state: Any) -> Any:
        raise ValueError(request)


class Watched(Supervisor):
    max_restarts = 100

    def child_specs(self) -> list[ChildSpec]:
        return [ChildSpec("it", Happens, register_as="it")]


def told_until(pieces: Iterator[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the events that are told until one of that kind is."""
    found: list[dict[str, Any]] = []
    while not any(event["kind"] == kind for event in found):
        found += next(pieces)["events"]
    return found


def test_what_happens_is_told_as_it_does_and_of_messages_the_label(served: Agent) -> None:
    with in_thread(Watched, register_as="app"), looking(served) as viewer:
        pieces = viewer.ask("watch")
        asks = threading.Thread(target=cast_when, args=(lambda: events._listeners, SECRET))
        asks.start()
        told = told_until(pieces, "restarted")
        asks.join()
        pid = next(event for event in told if event["kind"] == "crashed")["pid"]
        while "started" not in {event["kind"] for event in told}:
            told += told_until(pieces, "started")
        kinds = [event["kind"] for event in told]
        assert {"crashed", "ended", "restarted", "started"} <= {*kinds}
        crash = told[kinds.index("crashed")]
        assert crash["labels"] == ["Happens", "ValueError"]
        assert crash["details"] == {"error": "ValueError"}
        assert abs(crash["at"] - time.time()) < 60
        assert told[kinds.index("ended")]["pid"] == pid
        assert told[kinds.index("restarted")]["labels"] == ["Watched", "it"]
        send_nowait("nobody", ("log in", SECRET))
        letter = told_until(pieces, "dead_letter")[-1]
        assert letter["details"] == {"to": "'nobody'", "message": "('log in', …)"}
        assert SECRET not in json.dumps([told, letter])
    until(lambda: not events._listeners)  # nobody listens when nobody looks


def cast_when(may: Callable[[], Any], request: Any) -> None:
    until(may)
    cast_nowait("it", request)


def test_only_what_is_asked_for_is_told_and_never_too_much(
    served: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(happenings, "BEAT", 0.01)
    monkeypatch.setattr(happenings, "MOST", 10)
    told: Any = happenings.happenings(["dead_letter"])
    assert next(told) == {"events": [], "left_out": 0, "more": True}  # a sign of life
    for number in range(25):
        send_nowait("nobody", number)
    piece = next(told)
    assert [event["details"]["message"] for event in piece["events"]] == ["int"] * 10
    assert piece["left_out"] == 15
    told.close()
    assert not events._listeners


def test_counts_are_told(served: Agent) -> None:
    with looking(served) as viewer:

        def letters() -> int:
            counts = viewer.answer("counts")["counts"]
            return sum(number for *key, number in counts if key == ["dead_letter", "noproc"])

        before = letters()
        send_nowait("nobody", 1)
        assert letters() == before + 1


# Whatever comes in has an answer, and does no harm

HOSTILE = [
    (b"\xff\xfe\n", "expected a question in JSON"),
    (b"GET / HTTP/1.1\n", "expected a question in JSON"),
    (b"[" * 50_000 + b"\n", "expected a question in JSON"),
    (b"[]\n", 'expected an object that has "ask"'),
    (b"{}\n", 'expected an object that has "ask"'),
    (b'{"ask": 5}\n', 'expected an object that has "ask"'),
    (
        b'{"ask": "eval"}\n',
        "expected one of program, processes, top, process, stacks, counts, watch, ",
    ),
    (b'{"ask": "__class__"}\n', "expected one of program"),
    (b'{"ask": "program", "more": 1}\n', "unexpected keyword argument"),
    (b'{"ask": "process"}\n', "missing 1 required"),
    (b'{"ask": "process", "which": [1]}\n', "the number of a PID, or a name"),
    (b'{"ask": "process", "which": true}\n', "the number of a PID, or a name"),
    (b'{"ask": "process", "which": ""}\n', "got ''"),
    (b'{"ask": "process", "which": "nobody"}\n', "no living process 'nobody'"),
    (b'{"ask": "process", "which": 99999999999999999999}\n', "no living process 9999"),
    (
        b'{"ask": "watch", "kinds": ["ended", "x"]}\n',
        "each of kinds to be one of started, ended, ",
    ),
    (b'{"ask": "watch", "kinds": "ended"}\n', "expected kinds to be a list of names"),
    (b'{"ask": "watch", "kinds": [5]}\n', "expected kinds to be a list of names"),
    (b'{"ask": "watch", "kinds": []}\n', "expected kinds to have at least one"),
    (b'{"ask": "counts", "of": 1}\n', "unexpected keyword argument"),
    (b'{"ask": "top", "by": "name"}\n', "expected by to be one of mailbox, handler, "),
    (b'{"ask": "top", "by": {}}\n', "expected by to be one of mailbox, handler, "),
    (b'{"ask": "top", "most": 0}\n', f"expected most to be from 1 to {MOST}"),
    (b'{"ask": "top", "most": 1e9}\n', "expected most to be from 1 to"),
    (b'{"ask": "top", "most": true}\n', "expected most to be from 1 to"),
    (b"x" * (agent.LONGEST + 1) + b"\n", f"expected a question of at most {agent.LONGEST} bytes"),
]


@pytest.mark.parametrize(("line", "told"), HOSTILE, ids=[str(number) for number in range(26)])
def test_what_is_no_question_has_an_answer(served: Agent, line: bytes, told: str) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(PATIENCE)
        peer.connect(str(served.path))
        peer.sendall(line)
        answer = peer.makefile("rb").readline()
    assert told in json.loads(answer)["error"]
    with looking(served) as viewer:  # it goes on
        assert viewer.program()["pid"] == os.getpid()


@pytest.mark.parametrize(
    ("where", "what", "question"),
    [
        ("stack_of", RuntimeError("it changed"), {"ask": "stacks"}),
        ("ProcessRows", AttributeError("__class__"), {"ask": "top"}),
        ("counts", KeyError("x"), {"ask": "counts"}),
        ("whereis", RecursionError(), {"ask": "process", "which": "a"}),
    ],
)
@pytest.mark.usefixtures("application")
def test_what_cannot_be_told_is_an_answer_and_logged(
    where: str,
    what: Exception,
    question: dict[str, Any],
    served: Agent,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise what

    with looking(served) as viewer:
        with monkeypatch.context() as odd:
            odd.setattr(agent_answers, where, fail)
            with pytest.raises(ValueError, match="could not be told: the program has logged why"):
                list(viewer.ask(**question))
        assert list(viewer.ask(**question))  # in the same connection
    [record] = caplog.records
    assert record.getMessage().endswith(f"told what was asked: {question['ask']}")
    assert record.exc_info is not None
    assert record.exc_info[1] is what


@pytest.mark.parametrize(
    ("argv", "command"),
    [([], []), ([Path("/srv/run.py"), "secret"], ["/srv/run.py"]), (["run", "secret"], ["run"])],
)
def test_a_command_is_told_without_arguments(
    argv: list[Any], command: list[str], served: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    with looking(served) as viewer:
        assert viewer.program()["command"] == [sys.executable, *command]


def test_who_may_look_may_do_nothing_else() -> None:
    looking = {"program", "processes", "top", "process", "stacks", "counts", "watch"}
    [known] = answers(b'{"ask": "?"}', Asker())
    questions = {*known["error"].removeprefix("expected one of ").split(", ")[:-1]}
    assert looking < questions
    for question in questions - looking:
        line = json.dumps({"ask": question, "which": 1}).encode()
        [answer] = answers(line, Asker())
        assert "the program does not allow" in answer["error"]


@settings(deadline=None)
@given(
    st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda value: json.dumps(value).encode())
    | st.builds(
        lambda ask, rest: json.dumps({**rest, "ask": ask}).encode(),
        st.sampled_from(["program", "processes", "top", "process", "stacks", "state", *ACTIONS]),
        st.dictionaries(
            st.sampled_from(["which", "by", "most", "asker", "_", "more"]),
            st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers()),
        ),
    )
)
def test_whatever_is_asked_has_an_answer_that_ends(line: bytes) -> None:
    told = list(answers(line, Asker(frozenset(RIGHTS), 5)))
    assert told
    assert all(piece.get("more") for piece in told[:-1])
    assert not told[-1].get("more")
    json.dumps(told)


def test_who_comes_when_there_are_enough_is_turned_away(served: Agent) -> None:
    with ExitStack() as others:
        viewers = [others.enter_context(looking(served)) for _ in range(agent.CLIENTS)]
        for viewer in viewers:
            viewer.program()  # each of them is served
        with looking(served) as late, pytest.raises(Unreachable, match="enough others look in"):
            late.program()

    assert until(lambda: is_served(served))


def is_served(one: Agent) -> bool:
    try:
        with looking(one) as viewer:
            return bool(viewer.program())
    except Unreachable:
        return False  # those who went are still counted, or still to be accepted


def test_who_goes_in_the_middle_harms_nobody(
    served: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3 * agent.CLIENTS):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(served.path))
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            try:
                peer.sendall(b'{"ask": "stacks"}\n' * 100)
            except BrokenPipeError:
                pass  # it was turned away
    until(lambda: is_served(served))
    assert caplog.records == []


def test_a_program_without_a_file_to_spare_is_not_kept_busy(
    served: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    accept = agent._Sockets.get_request

    def fails_at_first(server: Any) -> Any:
        if len(pauses) < 3:
            raise OSError("too many open files")
        return accept(server)

    monkeypatch.setattr(agent, "sleep", pauses.append)
    monkeypatch.setattr(agent._Sockets, "get_request", fails_at_first)
    with looking(served) as viewer:
        assert viewer.program()
    assert pauses == [agent.BREATH] * 3


# Who may look


def test_nobody_else_can_reach_the_socket(served: Agent) -> None:
    assert stat.S_IMODE(served.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(served.path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("how", ["open to others", "a link", "a file", "of somebody else"])
def test_a_folder_that_is_not_ones_own_is_not_trusted(
    how: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place / f"fauxtp-{os.geteuid()}"
    if how == "a link":
        (place / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(place / "elsewhere")
    elif how == "a file":
        folder.touch(mode=0o600)
    else:
        folder.mkdir(mode=0o755 if how == "open to others" else 0o700)
    if how == "of somebody else":
        owner = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: owner)
        folder.rename(place / f"fauxtp-{owner}")
    with pytest.raises(PermissionError, match="to be a folder of user"):
        serve()
    assert list(places.reachable()) == []


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="nobody tells who asks")
@pytest.mark.parametrize(("user", "may"), [(os.geteuid(), True), (0, True), (54_321, False)])
def test_only_the_same_user_and_root_may_look(user: int, may: bool) -> None:
    class Peer:
        def getsockopt(self, *_: int) -> bytes:
            return struct.pack("3i", 1, user, 1)

    assert agent._may_look(Peer()) is may  # type: ignore[arg-type]


# From its start to its end


def test_there_is_one_until_it_is_closed() -> None:
    one = serve()
    with pytest.raises(RuntimeError, match="others can look in already"):
        serve()
    one.close()
    one.close()
    assert not one.path.exists()
    with serve() as other:
        assert other.path == one.path
    assert all(thread.name != "fauxtp.observe" for thread in threading.enumerate())


def test_who_looks_while_a_program_starts_does_it_no_harm(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen = agent._Server.server_activate
    seen: list[Any] = []

    def looked_for(server: Any) -> None:
        with monkeypatch.context() as another:
            another.setattr(os, "getpid", lambda: 1)
            seen.extend(programs())
        listen(server)

    monkeypatch.setattr(agent._Server, "server_activate", looked_for)
    with serve() as one:
        assert seen == []
        with looking(one) as viewer:
            assert viewer.program()
        assert list(one.path.parent.iterdir()) == [one.path]


@pytest.mark.parametrize("fails", ["listen", "chmod", "rename", "begin"])
def test_an_agent_that_cannot_be_had_leaves_nothing_behind(
    fails: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("not here")

    where: dict[str, tuple[Any, str]] = {
        "listen": (agent._Server, "server_activate"),
        "chmod": (Path, "chmod"),
        "rename": (Path, "rename"),
        "begin": (threading.Thread, "start"),
    }
    with monkeypatch.context() as broken:
        broken.setattr(*where[fails], fail)
        with pytest.raises(OSError, match="not here"):
            serve()
    assert list(places.made_folder().iterdir()) == []
    with serve() as one, looking(one) as viewer:
        assert viewer.program()


def test_it_ends_at_once_though_its_socket_was_cleared_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(agent, "sleep", pauses.append)
    one = serve()
    one.path.unlink()
    one.close()
    assert not one._thread.is_alive()
    assert pauses == []


def test_who_still_looks_as_it_is_closed_is_told() -> None:
    with serve() as one:
        viewer = Viewer(one.path)
        viewer.program()
    with viewer, pytest.raises(Unreachable, match="does not answer"):
        until(lambda: not viewer.program())


@forks
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_has_none_and_leaves_its_parents_alone(served: Agent) -> None:
    with looking(served) as viewer:
        viewer.program()
        child = os.fork()
        if child == 0:
            os._exit(0 if agent._agent is None and served.path.exists() else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert viewer.program()["pid"] == os.getpid()
    with looking(served) as viewer:
        assert viewer.program()["pid"] == os.getpid()


def test_sockets_of_programs_that_have_ended_are_cleared_away(served: Agent, place: Path) -> None:
    dead = places.socket_of(999_999, served.path.parent)
    elsewhere = dead.with_name("999999-f00.b00.sock")  # of another machine: who knows?
    for path in (dead, elsewhere):
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(str(path))
    (served.path.parent / "notes.txt").touch()
    assert list(programs()) == []  # nor is who looks among them
    assert not dead.exists()
    assert elsewhere.exists()
    assert served.path.exists()


@pytest.mark.skipif(places.pid_space() == "0", reason="nobody knows whose PIDs they are")
def test_containers_that_share_a_folder_have_sockets_of_their_own(
    served: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = places.pid_space()
    boot = served.path.with_name("boot")
    boot.write_text("another")
    for another in (("SPACE", Path("/proc/self/ns/user")), ("BOOT", boot)):
        monkeypatch.setattr(places, *another)
        assert places.pid_space() != own
        theirs = places.socket_of(os.getpid(), served.path.parent)
        assert theirs != served.path
        served.path.rename(theirs)  # it listens there, as one in another container would
        monkeypatch.undo()
        monkeypatch.setattr(tempfile, "tempdir", str(served.path.parent.parent))
        [program] = programs()
        assert (program["pid"], program["is_here"]) == (os.getpid(), False)
        with viewer_of(os.getpid()) as viewer:
            assert viewer.program()["pid"] == os.getpid()
        with socket.socket(socket.AF_UNIX) as own_one:
            own_one.bind(str(served.path))
            own_one.listen()
            with viewer_of(os.getpid()) as viewer:  # that comes first
                assert viewer._socket.getpeername() == str(served.path)
        served.path.unlink()
        theirs.rename(served.path)


@contextmanager
def impostor(place: Path, *answers: bytes, pid: int = 1) -> Iterator[int]:
    """Answer in place of an agent."""
    folder = places.made_folder()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(places.socket_of(pid, folder)))
        listener.listen()

        def serve_one() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(1000)
                for answer in answers:
                    peer.sendall(answer)

        thread = threading.Thread(target=serve_one)
        thread.start()
        yield pid
        thread.join()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            b'{"program": {"protocol": 9, "fauxtp": "9.9"}}\n',
            "expected protocol 1, got 9: the .*9",
        ),
        (b"nonsense\n", "answers what is not understood here"),
        (b"[1]\n", "answers what is not understood here"),
        (b"", "does not answer"),
        (b'{"error": "it is late"}\n', "it is late"),
    ],
)
def test_an_agent_that_is_not_as_ours_is_told_of(place: Path, answer: bytes, told: str) -> None:
    with (
        impostor(place, answer) as pid,
        viewer_of(pid) as viewer,
        pytest.raises((Unreachable, ValueError), match=told),
    ):
        viewer.program()


PROGRAM = {
    "fauxtp": "0.4.0",
    "protocol": 1,
    "pid": 1,
    "command": ["python", "run"],
    "seconds": 1.0,
    "processes": 2,
    "names": 2,
    "allows": ["look"],
}
ODD: list[dict[str, Any]] = [
    {"pid": "\x1b]0;pwned\x07"},
    {"pid": None},
    {"pid": True},
    {"processes": "5"},
    {"names": [1]},
    {"seconds": "1"},
    {"seconds": float("nan")},
    {"seconds": float("inf")},
    {"command": "run"},
    {"command": [5]},
    {"protocol": "\x1b]0;pwned\x07"},
    {"protocol": {}},
]


def encoded(answer: Any) -> bytes:
    return json.dumps(answer).encode() + b"\n"


@pytest.mark.parametrize(
    "answer",
    [
        *(encoded({"program": {**PROGRAM, **odd}}) for odd in ODD),
        *(
            encoded({"program": {it: told for it, told in PROGRAM.items() if it != left_out}})
            for left_out in ("protocol", "pid", "command", "seconds", "processes", "names")
        ),
        encoded({"program": 5}),
        encoded({}),
        encoded({"error": "\x1b]0;pwned\x07"}),
        encoded({"error": {}}),
        encoded([]),
        b"[" * 100_000 + b"\n",
        b"",
    ],
)
def test_an_odd_program_does_not_hide_the_others(answer: bytes, place: Path) -> None:
    good = encoded({"program": {**PROGRAM, "pid": 2}})
    with impostor(place, good, pid=2), impostor(place, answer):
        assert [program["pid"] for program in programs()] == [2]


def test_a_program_of_another_protocol_is_shown_as_that(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    later = encoded({"program": {**PROGRAM, "protocol": 9, "fauxtp": "9.9\x1b[2J"}})
    told = "expected protocol 1, got 9: the program has fauxtp 9.9·[2J"
    with impostor(place, encoded({"program": PROGRAM}), pid=2), impostor(place, later, pid=3):
        commands.main(("ps",))
        [_, ours, theirs] = capsys.readouterr().out.splitlines()
        assert ours.endswith("python run")
        assert theirs.lstrip().startswith("3 ")
        assert theirs.endswith(told)
    with impostor(place, later, pid=4):
        assert client.place_of(None).pid == 4  # and not that there is nobody: who asks is told


def test_who_sends_a_question_drop_by_drop_is_cut_off(
    served: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look at the clock is 31 s after the one before: the second piece comes too late."""
    ticks = itertools.count(step=31.0)
    monkeypatch.setattr(agent, "monotonic", lambda: next(ticks))
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(PATIENCE)
        peer.connect(str(served.path))
        stream = peer.makefile("rb")
        for question in (b'{"ask": "program"}\n' * 2, b'{"ask": "program"}\n'):
            peer.sendall(question)  # in one piece, it comes in time
            for _ in question.splitlines():
                assert b'"program"' in stream.readline()
        peer.sendall(b"{")
        assert stream.readline() == b""
    with looking(served) as viewer:
        assert viewer.program()["pid"] == os.getpid()


def test_what_is_no_socket_does_not_hide_the_others(place: Path) -> None:
    folder = places.made_folder()
    places.socket_of(8, folder).mkdir()
    places.socket_of(9, folder).symlink_to("nowhere")
    places.socket_of(10, folder).write_text("notes")
    with impostor(place, encoded({"program": PROGRAM}), pid=999_999):
        assert [program["pid"] for program in programs()] == [999_999]


def test_a_program_has_the_number_of_its_socket(place: Path) -> None:
    with impostor(place, encoded({"program": {**PROGRAM, "pid": 77}})):
        [program] = programs()
    assert (program["pid"], program["is_here"]) == (1, True)


@pytest.mark.parametrize(
    "rows",
    [5, None, [5], [{}], [{**ROW, "pid": "\x1b]0;pwned\x07"}], [{**ROW, "mailbox": "\x1b[2J"}]],
)
def test_processes_that_are_none_are_not_shown(rows: Any, place: Path) -> None:
    with (
        impostor(place, encoded({"processes": rows})) as pid,
        viewer_of(pid) as viewer,
        pytest.raises(Unreachable, match="answers what is not understood here"),
    ):
        viewer.processes()


@pytest.mark.skipif(places.pid_space() == "0", reason="nobody knows whose PIDs they are")
@pytest.mark.parametrize("first", ["0", "f"])
def test_a_socket_that_was_left_over_does_not_hide_a_living_one(
    first: str, served: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers one after the other have the same PID, and sockets of theirs are left over."""
    pid, _, boot = places.pid_space().partition(".")
    dead = served.path.with_name(f"{os.getpid()}-{first}00.{boot}.sock")
    far = served.path.with_name(f"{os.getpid()}-{first}00.another.sock")
    theirs = served.path.with_name(f"{os.getpid()}-a{pid}.{boot}.sock")
    served.path.rename(theirs)  # it listens there, as one in another container would
    try:
        for left_over in (dead, far):
            with socket.socket(socket.AF_UNIX) as gone:
                gone.bind(str(left_over))
        with viewer_of(os.getpid()) as viewer:
            assert viewer.program()["pid"] == os.getpid()
        with viewer_of(theirs.name.removesuffix(".sock")) as viewer:
            assert viewer.program()["pid"] == os.getpid()
        [program] = programs()
        assert program["socket"] == theirs.name.removesuffix(".sock")
        assert not dead.exists()  # no kernel but this one has had it
        assert far.exists()
        with viewer_of(None) as viewer:  # it is the only one
            assert viewer.program()["pid"] == os.getpid()
        with pytest.raises(Unreachable, match="no such program"):
            viewer_of(far.name.removesuffix(".sock"))
    finally:
        theirs.rename(served.path)


def test_an_agent_that_says_nothing_is_not_waited_for(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PATIENCE", 0.01)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(places.socket_of(1, places.made_folder())))
        listener.listen()
        with viewer_of(1) as viewer, pytest.raises(Unreachable, match="timed out"):
            viewer.program()


@forks
def test_a_process_that_such_a_program_forks_can_be_looked_into() -> None:
    source = """
import os, sys
from fauxtp.observe import agent
if os.fork() == 0:
    print(agent._agent.path.name.startswith(f"{os.getpid()}-"), flush=True)
    sys.exit()
os.wait()
print(agent._agent.path.exists())
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source],
        env={**os.environ, "FAUXTP_OBSERVE": "look"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("True\nTrue\n", "")


def test_a_program_that_nobody_can_look_into_goes_on(place: Path) -> None:
    (place / f"fauxtp-{os.geteuid()}").touch()
    done = subprocess.run(
        [sys.executable, "-c", "import fauxtp; print('goes on')"],
        env={**os.environ, "FAUXTP_OBSERVE": "look"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout == "goes on\n"
    assert "nobody can look in: expected " in done.stderr
