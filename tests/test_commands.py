"""The commands that look into programs: what they show, and what they say of what is wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from agents import program, shows, until
from conftest import PATIENCE

from fauxtp import __main__ as commands
from fauxtp._commands.event_line import happening
from fauxtp._commands.process_details import details
from fauxtp._commands.process_table import table
from fauxtp._commands.process_tree import FORMS, as_text
from fauxtp.observe.plain_text import cut, plain, quoted
from fauxtp.observe.process_orders import ORDERS, ROW_ORDERS
from fauxtp.observe.process_text import called, circles

pytestmark = [
    pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets"),
    pytest.mark.usefixtures("place"),
]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_commands_look_into_a_program(
    backend: str, capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    with program(backend) as pid:
        assert f"{pid:>8}{2:>11}" in shows(capsys, "ps")
        tree = shows(capsys, "tree").splitlines()
        assert tree[0].startswith("Application 'app' <PID ")
        assert tree[1].startswith("  Store 'store\\x1b[2J' <PID ")
        assert "(1 waiting): Cast ('get', …) for " in tree[1]
        top = shows(capsys, "top", "--once", "--pid", str(pid))
        assert "2 processes, 2 names" in top
        assert top.index("Store 'store") < top.index("Application 'app'")
        stacks = shows(capsys, "stacks").splitlines()
        waits = [line.rpartition(" in ")[2] for line in stacks if " in " in line]
        assert waits == ["handle_cast", "asks_the_database", "sleep_forever"]
        assert re.fullmatch(
            r"    anyio/\S+:\d+ in sleep_forever", stacks[-2]
        )  # what that waits for
        assert re.fullmatch(r"    \(\d+ frames? of fauxtp and the event loop\)", stacks[-1])
        info = shows(capsys, "info", "app")
        assert re.search(r"children: 'store\\x1b\[2J' <PID \d+>", info)
        everything = "\n".join([*tree, top, *stacks, info])
        assert "\x1b" not in everything
        dumped = shows(capsys, "dump")
        assert "secret" not in everything + dumped  # what messages contain
        dump = json.loads(dumped)
        assert dump["program"]["pid"] == pid
        assert [row["class"] for row in dump["processes"]] == ["Application", "Store"]
        for words in (("ps",), ("tree",), ("top",), ("stacks",), ("info", "app")):
            assert json.loads(shows(capsys, *words, "--json"))
        stuck = json.loads(shows(capsys, "stacks", "--json"))
        assert [row["class"] for row in stuck] == ["Store"]  # as without --json
    assert list(place.glob("fauxtp-*/*")) == []  # it has taken its socket away


def test_a_tree_is_shown_for_other_programs_to_draw(capsys: pytest.CaptureFixture[str]) -> None:
    with program():
        rows = json.loads(shows(capsys, "tree", "--as", "json"))
        above, below = rows[0]["pid"], rows[1]["pid"]
        assert f"p{above} -> p{below};" in shows(capsys, "tree", "--as", "dot")
        assert f"p{above} --> p{below}" in shows(capsys, "tree", "--as", "mermaid")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("ps",), "no program lets itself be looked into"),
        (("tree",), "no such program lets itself be looked into"),
        (("info", "a", "--pid", "1"), r"no such program .* \(PID 1\)"),
    ],
)
def test_where_there_is_nothing_to_see_it_is_said(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        commands.main(words)
    assert ended.value.code == 1
    assert re.search(told, capsys.readouterr().err)


def test_who_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with program(), pytest.raises(SystemExit):
        commands.main(("info", "nobody\x1b[2J"))
    assert "no living process 'nobody" in capsys.readouterr().err


def test_of_several_programs_one_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with program() as first, program() as second:
        with pytest.raises(SystemExit):
            commands.main(("tree",))
        told = capsys.readouterr().err
        assert "expected --pid, as there are several programs: one of" in told
        assert all(str(pid) in told for pid in (first, second))
        assert "Application" in shows(capsys, "tree", "--pid", str(second))


def test_of_a_program_that_is_run_the_application_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "service.py").write_text(
        "from fauxtp import GenServer\n"
        "class Application(GenServer):\n"
        "    async def init(self):\n"
        "        print('ready', flush=True)\n"
    )
    words = ("-m", "fauxtp", "run", "--shutdown", "7.5", "service:Application")
    with subprocess.Popen(
        [sys.executable, *words],
        cwd=tmp_path,
        env={**os.environ, "FAUXTP_OBSERVE": "look"},
        stdout=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        running.stdout.readline()
        shown = shows(capsys, "ps")
        running.terminate()
    assert f"{sys.executable} -m fauxtp run service:Application" in shown
    assert "7.5" not in shown


def test_a_program_that_is_told_nothing_is_not_looked_into(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with program(switch="never"), pytest.raises(SystemExit):
        commands.main(("ps",))


def test_the_terminal_is_what_it_was_after_top(place: Path) -> None:
    pty = pytest.importorskip("pty")
    with program():
        here, there = pty.openpty()
        with subprocess.Popen(
            [sys.executable, "-m", "fauxtp", "top"], stdout=there, stderr=subprocess.PIPE
        ) as top:
            os.close(there)
            seen = b""
            while b"Application" not in seen:
                seen += os.read(here, 10_000)
            top.send_signal(signal.SIGINT)
            assert top.stderr is not None
            assert top.stderr.read() == b""
        while b"\x1b[?25h" not in seen:
            seen += os.read(here, 10_000)
        os.close(here)
    assert top.returncode == 0
    assert seen.startswith(b"\x1b[?25l")


LOOP = """
import sys, anyio
from fauxtp import *

