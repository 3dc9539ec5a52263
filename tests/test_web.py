"""The server of the page: whom it answers, and what."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import re
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
from agents import program, until
from conftest import PATIENCE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fauxtp import ChildSpec, GenServer, Supervisor, cast_nowait, in_thread, whereis
from fauxtp import __main__ as commands
from fauxtp._commands import web
from fauxtp._commands.client import Unreachable, viewer_of
from fauxtp._commands.page_text import page_text
from fauxtp._commands.snapshots import Snapshots
from fauxtp._commands.web import PageServer
from fauxtp.observe import actions, events, serve

pytestmark = [
    pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets"),
    pytest.mark.usefixtures("place"),
]


class Store(GenServer[Any, Any]):
    async def handle_cast(self, request: Any, state: Any) -> Any:
        if request == "crash":
            raise ValueError
        await anyio.sleep_forever()


class Application(Supervisor):
    def child_specs(self) -> list[ChildSpec]:
        return [ChildSpec("store", Store, register_as="store", shutdown=0.01)]


@contextmanager
def served(*rights: str) -> Iterator[PageServer]:
    with (
        in_thread(Application, register_as="app"),
        serve(allow={"look", *rights}),
        PageServer(lambda: viewer_of(os.getpid())) as server,
    ):
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def asked(
    server: PageServer,
    path: str,
    method: str = "GET",
    body: bytes | None = None,
    cookie: str | None = "the right one",
    **headers: str,
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Return what the server answers; a header of None is not sent."""
    host, port = server.host.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    given = {"Host": server.host, **{name.replace("_", "-"): it for name, it in headers.items()}}
    if cookie is not None:
        given["Cookie"] = (
            f"{server.cookie}={server.secret if cookie == 'the right one' else cookie}"
        )
    if body is not None:
        given.setdefault("Content-Length", str(len(body)))
    for name, value in given.items():
        for one in value.split("|"):
            connection.putheader(name, one)
    connection.endheaders(body)
    answer = connection.getresponse()
    told = answer.status, answer.headers, answer.read()
    connection.close()
    return told


def number() -> int:
    pid = whereis("store")
    assert pid is not None
    return actions.number_of(pid)


