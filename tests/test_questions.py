"""Whatever an agent is asked has an answer, and does the program no harm."""

from __future__ import annotations

import itertools
import json
import os
import socket
import struct
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from agents import looking, until
from conftest import PATIENCE
from hypothesis import given, settings
from hypothesis import strategies as st

from fauxtp._commands.client import Unreachable
from fauxtp.observe import Agent, agent, agent_answers
from fauxtp.observe.actions import ACTIONS
from fauxtp.observe.agent_answers import answers
from fauxtp.observe.asker import RIGHTS, Asker
from fauxtp.observe.process_rows import MOST

pytestmark = [
    pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets"),
    pytest.mark.usefixtures("place"),
]


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
        ("whereabouts", RuntimeError("it changed"), {"ask": "stacks"}),
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


def test_who_has_gone_is_not_counted_though_nobody_has_noticed(
    served: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_notice = threading.Event()
    shut_down = agent._Server.shutdown_request

    def shut_down_later(self: agent._Server, request: Any) -> None:
        if request in self.clients:
            may_notice.wait(PATIENCE)
        shut_down(self, request)

    monkeypatch.setattr(agent._Server, "shutdown_request", shut_down_later)
    try:
        with ExitStack() as others:
            for _ in range(agent.CLIENTS):
                others.enter_context(looking(served)).program()
        with looking(served) as late:
            assert late.program()
    finally:
        may_notice.set()


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
