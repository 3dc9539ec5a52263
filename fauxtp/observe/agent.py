"""The agent: a thread that lets others of the same user look into this program.

It answers on a Unix socket, by lines of JSON, and does nothing while nobody asks. There is no
port of the network, and nothing that would run somebody's code.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import socket
import socketserver
import struct
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final, Self, final

from fauxtp._base.logs import logger
from fauxtp.observe.agent_answers import answers
from fauxtp.observe.asker import LOOK, Asker, expect_rights
from fauxtp.observe.places import made_folder, socket_of

__all__ = ["Agent", "serve"]

CLIENTS: Final = 8  # at once: a page takes three
LONGEST: Final = 64 * 1024  # bytes of a question
PATIENCE: Final = 60.0  # seconds until a client has said all of its next question
BREATH: Final = 0.1  # seconds until it is tried again to let somebody in

_Sockets: Any = getattr(socketserver, "UnixStreamServer", object)  # Windows has none


def serve(*, allow: Iterable[str] = LOOK) -> Agent:
    """Let others of the same user, and root, look into this program, until it ends.

    `python -m fauxtp ps` tells which programs do so; `tree`, `top`, `stacks`, `info` and `dump`
    look into one. With `FAUXTP_OBSERVE=look` in its environment, a program does so without a line
    of code.

    All they can do is look, unless you `allow` more: with `"state"`, they are told states of
    processes, but for secrets, as `fauxtp.observe.reports.configure` says; with `"exit"`, they can
    end processes, restart children of supervisors, suspend servers, and resume them. Each of that
    is logged by the logger "fauxtp.observe", with the user who did it.

    Return the agent: its `close` ends that.

    Raises `RuntimeError` if there is an agent already, or no Unix sockets are here, and `OSError`
    if the socket cannot be made: `PermissionError` if the folder for it is not this user's alone.
    `TypeError` and `ValueError` if `allow` has something else in it than these words.

    >>> with serve(allow={"look", "state"}) as agent:
    ...     agent.path.name.startswith(f"{os.getpid()}-")
    True
    """
    global _agent
    rights = expect_rights(allow)
    if not hasattr(socket, "AF_UNIX"):
        raise RuntimeError("no Unix sockets are here, by which to look in")
    with _changing:
        if _agent is not None:
            raise RuntimeError(f"others can look in already, at {_agent.path}")
        _agent = Agent(socket_of(os.getpid(), made_folder()), rights)
        return _agent


def serve_as_told() -> None:
    """Do as `serve`, here and in each process that is forked, as the environment says so.

    If that cannot be, it is logged: the program goes on.
    """
    global _is_told
    _is_told = True
    try:
        serve()
    except (OSError, RuntimeError) as error:
        logger().warning("nobody can look in: %s", error)


@final
class Agent:
    """What `serve` returns. As a context manager, it is closed at the end of the block.

    `path` is where its socket lies.

    >>> with serve() as agent:
    ...     print(agent.path.suffix)
    .sock
    """

    def __init__(self, path: Path, rights: frozenset[str]) -> None:
        self.path: Path = path
        """Where the socket is."""
        self._server = _served(path, rights)
        self._thread = threading.Thread(target=self._serve, name="fauxtp.observe", daemon=True)
        try:
            self._thread.start()
        except BaseException:  # there are too many, or the interpreter ends
            self._server.server_close()
            path.unlink(missing_ok=True)
            raise
        atexit.register(self.close)

    def _serve(self) -> None:
        # Not by `serve_forever`, which wakes up twice a second to see whether it is to end.
        while not self._server.is_closing:
            self._server.handle_request()

    def _wake(self) -> None:
        with suppress(OSError):  # which not every system can do to who listens
            self._server.socket.shutdown(socket.SHUT_RDWR)
        with socket.socket(socket.AF_UNIX) as caller, suppress(OSError):
            caller.settimeout(1)
            caller.connect(str(self.path))

    def close(self) -> None:
        """Let nobody look in any more; a second time nothing happens. It raises nothing."""
        global _agent
        with _changing:
            if _agent is not self:
                return
            _agent = None
        atexit.unregister(self.close)
        self._server.is_closing = True
        self._wake()
        self._thread.join(1)
        self._server.server_close()
        for client in list(self._server.clients):
            with suppress(OSError):  # it has just gone
                client.shutdown(socket.SHUT_RDWR)
        self.path.unlink(missing_ok=True)

    def leave(self) -> None:
        """Close what a forked process has of it: the connections are its parent's."""
        self._server.server_close()
        for client in self._server.clients:
            os.close(client.detach())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@final
