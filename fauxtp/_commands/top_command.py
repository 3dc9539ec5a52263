"""The command `top`: which processes have most to do, once or every second."""

from __future__ import annotations

import shutil
import sys
from argparse import Namespace
from heapq import nlargest
from typing import Any, Final

from fauxtp._commands.client import Viewer, viewer_of
from fauxtp._commands.command_line import add, say, say_json
from fauxtp._commands.live_screen import key_within, redraw, screen
from fauxtp._commands.process_table import table
from fauxtp.observe.dumps import processes_in
from fauxtp.observe.plain_text import cut, in_seconds, plain
from fauxtp.observe.process_orders import ORDERS, ROW_ORDERS

__all__ = ["add_top_command"]

KEYS: Final = {
    "m": "mailbox",
    "h": "handler",
    "r": "restarts",
    "c": "children",
    "w": "monitors",
}
"""What `top` is ordered by from then on."""


def add_top_command(commands: Any) -> None:
    """Add the command to those that a parser knows."""
    orders = add(commands, "top", _top, "show the processes with most to do, every second")
    orders.add_argument("--by", choices=tuple(ORDERS), default="mailbox")
    orders.add_argument("--most", type=int, help="how many (as many as fit)")
    orders.add_argument("--once", action="store_true", help="show them once, and end")
    orders.add_argument("--file", help="what dump has written, in place of a program")


def _top_of_file(given: Namespace) -> None:
    most = given.most or max(1, shutil.get_terminal_size().lines - 4)
    rows = nlargest(most, processes_in(given.file), key=ROW_ORDERS[given.by])
    if given.json:
        say_json(rows)
    else:
        say(*table(rows, given.by))


def _top(given: Namespace) -> None:
    if given.file is not None:
        _top_of_file(given)
        return
    with viewer_of(given.pid) as viewer:
        if given.json:
            say_json(viewer.processes("top", by=given.by, most=given.most or 50))
        elif given.once or not sys.stdout.isatty():
            say(*_frame(viewer, given))
        else:
            _keep_showing(viewer, given)


def _keep_showing(viewer: Viewer, given: Namespace) -> None:
    """Show it anew each second and after each key, until Ctrl-C or q, or the program ends."""
    key = ""
    try:
        with screen():
            while key != "q":
                width = shutil.get_terminal_size().columns
                redraw([cut(line, width) for line in _frame(viewer, given, _TELLS_KEYS)])
                key = key_within(1)
                given.by = KEYS.get(key, given.by)
    except KeyboardInterrupt:
        pass


_TELLS_KEYS: Final = f"{', '.join(f'{key} {order}' for key, order in KEYS.items())}; q ends"


def _frame(viewer: Viewer, given: Namespace, third: str = "") -> list[str]:
    most = given.most or max(1, shutil.get_terminal_size().lines - 4)
    program = viewer.program()
    rows = viewer.processes("top", by=given.by, most=most)
    command = plain(" ".join(program["command"]))
    counts = f"{program['processes']:,} processes, {program['names']:,} names"
    since = in_seconds(program["seconds"])
    head = [f"{program['pid']}: {command}", f"{counts}, since {since}; by {given.by}", third]
    return [*head, *table(rows, given.by)]
