"""The page in a browser: served to one user, by who looks in, and never by the program itself.

Pages of others must not get at it: it is on the loopback address only, knows one name of itself,
and wants the token that was printed, for which it gives one browser a cookie, once.
"""

from __future__ import annotations

import hmac
import io
import json
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic, sleep
from typing import Any, Final, final
from urllib.parse import parse_qs, urlsplit

from fauxtp._base.errors import Travels
from fauxtp._commands.client import Unreachable, Viewer
from fauxtp._commands.page_text import page_text
from fauxtp._commands.snapshots import SECONDS, Snapshots
from fauxtp.observe.picture import as_svg

__all__ = ["PageServer"]

ADDRESS: Final = "127.0.0.1"
BITS: Final = 192  # of the token
LONGEST: Final = 64 * 1024  # bytes of what is posted
STREAMS: Final = 8  # pages at once
CONNECTIONS: Final = 64  # at once: a browser has 6, and each takes a thread
BREATH: Final = 0.1  # seconds until it is tried again to let somebody in
PATIENCE: Final = 60.0  # seconds until a browser has said what it wants, or taken an answer

JSON: Final = "application/json"


class _Refused(Travels, Exception):
    """What is asked for is not given; the status and the text say why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status, self.text = status, text


@final
class PageServer(ThreadingHTTPServer):
    """Serves the page about one program; `look` returns a new viewer of it."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, look: Callable[[], Viewer], port: int = 0) -> None:
        self.look: Callable[[], Viewer] = look
        self.snapshots: Snapshots = Snapshots(look)
        self._connections: set[Any] = set()
        self.token: str = secrets.token_urlsafe(BITS // 8)
        self.secret: str = secrets.token_urlsafe(BITS // 8)  # of the cookie
        self._is_opened = False
        self._opening = threading.Lock()
        self.streams: threading.BoundedSemaphore = threading.BoundedSemaphore(STREAMS)
        super().__init__((ADDRESS, port), _Request)
        self.host: str = f"{ADDRESS}:{self.server_address[1]}"
        # By the port, as browsers send cookies to all ports: two pages would take each other's.
        self.cookie: str = f"fauxtp-{self.server_address[1]}"

    def server_bind(self) -> None:
        # Without a look at who else is called so: that may ask the network.
        self.socket.bind(self.server_address)
        self.server_address: Any = self.socket.getsockname()

    def server_close(self) -> None:
        super().server_close()
        self.snapshots.close()

    def get_request(self) -> Any:
        try:
            return super().get_request()
        except OSError:
            sleep(BREATH)  # without a file to spare, it would be tried all the time
            raise

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Let in whoever comes, if there are not too many already."""
        if len(self._connections) >= CONNECTIONS:
            return False
        self._connections.add(request)
        return True

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    @property
    def url(self) -> str:
        """The address with the token: it lets in the first browser that opens it."""
        return f"http://{self.host}/?token={self.token}"

    def is_opened_by(self, token: str) -> bool:
        """Return whether that is the token, and nobody has come with it before."""
        with self._opening:
            opens = not self._is_opened and _are_equal(token, self.token)
            self._is_opened |= opens
            return opens

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a browser has gone."""


@final
class _InTime(io.RawIOBase):
    """What a browser says: all of it within `PATIENCE`, however many bytes come one by one."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._end = monotonic() + PATIENCE

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        left = self._end - monotonic()
        if left <= 0:
            raise TimeoutError("a browser has not said in time what it wants")
        self._connection.settimeout(left)
        try:
            return self._connection.recv_into(buffer)
        finally:
            self._connection.settimeout(PATIENCE)


@final
class _Request(BaseHTTPRequestHandler):
    server: PageServer  # pyright: ignore[reportIncompatibleVariableOverride]
    server_version, sys_version = "fauxtp", ""
    timeout = PATIENCE

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_InTime(self.connection))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing: an address may have a token in it."""

    def do_GET(self) -> None:
        self._answered(_ASKED)

    def do_POST(self) -> None:
        self._answered(_POSTED)

    def _answered(self, paths: Mapping[str, Callable[[_Request, dict[str, str]], None]]) -> None:
        try:
            url = urlsplit(self.path)
            given = {name: values[-1] for name, values in parse_qs(url.query).items()}
            self._insist_on_host()
            if url.path == "/" and "token" in given:
                self._let_in(given["token"])
                return
            self._insist_on_cookie()
            answer = paths.get(url.path)
            if answer is None:
                raise _Refused(404, "there is nothing here")
            answer(self, given)
        except _Refused as refused:
            self._send(refused.status, "text/plain; charset=utf-8", refused.text.encode())
        except (ValueError, TypeError) as error:
            self._send_json({"error": str(error)}, 400)
        except Unreachable as error:
            self._send_json({"error": str(error)}, 502)

    # Who may

    def _insist_on_host(self) -> None:
        """Refuse who has found this server by another name, or comes from a page of others."""
        headers = self.headers
        if headers.get_all("Host", []) != [self.server.host]:
            raise _Refused(421, f"expected the host {self.server.host}")
        if not {*headers.get_all("Origin", [])} <= {f"http://{self.server.host}"}:
            raise _Refused(403, "another origin")
        if not {*headers.get_all("Sec-Fetch-Site", [])} <= {"none", "same-origin"}:
            raise _Refused(403, "another site")

    def _let_in(self, token: str) -> None:
        if self._has_cookie():
            self._send(303, "text/plain", b"", {"Location": "/"})  # it was there before
            return
        if not self.server.is_opened_by(token):
            raise _Refused(403, "expected the token that was printed, which lets in one browser")
        cookie = f"{self.server.cookie}={self.server.secret}; HttpOnly; SameSite=Strict; Path=/"
        self._send(303, "text/plain", b"", {"Location": "/", "Set-Cookie": cookie})

    def _insist_on_cookie(self) -> None:
        if not self._has_cookie():
            raise _Refused(403, "open the address with the token that was printed")

    def _has_cookie(self) -> bool:
        given = self.headers.get("Cookie", "").split(";")  # whatever else others have put there
        pairs = [one.strip().partition("=") for one in given]
        values = [value for name, _, value in pairs if name == self.server.cookie]
        return any(_are_equal(value, self.server.secret) for value in values)

    # What is answered

    def _send(
        self, status: int, kind: str, body: bytes, more: dict[str, str] | None = None
    ) -> None:
        self._begin(status, kind, {"Content-Length": str(len(body)), **(more or {})})
        self.wfile.write(body)

    def _send_json(self, answer: Any, status: int = 200) -> None:
        self._send(status, JSON, json.dumps(answer).encode())

    def _begin(self, status: int, kind: str, more: dict[str, str]) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Security-Policy": page_text()[1],
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
            **more,
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def page(self, _: dict[str, str]) -> None:
        self._send(200, "text/html; charset=utf-8", page_text()[0])

    def events(self, given: dict[str, str]) -> None:
        """Tell a frame each second, until the browser or the program has gone."""
        frame = partial(
            self.server.snapshots.frame,
            given.get("by", "mailbox"),
            given.get("find", "")[:200],
            _opened(given.get("opened", "")),
        )
        first = frame(at_once=True)  # whoever types waits for no snapshot
        if not self.server.streams.acquire(blocking=False):
            raise _Refused(503, "enough pages are open")
        try:
            self._begin(200, "text/event-stream", {})
            self._tell("frame", first)
            with self.server.snapshots.lately:
                while True:
                    sleep(SECONDS)
                    self._tell("frame", frame())
        except Unreachable as error:
            self._tell("gone", {"error": str(error)})
        except OSError:
            pass  # the browser has gone
        finally:
            self.server.streams.release()

    def _tell(self, kind: str, value: Any) -> None:
        self.wfile.write(f"event: {kind}\ndata: {json.dumps(value)}\n\n".encode())

    def process(self, given: dict[str, str]) -> None:
        """Tell of one process; of one that has ended, what was last known, and its successor."""
        which, snapshots = _number(given), self.server.snapshots
        with self.server.look() as viewer:
            try:
                row = viewer.answer("process", which=which)["process"]
            except ValueError:
                ended = snapshots.ended(which, partial(_living, viewer))
                if ended is None:
                    raise
                self._send_json({"ended": ended})
            else:
                self._send_json({"process": row, **snapshots.one(row)})

    def state(self, given: dict[str, str]) -> None:
        with self.server.look() as viewer:
            self._send_json(viewer.answer("state", which=_number(given)))

    def picture(self, _: dict[str, str]) -> None:
        picture = as_svg(self.server.snapshots.rows()).encode()
        saved = {"Content-Disposition": 'attachment; filename="processes.svg"'}
        self._send(200, "image/svg+xml", picture, saved)

    def act(self, _: dict[str, str]) -> None:
        """Do what the program allows; only a script of this page can send what this wants."""
        wanted = {"Content-Type": JSON, "X-Fauxtp": "1", "Origin": f"http://{self.server.host}"}
        for name, value in wanted.items():
            if self.headers.get(name) != value:
                raise _Refused(403, f"expected {name} to be {value}")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LONGEST:
            raise _Refused(413, f"expected at most {LONGEST} bytes")
        given = json.loads(self.rfile.read(int(length)))
        if not isinstance(given, dict) or given.get("action") not in _ACTIONS:
            raise ValueError(f"expected an action: one of {', '.join(_ACTIONS)}")
        with self.server.look() as viewer:
            self._send_json(viewer.answer(given["action"], which=given.get("which")))


_ACTIONS: Final = ("exit", "kill", "restart", "suspend", "resume")
_ASKED: Final = {
    "/": _Request.page,
    "/events": _Request.events,
    "/process": _Request.process,
    "/state": _Request.state,
    "/processes.svg": _Request.picture,
}
_POSTED: Final = {"/act": _Request.act}


def _are_equal(text: str, secret: str) -> bool:
    return hmac.compare_digest(text.encode(), secret.encode())


def _opened(text: str) -> set[int | None]:
    """Return whose children are not to be folded; None are those that are below nobody."""
    words = text.split(",")
    opened: set[int | None] = {int(word) for word in words if word.isdecimal() and len(word) < 20}
    return opened | ({None} if "root" in words else set())


def _living(viewer: Viewer, name: str) -> dict[str, Any] | None:
    """Return the living process of a name, if there is one."""
    try:
        row: dict[str, Any] = viewer.answer("process", which=name)["process"]
    except ValueError:
        return None
    return row


def _number(given: dict[str, str]) -> int:
    which = given.get("which", "")
    if not which.isdecimal() or len(which) > 20:
        raise ValueError("expected which to be the number of a PID")
    return int(which)
