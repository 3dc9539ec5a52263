"""Children of a supervisor: how each of them is started and stopped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from operator import itemgetter
from typing import Final, final

from anyio import (
    CancelScope,
    Event,
    create_task_group,
    current_time,
    get_cancelled_exc_class,
    move_on_after,
)
from anyio.abc import TaskGroup

from fauxtp._actors.actor import Actor
from fauxtp._actors.lifecycle import AtOnce, launch
from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.mailbox import put_news
from fauxtp._core.process import Process, find_process
from fauxtp._messaging.exits import wait_exit
from fauxtp._supervision import supervisor_log
from fauxtp._supervision.child import Child, ChildDown
from fauxtp._supervision.child_spec import ChildSpec
from fauxtp.errors import ReceiveTimeout
from fauxtp.registry import PID, Ref

__all__ = ["SHUTDOWN", "Children", "Shelter", "kill", "launched", "stop_all", "was_killed"]

GRACE: Final = 1.0  # seconds for which a child that was killed holds up who is stopped next
SHUTDOWN: Final = ExitReason("shutdown")
_KILLED: Final = ExitReason("killed", abnormal=True)


@final
class Shelter:
    """A task group that lives until it is closed, also when everything around it is cancelled."""

    def __init__(self) -> None:
        self._is_open, self._closing = Event(), Event()
        self.group: TaskGroup

    async def keep(self) -> None:
        """Keep it open: a task for this."""
        with CancelScope(shield=True):
            async with create_task_group() as self.group:
                self._is_open.set()
                await self._closing.wait()

    async def opened(self) -> None:
        """Wait until tasks can be started in it."""
        await self._is_open.wait()

    def close(self) -> None:
        """Let it end when the tasks in it have."""
        self._closing.set()


async def launched(
    spec: ChildSpec,
    group: TaskGroup,
    supervisor: PID,
    keep: Callable[[Process], object],
    on_exit: AtOnce | None = None,
) -> Process:
    """Start what `spec` tells of in `group`, and return its process.

    Raises what its `init` raises, and `TimeoutError` if that takes longer than the spec allows.
    If the start is given up, by that or from outside, `keep` gets the process: it has yet to end.
    """
    actor = spec.actor_class(*spec.args, **spec.kwargs)
    name = spec.register_as
    start = launch(actor, group, on_exit=on_exit, register_as=name, supervisor=supervisor)
    if spec.start_timeout is None:
        return await _kept(start, actor, keep)
    with move_on_after(spec.start_timeout):
        return await _kept(start, actor, keep)
    raise TimeoutError(f"init of child {spec.id!r} took longer than {spec.start_timeout:g} s")


async def _kept(
    start: Awaitable[Process], actor: Actor, keep: Callable[[Process], object]
) -> Process:
    """Return the process that comes of `start`, that of `actor`; if it is given up, `keep` it."""
    try:
        return await start
    except get_cancelled_exc_class():
        if actor._fauxtp_process is not None:
            keep(actor._fauxtp_process)
        raise


def kill(chief: Process, spec: ChildSpec, process: Process) -> None:
    """End a child that has not ended in the time that it had for that, and tell so, once."""
    if not was_killed(process):
        supervisor_log.cut_off(chief, spec, process)
        process.kill(SHUTDOWN, _KILLED)


def was_killed(process: Process) -> bool:
    """Return whether its supervisor has killed a child already, which has yet to end."""
    return process.killed is _KILLED


def _tell_to_end(process: Process, spec: ChildSpec) -> None:
    if spec.shutdown:
        process.shut_down(SHUTDOWN)
    else:  # it has no time for what lies in its mailbox
        process.request_exit(SHUTDOWN)


async def stop_all(chief: Process, specs: dict[PID, ChildSpec]) -> None:
    """Stop children of `chief`, all at once, and wait for their ends."""
    began, late = current_time(), []
    for pid, spec in specs.items():
        process = find_process(pid)
        if process is not None:
            _tell_to_end(process, spec)
    in_order = sorted(((spec.shutdown, pid) for pid, spec in specs.items()), key=itemgetter(0))
    for seconds, pid in in_order:
        process = find_process(pid)
        if process is None:
            continue
        try:
            await wait_exit(pid, max(0.0, began + seconds - current_time()))
        except ReceiveTimeout:
            kill(chief, specs[pid], process)
            late.append(process)
    for process in late:
        await wait_exit(process.pid)


@final
class Children:
    """The children of a supervisor, `chief`, by id and in the order in which they start."""

    def __init__(self, shelter: Shelter) -> None:
        self.by_id: dict[str, Child] = {}
        self._shelter = shelter  # where they are started

    async def start(self, chief: Process, child: Child) -> None:
        """Start `child`, and have `chief` told of its end."""
        child.end_waiting()
        spec, watch, mailbox = child.spec, child.watch, chief.mailbox

        def keep(process: Process) -> None:
            child.process = process

        try:
            process = await launched(spec, self._shelter.group, chief.pid, keep)
        except TimeoutError:
            await self.stop(chief, child)
            raise
        child.process = process
        child.is_new = child.is_over = False
        child.started_at = current_time()

        def tell(pid: PID, reason: ExitReason) -> None:
            put_news(mailbox, ChildDown(spec.id, watch, reason))

        if process.watch(watch, tell):
            supervisor_log.started_child(chief, spec, process)
        else:
            assert process.reason is not None
            tell(process.pid, process.reason)

    async def stop(self, chief: Process, child: Child) -> None:
        """Stop `child` if it runs, and wait for its end."""
        await self.stop_all(chief, [child])

    async def stop_all(self, chief: Process, children: list[Child]) -> None:
        """Stop `children`, the last one first, and wait for their ends.

        Who does not end even if killed (it waits for a thread, or in a shield) holds up the
        others for a while only, so that each that hangs is told of.
        """
        late = []
        for child in reversed(children):
            try:
                await self._stop(chief, child)
            except ReceiveTimeout:
                late.append(child)
        for child in late:
            if child.process is not None:
                await wait_exit(child.process.pid)
            child.process = None

    async def _stop(self, chief: Process, child: Child) -> None:
        child.end_waiting()
        watch, child.watch = child.watch, Ref()  # what is told of it from here on is no news
        process = child.process
        if process is None:
            return
        process.watchers.pop(watch, None)
        _tell_to_end(process, child.spec)
        try:
            await wait_exit(process.pid, 0 if was_killed(process) else child.spec.shutdown)
        except ReceiveTimeout:
            kill(chief, child.spec, process)
            await wait_exit(process.pid, GRACE)
        child.process = None  # only now: if this is cancelled, the end has to go on with it
