"""What an agent is asked, and answers: a closed list of questions, most of which only look.

It runs in the agent's thread. Who looks asks no process: they read what the runtime knows. Long
answers come in pieces, between which the program goes on. What a message contains is nobody's
business: it is told by its label. Only where the program allows it, an event loop is asked for a
state, or something is done.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from heapq import nlargest
from itertools import islice
from traceback import FrameSummary
from typing import Any, Final

from fauxtp import registry
from fauxtp._base.implementation import __version__
from fauxtp._base.logs import logger
from fauxtp._base.own_frames import own_ends
from fauxtp._core.await_chain import whereabouts
from fauxtp._core.ended_loops import living
from fauxtp._core.phase import DEAD
from fauxtp._core.process import Process
from fauxtp.observe.actions import ACTIONS, number_of, numbered
from fauxtp.observe.asker import Asker
from fauxtp.observe.events import counts
from fauxtp.observe.happenings import FAULTS, happenings
from fauxtp.observe.process_orders import ORDERS
from fauxtp.observe.process_rows import MOST, ProcessRows
from fauxtp.observe.states import state_of
from fauxtp.registry import PID, default, whereis

__all__ = ["PROTOCOL", "answers"]

PROTOCOL: Final = 1
PIECE: Final = 128  # processes that are told of at once: a few milliseconds
_BREATH: Final = 0.0005  # seconds between two pieces, in which others run

_began = time.monotonic()

Answer = dict[str, Any]


def answers(line: bytes, asker: Asker) -> Iterator[Answer]:
    """Yield the answer to a question, in one or more pieces; all but the last say `"more"`.

    What is no question that is known here has an answer with an `"error"`.
    """
    try:
        question = json.loads(line)
    except (ValueError, RecursionError):
        yield {"error": "expected a question in JSON"}
        return
    if not isinstance(question, dict) or not isinstance(question.get("ask"), str):
        yield {"error": 'expected an object that has "ask"'}
        return
    ask = question.pop("ask")
    right, answer = _QUESTIONS.get(ask, ("", _program))
    if not right:
        yield {"error": f"expected one of {', '.join(_QUESTIONS)}, got {ask[:40]!r}"}
    elif right not in asker.rights:
        yield {"error": f"the program does not allow {ask!r}: {_ALLOWS.format(right)}"}
    else:
        try:
            yield from answer(asker, **question)
        except (TypeError, ValueError) as error:
            yield {"error": str(error)}
        except Exception:  # what is looked at is somebody else's, and may be odd
            logger().exception("somebody who looked in could not be told what was asked: %s", ask)
            yield {"error": "it could not be told: the program has logged why"}


_ALLOWS: Final = "one does that calls fauxtp.observe.serve(allow={{'look', '{}'}})"


_APPLICATION: Final = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")  # module:Class


def _program(asker: Asker) -> Iterator[Answer]:
    yield {
        "program": {
            "fauxtp": __version__,
            "protocol": PROTOCOL,
            "registry": registry.implementation,
            "python": platform.python_version(),
            "pid": os.getpid(),
            "command": [sys.executable, *_command()],
            "seconds": time.monotonic() - _began,
            "processes": len(living()),
            "names": len(default),
            "allows": sorted(asker.rights),
        }
    }


def _command() -> list[str]:
    """Return what runs, without arguments, which may be secrets: but for an application."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if getattr(spec, "name", None) != "fauxtp.__main__" or sys.argv[1:2] != ["run"]:
        return [*map(str, sys.argv[:1])]
    applications = [word for word in sys.argv[2:] if _APPLICATION.fullmatch(word)]
    return ["-m", "fauxtp", "run", *applications[:1]]


def _processes(_: Asker) -> Iterator[Answer]:
    yield from _in_pieces(_everyone(), ProcessRows().row)


def _top(_: Asker, by: str = "mailbox", most: int = 50) -> Iterator[Answer]:
    order = ORDERS.get(by) if isinstance(by, str) else None
    if order is None:
        raise ValueError(f"expected by to be one of {', '.join(ORDERS)}")
    if type(most) is not int or not 0 < most <= MOST:
        raise ValueError(f"expected most to be from 1 to {MOST}")
    rows, weighed = ProcessRows(), []
    for number, process in enumerate(_everyone()):
        weighed.append((order(rows, process), -number, process))
        if number % (10 * PIECE) == 0:
            time.sleep(_BREATH)
    top = nlargest(most, weighed)
    yield from _in_pieces((process for _, _, process in top), rows.row)


