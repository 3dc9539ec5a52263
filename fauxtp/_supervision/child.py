"""A child of a supervisor, and what the supervisor is told of its children."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

from anyio import CancelScope, current_time, sleep

from fauxtp._actors.actor import Actor
from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.death import bury
from fauxtp._core.process import Process
from fauxtp._supervision.changes import Line
from fauxtp._supervision.child_spec import ChildInfo, ChildSpec
from fauxtp.errors import ProcessExited
from fauxtp.registry import PID, Ref

__all__ = ["Child", "ChildDown", "Expected", "Failed", "Question", "after"]


@final
class Question:
    """What somebody asks of a supervisor; `subject` is a spec or the id of a child."""

    __slots__ = ("subject", "what")

    def __init__(self, what: str, subject: Any = None) -> None:
        self.what, self.subject = what, subject

    def __repr__(self) -> str:
        return f"Question({self.what!r}, {self.subject!r})"


@final
class Expected:
    """A child that has its PID, perhaps its name and messages: its actor is yet to be made.

    That is what `make` returns for `key`. It is also what is asked of a supervisor: to begin.
    """

    __slots__ = ("_key", "_make", "name", "process", "spec")

    def __init__(
        self,
        spec: ChildSpec,
        process: Process,
        name: str | None,
        make: Callable[[Any], Actor],
        key: Any,
    ) -> None:
        self.spec, self.process, self.name = spec, process, name
        self._make, self._key = make, key

    def __repr__(self) -> str:
        return f"Expected({self.name!r}, {self.process.pid!r})"

    def make(self) -> Actor:
        """Return the actor, of which the process is told.

        Raises what its constructor raises, and `ProcessExited` if the process is to end already.
        """
        process = self.process
        ends_by = process.reason or process.exit_request
        if ends_by is not None:
            bury(process, ends_by)
            raise ProcessExited(process.pid, ends_by)
        actor = self._make(self._key)
        process.waiting_for = None  # for that
        process.take_on(actor)
        return actor


@final
class ChildDown:
    """The message that a child has ended; `watch` is what it was watched by."""

    __slots__ = ("id", "reason", "watch")

    def __init__(self, id: str, watch: Ref, reason: ExitReason) -> None:  # noqa: A002
        self.id, self.watch, self.reason = id, watch, reason


@final
class Failed:
    """The message that a change has failed, or is the last, and the supervisor ends with it."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


@final
class Child:
    """A child: its spec, its process while it has one, and how often it was started again."""

    __slots__ = (
        "_failures",
        "_is_waiting",
        "intensity",
        "is_new",
        "is_over",
        "line",
        "process",
        "restarts",
        "restarts_at",
        "spec",
        "started_at",
        "watch",
    )

    def __init__(self, spec: ChildSpec, line: Line) -> None:
        self.spec = spec
        self.line = line
        self.process: Process | None = None
        self.restarts = 0
        self.is_new = True  # it has yet to start for the first time
        self.is_over = False  # it has ended, and is not to be started again
        self.watch = Ref()
        self.intensity = spec.intensity
        self.started_at: float | None = None  # if it was, since it last failed
        self._failures = 0  # in a row
        self._is_waiting: CancelScope | None = None
        self.restarts_at: float | None = None  # on the clock of the event loop

    @property
    def pid(self) -> PID | None:
        return None if self.process is None else self.process.pid

    @property
    def info(self) -> ChildInfo:
        spec, at = self.spec, self.restarts_at
        seconds = None if at is None else max(0.0, at - current_time())
        return ChildInfo(spec.id, self.pid, spec.actor_class, spec.restart, self.restarts, seconds)

    def begin_to_wait(self) -> tuple[float, CancelScope]:
        """Return how long it waits to be started again, and what ends the wait early."""
        assert self.spec.backoff is not None
        now = current_time()
        if self.started_at is not None and now - self.started_at >= self.spec.backoff.most:
            self._failures = 0
        self.started_at = None
        self._failures += 1
        seconds = self.spec.backoff.seconds(self._failures)
        return seconds, self.wait_until(now + seconds)

    def wait_until(self, restarts_at: float) -> CancelScope:
        """Wait to be started again until that time; return what ends the wait early."""
        self.restarts_at, self._is_waiting = restarts_at, CancelScope()
        return self._is_waiting

    def end_waiting(self) -> None:
        """Wait no longer to be started again: it is started, or not to be."""
        if self._is_waiting is not None:
            self._is_waiting.cancel()
        self.restarts_at = self._is_waiting = None

    @property
    def has_failed_again(self) -> bool:
        """Whether its last failure was not the first in a row."""
        return self._failures > 1


async def after(seconds: float, waiting: CancelScope, work: Callable[[], object]) -> None:
    """Do `work` after so many seconds, if nobody cancels the wait."""
    with waiting:
        await sleep(seconds)
        work()
