"""Who looks in: finds the programs that let others do so, and asks them."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, final

from fauxtp.errors import FauxtpError
from fauxtp.observe.answers import PROTOCOL
from fauxtp.observe.places import Place, reachable

__all__ = ["Unreachable", "Viewer", "place_of", "programs", "viewer_at", "viewer_of"]

PATIENCE: Final = 10.0  # seconds that an agent may say nothing
LONGEST: Final = 64 * 1024 * 1024  # bytes of a piece of an answer


class Unreachable(FauxtpError):
    """There is nothing to look into, or it does not answer: the text says which, and why."""


@final
class Viewer:
    """A connection to the agent of a program."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        try:
            self._socket.connect(str(path))
        except BaseException:
            self._socket.close()
            raise
        self._file = self._socket.makefile("rb")

    def ask(self, ask: str, **details: Any) -> Iterator[dict[str, Any]]:
        """Yield the pieces of an answer.

        Raises `ValueError` with what the agent says is wrong with the question, and `Unreachable`
        if it says nothing, or nothing that can be understood.
        """
        try:
            self._socket.sendall(json.dumps({"ask": ask, **details}).encode() + b"\n")
            more = True
            while more:
                piece = self._piece()
                if "error" in piece:
                    raise ValueError(piece["error"])
                more = bool(piece.pop("more", False))
                yield piece
        except ConnectionError:
            raise Unreachable(_GONE) from None
        except OSError as error:
            raise Unreachable(f"the program does not answer: {error}") from None

    def _piece(self) -> dict[str, Any]:
        line = self._file.readline(LONGEST)
        if not line:
            raise Unreachable(_GONE)
        try:
            piece = json.loads(line)
        except (ValueError, RecursionError):
            piece = None
        if not isinstance(piece, dict):
            raise Unreachable("the program answers what is not understood here")
        return piece

    def answer(self, ask: str, **details: Any) -> dict[str, Any]:
        """Return an answer that comes in one piece."""
        return next(iter(self.ask(ask, **details)))

    def program(self) -> dict[str, Any]:
        """Return what the agent says of its program.

        Raises `Unreachable` if it speaks another protocol than this.
        """
        program: dict[str, Any] = self.answer("program")["program"]
        if program["protocol"] != PROTOCOL:
            raise Unreachable(
                f"expected protocol {PROTOCOL}, got {program['protocol']}: the program has"
                f" fauxtp {program['fauxtp']}"
            )
        return program

    def processes(self, ask: str = "processes", **details: Any) -> list[dict[str, Any]]:
        """Return all processes of an answer."""
        return [row for piece in self.ask(ask, **details) for row in piece["processes"]]

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def programs() -> Iterator[dict[str, Any]]:
    """Yield what each other program says of itself that can be looked into.

    `"is_here"` tells whether its PID is one of this container. The sockets of programs that have
    ended are cleared away.
    """
    for pid, path, is_here in reachable():
        if is_here and pid == os.getpid():
            continue  # who looks is not what is looked for
        try:
            with Viewer(path) as viewer:
                yield {**viewer.program(), "is_here": is_here}
        except ConnectionRefusedError:
            if is_here:  # of another machine that shares the folder, nobody knows whether it lives
                path.unlink(missing_ok=True)
        except (OSError, Unreachable):
            pass


def viewer_of(pid: int | None) -> Viewer:
    """Return a viewer of the program with that PID, or of the only one if that is None.

    Raises `Unreachable` if there is none, or, without a PID, more than one.
    """
    return viewer_at(place_of(pid))


def place_of(pid: int | None) -> Place:
    """Return where that program has its socket; raise as `viewer_of` does."""
    one = _only_one() if pid is None else pid
    known = [place for place in reachable() if place.pid == one]
    if not known:
        raise Unreachable(f"{_NOBODY} (PID {one})")
    return min(known, key=lambda place: not place.is_here)


def viewer_at(place: Place) -> Viewer:
    """Return a viewer of the program that has its socket there; raise as `viewer_of` does."""
    try:
        return Viewer(place.path)
    except (FileNotFoundError, ConnectionRefusedError):
        raise Unreachable(f"{_NOBODY} (PID {place.pid})") from None  # it has ended
    except OSError as error:
        raise Unreachable(f"program {place.pid} cannot be looked into: {error}") from None


def _only_one() -> int:
    """Return the PID of the only program that can be looked into."""
    alive = [program["pid"] for program in programs()]
    if not alive:
        raise Unreachable(_NOBODY)
    if len(alive) > 1:
        known = ", ".join(map(str, alive))
        raise Unreachable(f"expected the PID of a program: one of {known}")
    pid: int = alive[0]
    return pid


_GONE: Final = "the program does not answer: it has ended, or enough others look in"
_NOBODY: Final = (
    "no such program lets itself be looked into: one does that calls fauxtp.observe.serve(),"
    " or runs with FAUXTP_OBSERVE=look"
)
