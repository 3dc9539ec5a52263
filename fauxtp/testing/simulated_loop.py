"""An asyncio event loop with simulated time, in which a seed decides whose turn it is.

It does no input and output, and knows one thread: nothing outside can tell it the order.
"""

from __future__ import annotations

import heapq
import threading
from asyncio import AbstractEventLoop, Future, Handle, Task
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context
from itertools import groupby
from math import inf
from random import Random
from types import MethodType
from typing import Any, TypeVar, TypeVarTuple

from fauxtp._base.errors import Travels
from fauxtp._loops.asyncio_internals import (
    SteppedLoop,
    arguments_of,
    callback_of,
    run_handle,
)

__all__ = ["SimulatedLoop", "Stuck"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

STEPS = 100_000  # of one loop; what takes more goes round in a circle
LATEST = 256  # steps by which something is late at most
PACES = 0.0, 1e-6, 1e-3  # seconds that a step takes at most
IN_VAIN = 8  # times that a callback comes back and changes nothing, before the time passes
BUSY = 10_000  # steps without a pause, before they take longer and longer
DOUBLED = 1_000  # steps after which they take twice as long, then
ONE_THREAD = "a simulated loop has one thread: what another one does cannot be replayed"


class Stuck(Travels, AssertionError):
    """What the loop is to run will never be done."""


class SimulatedTask(Task[Any]):
    """A task with a number: its hash, so that a set of tasks has the same order every time."""

    def __init__(
        self, coro: Coroutine[Any, Any, Any], *, loop: SimulatedLoop, **options: Any
    ) -> None:
        loop.tasks += 1
        self.number: int = loop.tasks
        self.turns = 0
        super().__init__(coro, loop=loop, **options)

    def __hash__(self) -> int:
        return self.number


class SimulatedFuture(Future[Any]):
    """A future with a number."""

    number: int = 0


class SimulatedLoop(SteppedLoop):
    """An event loop whose order and clock depend on nothing but a seed.

    What may be late is a task: it has its turn when others that could be next have had theirs,
    as if it waited for a network and not for its neighbour. It is late by a number of steps,
    which depends on the seed, on which task it is and on how many turns it has had. All else
    keeps its place: callbacks that are no turns of tasks run in the order in which they were
    scheduled, no task overtakes a callback that was scheduled before its turn, and timers go
    off in the order of their times. So what asyncio promises holds here, but for the order of
    tasks; and of that, trio and therefore anyio promise nothing.

    As the seed says, a step takes no time, or up to a microsecond, or up to a millisecond. When
    there is nothing to run, the clock jumps to the next timer; so it does when there is nothing
    but callbacks that come back again and again: anyio delivers a cancellation to who does not
    heed it in every round. Who keeps the loop busy for long finds that its steps take longer
    and longer: it may be waiting for a timer, or look at the clock.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random: Random = Random(seed)
        self.tasks = 0
        self.steps: int = 0
        self.trace: int = 0
        """The way that was taken, as a number: two loops with the same one took the same."""
        self.problems: list[Exception] = []
        """What went wrong where nobody in the loop hears of it."""
        self._key = self.random.getrandbits(60)
        self._futures = 0
        self._pace = self.random.choice(PACES)
        self._now = 0.0
        self._turns: list[tuple[float, int, Handle]] = []  # of tasks, the first that is due first
        self._running = 0  # the number of the task whose turn it is
        self._callbacks = 0  # that were next so far
        self._callback_due: float | None = None  # if there is a next one
        self._busy = 0  # steps since the last pause
        self._in_vain: Counter[Callable[..., object]] = Counter()  # since the time has passed
        self._thread = threading.get_ident()
        self._threads = {thread.ident for thread in threading.enumerate()}
        self.set_task_factory(_new_task)
        self.set_exception_handler(_note)

    def time(self) -> float:
        return self._now

    def create_future(self) -> Future[Any]:
        future = SimulatedFuture(loop=self)
        self._futures += 1
        future.number = self._futures
        return future

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Handle:
        if threading.get_ident() == self._thread:
            return self.call_soon(callback, *args, context=context)
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        self.problems.append(RuntimeError(ONE_THREAD))
        return Handle(callback, args, self, context)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> Future[T]:
        raise NotImplementedError(ONE_THREAD)

    def close(self) -> None:
        super().close()
        self._turns.clear()
        self._in_vain.clear()

    def take_step(self) -> None:
        self._let_timers_go_off()
        handle = self._next()
        if handle.cancelled():
            return
        self.steps += 1
        if self.steps > STEPS:
            raise Stuck(f"not done after {STEPS:,} steps")
        self._now += self._takes()
        self.trace = hash((self.trace, self._running, self._now))
        before = len(self.ready)
        run_handle(handle)
        if len(self.ready) > before + 1:
            self._sort(len(self.ready) - before)

    def _takes(self) -> float:
        """Return how many seconds the next step takes."""
        self._busy += 1
        pace = self._pace
        if self._busy > BUSY:
            pace = PACES[-1] * 2.0 ** min((self._busy - BUSY) // DOUBLED, 64)
        return pace * self.random.random()

    def _let_timers_go_off(self) -> None:
        timers = self.timers
        while timers and (timers[0].when() <= self._now or timers[0].cancelled()):
            timer = heapq.heappop(timers)
            if not timer.cancelled():
                self.ready.append(timer)
                self._in_vain.clear()

    def _sort(self, fresh: int) -> None:
        """Put in order what a step has scheduled, where that was cancelled at once.

        anyio has its cancel scopes in sets, whose order is that of their addresses.
        """
        handles = [self.ready.pop() for _ in range(fresh)]
        handles.reverse()
        for _, group in groupby(handles, lambda handle: _cancelled(handle) > 0):
            self.ready.extend(sorted(group, key=_cancelled))

    def _next(self) -> Handle:
        """Take out what is due first: the turn of a task, or the next callback."""
        ready, turns = self.ready, self._turns
        while ready:
            handle = ready[0]
            task = getattr(callback_of(handle), "__self__", None)
            if isinstance(task, SimulatedTask):
                task.turns += 1
                turn = self._due(task.number, task.turns), task.number, handle
                heapq.heappush(turns, turn)
                ready.popleft()
                continue
            if self._callback_due is None:
                self._callbacks += 1
                self._callback_due = self._due(0, self._callbacks)
            if turns and turns[0][0] < self._callback_due:
                break
            if not turns and self._all_in_vain():
                return self._jump()
            self._callback_due, self._running = None, 0
            return ready.popleft()
        if not turns:
            return self._jump()
        _, self._running, handle = heapq.heappop(turns)
        return handle

    def _all_in_vain(self) -> bool:
        """Return whether all that is left has come back often since the time has last passed."""
        callback = callback_of(self.ready[0])
        if type(callback) is not MethodType:
            return False
        self._in_vain[callback] += 1
        return self._has_timers() and all(
            type(callback_of(handle)) is MethodType
            and self._in_vain[callback_of(handle)] > IN_VAIN
            for handle in self.ready
        )

    def _has_timers(self) -> bool:
        return bool(self.timers) and self.timers[0].when() != inf

    def _due(self, number: int, turn: int) -> float:
        """Return at which step that turn of that task is due, or that callback of none."""
        chance = hash((self._key, number, turn)) & _64_BITS
        chance = (chance ^ chance >> 32) * _ODD & _64_BITS  # the hash alone is too regular
        return self.steps + float(LATEST ** (chance / _64_BITS))

    def _jump(self) -> Handle:
        """Let the time pass until the next timer goes off."""
        if not self._has_timers():
            raise Stuck(f"nothing is left to run{self._but_for_threads()}")
        timer = heapq.heappop(self.timers)
        self._now, self._running, self._busy = timer.when(), 0, 0
        self._in_vain.clear()
        return timer

    def _but_for_threads(self) -> str:
        names = [it.name for it in threading.enumerate() if it.ident not in self._threads]
        return f" but threads ({', '.join(names)}): {ONE_THREAD}" if names else ""


_64_BITS = 2**64 - 1
_ODD = 0x9E3779B97F4A7C15


def _cancelled(handle: Handle) -> int:
    """Return the number of the cancelled future of which `handle` is a callback, or 0."""
    arguments = arguments_of(handle)
    future = arguments[0] if arguments else None
    return future.number if isinstance(future, SimulatedFuture) and future.cancelled() else 0


def _new_task(loop: AbstractEventLoop, coro: Any, **options: Any) -> SimulatedTask:
    assert isinstance(loop, SimulatedLoop)
    return SimulatedTask(coro, loop=loop, **options)


def _note(loop: AbstractEventLoop, context: dict[str, Any]) -> None:
    assert isinstance(loop, SimulatedLoop)
    error = context.get("exception")
    loop.problems.append(error if isinstance(error, Exception) else Stuck(context["message"]))