def _process(_: Asker, which: int | str) -> Iterator[Answer]:
    process = _found(which)
    yield {"process": {**ProcessRows().row(process), **_details_of(process)}}


def _state(_: Asker, which: int | str) -> Iterator[Answer]:
    process = _found(which)
    yield {"process": ProcessRows().row(process), **state_of(process)}


def _found(which: int | str) -> Process:
    """Return the living process that has that number or name, or raise `ValueError`."""
    if type(which) not in {int, str}:
        raise TypeError("expected which to be the number of a PID, or a name")
    if not isinstance(which, str):
        return numbered(which)
    pid = whereis(which)
    for process in living():
        if process.pid is pid:
            return process
    raise ValueError(f"no living process {which!r}")


def _stacks(_: Asker) -> Iterator[Answer]:
    row = ProcessRows().row
    yield from _in_pieces(_everyone(), lambda process: {**row(process), **_stack(process)})


def _watch(_: Asker, kinds: object = FAULTS) -> Iterator[Answer]:
    yield from happenings(kinds)


def _counts(_: Asker) -> Iterator[Answer]:
    yield {"counts": [[*key, number] for key, number in counts().items()]}


_QUESTIONS: Final[dict[str, tuple[str, Callable[..., Iterator[Answer]]]]] = {
    "program": ("look", _program),
    "processes": ("look", _processes),
    "top": ("look", _top),
    "process": ("look", _process),
    "stacks": ("look", _stacks),
    "counts": ("look", _counts),
    "watch": ("look", _watch),
    "state": ("state", _state),
    **{name: ("exit", act) for name, act in ACTIONS.items()},
}
"""Each question, with what who asks it must be allowed."""


def _everyone() -> Iterator[Process]:
    """Yield all living processes, the oldest first, and then those that have come meanwhile.

    Among these are the successors of those that have ended before they were told of.
    """
    everyone = living()
    yield from everyone
    known = {process.pid for process in everyone}
    yield from (process for process in living() if process.pid not in known)


def _in_pieces(everyone: Iterator[Process], tell: Callable[[Process], Answer]) -> Iterator[Answer]:
    while some := [*islice(everyone, PIECE)]:
        yield {"processes": [tell(process) for process in some if _lives(process)], "more": True}
        time.sleep(_BREATH)
    yield {"processes": []}


def _lives(process: Process) -> bool:
    return process.phase is not DEAD


def _details_of(process: Process) -> Answer:
    """Return what is told of one process only when somebody asks for that one."""
    links = sorted([*process.links][:MOST])
    monitors = sorted([*process.monitors.copy().values()][:MOST])
    children = sorted([*process.children][:MOST])
    call = process.waiting_for
    others = [process.supervisor, None if call is None else call.target, *links, *monitors]
    return {
        "module": process.kind.__module__,
        "given_up": process.mailbox.given_up.total,
        "room": process.mailbox.max_size,
        "links": [*map(number_of, links)],
        "monitors": [*map(number_of, monitors)],
        "child_pids": [*map(number_of, children)],
        "called": dict(_first_names([*others, *children])),
        **_stack(process),
    }


def _first_names(pids: Iterable[PID | None]) -> Iterator[tuple[str, str]]:
    """Yield the first name of each that has one, beside the number of its PID."""
    for pid in pids:
        names = [] if pid is None else default.names(pid)
        if names:
            yield str(number_of(pid)), names[0]


def _stack(process: Process) -> Answer:
    """Return where a process is, and how many frames at both ends are not the user's."""
    frames, runs = whereabouts(process)
    stack = [_place(frame) for frame in frames]
    return {
        "stack": stack,
        "own_frames": [*own_ends([file for file, _, _ in stack])],
        "runs": runs,
    }


def _place(frame: FrameSummary) -> list[Any]:
    return [frame.filename, frame.lineno, frame.name]
