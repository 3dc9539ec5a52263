"""A command of `python -m fauxtp`: which arguments it has, what it says, and how it fails."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from typing import Any

from fauxtp._commands.client import Unreachable
from fauxtp.observe.plain_text import plain

__all__ = ["add", "say", "say_json", "which"]


def add(
    commands: Any,
    name: str,
    do: Callable[[Namespace], None],
    words: str,
    *,
    has_pid: bool = True,
    has_json: bool = True,
) -> ArgumentParser:
    """Add a command to those that a parser knows, which is carried out by `do`."""
    parser: ArgumentParser = commands.add_parser(name, help=words, description=words)
    if has_pid:
        parser.add_argument(
            "--pid", type=_pid, help="of the program; not needed if there is only one"
        )
    if has_json:
        parser.add_argument("--json", action="store_true", help="for programs to read")

    def carried_out(given: Namespace) -> None:
        try:
            do(given)
        except (Unreachable, ValueError) as error:
            parser.exit(1, f"{parser.prog}: {plain(error)}\n")
        except BrokenPipeError:
            sys.stderr.close()  # whoever read the output has had enough: say nothing

    parser.set_defaults(carried_out=carried_out)
    return parser


def _pid(text: str) -> int | str:
    """Return a PID, or what the socket of a program in another container is called by."""
    pid, dash, space = text.partition("-")
    if not pid.isdecimal() or (dash and not space):
        raise ArgumentTypeError(f"expected a PID, or what ps shows in its place, got {text!r}")
    return text if dash else int(pid)


def say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def say_json(answer: Any) -> None:
    say(json.dumps(answer, indent=2))


def which(text: str) -> int | str:
    """Return the number of a PID, or the name, that somebody has written."""
    return int(text) if text.isdecimal() else text