class Crashes(GenServer):
    async def init(self):
        send_after(0.05, self.pid, "crash")
    async def handle_info(self, message, state):
        raise ValueError("again")

class Idle(GenServer):
    pass

class Crew(DynamicSupervisor):
    max_restarts = 100_000

class Application(Supervisor):
    max_restarts = 100_000
    def child_specs(self):
        return [ChildSpec(name, Idle, register_as=name) for name in ("a", "b")] + [
            ChildSpec("loop", Crashes, register_as="loop"),
            ChildSpec("crew", Crew, register_as="crew"),
        ]

async def main():
    async with anyio.create_task_group() as group:
        await Application.start(task_group=group, register_as="app")
        await start_child("crew", ChildSpec("one", Crashes, register_as="one"))
        print("ready", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)
        group.cancel_scope.cancel()

anyio.run(main)
"""


def test_who_is_restarted_again_and_again_is_on_top(capsys: pytest.CaptureFixture[str]) -> None:
    with program(source=LOOP):
        culprits = {"app", "loop", "crew", "one"}

        def on_top() -> bool:
            rows = json.loads(shows(capsys, "top", "--by", "restarts", "--json", "--most", "4"))
            many = [row for row in rows if max(row["restarts"], row["restarts_below"]) > 2]
            return {name for row in many for name in row["names"]} == culprits

        until(on_top)
        until(lambda: re.search(r"  restarted: \d+ times", info_of(capsys, "loop")))
        assert re.search(r"has restarted its children: \d+ times", info_of(capsys, "app"))
        assert "restarts" in shows(capsys, "top", "--once", "--by", "restarts")


def info_of(capsys: pytest.CaptureFixture[str], name: str) -> str:
    """Return what `info` shows; nothing if it is being restarted just now."""
    try:
        return shows(capsys, "info", name)
    except SystemExit:
        capsys.readouterr()
        return ""


def test_a_dump_is_shown_as_the_program_was(
    capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    file = place / "dump.json"
    with program() as pid:
        file.write_text(shows(capsys, "dump"))
        tree = shows(capsys, "tree")
        counts = json.loads(file.read_text())["counts"]
    assert ["started", "Store", 1] in counts
    assert re.sub(r"\d\.\d\d s", "", shows(capsys, "tree", "--file", str(file))) == re.sub(
        r"\d\.\d\d s", "", tree
    )
    for by, first in (("mailbox", "Store"), ("handler", "Store"), ("children", "Application")):
        top = shows(capsys, "top", "--file", str(file), "--by", by).splitlines()
        assert first in top[1]
    [row] = json.loads(shows(capsys, "top", "--file", str(file), "--json", "--most", "1"))
    assert (row["class"], pid > 0) == ("Store", True)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"processes": 5}',
        b'{"processes": [5]}',
        b'{"processes": [{"pid": 1}]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_dump_is_refused(
    text: bytes, capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    file = place / "dump.json"
    file.write_bytes(text)
    for command in ("tree", "top"):
        with pytest.raises(SystemExit):
            commands.main((command, "--file", str(file)))
        assert "to be what dump has written" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        commands.main(("top", "--file", str(place / "nothing")))
    assert "cannot be read: No such file" in capsys.readouterr().err


def test_orders_of_what_was_told_are_those_of_processes() -> None:
    assert [*ORDERS] == [*ROW_ORDERS]


def test_watch_shows_what_happens_line_by_line() -> None:
    with program(source=LOOP):
        for words, first in ((("watch",), 0), (("watch", "--kinds", "restarted", "--json"), 1)):
            with subprocess.Popen(
                [sys.executable, "-m", "fauxtp", *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as watch:
                assert watch.stdout is not None
                assert watch.stderr is not None
                lines = [watch.stdout.readline() for _ in range(8)]
                watch.send_signal(signal.SIGINT)
                told = watch.stderr.read()
                assert ("nobody looks for slow_handler, " in told) == (first == 0)
                assert told.count("\n") == (first == 0)
            assert watch.returncode == 0
            if first == 0:
                known = re.compile(
                    r"\d\d:\d\d:\d\d\.\d{3} "
                    r"(crashed|restarted|restarts_exceeded) +\w.*\n"
                )
                assert not [line for line in lines if not known.fullmatch(line)]
            else:
                assert {json.loads(line)["kind"] for line in lines} == {"restarted"}


def test_watch_ends_with_the_program_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with program(source=LOOP):
        with pytest.raises(SystemExit):
            commands.main(("watch", "--kinds", "started,nothing"))
        assert "expected some of started, ended, " in capsys.readouterr().err
        watch = subprocess.Popen(
            [sys.executable, "-m", "fauxtp", "watch"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert watch.stdout is not None
        watch.stdout.readline()
    with watch:
        _, errors = watch.communicate(timeout=PATIENCE)
    assert "the program does not answer: it has ended" in errors
    assert watch.returncode == 1


@pytest.mark.skipif(shutil.which("tmux") is None, reason="there is no tmux")
def test_top_in_a_terminal_is_ordered_by_keys(place: Path) -> None:
    server = ["tmux", "-S", str(place / "tmux")]

    def tmux(*words: str) -> str:
        return subprocess.run(
            [*server, *words], check=True, capture_output=True, text=True, timeout=PATIENCE
        ).stdout

    def lines() -> list[str]:
        return tmux("capture-pane", "-p", "-t", "top").splitlines()

    def shown_by(order: str, first: str) -> bool:
        screen = [*lines(), *[""] * 5]
        return screen[1].endswith(f"by {order}") and first in screen[4]

    command = f"{sys.executable} -m fauxtp top; echo it has ended; read"
    with program():
        tmux("-f", "/dev/null", "new-session", "-d", "-s", "top", "-x", "120", "-y", "20", command)
        try:
            until(lambda: shown_by("mailbox", "Store 'store\\x1b[2J'"))
            assert lines()[2] == "m mailbox, h handler, r restarts, c children, w monitors; q ends"
            tmux("send-keys", "-t", "top", "c")
            until(lambda: shown_by("children", "Application 'app'"))
            tmux("send-keys", "-t", "top", "Up", "x", "h")
            until(lambda: shown_by("handler", "Store 'store\\x1b[2J'"))
            tmux("resize-window", "-t", "top", "-x", "50", "-y", "20")
            until(lambda: any(lines()) and max(map(len, lines())) <= 50)
            tmux("send-keys", "-t", "top", "q")
            until(lambda: any("it has ended" in line for line in lines()))
        finally:
            tmux("kill-server")


def test_who_waits_in_a_circle_is_found() -> None:
    rows = [{"pid": pid, "waiting_for": to} for pid, to in ((1, 2), (2, 3), (3, 2), (4, None))]
    assert circles(rows) == {2, 3}
    assert circles([{"pid": 1, "waiting_for": 1}]) == {1}
    assert circles([{"pid": 1, "waiting_for": 9}]) == set()


def test_who_waits_in_a_circle_is_red_in_pictures() -> None:
    none = {"names": [], "class": "Store", "mailbox": 0, "handling": None, "phase": "running"}
    bound = ((1, None, None), (2, 1, 3), (3, 1, 2), (4, 1, 2))
    rows = [
        {**none, "pid": pid, "supervisor": chief, "waiting_for": to} for pid, chief, to in bound
    ]
    dot = FORMS["dot"](rows)
    assert [line for line in dot.splitlines() if "red" in line] == [
        "  p2 -> p3 [style=dashed, constraint=false, color=red];",
        "  p3 -> p2 [style=dashed, constraint=false, color=red];",
    ]
    arrows = [
        line for line in FORMS["mermaid"](rows).splitlines() if "->" in line or "Style" in line
    ]
    assert arrows == [
        "  p1 --> p2",
        "  p2 -.-> p3",
        "  p1 --> p3",
        "  p3 -.-> p2",
        "  p1 --> p4",
        "  p4 -.-> p2",
        "  linkStyle 1,3 stroke:red",
    ]


def test_what_somebody_has_named_has_no_effect_on_the_terminal() -> None:
    assert plain("\x1b]0;title\x07\u202etxt\r\n\x9b") == "·]0;title··txt···"
    row = {
        "pid": 1,
        "names": ["\x1b[31mred"],
        "class": "\x1b[2J",
        "phase": "running",
        "mailbox": 0,
        "handling": "'\x07'",
        "handling_for": 3.0,
        "waiting_for": None,
        "children": 0,
        "restarts": 0,
        "restarts_below": 0,
    }
    assert "\x1b" not in "".join(table([row]))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a", "'a'"),
        (" a ", "' a '"),
        ("", "''"),
        ("a\x1b", r"'a\x1b'"),
        ("a·", "'a·'"),
        ("a\u00a0", r"'a\xa0'"),  # a blank that is another than that of the keyboard
        ("a\u3000", r"'a\u3000'"),
        ("a\u200d", r"'a\u200d'"),
        ("\u00e9", "'\u00e9'"),
        ("e\u0301", r"'e\u0301'"),  # which looks the same
        ("\u0301e", r"'\u0301e'"),
        ("\u0928\u093f", "'\u0928\u093f'"),
        ("名前", "'名前'"),
        ("it's", '"it\'s"'),
        ("\ud800", r"'\ud800'"),
    ],
)
def test_no_two_names_look_the_same(name: str, shown: str) -> None:
    assert quoted(name) == shown


def test_a_line_takes_no_more_cells_than_there_are() -> None:
    assert [cut("ab名前", cells) for cells in range(7)] == [
        *("", "a", "ab", "ab", "ab名", "ab名", "ab名前"),
    ]
    assert cut("\u0928\u094d\u0928", 1) == "\u0928\u094d"  # with the mark that is on it
    assert cut("abc", 2) == "ab"


ESCAPE = "\x1b]0;pwned\x07"


@pytest.mark.parametrize(
    "odd",
    [
        {"pid": ESCAPE},
        {"phase": ESCAPE},
        {"waiting_for": ESCAPE},
        {"supervisor": ESCAPE},
        {"links": [ESCAPE]},
        {"watchers": ESCAPE},
        {"given_up": ESCAPE},
        {"module": ESCAPE},
        {"stack": [[ESCAPE, ESCAPE, ESCAPE]]},
    ],
)
def test_what_an_agent_tells_of_a_process_has_no_effect_either(odd: dict[str, Any]) -> None:
    row = {
        "pid": 1,
        "names": [],
        "class": "Store",
        "phase": "running",
        "mailbox": 0,
        "handling": None,
        "handling_for": 0.0,
        "waiting_for": None,
        "supervisor": None,
        "children": 0,
        "watchers": 0,
        "restarts": 0,
        "restarts_below": 0,
        "handled": 0,
        "module": "m",
        "given_up": 0,
        "room": None,
        "links": [],
        "monitors": [],
        "child_pids": [],
        "stack": [],
        **odd,
    }
    shown = "\n".join([*table([row]), *details(row), called(row)])
    assert shown.replace("\n", "").isprintable()


@pytest.mark.parametrize("odd", [{"kind": ESCAPE}, {"pid": ESCAPE}, {"details": {ESCAPE: 1}}])
def test_an_event_that_an_agent_tells_has_no_effect_either(odd: dict[str, Any]) -> None:
    event = {"at": 1.0, "kind": "ended", "pid": 1, "labels": ["Store"], "details": {"count": 1}}
    assert happening({**event, **odd}).isprintable()


@pytest.mark.parametrize("pid", ["x", "-x", "8-", "1.5", ""])
def test_what_is_no_pid_is_refused(pid: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        commands.main(("tree", f"--pid={pid}"))
    assert "expected a PID, or what ps shows in its place" in capsys.readouterr().err


def test_a_program_in_another_container_is_shown_with_what_to_call_it_by(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with program() as pid:
        [path] = place.glob("fauxtp-*/*.sock")
        theirs = path.with_name(f"{pid}-another.container.sock")
        path.rename(theirs)
        try:
            assert f"(in another container: --pid {pid}-another.container)" in shows(capsys, "ps")
            assert "Application" in shows(capsys, "tree", "--pid", f"{pid}-another.container")
        finally:
            theirs.rename(path)


def test_what_is_not_drawn_again_is_shown_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    with program():
        top = shows(capsys, "top", "--once").splitlines()
    assert top[3].endswith("process; what it does")
    assert top[4].endswith("Cast ('get', …)")


def test_a_child_stands_before_its_supervisor_in_the_order_of_restarts(
    capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    file = place / "dump.json"
    with program(source=LOOP):

        def one_is_there() -> Any:
            file.write_text(shows(capsys, "dump"))
            rows = json.loads(file.read_text())["processes"]
            found = {name: row["restarts"] for row in rows for name in row["names"]}
            return found.get("loop", 0) > 2 < found.get("one", 0)

        until(one_is_there)

        def in_order() -> bool:
            top = shows(capsys, "top", "--once", "--by", "restarts").splitlines()
            named = [line for line in top if "'loop'" in line or "'app'" in line]
            return ["'loop'" in line for line in named] == [True, False]

        until(in_order)
    shown = shows(capsys, "top", "--file", str(file), "--by", "restarts").splitlines()
    for child, chief in (("'loop'", "'app'"), ("'one'", "'crew'")):
        places = [number for who in (child, chief) for number, it in enumerate(shown) if who in it]
        assert places == sorted(places)
    [chief] = [line for line in shown if "'app'" in line]
    assert re.search(r" 0 +4  Application 'app' .*  has restarted its children \d+ times$", chief)


def row_of(pid: int, supervisor: int | None, kind: str, **facts: Any) -> dict[str, Any]:
    quiet = {"mailbox": 0, "children": 0, "restarts": 0, "restarts_below": 0, "handling": None}
    others: dict[str, Any] = {"names": [], "phase": "running", "waiting_for": None}
    others["handling_for"] = 0.0
    return {"pid": pid, "supervisor": supervisor, "class": kind, **quiet, **others, **facts}


def test_of_many_siblings_that_do_nothing_a_tree_shows_a_few() -> None:
    rows = [row_of(1, None, "Guests", children=1000)]
    rows += [row_of(pid, 1, "Guest", names=[f"guest:{pid}"]) for pid in range(2, 1002)]
    rows[500].update(handling="Call 'hi'", handling_for=3.0)
    rows[600].update(mailbox=2)
    rows += [row_of(2000, None, "Clock")]
    told = as_text(rows).splitlines()
    assert told == [
        "Guests <PID 1>",
        *(f"  Guest 'guest:{pid}' <PID {pid}>" for pid in (2, 3, 4)),
        "  … 995 more Guest that do nothing: tree --all shows them",
        "  Guest 'guest:501' <PID 501>: Call 'hi' for 3.00 s",
        "  Guest 'guest:601' <PID 601> (2 waiting)",
        "Clock <PID 2000>",
    ]
    assert len(as_text(rows, folds=False).splitlines()) == len(rows)


def test_in_a_narrow_terminal_it_is_seen_who_waits_for_whom() -> None:
    rows = [
        row_of(1, None, "Ledger", names=["ledger"], handling="Call ('book', …)", handling_for=9.0),
        row_of(2, None, "Desk", names=["desk1"], handling="'guest'", waiting_for=1),
    ]
    line = cut(table(rows)[2], 80)
    assert "Desk 'desk1' <PID 2>  waits for 'ledger'" in line


def test_by_how_many_each_is_watched_has_a_column() -> None:
    rows = [row_of(1, None, "Ledger", watchers=1234)]
    head, line = table(rows, "monitors")
    assert "watchers" in head
    assert "1,234" in line


@pytest.mark.parametrize(
    ("waits", "told"),
    [
        ("answer", "waits for Ledger <PID 1>"),
        ("room", "waits for room in the mailbox of Ledger <PID 1>"),
        ("start", "waits for the start of Ledger <PID 1>"),
        (None, "waits for Ledger <PID 1>"),
    ],
)
def test_what_a_process_waits_for_is_said(waits: str | None, told: str) -> None:
    rows = [row_of(1, None, "Ledger"), row_of(2, None, "Desk", waiting_for=1, waits=waits)]
    assert as_text(rows).splitlines()[1] == f"Desk <PID 2>: {told}"


def test_that_nobody_handles_anything_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with program(source=IDLE):
        assert shows(capsys, "stacks") == "no process handles anything, or waits for another\n"
        assert json.loads(shows(capsys, "stacks", "--json")) == []


def test_who_has_asked_for_another_program_is_told_which_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with program() as pid, pytest.raises(SystemExit):
        commands.main(("tree", "--pid", "1"))
    assert f"these let themselves: --pid {pid}" in capsys.readouterr().err


IDLE = """
import sys, anyio
from fauxtp import *

async def main():
    async with anyio.create_task_group() as group:
        await GenServer.start(task_group=group)
        print("ready", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)
        group.cancel_scope.cancel()

anyio.run(main)
"""
