"""What answers in place of an agent is told of, and hides none of the others."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fauxtp import __main__ as commands
from fauxtp._commands import client
from fauxtp._commands.client import Unreachable, programs, viewer_of
from fauxtp.observe import places

pytestmark = [
    pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets"),
    pytest.mark.usefixtures("place"),
]


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


def test_an_agent_that_says_nothing_is_not_waited_for(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PATIENCE", 0.01)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(places.socket_of(1, places.made_folder())))
        listener.listen()
        with viewer_of(1) as viewer, pytest.raises(Unreachable, match="timed out"):
            viewer.program()
