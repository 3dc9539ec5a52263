"""The private names of asyncio and anyio that fauxtp uses: no other Python file names one.

They may be gone in the next version, or do something else. So each has a row in `INTERNALS`,
which says on which versions it is known, what it is for, and what is done without it: see
asyncio_examination.py.
"""

from __future__ import annotations

import asyncio
import math
import sys
from asyncio import BaseEventLoop, Future, Handle, Task, TimerHandle
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from operator import attrgetter, methodcaller
from typing import Any
from weakref import ref

from anyio import current_effective_deadline

from fauxtp._loops.internals import ASK, LET_IN, NO_STEPS, PLAIN, Check, Table, Trial

__all__ = [
    "INTERNALS",
    "SteppedLoop",
    "arguments_of",
    "callback_of",
    "current_task",
    "current_tasks",
    "forget_scopes",
    "is_in_cancelled_scope",
    "loop_of_group",
    "must_cancel",
    "run_handle",
    "running_loop",
    "set_blocking",
    "set_current_task",
    "slots_of_anyio",
    "states",
    "swap_current_task",
]

_SWAPS = sys.version_info >= (3, 12)  # and has tasks that begin where they are made

_ALL, _NEW = "CPython 3.11 to 3.15", "CPython 3.12 to 3.15"
_ANYIO = "anyio 4.12 to 4.16"

INTERNALS = Table()
"""All of them, in the order in which they are tried."""

_anyio: Any = None
with suppress(ImportError):
    from anyio._backends import _asyncio as _anyio


# Which loop runs here


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


@INTERNALS.row("asyncio", "_get_running_loop", _ALL, ASK)
def _tells_the_loop(_: object = None) -> bool:
    """Tell which loop runs here, if one does; what is public raises an error if none does."""
    return asyncio._get_running_loop() is _running_loop()


running_loop: Callable[[], asyncio.AbstractEventLoop | None] = _running_loop
"""Return the loop that runs in this thread, or None."""
if INTERNALS[-1].does_work():
    running_loop = asyncio._get_running_loop


# Which task runs: a loop and its tasks know it from one place

current_task: Callable[[Any], Task[Any] | None] = asyncio.current_task
"""Return the task that a loop runs; None is none."""

current_tasks: Any = None
"""The place, before CPython 3.12: a dict by loops, if it is there."""

swap_current_task: Callable[[Any, Task[Any] | None], Task[Any] | None] | None = None
"""Change it, and return what it was, from CPython 3.12 on; if it is there."""


@INTERNALS.row("asyncio.tasks", "_current_tasks", "CPython 3.11", PLAIN, not _SWAPS)
def _is_the_place(_: object = None) -> bool:
    """Run as the task of a server, or give another task its turn."""
    place, loop, task = asyncio.tasks._current_tasks, object(), object()  # type: ignore[attr-defined]
    place[loop] = task
    there = asyncio.current_task(loop)  # type: ignore[arg-type]  # which may be anything
    del place[loop]
    return type(place) is dict and there is task and asyncio.current_task(loop) is None  # type: ignore[arg-type]


def _put(loop: Any, task: Task[Any] | None, /) -> None:
    if task is None:
        current_tasks.pop(loop, None)
    else:
        current_tasks[loop] = task


set_current_task: Any = _put
"""Make a task the one that a loop runs."""
if _SWAPS:
    set_current_task = swap_current_task = getattr(asyncio.tasks, "_swap_current_task", None)
elif INTERNALS[-1].does_work():
    current_tasks = asyncio.tasks._current_tasks  # type: ignore[attr-defined]
    current_task = current_tasks.get


# What is known of a task and a future

must_cancel: Callable[[Any], bool] = attrgetter("_must_cancel")
"""Return whether a task is to be cancelled where it waits next."""


def set_blocking(future: Any, value: bool) -> None:
    """Say whether `future` is yielded by who awaits it, as its own `__await__` does."""
    future._asyncio_future_blocking = value


# Which cancel scopes anyio has around a task: it tells only of the running one, and slowly

states: Any = None
"""What anyio knows of each task, by weak references to them; None if that is not known here."""

_SCOPE = "_cancel_called", "_parent_scope", "_shield"
_knows_scopes = False
if _anyio is not None:
    states = getattr(getattr(_anyio, "_task_states", None), "data", None)
    _knows_scopes = states is not None


def is_in_cancelled_scope(task: Any) -> bool:
    """Return whether a cancel scope is to cancel `task`, the running one, where it waits next."""
    if not _knows_scopes:
        return current_effective_deadline() == -math.inf
    state = _anyio._task_states.get(task)
    scope: Any = None if state is None else state.cancel_scope
    while scope is not None:
        if scope._cancel_called:
            return True
        if scope._shield:
            return False
        scope = scope._parent_scope
    return False


