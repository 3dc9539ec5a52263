"""The commands of `python -m fauxtp` for programs that allow more than to look."""

from __future__ import annotations

import sys
from argparse import Namespace
from functools import partial
from typing import Any, Final

from fauxtp._commands.client import Unreachable, Viewer, place_of, viewer_at, viewer_of
from fauxtp._commands.command_line import add, say, say_json, which
from fauxtp.observe.plain_text import in_seconds, plain
from fauxtp.observe.process_text import called

__all__ = ["add_action_commands"]

WHAT: Final = {
    "exit": "end a process; its supervisor may start another",
    "kill": "end a process, and cancel what it does as it ends",
    "restart": "let the supervisor of a process end it and start it again",
    "suspend": "let a server handle nothing after what lies in its mailbox",
    "resume": "let a server that is suspended go on",
}


def add_action_commands(commands: Any) -> None:
    """Add the commands to those that a parser knows."""
    tells = add(commands, "state", _state, "show the state of a process, but for secrets")
    tells.add_argument("process", help="its name, or the number of its PID")
    for name, words in WHAT.items():
        acts = add(commands, name, partial(_act, name), words)
        acts.add_argument("process", help="its name, or the number of its PID")
        acts.add_argument("--yes", action="store_true", help="do it without being asked")


def _state(given: Namespace) -> None:
    with viewer_of(given.pid) as viewer:
        told = viewer.answer("state", which=which(given.process))
    if given.json:
        say_json(told)
        return
    size = "" if told["size"] is None else f" of {told['size']:,}"
    say(f"{called(told['process'])}: {plain(told['type'])}{size}")
    if told["is_blocked"]:
        say("  its event loop is blocked, and does not tell more")
    else:
        say(f"  {plain(told['state'])}" if told["is_shown"] else "  its class shows nothing of it")


def _act(name: str, given: Namespace) -> None:
    place = place_of(given.pid)
    with viewer_at(place) as viewer:
        program = viewer.program()
        row = viewer.answer("process", which=which(given.process))["process"]
    if "exit" not in program["allows"]:  # which is said before anything is asked
        raise ValueError(
            f"the program does not allow {name!r}: one does that calls"
            " fauxtp.observe.serve(allow={'look', 'exit'})"
        )
    if not given.yes:
        _confirm(name, row, program)  # which may take longer than an agent waits
    with viewer_at(place) as viewer:
        _insist_on(program, viewer)
        told = viewer.answer(name, which=row["pid"])  # that one, whoever has the name by now
    if given.json:
        say_json(told)
    else:
        say(plain(told["done"]))


def _insist_on(program: dict[str, Any], viewer: Viewer) -> None:
    """Raise `Unreachable` if another program has the PID by now: its processes are others."""
    if viewer.program()["seconds"] < program["seconds"]:
        raise Unreachable(f"program {program['pid']} has ended, and another has its PID")


def _confirm(action: str, row: dict[str, Any], program: dict[str, Any]) -> None:
    """Let somebody type how a process is called; raise `ValueError` if they do not."""
    if not sys.stdin.isatty():
        raise ValueError("expected --yes, as there is nobody to be asked")
    name = plain((row["names"] or [row["class"]])[0])
    since = in_seconds(row["handling_for"])
    does = (
        "" if row["handling"] is None else f", which handles {plain(row['handling'])} for {since}"
    )
    sys.stderr.write(
        f"{action} {called(row)}{does}, in program {program['pid']}"
        f" ({plain(' '.join(program['command']))})?\nType {name} to do so: "
    )
    sys.stderr.flush()
    if sys.stdin.readline().strip() != name.strip():
        raise ValueError("nothing was done")
