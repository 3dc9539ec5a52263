"""Looking in: which processes there are, what they do, and who supervises whom."""

from __future__ import annotations

import time
from dataclasses import dataclass
from traceback import FrameSummary
from typing import Any, final

from fauxtp._core.await_chain import stack_of
from fauxtp._core.ended_loops import living, meet
from fauxtp._core.mailbox import not_here
from fauxtp._core.phase import DEAD, Phase
from fauxtp._core.process import Process
from fauxtp._messaging.addresses import find_pid
from fauxtp._messaging.groups import GROUPS
from fauxtp._messaging.timers import TIMERS
from fauxtp.registry import PID, default

__all__ = ["ProcessInfo", "process_info", "process_infos", "processes", "tree"]


@final
@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """What there is to tell of a living process, at one moment.

    `pid` and its `names`, its class as `actor_class`, its `phase`; its `supervisor`, or None, and
    its `children`; whom it `links` with, and whom it `monitors`, as PIDs; and by how many it is
    `monitored_by`.

    `mailbox_length` is how many messages lie in its mailbox; calls that were given up there do
    not count: how many there have been is `calls_given_up`.

    `handling` is the message that a server handles now, or None; `handling_for` for how many
    seconds it has done so. `waiting_for` is the process whose answer it waits for, or for whose
    start, or for room in whose mailbox.

    `stack` is where its task waits: that which was called last comes last, as in a traceback.
    `traceback.format_list(stack)` is the text. It shows a handler that runs just now only to
    other threads; and nothing to other threads in a Python without the GIL.

    >>> import anyio
    >>> from fauxtp import GenServer, exit
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         await GenServer.start(task_group=task_group, register_as="store")
    ...         info = process_info("store")
    ...         print(info.names, info.mailbox_length, info.handling)
    ...         exit("store")
    >>> anyio.run(main)
    ['store'] 0 None
    """

    pid: PID
    names: list[str]
    actor_class: type
    phase: Phase
    mailbox_length: int
    calls_given_up: int
    handling: Any
    handling_for: float
    waiting_for: PID | None
    links: list[PID]
    monitors: list[PID]
    monitored_by: int
    supervisor: PID | None
    children: list[PID]
    stack: list[FrameSummary]


def processes() -> list[PID]:
    """Return the PIDs of all living processes, the oldest first. It raises nothing.

    >>> import anyio
    >>> from fauxtp import GenServer, exit
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         store = await GenServer.start(task_group=task_group)
    ...         print(processes() == [store])
    ...         exit(store)
    >>> anyio.run(main)
    True
    """
    return [process.pid for process in living()]


def process_info(pid: PID | str) -> ProcessInfo:
    """Return what there is to tell of the process `pid`.

    Raises `NoProcess` if there is none, `ValueError` if it is of another node, and `TypeError` if
    `pid` is neither a PID nor a name.

    >>> process_info("nobody")
    Traceback (most recent call last):
        ...
    fauxtp.NoProcess: no living process behind 'nobody'
    """
    found = find_pid(pid)
    process = meet(found)
    if process is None:
        raise not_here(pid, found)
    return _info(process)


def process_infos() -> list[ProcessInfo]:
    """Return what there is to tell of each living process, the oldest first.

    It takes as long as `process_info` of all of them, and the event loop does nothing else. It
    raises nothing.

    >>> import anyio
    >>> from fauxtp import GenServer, exit
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         for name in ("store", "clock"):
    ...             await GenServer.start(task_group=task_group, register_as=name)
    ...         print([info.names for info in process_infos()])
    ...         exit("store"), exit("clock")
    >>> anyio.run(main)
    [['store'], ['clock']]
    """
    infos = (_info(process) for process in living())
    return [info for info in infos if info.phase is not DEAD]


def _info(process: Process) -> ProcessInfo:
    handling, waiting_for = process.handling, process.waiting_for
    return ProcessInfo(
        pid=process.pid,
        names=default.names(process.pid),
        actor_class=process.kind,
        phase=process.phase,
        mailbox_length=len(process.mailbox),
        calls_given_up=process.mailbox.given_up.total,
        handling=handling,
        handling_for=0.0 if handling is None else time.monotonic() - process.handled_since,
        waiting_for=None if waiting_for is None else waiting_for.target,
        links=sorted(process.links),
        monitors=sorted({*process.monitors.copy().values()}),
        monitored_by=len(process.watchers.keys() - {TIMERS, GROUPS}),
        supervisor=process.supervisor,
        children=list(process.children),
        stack=stack_of(process),
    )


def tree() -> str:
    """Return all living processes as text, each below its supervisor. It raises nothing.

    A child that waits to be started again is there, too, with the seconds that it still waits:
    `Client 'client' restarting in 1.6 s`.

    >>> import anyio
    >>> from fauxtp import GenServer, exit
    >>> async def main():
    ...     async with anyio.create_task_group() as task_group:
    ...         await GenServer.start(task_group=task_group, register_as="store")
    ...         print(tree())
    ...         exit("store")
    >>> anyio.run(main)  # doctest: +ELLIPSIS
    GenServer 'store' <PID ...> running
    """
    everyone = living()
    alive = {process.pid for process in everyone}
    below: dict[PID | None, list[Process]] = {}
    for process in everyone:
        above = process.supervisor if process.supervisor in alive else None
        below.setdefault(above, []).append(process)
    lines = []
    left: list[tuple[Process | str, str]]
    left = [(process, "") for process in reversed(below.get(None, ()))]
    while left:
        one, indent = left.pop()
        lines.append(f"{indent}{_line(one)}")
        if isinstance(one, Process):
            beneath = [*below.get(one.pid, ()), *_waiting(one)]
            left += [(each, indent + "  ") for each in reversed(beneath)]
    return "\n".join(lines)


def _waiting(process: Process) -> list[str]:
    """Return the lines of the children of a supervisor that wait to be started again."""
    from fauxtp._supervision.beside import Beside  # noqa: PLC0415  (who looks in has time)

    chief = process.actor
    if not isinstance(chief, Beside):
        return []
    now = process.home.time()
    return [
        f"{spec.actor_class.__name__} {spec.register_as or spec.id!r}"
        f" restarting in {max(0.0, at - now):.1f} s"
        for spec, at in chief.waiting()
    ]


def _line(process: Process | str) -> str:
    if isinstance(process, str):
        return process  # of one that waits
    names = "".join(f" {name!r}" for name in default.names(process.pid))
    waiting = len(process.mailbox)
    queue = f" ({waiting} waiting)" if waiting else ""
    return f"{process.kind.__name__}{names} {process.pid!r} {process.phase.value}{queue}"
