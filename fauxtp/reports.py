"""Reports: what the logger "fauxtp" is told of the ends and the restarts of processes.

Each record carries its facts for programs as well: `record.fauxtp` is a dict. What a message
contains may be nobody's business, so a record has its label only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fauxtp import registry
from fauxtp.logs import logger
from fauxtp.process import ExitReason, Process
from fauxtp.texts import label

if TYPE_CHECKING:
    from fauxtp.children import ChildSpec

__all__ = [
    "crashed",
    "cut_off",
    "failed_as_it_ended",
    "lost",
    "restarting",
    "started_child",
    "who",
]

_HANDLED = "the message that was handled: "


def who(process: Process) -> str:
    """Return how a process is called in a log: by its class, its names and its PID."""
    names = registry.default.names(process.pid)
    called = f" {', '.join(map(repr, names))}" if names else ""
    return f"{process.kind.__name__}{called} {process.pid!r}"


def crashed(process: Process, reason: ExitReason) -> None:
    """Tell that an error has ended a process, with its traceback."""
    # Before `terminate`, which may give up the name.
    if process.handling is not None and reason.exception is not None:
        _note(reason.exception, label(process.handling))
    logger().error(
        "%s crashed",
        who(process),
        exc_info=reason.exception,
        extra=_facts(process, reason=str(reason)),
    )


def lost(process: Process) -> None:
    """Tell that the event loop of a process has ended before it has."""
    logger().warning("%s was lost: its event loop has ended", who(process), extra=_facts(process))


def _note(error: BaseException, message: str) -> None:
    """Let whoever reads the traceback know of which message it is."""
    others = [note for note in getattr(error, "__notes__", ()) if not note.startswith(_HANDLED)]
    error.__notes__ = [*others, _HANDLED + message]


def failed_as_it_ended(process: Process, what: str, error: BaseException) -> None:
    """Tell of an error in what comes after the end of a process's work."""
    logger().error(
        "%s of %s failed", what, who(process), exc_info=error, extra=_facts(process, during=what)
    )


def started_child(chief: Process, spec: ChildSpec, child: Process) -> None:
    """Tell that a supervisor has started a child."""
    logger().info(
        "%s started child %r: %s",
        who(chief),
        spec.id,
        who(child),
        extra=_facts(chief, child=spec.id, child_pid=repr(child.pid)),
    )


def restarting(chief: Process, spec: ChildSpec, reason: ExitReason, count: int) -> None:
    """Tell that a supervisor starts a child again, for the `count`th time of late.

    That is a warning after an error. An end that somebody has asked for is none.
    """
    logger().log(
        20 if reason.exception is None else 30,  # INFO, WARNING
        "%s restarts child %r, which ended by %s: restart %d",
        who(chief),
        spec.id,
        reason,
        count,
        extra=_facts(chief, child=spec.id, child_reason=str(reason), restarts=count),
    )


def not_restarted(chief: Process, spec: ChildSpec, error: Exception) -> None:
    """Tell that `init` of a child has failed as it was to be started again."""
    logger().error(
        "child %r of %s could not be restarted",
        spec.id,
        who(chief),
        exc_info=error,
        extra=_facts(chief, child=spec.id),
    )


def cut_off(chief: Process, spec: ChildSpec, child: Process) -> None:
    """Tell that a child has not ended in the time that it had for that, and is killed."""
    logger().error(
        "%s kills child %r, %s, which has not ended within its %g s",
        who(chief),
        spec.id,
        who(child),
        spec.shutdown,
        extra=_facts(chief, child=spec.id, child_pid=repr(child.pid), shutdown=spec.shutdown),
    )


def _facts(process: Process, **more: Any) -> dict[str, dict[str, Any]]:
    facts = {
        "pid": repr(process.pid),
        "names": registry.default.names(process.pid),
        "class": process.kind.__name__,
        "supervisor": None if process.supervisor is None else repr(process.supervisor),
        "handling": None if process.handling is None else label(process.handling),
        "mailbox_length": len(process.mailbox),
    }
    return {"fauxtp": {**facts, **more}}