def slots_of_anyio(slot: Callable[[type, str], Any]) -> list[Any]:
    """Return a `slot` for each attribute that `is_in_cancelled_scope` reads, or None for each."""
    try:
        if _knows_scopes:
            state, scope = _anyio.TaskState, _anyio.CancelScope
            return [slot(state, "cancel_scope"), *(slot(scope, name) for name in _SCOPE)]
    except (AttributeError, LookupError, TypeError):
        pass
    return [None] * (1 + len(_SCOPE))


def forget_scopes() -> None:
    """Ask anyio's public function from now on: what is known here is not as it should be."""
    global _knows_scopes
    _knows_scopes = False


def loop_of_group(task_group: object) -> Any:
    """Return the loop of a task group of asyncio, or of anyio on it; None for any other."""
    scope = getattr(task_group, "cancel_scope", None)
    host: Any = getattr(scope, "_host_task", None) or getattr(task_group, "_parent_task", None)
    return host.get_loop() if hasattr(host, "get_loop") else None


# A loop that somebody else steps


class _Loop(BaseEventLoop):
    """An event loop that shows what it has: its stub does not."""

    _ready: deque[Handle]
    _scheduled: list[TimerHandle]
    _stopping: bool


class SteppedLoop(_Loop):
    """An event loop that does nothing by itself: `take_step` says what is done next."""

    def __init__(self) -> None:
        super().__init__()
        self.ready: deque[Handle] = self._ready
        """What is to be run, in the order in which it was scheduled."""
        self.timers: list[TimerHandle] = self._scheduled
        """A heap of what is to be run later."""

    def take_step(self) -> None:
        """Run something, if there is something to run."""
        raise NotImplementedError

    def _run_once(self) -> None:
        """Run until the loop is stopped: not one round, as in the base class."""
        while not self._stopping:
            self.take_step()


callback_of: Callable[[Handle], Any] = attrgetter("_callback")
arguments_of: Callable[[Handle], tuple[Any, ...]] = attrgetter("_args")
run_handle: Callable[[Handle], None] = methodcaller("_run")


# Whether all this does here what it is used for


@INTERNALS.row("asyncio.tasks", "_swap_current_task", _NEW, PLAIN, _SWAPS)
def _swaps(trial: Trial) -> bool:
    """Run as the task of a server, or give another task its turn."""
    assert swap_current_task is not None
    loop, task = trial.loop, trial.task
    mine = asyncio.current_task()
    before = swap_current_task(loop, task)
    during = asyncio.current_task()
    between = swap_current_task(loop, mine)
    return before is mine and during is task and between is task and asyncio.current_task() is mine


@INTERNALS.row("asyncio.Task", "call_soon", _ALL, PLAIN)
def _asks_its_loop(trial: Trial) -> bool:
    """Keep the first turn of a new task, to give it at once."""
    ((callback,), options) = trial.asked[0]
    return bool(callback.__self__ is trial.task) and type(options["context"]) is Context


@INTERNALS.row("asyncio.Task", "eager_start", _NEW, PLAIN, _SWAPS)
def _begins_at_once(trial: Trial) -> bool:
    """Give a new task its first turn."""
    seen: list[Task[Any] | None] = []

    async def begin() -> None:
        seen.append(asyncio.current_task())

    work, new_task = begin(), Task[None]
    options: dict[str, Any] = {"eager_start": True, "name": "to try how asyncio begins"}
    try:
        task = new_task(work, loop=trial.loop, context=Context(), **options)
    except BaseException:
        work.close()
        raise
    return seen == [task] and task.done() and asyncio.current_task() is trial.task


@INTERNALS.row("asyncio.Future", "_asyncio_future_blocking", _ALL, PLAIN)
def _tells_who_waits(trial: Trial) -> bool:
    """Yield again, as another task, what a handler has yielded."""
    future: Any = Future(loop=trial.loop)
    before = future._asyncio_future_blocking
    wait = future.__await__()
    yielded = next(wait)
    during = future._asyncio_future_blocking
    set_blocking(future, False)
    wait.close()
    return before is False and yielded is future and during is True


@INTERNALS.row("anyio._backends", "_asyncio", _ANYIO, ASK)
def _is_there(_: Trial) -> bool:
    """Find the names below."""
    return _anyio is not None


@INTERNALS.row("anyio._backends._asyncio", "_task_states", _ANYIO, ASK)
def _has_states(trial: Trial) -> bool:
    """Find the innermost cancel scope of a task: the `cancel_scope` of its state."""
    with _anyio.CancelScope() as scope:
        state = states[ref(trial.task)]
        return _anyio._task_states.get(trial.task) is state and state.cancel_scope is scope


