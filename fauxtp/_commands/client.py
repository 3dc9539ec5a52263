"""Who looks in: finds the programs that let others do so, and asks them."""

from __future__ import annotations

import json
import math
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self, final

from fauxtp.errors import FauxtpError
from fauxtp.observe.agent_answers import PROTOCOL
from fauxtp.observe.dumps import is_row
from fauxtp.observe.places import Place, reachable

__all__ = ["Unreachable", "Viewer", "place_of", "programs", "viewer_at", "viewer_of"]

PATIENCE: Final = 10.0  # seconds that an agent may say nothing
LONGEST: Final = 64 * 1024 * 1024  # bytes of a piece of an answer


class Unreachable(FauxtpError):
    """There is nothing to look into, or it does not answer: the text says which, and why."""


class OtherProtocol(Unreachable):
    """The program speaks another protocol than this."""


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
            raise Unreachable(_STRANGE)
        return piece

    def answer(self, ask: str, **details: Any) -> dict[str, Any]:
        """Return an answer that comes in one piece."""
        return next(iter(self.ask(ask, **details)))

    def program(self) -> dict[str, Any]:
        """Return what the agent says of its program.

        Raises `OtherProtocol` if it speaks another than this, else `Unreachable`.
        """
        program = self.answer("program").get("program")
        if not isinstance(program, dict) or type(program.get("protocol")) is not int:
            raise Unreachable(_STRANGE)
        if program.get("protocol") != PROTOCOL:
            raise OtherProtocol(
                f"expected protocol {PROTOCOL}, got {program.get('protocol')}: the program has"
                f" fauxtp {program.get('fauxtp')}"
            )
        if not _is_program(program):
            raise Unreachable(_STRANGE)
        return program

    def processes(self, ask: str = "processes", **details: Any) -> list[dict[str, Any]]:
        """Return all processes of an answer."""
        found: list[dict[str, Any]] = []
        for piece in self.ask(ask, **details):
            rows = piece.get("processes")
            if not isinstance(rows, list) or not all(map(is_row, rows)):
                raise Unreachable(_STRANGE)
            found += rows
        return found

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _is_program(program: dict[str, Any]) -> bool:
    """Return whether all is there that is shown of a program: others may write what they like."""
    command, seconds = program.get("command"), program.get("seconds")
    return (
        all(type(program.get(name)) is int for name in ("pid", "processes", "names"))
        and isinstance(command, list)
        and all(isinstance(word, str) for word in command)
        and isinstance(seconds, int | float)
        and math.isfinite(seconds)
    )


def programs() -> Iterator[dict[str, Any]]:
    """Yield what each other program says of itself that can be looked into.

    Of one that speaks another protocol, there is an `"error"` in place of that.

    `"pid"` is that of its socket, and `"is_here"` tells whether it is one of this container; if
    not, `"socket"` is what it is called by. The sockets of programs that have ended are cleared
    away.
    """
    for place in reachable():
        if place.is_here and place.pid == os.getpid():
            continue  # who looks is not what is looked for
        try:
            with Viewer(place.path) as viewer:
                told = viewer.program()
        except ConnectionRefusedError:
            _clear_away(place)
            continue
        except OtherProtocol as error:
            told = {"error": str(error)}
        except (OSError, ValueError, Unreachable):
            continue
        yield {**told, "pid": place.pid, "is_here": place.is_here, "socket": place.name}


def _clear_away(place: Place) -> None:
    """Unlink a socket that nobody listens at; where that cannot be, it stays."""
    if place.is_near:  # of another machine that shares the folder, nobody knows whether it lives
        with suppress(OSError):
            place.path.unlink()


def viewer_of(pid: int | str | None) -> Viewer:
    """Return a viewer of the program with that PID, or of the only one if that is None.

    What its socket is called by does in place of a PID, which programs of containers may share.

    Raises `Unreachable` if there is none, or, without a PID, more than one.
    """
    return viewer_at(place_of(pid))


def place_of(pid: int | str | None) -> Place:
    """Return where that program has its socket; raise as `viewer_of` does."""
    one = _only_one() if pid is None else pid
    known = [place for place in reachable() if one in {place.pid, place.name}]
    if not known:
        others = [_to_call_by(program) for program in programs()]
        these = f"; these let themselves: --pid {' or '.join(others)}" if others else ""
        raise Unreachable(f"{_NOBODY} (PID {one}){these}")
    known.sort(key=lambda place: not place.is_here)
    if len(known) == 1:
        return known[0]
    return next(filter(_accepts, known), known[0])


def _accepts(place: Place) -> bool:
    """Return whether somebody listens there."""
    try:
        Viewer(place.path).close()
    except ConnectionRefusedError:
        _clear_away(place)
    except OSError:
        pass
    else:
        return True
    return False


def viewer_at(place: Place) -> Viewer:
    """Return a viewer of the program that has its socket there; raise as `viewer_of` does."""
    try:
        return Viewer(place.path)
    except (FileNotFoundError, ConnectionRefusedError):
        raise Unreachable(f"{_NOBODY} (PID {place.pid})") from None  # it has ended
    except OSError as error:
        raise Unreachable(f"program {place.pid} cannot be looked into: {error}") from None


def _only_one() -> str:
    """Return what the only program is called by that can be looked into."""
    found = list(programs())
    alive = [program for program in found if "error" not in program] or found[:1]
    if not alive:
        raise Unreachable(_NOBODY)
    if len(alive) > 1:
        known = ", ".join(map(_to_call_by, alive))
        raise Unreachable(f"expected --pid, as there are several programs: one of {known}")
    name: str = alive[0]["socket"]
    return name


def _to_call_by(program: dict[str, Any]) -> str:
    return str(program["pid"]) if program["is_here"] else str(program["socket"])


_STRANGE: Final = "the program answers what is not understood here"
_GONE: Final = "the program does not answer: it has ended, or enough others look in"
_NOBODY: Final = (
    "no such program lets itself be looked into: one does that calls fauxtp.observe.serve(),"
    " or runs with FAUXTP_OBSERVE=look; with Python 3.14 or later, ps --pid has one do so"
)
