"""A child of a supervisor, and what the supervisor is told of its children."""

from __future__ import annotations

from typing import Any, final

from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.process import Process
from fauxtp._supervision.changes import Line
from fauxtp._supervision.child_spec import ChildInfo, ChildSpec
from fauxtp.registry import PID, Ref

__all__ = ["Child", "ChildDown", "Failed", "Question"]


@final
class Question:
    """What somebody asks of a supervisor; `subject` is a spec or the id of a child."""

    __slots__ = ("subject", "what")

    def __init__(self, what: str, subject: Any = None) -> None:
        self.what, self.subject = what, subject

    def __repr__(self) -> str:
        return f"Question({self.what!r}, {self.subject!r})"


@final
class ChildDown:
    """The message that a child has ended; `watch` is what it was watched by."""

    __slots__ = ("id", "reason", "watch")

    def __init__(self, id: str, watch: Ref, reason: ExitReason) -> None:  # noqa: A002
        self.id, self.watch, self.reason = id, watch, reason


@final
class Failed:
    """The message that a change has failed, and the supervisor with it."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


@final
class Child:
    """A child: its spec, its process while it has one, and how often it was started again."""

    __slots__ = ("is_new", "line", "process", "restarts", "spec", "watch")

    def __init__(self, spec: ChildSpec, line: Line) -> None:
        self.spec = spec
        self.line = line
        self.process: Process | None = None
        self.restarts = 0
        self.is_new = True  # it has yet to start for the first time
        self.watch = Ref()

    @property
    def pid(self) -> PID | None:
        return None if self.process is None else self.process.pid

    @property
    def info(self) -> ChildInfo:
        spec = self.spec
        return ChildInfo(spec.id, self.pid, spec.actor_class, spec.restart, self.restarts)
