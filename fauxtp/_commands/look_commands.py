"""The commands of `python -m fauxtp` that look into a program."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentTypeError, Namespace
from contextlib import suppress
from functools import partial
from typing import Any, Final

from fauxtp._commands.action_commands import add_action_commands
from fauxtp._commands.client import Unreachable, place_of, programs, viewer_at, viewer_of
from fauxtp._commands.command_line import add, say, say_json, which
from fauxtp._commands.event_line import happening
from fauxtp._commands.process_details import details
from fauxtp._commands.process_tree import FORMS, as_text
from fauxtp._commands.top_command import add_top_command
from fauxtp.observe.dumps import processes_in
from fauxtp.observe.happenings import FAULTS, KINDS
from fauxtp.observe.plain_text import in_seconds, plain
from fauxtp.observe.process_text import called, circles, doing, stack

__all__ = ["add_commands"]


_FAULTS: Final = "what goes wrong: all but those that begin, end, and are done all the time"


def add_commands(commands: Any) -> None:
    """Add the commands to those that a parser knows."""
    lists = add(commands, "ps", _ps, "list the programs that can be looked into", has_pid=False)
    lists.add_argument(
        "--pid",
        type=int,
        help="of one that has not prepared for it (Python 3.14 or later)",
    )
    lists.add_argument("--nudge", action="store_true", help="stop that for a moment, if it waits")
    shows = add(commands, "tree", _tree, "show all processes, each below its supervisor")
    shows.add_argument("--as", dest="form", choices=(*FORMS, "svg", "json"), default="text")
    shows.add_argument("--file", help="what dump has written, in place of a program")
    shows.add_argument("--all", action="store_true", help="also many that do nothing, as text")
    add_top_command(commands)
    add(commands, "stacks", _stacks, "show where each process is that handles something")
    tells = add(commands, "info", _info, "show all that there is to tell of one process")
    tells.add_argument("process", help="its name, or the number of its PID")
    watches = add(commands, "watch", _watch, "show what happens, a line for each, as it does")
    watches.add_argument(
        "--kinds", type=_kinds, default=FAULTS, help=f"of {','.join(KINDS)} ({_FAULTS})"
    )
    serves = add(commands, "web", _web, "show a page of it in a browser", has_json=False)
    serves.add_argument("--port", type=int, default=0, help="on 127.0.0.1 (any that is free)")
    add(commands, "dump", _dump, "write all there is as JSON, for a ticket", has_json=False)
    add_action_commands(commands)


def _ps(given: Namespace) -> None:
    if given.pid is not None:
        _let_in(given.pid, given.nudge)
    found = [it for it in programs() if given.pid in {None, it["pid"]}]
    if given.json:
        say_json(found)
        return
    if not found:
        raise Unreachable(
            "no program lets itself be looked into: one does that calls fauxtp.observe.serve(),"
            " or runs with FAUXTP_OBSERVE=look; with Python 3.14 or later, ps --pid has one do so"
        )
    say(f"{'PID':>8}{'processes':>11}{'since':>14}  command")
    for program in found:
        if "error" in program:
            say(f"{program['pid']:>8}{'?':>11}{'?':>14}  {plain(program['error'])}")
            continue
        command = plain(" ".join(program["command"]))
        if not program["is_here"]:
            command += f"  (in another container: --pid {plain(program['socket'])})"
        since = in_seconds(program["seconds"])
        say(f"{program['pid']:>8}{program['processes']:>11,}{since:>14}  {command}")


def _let_in(pid: int, nudge: bool) -> None:
    """Have a program start its agent, if it has none."""
    from fauxtp._commands.attaching import attach  # noqa: PLC0415  # seldom needed

    try:
        viewer_of(pid).close()
    except Unreachable:
        attach(pid, nudge=nudge)


def _tree(given: Namespace) -> None:
    if given.file is not None:
        rows = processes_in(given.file)
    else:
        with viewer_of(given.pid) as viewer:
            rows = viewer.processes()
    if given.json or given.form == "json":
        say_json(rows)
    elif given.form == "svg":
        from fauxtp.observe.picture import as_svg  # noqa: PLC0415  # who lists needs no pictures

        say(as_svg(rows))
    elif given.form == "text":
        say(as_text(rows, folds=not given.all))
    else:
        say(FORMS[given.form](rows))


def _stacks(given: Namespace) -> None:
    with viewer_of(given.pid) as viewer:
        everyone = viewer.processes("stacks")
    rows = [
        row for row in everyone if row["handling"] is not None or row["waiting_for"] is not None
    ]
    if given.json:
        say_json(rows)
        return
    if not rows:
        say("no process handles anything, or waits for another")
    known, within = {row["pid"]: row for row in everyone}, circles(everyone)
    for row in rows:
        runs = "; runs just now" if row.get("runs") else ""
        say(f"{called(row)}: {doing(row, known, within)}{runs}", *stack(row))


def _info(given: Namespace) -> None:
    with viewer_of(given.pid) as viewer:
        row = viewer.answer("process", which=which(given.process))["process"]
    if given.json:
        say_json(row)
    else:
        say(*details(row))


_UNWATCHED: Final = (
    "nobody looks for {} there: a program does that has called fauxtp.observe.watch()\n"
)


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(text.split(","))
    if not set(kinds) <= set(KINDS):
        raise ArgumentTypeError(f"expected some of {', '.join(KINDS)}, got {text!r}")
    return kinds


def _watch(given: Namespace) -> None:
    left_out, unwatched = 0, False
    with viewer_of(given.pid) as viewer, suppress(KeyboardInterrupt):
        for piece in viewer.ask("watch", kinds=given.kinds):
            say(*(json.dumps(it) if given.json else happening(it) for it in piece["events"]))
            if piece.get("unwatched") and not unwatched:
                unwatched = True
                sys.stderr.write(_UNWATCHED.format(", ".join(map(plain, piece["unwatched"]))))
            if piece["left_out"] > left_out:
                sys.stderr.write(f"… {piece['left_out'] - left_out:,} more\n")
                left_out = piece["left_out"]


def _web(given: Namespace) -> None:
    from fauxtp._commands.web import PageServer  # noqa: PLC0415  # it takes as long as all the rest

    place = place_of(given.pid)
    try:
        server = PageServer(partial(viewer_at, place), given.port)
    except (OSError, OverflowError) as error:
        raise Unreachable(f"no page can be served at port {given.port}: {error}") from None
    with server:
        say(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say()


def _dump(given: Namespace) -> None:
    with viewer_of(given.pid) as viewer:
        program = viewer.program()
        counts = viewer.answer("counts")["counts"]
        rows = viewer.processes("stacks")
        say_json({"program": program, "counts": counts, "processes": rows})
