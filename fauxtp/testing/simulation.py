"""A simulation: one run of a scenario on a simulated loop, of which nothing remains."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, NamedTuple

from fauxtp._base import switches
from fauxtp._base.exit_reason import CANCELLED
from fauxtp._core import receiving, wait_for_room
from fauxtp._core.death import bury
from fauxtp._core.ended_loops import living
from fauxtp._hosting import handover as handoff
from fauxtp._loops.asyncio_loop import home_of
from fauxtp._messaging import sending
from fauxtp.registry import PID
from fauxtp.testing.isolation import empty_registry, free_names, leave_groups, left_running
from fauxtp.testing.simulated_loop import SimulatedLoop, Stuck

__all__ = ["End", "Scenario", "Simulations", "leaves"]

LOGGED = 20  # entries of the log that are kept
COUNTS = (
    (sending, "sent"),
    (wait_for_room, "put_in"),
    (receiving, "received"),
)  # until others run

Scenario = Callable[[], Awaitable[object]]


class End(NamedTuple):
    """How a run ended: the error, if it failed; the way that it took, as a number; the log."""

    error: Exception | None
    trace: int
    logged: list[logging.LogRecord]


class Simulations:
    """Runs scenarios one after the other, in a world that it has for itself."""

    def __init__(self, running: set[PID], log: _Log) -> None:
        self._running = running
        self._log = log
        self._handoff = switches.hand_off

    @classmethod
    @contextmanager
    def begun(cls) -> Iterator[Simulations]:
        """Put aside what a run may change, and afterwards put it back."""
        chance, enabled = random.getstate(), switches.hand_off
        counts = [getattr(module, name) for module, name in COUNTS]
        with empty_registry() as running, _Log().in_place_of_others() as log:
            try:
                switches.simulated = True
                yield cls(running, log)
            finally:
                switches.simulated = False
                random.setstate(chance)
                switches.hand_off = enabled
                for (module, name), count in zip(COUNTS, counts, strict=True):
                    setattr(module, name, count)

    def run(self, scenario: Scenario, seed: int) -> End:
        """Run `scenario()` by the schedule of `seed`.

        Raises `TypeError` if it cannot be awaited, and every error that is no `Exception`.
        """
        loop = SimulatedLoop(seed)
        random.seed(loop.random.getrandbits(64))
        switches.hand_off = self._handoff and loop.random.random() < 0.5
        for module, name in COUNTS:
            setattr(module, name, loop.random.randrange(module.BUDGET))
        home = home_of(loop)
        home.handled = loop.random.randrange(handoff.BUDGET)
        with _no_collection():
            try:
                error = self._play(loop, scenario)
                trace, problems = loop.trace, loop.problems
            finally:
                self._clear_away(loop)
                del home, loop  # so that the collection finds its tasks
        logged, failed = self._log.taken()
        for unheard in (*problems, *failed):
            error = error or unheard
        return End(error, trace, logged)

    def _play(self, loop: SimulatedLoop, scenario: Scenario) -> Exception | None:
        scene = scenario()
        if not inspect.isawaitable(scene):
            raise TypeError(
                f"expected scenario to be an async function, it returns {type(scene).__name__}"
            )
        try:
            loop.run_until_complete(loop.create_task(_wait_for(scene), name="the scenario"))
        except Stuck as stuck:
            return Stuck(f"{stuck}; unfinished:\n{_listed(_unfinished(loop))}")
        except Exception as error:
            return error
        left = left_running(self._running)
        return AssertionError(f"processes are left running:\n{_listed(left)}") if left else None

    def _clear_away(self, loop: SimulatedLoop) -> None:
        """End what is left, as `asyncio.run` does; by force what will not."""
        loop.steps = 0
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        try:
            if tasks:
                loop.run_until_complete(asyncio.wait(tasks))
            loop.run_until_complete(loop.shutdown_asyncgens())
        except Stuck:
            pass  # the loop notes the tasks that go down with it
        loop.close()
        for process in living():
            if process.pid not in self._running:
                bury(process, CANCELLED)
        free_names(but_for=self._running)
        leave_groups(but_for=self._running)


class _Log(logging.Handler):
    """Keeps what fauxtp logs from whoever reads logs: crashes are what scenarios are made of.

    To format them all would take most of the time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: deque[logging.LogRecord] = deque(maxlen=LOGGED)
        self._failed: list[AssertionError] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._last.append(record)
        for error in leaves(record.exc_info[1] if record.exc_info else None):
            if isinstance(error, AssertionError):
                self._failed.append(error)

    def taken(self) -> tuple[list[logging.LogRecord], list[AssertionError]]:
        """Return the last entries, and the assertions that failed, and forget them."""
        taken = list(self._last), list(self._failed)
        self._last.clear()
        self._failed.clear()
        return taken

    @contextmanager
    def in_place_of_others(self) -> Iterator[_Log]:
        logger = logging.getLogger("fauxtp")
        handlers, propagate, level = logger.handlers, logger.propagate, logger.level
        logger.handlers, logger.propagate = [self], False
        logger.setLevel(logging.INFO)
        try:
            yield self
        finally:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)


def leaves(error: BaseException | None) -> list[BaseException]:
    """Return the errors in a group, and in the groups in it; or the error that is no group."""
    found: list[BaseException] = []
    left = [error]
    while left:
        one = left.pop()
        if isinstance(one, BaseExceptionGroup):
            left += reversed(one.exceptions)
        elif one is not None:
            found.append(one)
    return found


async def _wait_for(scene: Awaitable[object]) -> None:
    await scene


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the collector from ending something in the middle: afterwards it may.

    It does so at once with what is young: tasks tell as they go that nobody heard of an error.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.collect(0)
        if enabled:
            gc.enable()


def _listed(lines: list[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)


def _unfinished(loop: SimulatedLoop) -> list[str]:
    """Return a line for each task: what it is, and the calls in which it waits."""
    waiting = {process.task: process.waiting_for for process in living()}
    lines = []
    for task in asyncio.all_tasks(loop):
        call = waiting.get(task)
        whom = "" if call is None else f", for {call.target!r}"
        lines.append(f"{task.get_name()}{whom}, in {_calls(task.get_coro())}")
    return lines


def _calls(coroutine: Any) -> str:
    """Return the calls by which `coroutine` has come to where it waits, and the line there."""
    names, line = [], ""
    while coroutine is not None:
        kind = "gi" if inspect.isgenerator(coroutine) else "cr"
        frame = getattr(coroutine, f"{kind}_frame", None)
        if frame is not None:
            names.append(frame.f_code.co_qualname)
            line = f"{PurePath(frame.f_code.co_filename).name}:{frame.f_lineno}"
        coroutine = getattr(coroutine, "cr_await", getattr(coroutine, "gi_yieldfrom", None))
    return f"{' > '.join(names)} ({line})"