PATHS = ("/", "/events", "/process?which=1", "/state?which=1", "/processes.svg")
STRANGE: list[tuple[dict[str, str | None], int]] = [
    ({"Host": "localhost:{port}"}, 421),  # it knows one name of itself: so no name can be rebound
    ({"Host": "attacker.example"}, 421),
    ({"Host": "attacker.example:{port}"}, 421),
    ({"Host": "127.0.0.1"}, 421),
    ({"Host": "127.0.0.1:{port}.attacker.example"}, 421),
    ({"Host": "127.0.0.1:{port}|attacker.example"}, 421),
    ({"Host": ""}, 421),
    ({"Origin": "http://attacker.example"}, 403),
    ({"Origin": "http://localhost:{port}"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://127.0.0.1:{port}|http://attacker.example"}, 403),
    ({"Origin": "http://attacker.example|http://127.0.0.1:{port}"}, 403),
    ({"Sec_Fetch_Site": "same-origin|cross-site"}, 403),
    ({"Sec_Fetch_Site": "cross-site"}, 403),
    ({"Sec_Fetch_Site": "same-site"}, 403),
    ({"cookie": None}, 403),
    ({"cookie": ""}, 403),
    ({"cookie": "a guess"}, 403),
    ({"cookie": "\xe9"}, 403),
    ({"cookie": '"', "Cookie": "fauxtp"}, 403),
]


def test_nobody_else_is_answered() -> None:
    with served("state", "exit") as server:
        port = server.host.split(":")[1]
        for path in (*PATHS, f"/?token={server.token}"):
            for headers, status in STRANGE:
                if "token" in path and "cookie" in headers:
                    continue  # who has that needs none
                given: Any = {
                    name: value and value.replace("{port}", port)
                    for name, value in headers.items()
                }
                told = asked(server, path, **given)
                assert told[0] == status, (path, headers)
                assert server.token.encode() not in told[2]
                assert "Set-Cookie" not in told[1]


def test_the_token_that_was_printed_lets_in_one_browser_for_which_it_becomes_a_cookie() -> None:
    with served() as server:
        path = server.url.removeprefix(f"http://{server.host}")
        assert len(server.token) == len(server.secret) == 32
        assert server.token != server.secret
        for wrong in ("", "x" * 32, server.token[:-1], server.secret, "%E9"):
            status, headers, _ = asked(server, f"/?token={wrong}", cookie=None)
            assert (status, headers.get("Set-Cookie")) == (403, None)
        assert asked(server, "/", cookie=server.token)[0] == 403  # which is in the history
        status, headers, _ = asked(server, path, cookie=None)
        assert (status, headers["Location"]) == (303, "/")
        assert headers["Set-Cookie"] == (
            f"{server.cookie}={server.secret}; HttpOnly; SameSite=Strict; Path=/"
        )
        status, headers, body = asked(server, "/")
        assert status == 200
        assert b"<title>fauxtp</title>" in body
        assert server.token.encode() not in body
        assert server.secret.encode() not in body
        status, headers, body = asked(server, path, cookie=None)  # who has read it over a shoulder
        assert (status, headers.get("Set-Cookie")) == (403, None)
        assert b"lets in one browser" in body
        status, headers, _ = asked(server, path)  # the same browser, once more
        assert (status, headers["Location"], headers.get("Set-Cookie")) == (303, "/", None)
        with PageServer(lambda: viewer_of(os.getpid())) as other:
            assert other.token != server.token
            assert other.cookie != server.cookie
            assert other.secret != server.secret


@pytest.mark.parametrize("before", ['prefs={"theme":"dark"}', "a[b]=1", "dark", '"', "=", ";;"])
def test_what_others_have_put_among_the_cookies_of_this_machine_keeps_nobody_out(
    before: str,
) -> None:
    with served() as server:
        cookies = f"{before}; {server.cookie}={server.secret}; more={before}"
        assert asked(server, "/", cookie=None, Cookie=cookies)[0] == 200
        assert asked(server, "/", cookie=None, Cookie=f"{before}; {server.cookie}=x")[0] == 403


def test_of_many_that_come_at_once_with_the_token_one_is_let_in() -> None:
    with served() as server, ThreadPoolExecutor(8) as pool:
        path = f"/?token={server.token}"
        came = list(pool.map(lambda _: asked(server, path, cookie=None)[0], range(24)))
    assert sorted(came) == [303] + [403] * 23


def test_a_browser_is_told_to_run_nothing_but_the_script_of_the_page() -> None:
    with served() as server:
        for path in ("/", "/nothing", "/process?which=0"):
            _, headers, _ = asked(server, path)
            policy = headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; script-src 'sha256-")
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Cache-Control"] == "no-store"
    page = page_text()[0].decode()
    assert len(re.findall("<script", page)) == len(re.findall("<style", page)) == 1
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|\son\w+=|://(?!www\.w3\.org/2000/svg)",
        page,
    )


def test_it_listens_where_only_this_machine_is() -> None:
    with served() as server:
        assert server.socket.getsockname()[0] == "127.0.0.1"


GOOD = {"Content_Type": "application/json", "X_Fauxtp": "1"}


def test_only_a_script_of_the_page_can_do_something() -> None:
    with served("exit") as server:
        before = whereis("store")
        body = json.dumps({"action": "exit", "which": number()}).encode()
        own = {**GOOD, "Origin": f"http://{server.host}"}
        for name, value in {
            **dict.fromkeys(own, ""),
            "Content_Type": "text/plain",
            "Origin": "http://attacker.example",
            "X_Fauxtp": "2",
        }.items():
            wrong: Any = {**own, name: value}
            assert asked(server, "/act", "POST", body, **wrong)[0] == 403, name
            missing: Any = {each: it for each, it in own.items() if each != name}
            assert asked(server, "/act", "POST", body, **missing)[0] == 403, name
        given: Any = own
        assert asked(server, "/act", "POST", body, None, **given)[0] == 403
        assert asked(server, "/act")[0] == 404
        assert asked(server, "/", "POST", body, **given)[0] == 404
        assert asked(server, "/", "PUT", body, **given)[0] == 501
        long: Any = {**own, "Content_Length": str(web.LONGEST + 1)}
        assert asked(server, "/act", "POST", b"", **long)[0] == 413
        none: Any = {**own, "Content_Length": "-1"}
        assert asked(server, "/act", "POST", b"", **none)[0] == 413
        for odd in (
            b"",
            b"[",
            b"[]",
            b"{}",
            b'{"action": "eval"}',
            b'{"action": []}',
            b'{"action": {}}',
        ):
            assert asked(server, "/act", "POST", odd, **given)[0] == 400, odd
        for which in (None, "store", -1, [number()], True):
            odd = json.dumps({"action": "exit", "which": which}).encode()
            assert asked(server, "/act", "POST", odd, **given)[0] == 400, odd
        assert whereis("store") is before
        status, _, told = asked(server, "/act", "POST", body, **given)
        assert (status, json.loads(told)["done"].endswith("asked to end")) == (200, True)
        until(lambda: whereis("store") not in {None, before})


def test_what_the_program_does_not_allow_is_not_done() -> None:
    with served() as server:
        given: Any = {**GOOD, "Origin": f"http://{server.host}"}
        body = json.dumps({"action": "exit", "which": number()}).encode()
        status, _, told = asked(server, "/act", "POST", body, **given)
        assert (status, "does not allow 'exit'" in json.loads(told)["error"]) == (400, True)
        status, _, told = asked(server, f"/state?which={number()}")
        assert (status, "does not allow 'state'" in json.loads(told)["error"]) == (400, True)


def test_processes_states_and_pictures_are_told() -> None:
    with served("state") as server:
        told = json.loads(asked(server, f"/process?which={number()}")[2])
        assert told["process"]["names"] == ["store"]
        assert json.loads(asked(server, f"/state?which={number()}")[2])["state"] == "{}"
        status, headers, body = asked(server, "/processes.svg")
        assert (status, headers["Content-Type"]) == (200, "image/svg+xml")
        assert headers["Content-Disposition"] == 'attachment; filename="processes.svg"'
        assert b"Store 'store'" in body.replace(b"&#x27;", b"'")
        for which in ("", "x", "-1", "9" * 30, "0"):
            status, _, body = asked(server, f"/process?which={which}")
            assert status == 400
            assert json.loads(body)["error"]


def test_frames_come_second_by_second_until_the_program_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web, "SECONDS", 0.001)
    monkeypatch.setattr("fauxtp._commands.snapshots.SECONDS", 0.001)
    with program() as pid:
        server = PageServer(lambda: viewer_of(pid))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        host, port = server.host.split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
        connection.request(
            "GET", "/events", headers={"Cookie": f"{server.cookie}={server.secret}"}
        )
        stream = connection.getresponse()
        assert stream.headers["Content-Type"] == "text/event-stream"
        frames: list[Any] = []
        while len(frames) < 3:
            kind, data, end = (stream.readline().decode() for _ in range(3))
            assert (kind, end) == ("event: frame\n", "\n")
            frames.append(json.loads(data.removeprefix("data: ")))
        assert [len(frame["past"]["ages"]) for frame in frames] == [1, 2, 3]
        assert frames[0]["table"][0]["class"] == "Store"
        assert frames[0]["program"]["pid"] == pid
    try:
        rest = stream.read().decode()
        assert rest.split("event: ")[-1].startswith('gone\ndata: {"error": "the program does not')
        assert json.loads(asked(server, "/process?which=1")[2])["error"].startswith(
            "no such program"
        )
        assert asked(server, "/process?which=1")[0] == 502
    finally:
        connection.close()
        server.shutdown()
        thread.join()
        server.server_close()


