"""What an agent is asked, and answers: a closed list of questions that only look.

It runs in the agent's thread, and never asks a process: it reads what the runtime knows. Long
answers come in pieces, between which the program goes on. What a message contains is nobody's
business: it is told by its label.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from heapq import nlargest
from traceback import FrameSummary
from typing import Any, Final

from fauxtp import registry
from fauxtp._base.implementation import __version__
from fauxtp._base.texts import label
from fauxtp._core.ended_loops import living
from fauxtp._core.phase import DEAD
from fauxtp._core.process import Process
from fauxtp.observe.await_chain import stack_of
from fauxtp.registry import PID, default, whereis

__all__ = ["ORDERS", "PROTOCOL", "answers"]

PROTOCOL: Final = 1
PIECE: Final = 128  # processes that are told of at once: a few milliseconds
MOST: Final = 1000  # of whatever may be many for one process
_BREATH: Final = 0.0005  # seconds between two pieces, in which others run

_began = time.monotonic()

Answer = dict[str, Any]


def answers(line: bytes) -> Iterator[Answer]:
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
    answer = _QUESTIONS.get(ask)
    if answer is None:
        yield {"error": f"expected one of {', '.join(_QUESTIONS)}, got {ask[:40]!r}"}
        return
    try:
        yield from answer(**question)
    except (TypeError, ValueError) as error:
        yield {"error": str(error)}


def _program() -> Iterator[Answer]:
    yield {
        "program": {
            "fauxtp": __version__,
            "protocol": PROTOCOL,
            "registry": registry.implementation,
            "python": platform.python_version(),
            "pid": os.getpid(),
            "command": [sys.executable, sys.argv[0]],  # arguments may be secrets
            "seconds": time.monotonic() - _began,
            "processes": len(living()),
            "names": len(default),
        }
    }


def _processes() -> Iterator[Answer]:
    yield from _in_pieces(living(), row_of)


def _top(by: str = "mailbox", most: int = 50) -> Iterator[Answer]:
    order = ORDERS.get(by) if isinstance(by, str) else None
    if order is None:
        raise ValueError(f"expected by to be one of {', '.join(ORDERS)}")
    if type(most) is not int or not 0 < most <= MOST:
        raise ValueError(f"expected most to be from 1 to {MOST}")
    now, weighed = time.monotonic(), []
    for number, process in enumerate(living()):
        weighed.append((order(process, now), -number, process))
        if number % (10 * PIECE) == 0:
            time.sleep(_BREATH)
    yield from _in_pieces([process for _, _, process in nlargest(most, weighed)], row_of)


def _process(which: int | str) -> Iterator[Answer]:
    if type(which) not in {int, str}:
        raise TypeError("expected which to be the number of a PID, or a name")
    pid = whereis(which) if isinstance(which, str) else None
    for process in living():
        if (process.pid is pid) if isinstance(which, str) else (number_of(process.pid) == which):
            yield {"process": {**row_of(process), **_details_of(process)}}
            return
    yield {"error": f"no living process {which!r}"}


def _stacks() -> Iterator[Answer]:
    yield from _in_pieces(living(), lambda process: {**row_of(process), "stack": _stack(process)})


_QUESTIONS: Final[dict[str, Callable[..., Iterator[Answer]]]] = {
    "program": _program,
    "processes": _processes,
    "top": _top,
    "process": _process,
    "stacks": _stacks,
}


def _handling_for(process: Process, now: float) -> float:
    return 0.0 if process.handling is None else max(0.0, now - process.handled_since)


ORDERS: Final[dict[str, Callable[[Process, float], float]]] = {
    "mailbox": lambda process, now: len(process.mailbox),
    "handler": _handling_for,
    "children": lambda process, now: len(process.children),
    "monitors": lambda process, now: len(process.watchers),
}
"""What the processes of `"top"` can be ordered by."""


def _in_pieces(everyone: list[Process], tell: Callable[[Process], Answer]) -> Iterator[Answer]:
    for first in range(0, len(everyone), PIECE):
        told = [tell(process) for process in everyone[first : first + PIECE] if _lives(process)]
        yield {"processes": told, "more": True}
        time.sleep(_BREATH)
    yield {"processes": []}


def _lives(process: Process) -> bool:
    return process.phase is not DEAD


def number_of(pid: PID) -> int:
    """Return the number that a PID is shown by."""
    return int(repr(pid)[5:-1])


def row_of(process: Process) -> Answer:
    """Return what a list of processes tells of one."""
    handling, call = process.handling, process.waiting_for
    return {
        "pid": number_of(process.pid),
        "names": default.names(process.pid)[:MOST],
        "class": process.kind.__qualname__,
        "phase": process.phase.value,
        "mailbox": len(process.mailbox),
        "handling": None if handling is None else label(handling),
        "handling_for": _handling_for(process, time.monotonic()),
        "waiting_for": None if call is None else number_of(call.target),
        "supervisor": None if process.supervisor is None else number_of(process.supervisor),
        "children": len(process.children),
        "watchers": len(process.watchers),
    }


def _details_of(process: Process) -> Answer:
    """Return what is told of one process only when somebody asks for that one."""
    return {
        "module": process.kind.__module__,
        "given_up": process.mailbox.given_up.total,
        "room": process.mailbox.max_size,
        "links": sorted(map(number_of, list(process.links)[:MOST])),
        "monitors": sorted(map(number_of, list(process.monitors.copy().values())[:MOST])),
        "child_pids": sorted(map(number_of, list(process.children)[:MOST])),
        "stack": _stack(process),
    }


def _stack(process: Process) -> list[list[Any]]:
    return [_place(frame) for frame in stack_of(process)]


def _place(frame: FrameSummary) -> list[Any]:
    return [frame.filename, frame.lineno, frame.name]
