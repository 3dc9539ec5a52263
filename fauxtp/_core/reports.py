"""Reports: what the logger "fauxtp" is told of the ends of processes.

Each record carries its facts for programs as well: `record.fauxtp` is a dict. What a message
contains may be nobody's business, so a record has its label only.
"""

from __future__ import annotations

from typing import Any

from fauxtp import registry
from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.logs import logger
from fauxtp._base.texts import label, shown
from fauxtp._core.process import Process

__all__ = ["crashed", "facts", "failed_as_it_ended", "lost", "who"]

_HANDLED = "the message that was handled: "
_STATE = "the state: "


def who(process: Process) -> str:
    """Return how a process is called in a log: by its class, its names and its PID."""
    names = registry.default.names(process.pid)
    called = f" {', '.join(map(repr, names))}" if names else ""
    return f"{process.kind.__name__}{called} {process.pid!r}"


def crashed(process: Process, reason: ExitReason) -> None:
    """Tell that an error has ended a process, with its traceback."""
    # Before `terminate`, which may give up the name.
    if process.handling is not None and reason.exception is not None:
        _note(reason.exception, _HANDLED, label(process.handling))
    more = {"reason": str(reason)}
    state = _state_of(process)
    if state is not None:
        more["state"] = state
        if reason.exception is not None:
            _note(reason.exception, _STATE, state)
    logger().error(
        "%s crashed", who(process), exc_info=reason.exception, extra=facts(process, **more)
    )


def _state_of(process: Process) -> str | None:
    """Return what may be shown of the state, as the class of the process says; None is nothing."""
    try:
        state = process.actor.format_state(process.state)
    except Exception as error:
        return f"format_state failed: {shown(error)}"
    return None if state is None else shown(state)


def lost(process: Process) -> None:
    """Tell that the event loop of a process has ended before it has."""
    logger().warning("%s was lost: its event loop has ended", who(process), extra=facts(process))


def _note(error: BaseException, what: str, text: str) -> None:
    """Let whoever reads the traceback know of which message it is, and of which state."""
    others = [note for note in getattr(error, "__notes__", ()) if not note.startswith(what)]
    error.__notes__ = [*others, what + text]


def failed_as_it_ended(process: Process, what: str, error: BaseException) -> None:
    """Tell of an error in what comes after the end of a process's work."""
    logger().error(
        "%s of %s failed", what, who(process), exc_info=error, extra=facts(process, during=what)
    )


def facts(process: Process, **more: Any) -> dict[str, dict[str, Any]]:
    """Return what a log record says of a process to programs, and what is `more`."""
    known = {
        "pid": repr(process.pid),
        "names": registry.default.names(process.pid),
        "class": process.kind.__name__,
        "supervisor": None if process.supervisor is None else repr(process.supervisor),
        "handling": None if process.handling is None else label(process.handling),
        "mailbox_length": len(process.mailbox),
    }
    return {"fauxtp": {**known, **more}}