def test_what_goes_wrong_is_heard_while_a_page_is_open_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web, "SECONDS", 0.001)
    monkeypatch.setattr("fauxtp._commands.snapshots.SECONDS", 0.001)
    monkeypatch.setattr("fauxtp.observe.happenings.BEAT", 0.01)
    with served() as server:
        assert not events._listeners  # nobody looks
        host, port = server.host.split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
        cookie = f"{server.cookie}={server.secret}"
        connection.request("GET", "/events", headers={"Cookie": cookie})
        stream = connection.getresponse()
        until(lambda: events._listeners)
        first = number()
        cast_nowait("store", "crash")
        told = until(lambda: lately(stream, "crashed"))
        assert (told["names"], told["error"], told["count"]) == (["store"], "ValueError", 1)
        assert (told["who"]["pid"], told["message"]) == (first, "Cast 'crash'")
        until(lambda: whereis("store") is not None)
        answer = json.loads(asked(server, f"/process?which={first}")[2])["ended"]
        assert answer["last"]["names"] == ["store"]
        assert answer["successor"]["pid"] == number() != first
        assert answer["lately"][-1]["error"] == "ValueError"
        answer = json.loads(asked(server, f"/process?which={number()}")[2])
        assert answer["process"]["names"] == ["store"]
        assert {one["kind"] for one in answer["lately"]} == {"crashed", "restarted"}
        stream.close()
        connection.close()
        until(lambda: not events._listeners)