class _Server(socketserver.ThreadingMixIn, _Sockets):  # type: ignore[misc]
    daemon_threads = True
    block_on_close = False
    request_queue_size = 16 * CLIENTS  # each is let in or turned away at once

    def __init__(self, path: str, client: type[_Client], rights: frozenset[str]) -> None:
        self.is_closing = False
        self.rights = rights
        self.clients: set[socket.socket] = set()
        super().__init__(path, client)  # pyright: ignore[reportCallIssue]

    def get_request(self) -> Any:
        try:
            return super().get_request()
        except OSError:
            if not self.is_closing:
                sleep(BREATH)  # else a program that has no file to spare would try all the time
            raise

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Let in whoever may look, if there are not too many already."""
        if self.is_closing or not _may_look(request):
            return False  # as it closes, an interpreter may begin no thread any more
        if len(self.clients) >= CLIENTS and _how_many_stay(list(self.clients)) >= CLIENTS:
            return False
        self.clients.add(request)
        return True

    def shutdown_request(self, request: Any) -> None:
        self.clients.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger().exception("somebody who looked in could not be answered")


def _served(path: Path, rights: frozenset[str]) -> _Server:
    """Return a server, whose socket is at `path` when it listens, and is this user's alone.

    Who looks for programs takes a socket where nobody listens for one that was left over.
    """
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)  # of a program that had this PID before
    try:
        server = _Server(str(new), _Client, rights)
        try:
            new.chmod(0o600)
            new.rename(path)
        except BaseException:
            server.server_close()
            raise
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    return server


def _how_many_stay(clients: list[socket.socket]) -> int:
    """Return how many have not hung up, which their threads may yet have to notice."""
    poll, count = select.poll(), 0
    for client in clients:
        with suppress(ValueError):  # its thread has just closed it
            poll.register(client, 0)
            count += 1
    return count - sum(1 for _, what in poll.poll(0) if what & select.POLLHUP)


def _may_look(client: socket.socket) -> bool:
    """Return whether a client is of this user, or root; where that can be known.

    Where it cannot, nobody else can enter the folder of the socket.
    """
    user = _user_of(client)
    return user is None or user in {os.geteuid(), 0}


def _user_of(client: socket.socket) -> int | None:
    """Return the number of the user of a client; None where nobody tells."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    size = struct.calcsize("3i")
    _, user, _ = struct.unpack(
        "3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    assert isinstance(user, int)
    return user


@final
class _Client(socketserver.StreamRequestHandler):
    timeout = PATIENCE
    _said = b""  # and not yet answered

    def handle(self) -> None:
        asker = Asker(self.server.rights, _user_of(self.connection))  # type: ignore[attr-defined]
        try:
            while line := self._question():
                if len(line) > LONGEST:
                    self._tell({"error": f"expected a question of at most {LONGEST} bytes"})
                    return
                for answer in answers(line, asker):
                    self._tell(answer)
        except (OSError, ValueError):
            pass  # it has gone, or says nothing; or its socket was closed here

    def _question(self) -> bytes:
        """Return the next line, or what there is of it at the end, or when it is too long.

        Raises `TimeoutError` if it does not come in time, however many bytes come meanwhile.
        """
        said, end = self._said, monotonic() + PATIENCE
        while b"\n" not in said and len(said) <= LONGEST:
            left = end - monotonic()
            if left <= 0:
                raise TimeoutError
            self.connection.settimeout(left)
            piece = self.connection.recv(LONGEST)
            if not piece:
                break
            said += piece
        self.connection.settimeout(self.timeout)
        line, newline, self._said = said.partition(b"\n")
        return line + newline

    def _tell(self, answer: dict[str, Any]) -> None:
        self.wfile.write(json.dumps(answer).encode() + b"\n")


_changing = threading.RLock()
_agent: Agent | None = None
_is_told = False  # by the environment


def _after_fork_in_child() -> None:
    global _agent, _changing
    _changing = threading.RLock()
    if _agent is not None:
        agent, _agent = _agent, None
        agent.leave()
    if _is_told:
        serve_as_told()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
