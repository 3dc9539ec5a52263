"""The commands of `python -m fauxtp` that look into a program."""

from __future__ import annotations

import json
import shutil
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any

from fauxtp.observe.answers import ORDERS
from fauxtp.observe.client import Unreachable, Viewer, programs, viewer_of
from fauxtp.observe.shown import FORMS, called, details, in_seconds, plain, stack, table

__all__ = ["add_commands"]

HOME, TO_END, HIDE, SHOW = "\x1b[H", "\x1b[J", "\x1b[?25l", "\x1b[?25h"


def add_commands(commands: Any) -> None:
    """Add the commands to those that a parser knows."""
    _add(commands, "ps", _ps, "list the programs that can be looked into", has_pid=False)
    shows = _add(commands, "tree", _tree, "show all processes, each below its supervisor")
    shows.add_argument("--as", dest="form", choices=(*FORMS, "json"), default="text")
    orders = _add(commands, "top", _top, "show the processes with most to do, every second")
    orders.add_argument("--by", choices=tuple(ORDERS), default="mailbox")
    orders.add_argument("--most", type=int, help="how many (as many as fit)")
    orders.add_argument("--once", action="store_true", help="show them once, and end")
    _add(commands, "stacks", _stacks, "show where each process waits that handles something")
    tells = _add(commands, "info", _info, "show all that there is to tell of one process")
    tells.add_argument("process", help="its name, or the number of its PID")
    _add(commands, "dump", _dump, "write all there is as JSON, for a ticket")


def _add(
    commands: Any, name: str, do: Callable[[Namespace], None], words: str, *, has_pid: bool = True
) -> ArgumentParser:
    parser: ArgumentParser = commands.add_parser(name, help=words, description=words)
    if has_pid:
        parser.add_argument(
            "--pid", type=int, help="of the program; not needed if there is only one"
        )
    if name != "dump":
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


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _say_json(answer: Any) -> None:
    _say(json.dumps(answer, indent=2))


def _ps(given: Namespace) -> None:
    found = list(programs())
    if given.json:
        _say_json(found)
        return
    if not found:
        raise Unreachable(
            "no program lets itself be looked into: one does that calls fauxtp.observe.serve(),"
            " or runs with FAUXTP_OBSERVE=look"
        )
    _say(f"{'PID':>8}{'processes':>11}{'since':>14}  command")
    for program in found:
        command = plain(" ".join(program["command"]))
        since = in_seconds(program["seconds"])
        _say(f"{program['pid']:>8}{program['processes']:>11,}{since:>14}  {command}")


def _tree(given: Namespace) -> None:
    with viewer_of(given.pid) as viewer:
        rows = viewer.processes()
    if given.json or given.form == "json":
        _say_json(rows)
    else:
        _say(FORMS[given.form](rows))


def _top(given: Namespace) -> None:
    with viewer_of(given.pid) as viewer:
        if given.json:
            _say_json(viewer.processes("top", by=given.by, most=given.most or 50))
        elif given.once or not sys.stdout.isatty():
            _say(*_frame(viewer, given))
        else:
            _keep_showing(viewer, given)


def _keep_showing(viewer: Viewer, given: Namespace) -> None:
    """Show it anew each second, until Ctrl-C, or the program ends."""
    try:
        sys.stdout.write(HIDE + HOME + TO_END)
        while True:
            lines = _frame(viewer, given)
            sys.stdout.write(HOME + "\x1b[K\n".join(lines) + TO_END)
            sys.stdout.flush()
            time.sleep(1)
    except KeyboardInterrupt:
        pass
    finally:
        sys.stdout.write(SHOW + "\n")
        sys.stdout.flush()


def _frame(viewer: Viewer, given: Namespace) -> list[str]:
    size = shutil.get_terminal_size()
    program = viewer.program()
    rows = viewer.processes("top", by=given.by, most=given.most or max(1, size.lines - 4))
    command = plain(" ".join(program["command"]))
    counts = f"{program['processes']:,} processes, {program['names']:,} names"
    since = in_seconds(program["seconds"])
    head = (f"{program['pid']}: {command}", f"{counts}, since {since}; by {given.by}")
    return [*(line[: size.columns] for line in head), "", *table(rows, size.columns)]


def _stacks(given: Namespace) -> None:
    with viewer_of(given.pid) as viewer:
        rows = viewer.processes("stacks")
    if given.json:
        _say_json(rows)
        return
    for row in rows:
        if row["handling"] is not None or row["waiting_for"] is not None:
            busy = in_seconds(row["handling_for"])
            _say(f"{called(row)}: {plain(row['handling'])} for {busy}", *stack(row))


def _info(given: Namespace) -> None:
    which: int | str = given.process
    if given.process.isdecimal():
        which = int(given.process)
    with viewer_of(given.pid) as viewer:
        row = next(iter(viewer.ask("process", which=which)))["process"]
    if given.json:
        _say_json(row)
    else:
        _say(*details(row))


def _dump(given: Namespace) -> None:
    with viewer_of(given.pid) as viewer:
        program = viewer.program()
        _say_json({"program": program, "processes": viewer.processes("stacks")})
