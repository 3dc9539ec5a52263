"""Reports: what the logger "fauxtp" is told of the ends of processes.

Each record carries its facts for programs as well: `record.fauxtp` is a dict, and as Sentry keeps
ten keys of one, no dict in it has more. What a message contains may be nobody's business, so a
record has its label only: see `fauxtp._core.shown_contents`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

from fauxtp import registry
from fauxtp._base.events import note
from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.logs import logger
from fauxtp._base.own_errors import own_errors
from fauxtp._base.texts import label, type_name
from fauxtp._core.process import Process
from fauxtp.errors import FauxtpError, ProcessExited

__all__ = [
    "crashed",
    "facts",
    "failed_as_child",
    "failed_as_it_ended",
    "logged",
    "lost",
    "starts_of",
    "who",
]

_HANDLED = "the message that was handled: "
_STATE = "the state: "
_STARTED = " started child "
_ENDS_ALL = "exit, as Python has it, ends the whole program: "
_LEFT_OUT = "in the middle of the traceback that is logged are left out: "


def who(process: Process) -> str:
    """Return how a process is called in a log: by its class, its names and its PID."""
    names = registry.default.names(process.pid)
    called = f" {', '.join(map(repr, names))}" if names else ""
    return f"{type_name(process.kind)}{called} {process.pid!r}"


def crashed(process: Process, reason: ExitReason) -> None:
    """Tell that an error has ended a process, with its traceback.

    If others of its kind have crashed just now, it is only counted: see `crash_storms`. Whatever
    its report cannot be made for, it is told that it crashed, and its end goes on.
    """
    # Imported here, as most programs never need it.
    from fauxtp._core.crash_storms import storms  # noqa: PLC0415

    error = reason.exception
    kind = type_name(type(error))
    note(("crashed", process.kind.__name__, kind), process.pid, {"error": error})
    is_told = storms.lets_through(process.kind, reason)
    try:
        called, known = who(process), _report(process, reason, is_told)
    except own_errors() as failure:  # of somebody's class, that others go on without
        called, known = repr(process.pid), _bare(process, reason, failure)
    if is_told:
        with logged(error) as shown:
            logger().error("%s crashed", called, exc_info=shown, extra={"fauxtp": known})
        reason._fauxtp_told = True


def _report(process: Process, reason: ExitReason, is_told: bool) -> dict[str, Any]:
    """Write the notes of the error; return what is known of the crash if it `is_told`."""
    # Imported here, as most programs never need it.
    from fauxtp._core.crash_circumstances import circumstances, shown_contents  # noqa: PLC0415

    told = shown_contents(process)
    # Before `terminate`, which may give up the name.
    if reason.exception is not None:
        if process.handling is not None:
            handled = told.get("message", label(process.handling))
            _note(reason.exception, _HANDLED, handled)
        if "state" in told:
            _note(reason.exception, _STATE, told["state"])
        if type(reason.exception) is SystemExit and type(reason.exception.code) is str:
            _note(reason.exception, _ENDS_ALL, "fauxtp.exit ends a process, and needs its import")
    if not is_told:
        return {}
    around = circumstances(process)
    return facts(process, reason=str(reason), **told, circumstances=around)["fauxtp"]


def _bare(process: Process, reason: ExitReason, failure: BaseException) -> dict[str, Any]:
    """Return what can be said of a crash whose report has failed."""
    failed = type_name(type(failure))
    return {"pid": repr(process.pid), "reason": str(reason), "report_failed": failed}


@contextmanager
def logged(error: BaseException | None) -> Iterator[Any]:
    """Yield what a log record has of an error: itself, and a traceback that is not too long.

    In the block, nor are those of the errors behind it.
    """
    if error is None:
        yield None
        return
    # Imported here, as most programs never need it.
    from fauxtp._core.short_traceback import shortened, without_own_end  # noqa: PLC0415

    with shortened(error, _note_left_out) as short:
        # Where errors of fauxtp are raised is the same for all.
        shown = without_own_end(short) if isinstance(error, FauxtpError) else short
        yield type(error), _showable(_alone(error, shown), shown), shown


def _note_left_out(error: BaseException, number: int) -> None:
    _note(error, _LEFT_OUT, f"{number:,} frames")


def _alone(error: BaseException, shown: TracebackType | None) -> BaseException:
    """Return what is logged of an error: without the crash behind it that was logged by itself.

    Who calls one that crashes, and crashes of that, is told of by its own lines. It is a copy, as
    others may be looking at the error.
    """
    if type(error) is not ProcessExited:
        return error
    reason = error.reason
    if type(reason) is not ExitReason or not reason._fauxtp_told:
        return error
    if error.__cause__ is not reason.exception:
        return error
    alone = ProcessExited(error.pid, reason, taken_up=error.taken_up, name=error.name)
    alone.args = error.args
    alone.__dict__.update(error.__dict__)
    alone.__suppress_context__ = True
    return alone.with_traceback(shown)


def _showable(error: BaseException, short: TracebackType | None) -> BaseException:
    """Return the error, or what its `short` traceback may be printed of.

    Before Python 3.13 none can be of an error whose notes cannot be read.
    """
    try:
        error.__notes__  # noqa: B018
    except AttributeError:
        return error
    except Exception:
        return Exception(str(ExitReason.error(error))).with_traceback(short)
    return error


def lost(process: Process) -> None:
    """Tell that the event loop of a process has ended before it has."""
    logger().warning("%s was lost: its event loop has ended", who(process), extra=facts(process))


def _note(error: BaseException, what: str, text: str) -> None:
    """Let whoever reads the traceback know of which message it is, and of which state.

    An error that takes no notes goes without.
    """
    with suppress(Exception):
        notes = getattr(error, "__notes__", ())
        if type(notes) in {list, tuple}:
            others = [each for each in notes if type(each) is not str or not each.startswith(what)]
            error.__notes__ = [*others, what + text]


def failed_as_child(error: BaseException, chief: Process, child: str) -> None:
    """Let whoever reads the traceback know which child of `chief` could not be started first."""
    _note(error, f"as {type_name(chief.kind)}{_STARTED}{child!r}", "")


def starts_of(error: BaseException) -> str:
    """Return which children could not be started by `error`, the innermost first."""
    notes = getattr(error, "__notes__", ())
    return "".join(f", {note}" for note in notes if type(note) is str and _STARTED in note)


def failed_as_it_ended(process: Process, what: str, error: BaseException) -> None:
    """Tell of an error in what comes after the end of a process's work."""
    if what == "terminate":
        note(("terminate_failed", process.kind.__name__), process.pid, {"error": error})
    known = facts(process, during=what)
    with logged(error) as shown:
        logger().error("%s of %s failed", what, who(process), exc_info=shown, extra=known)


def facts(process: Process, **more: Any) -> dict[str, dict[str, Any]]:
    """Return what a log record says of a process to programs, and what is `more`."""
    known = {
        "pid": repr(process.pid),
        "names": registry.default.names(process.pid),
        "class": type_name(process.kind),
        "supervisor": None if process.supervisor is None else repr(process.supervisor),
        "handling": None if process.handling is None else label(process.handling),
        "mailbox_length": len(process.mailbox),
    }
    return {"fauxtp": {**known, **more}}