def lately(stream: Any, kind: str) -> Any:
    """Return what the next frame tells of that kind."""
    _, data, _ = (stream.readline().decode() for _ in range(3))
    frame = json.loads(data.removeprefix("data: "))
    return next((one for one in frame["lately"] if one["kind"] == kind), None)


def test_who_comes_when_there_are_enough_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "CONNECTIONS", 2)
    with served() as server:
        host, port = server.host.split(":")
        idle = [socket.create_connection((host, int(port)), PATIENCE) for _ in range(2)]
        try:
            until(lambda: len(server._connections) == 2)
            with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
                asked(server, "/")
        finally:
            for one in idle:
                one.close()
        until(lambda: not server._connections)
        assert asked(server, "/")[0] == 200


def test_a_page_without_a_file_to_spare_is_not_kept_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    accept = socketserver.TCPServer.get_request

    def fails_at_first(server: Any) -> Any:
        if len(pauses) < 3:
            raise OSError("too many open files")
        return accept(server)

    with served() as server:
        monkeypatch.setattr("fauxtp._commands.web.sleep", pauses.append)
        monkeypatch.setattr(socketserver.TCPServer, "get_request", fails_at_first)
        assert asked(server, "/")[0] == 200
        monkeypatch.undo()
    assert pauses[:3] == [web.BREATH] * 3


def test_an_agent_that_had_enough_of_a_page_is_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fauxtp._commands.snapshots.SECONDS", 0.0)
    with serve():
        snapshots = Snapshots(lambda: viewer_of(os.getpid()))
        snapshots.frame("mailbox", "", ())
    with serve():  # the connection that it had is closed
        snapshots.frame("mailbox", "", ())
    for _ in range(2):
        with pytest.raises(Unreachable):
            snapshots.frame("mailbox", "", ())
    with serve():
        assert len(snapshots.frame("mailbox", "", ())["past"]["ages"]) == 3
        snapshots.close()


@pytest.mark.parametrize("gives_up", ["at first", "again"])
def test_an_answer_that_came_too_late_is_not_taken_for_the_next(
    gives_up: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fauxtp._commands.snapshots.SECONDS", 0.0)

    class Late:
        """Stands in for a viewer; one that was late once is not to be asked any more."""

        def __init__(self) -> None:
            viewers.append(self)
            self.was_late = self.is_closed = False

        def program(self) -> dict[str, Any]:
            assert not self.was_late
            if lates.pop():
                self.was_late = True
                raise Unreachable("timed out")
            return {"pid": 1}

        def processes(self) -> list[dict[str, Any]]:
            return []

        def answer(self, _: str) -> dict[str, Any]:
            return {"counts": []}

        def close(self) -> None:
            self.is_closed = True

    viewers: list[Late] = []
    look: Any = Late
    lates = [False, gives_up == "again", True]
    snapshots = Snapshots(look)
    if gives_up == "again":
        with pytest.raises(Unreachable, match="timed out"):
            snapshots.rows()
    assert snapshots.rows() == []
    assert [viewer.is_closed for viewer in viewers] == [viewer.was_late for viewer in viewers]


def test_there_are_only_so_many_pages_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "STREAMS", 1)
    monkeypatch.setattr(web, "SECONDS", 0.001)
    with served() as server:
        host, port = server.host.split(":")
        with socket.create_connection((host, int(port)), PATIENCE) as page:
            head = f"Host: {server.host}\r\nCookie: {server.cookie}={server.secret}\r\n\r\n"
            page.sendall(f"GET /events HTTP/1.0\r\n{head}".encode())
            assert page.recv(12) == b"HTTP/1.0 200"
            assert asked(server, "/events")[0] == 503
        until(lambda: server.streams._value == 1)


