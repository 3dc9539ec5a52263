"""What fauxtp uses of asyncio, anyio and trio though they do not promise it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["ASK", "LET_IN", "NO_STEPS", "PLAIN", "Check", "Internal", "Table", "Trial"]

# What fauxtp does without one
PLAIN = (
    "no call is handled on the spot, no task is given a turn by another, and each process has"
    " a task group of its own from the start"
)
ASK = "a public function is asked, which takes longer"
LET_IN = "a task group of another event loop is not refused by fauxtp"
NO_STEPS = "fauxtp.testing.explore says that it does not work here"


Check = Callable[[Any], bool]


class Internal(NamedTuple):
    """A name of somebody else's that is private, or something that is not promised of one."""

    owner: str
    """The module, or the class with its module, that has it."""

    name: str

    known: str
    """On which versions of CPython, anyio or trio it was found to do what it is used for."""

    otherwise: str
    """What fauxtp does where it is not there, or does something else."""

    works: Check
    """Tells whether it does what it is used for; it may raise whatever it likes if not.

    Its docstring says what that is.
    """

    is_here: bool = True
    """Whether this version of CPython should have it."""

    def __str__(self) -> str:
        return f"{self.owner}.{self.name}"

    def does_work(self, trial: object = None) -> bool:
        """Return whether it does what it is used for."""
        try:
            return self.works(trial)
        except (MemoryError, RecursionError):  # which say nothing of it
            raise
        except Exception:
            return False


class Table(list[Internal]):
    """The rows of some internals."""

    def row(
        self, owner: str, name: str, known: str, otherwise: str, is_here: bool = True
    ) -> Callable[[Check], Check]:
        """Enter what the decorated function tries: its docstring says what that is for."""

        def enter(works: Check) -> Check:
            self.append(Internal(owner, name, known, otherwise, works, is_here))
            return works

        return enter


class Trial(NamedTuple):
    """What those of asyncio are tried on: as the running task, but for those that make it that."""

    loop: Any
    """The loop that runs, which does not come to know of it."""

    task: Any
    """A task that never begins."""

    asked: list[tuple[tuple[Any, ...], dict[str, Any]]]
    """With what the task has called the `call_soon` of its loop."""