@INTERNALS.row("anyio._backends._asyncio.CancelScope", "_cancel_called", _ANYIO, ASK)
def _tells_what_is_cancelled(_: Trial) -> bool:
    """Find out whether a scope is cancelled."""
    scope = _anyio.CancelScope()
    before = scope._cancel_called
    scope.cancel()
    return before is False and scope._cancel_called is True


@INTERNALS.row("anyio._backends._asyncio.CancelScope", "_parent_scope", _ANYIO, ASK)
def _tells_what_is_around(_: Trial) -> bool:
    """Find the scope around a scope."""
    with _anyio.CancelScope() as outer, _anyio.CancelScope() as inner:
        return outer._parent_scope is None and inner._parent_scope is outer


@INTERNALS.row("anyio._backends._asyncio.CancelScope", "_shield", _ANYIO, ASK)
def _tells_what_is_shielded(_: Trial) -> bool:
    """Find out whether a scope is safe from those around it."""
    shields = [_anyio.CancelScope(shield=shield)._shield for shield in (False, True)]
    return shields[0] is False and shields[1] is True


@INTERNALS.row("anyio._backends._asyncio.CancelScope", "_host_task", _ANYIO, LET_IN)
def _tells_whose_scope_it_is(trial: Trial) -> bool:
    """Tell which event loop a task group belongs to."""
    with _anyio.CancelScope() as scope:
        return scope._host_task is trial.task


@INTERNALS.row("asyncio.TaskGroup", "_parent_task", _ALL, LET_IN)
def _tells_whose_group_it_is(trial: Trial) -> bool:
    """Tell which event loop a task group belongs to."""
    group: Any = asyncio.TaskGroup()
    return not list(group.__aenter__().__await__()) and group._parent_task is trial.task


@INTERNALS.row("asyncio.Task", "_must_cancel", _ALL, PLAIN)  # the last, as it cancels the task
def _tells_of_a_cancellation(trial: Trial) -> bool:
    """Find out whether a task is to be cancelled where it waits next."""
    before = must_cancel(trial.task)
    trial.task.cancel()  # it never begins
    return before is False and must_cancel(trial.task) is True


class _Looked(_Loop):
    """A loop that notes what it is asked to do, and stops at once."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[object] = []

    def _run_once(self) -> None:
        self.seen.append("round")
        self.stop()


def _of_steps(owner: str, name: str) -> Callable[[Callable[[_Looked], bool]], Check]:
    def enter(look: Callable[[_Looked], bool]) -> Check:
        def works(_: object) -> bool:
            loop = _Looked()
            try:
                return look(loop)
            finally:
                loop.close()

        works.__doc__ = look.__doc__
        return INTERNALS.row(owner, name, _ALL, NO_STEPS)(works)

    return enter


@_of_steps("asyncio.BaseEventLoop", "_ready")
def _schedules(loop: _Looked) -> bool:
    """Choose what is next."""
    return type(loop._ready) is deque and loop.call_soon(_running_loop) is loop._ready[0]


@_of_steps("asyncio.BaseEventLoop", "_scheduled")
def _schedules_later(loop: _Looked) -> bool:
    """Let timers go off."""
    timers = loop._scheduled
    return type(timers) is list and loop.call_later(1, _running_loop) is timers[0]


@_of_steps("asyncio.BaseEventLoop", "_run_once")
def _goes_round(loop: _Looked) -> bool:
    """Choose what is next."""
    loop.run_forever()
    return loop.seen == ["round"]


@_of_steps("asyncio.BaseEventLoop", "_stopping")
def _is_stopped(loop: _Looked) -> bool:
    """End when the loop is stopped."""
    before = loop._stopping
    loop.stop()
    return before is False and loop._stopping is True


@_of_steps("asyncio.Handle", "_callback")
def _has_a_callback(loop: _Looked) -> bool:
    """Tell the turns of tasks from all else."""
    return bool(callback_of(loop.call_soon(loop.seen.append, 1)) == loop.seen.append)


@_of_steps("asyncio.Handle", "_args")
def _has_arguments(loop: _Looked) -> bool:
    """Put in order what is cancelled at once."""
    return arguments_of(loop.call_soon(loop.seen.append, 1)) == (1,)


@_of_steps("asyncio.Handle", "_run")
def _can_be_run(loop: _Looked) -> bool:
    """Take a step."""
    run_handle(loop.call_soon(loop.seen.append, 1))
    return loop.seen == [1]