@pytest.mark.parametrize(
    "begun", ["GET / HT", "GET / HTTP/1.0\r\nHo", "GET / HTTP/1.0\r\nA: b\r\n", "post"]
)
def test_who_says_drop_by_drop_what_it_wants_is_cut_off(
    begun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look at the clock is 31 s after the one before: the second piece comes too late."""
    ticks = itertools.count(step=31.0)
    with served() as server:
        monkeypatch.setattr(web, "monotonic", lambda: next(ticks))
        host, port = server.host.split(":")
        if begun == "post":
            head = {
                "Cookie": f"{server.cookie}={server.secret}",
                "Content-Type": "application/json",
            }
            head |= {"X-Fauxtp": "1", "Origin": f"http://{server.host}", "Content-Length": "9"}
            lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
            begun = f"POST /act HTTP/1.0\r\nHost: {server.host}\r\n{lines}\r\n{{"
        with socket.create_connection((host, int(port)), PATIENCE) as peer:
            peer.sendall(begun.encode())
            assert peer.recv(100) == b""
        until(lambda: not server._connections)
        ticks = itertools.count(step=0.0)
        assert asked(server, "/")[0] == 200


@settings(max_examples=60, deadline=None, suppress_health_check=[*HealthCheck])
@given(
    sent=st.binary(max_size=300)
    | st.builds(
        lambda method, path, rest: f"{method} {path} HTTP/1.1\r\n{rest}\r\n\r\n".encode(
            "utf-8", "replace"
        ),
        st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "get", ""]),
        st.text(max_size=50),
        st.text(max_size=100),
    )
)
def test_whatever_comes_is_no_way_in(sent: bytes, hosting: PageServer) -> None:
    host, port = hosting.host.split(":")
    with socket.create_connection((host, int(port)), PATIENCE) as peer:
        peer.sendall(sent)
        peer.shutdown(socket.SHUT_WR)
        told = b""
        while piece := peer.recv(65536):
            told += piece
    assert b" 200 " not in told.partition(b"\r\n")[0]
    assert hosting.token.encode() not in told
    assert hosting.secret.encode() not in told


@pytest.fixture
def hosting() -> Iterator[PageServer]:
    with served() as server:
        yield server


# The command


def test_the_command_prints_the_address_and_serves_until_it_is_interrupted() -> None:
    with (
        program(),
        subprocess.Popen(
            [sys.executable, "-m", "fauxtp", "web"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as command,
    ):
        assert command.stdout is not None
        assert command.stderr is not None
        url = command.stdout.readline().strip()
        found = re.fullmatch(r"http://(127\.0\.0\.1):(\d+)(/\?token=[\w-]{32})", url)
        assert found is not None
        connection = http.client.HTTPConnection(found[1], int(found[2]), timeout=PATIENCE)
        connection.request("GET", found[3])
        assert connection.getresponse().status == 303
        connection.close()
        command.send_signal(2)
        assert command.stderr.read() == ""
    assert command.returncode == 0


@pytest.mark.parametrize("port", ["1", "99999", "-5"])
def test_a_port_that_cannot_be_had_is_said(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    if port == "1" and os.geteuid() == 0:
        with socket.create_server(("127.0.0.1", 0)) as taken, program():
            port = str(taken.getsockname()[1])
            with pytest.raises(SystemExit):
                commands.main(("web", "--port", port))
    else:
        with program(), pytest.raises(SystemExit):
            commands.main(("web", "--port", port))
    assert f"no page can be served at port {port}" in capsys.readouterr().err
