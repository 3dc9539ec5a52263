"""Verdicts: why a process ends, as what has come out of its code tells, and who hears of that."""

from __future__ import annotations

import anyio

from fauxtp._base.errors import Travels
from fauxtp._base.exit_reason import CANCELLED, LOOP_ENDED, ExitReason
from fauxtp._core.crash_log import failed_as_it_ended
from fauxtp._core.process import Process
from fauxtp._hosting.end_causes import is_cancelled_by_loop, is_closed, is_stray

__all__ = ["ActorExit", "judge", "leaves"]


class ActorExit(Travels, BaseException):
    """Ends the actor that raises it; `Actor.stop` does so."""

    def __init__(self, reason: ExitReason) -> None:
        super().__init__(reason)
        self.reason = reason


def judge(
    process: Process, failure: BaseException, reason: ExitReason | None
) -> tuple[ExitReason | None, BaseException | None]:
    """Return why the process ends, and what of `failure` the task group must hear of.

    `reason` is what is known already.
    """
    if isinstance(failure, GeneratorExit) and is_closed(process, failure):
        return LOOP_ENDED, failure
    if isinstance(failure, anyio.get_cancelled_exc_class()):
        if is_stray(process):
            return reason or ExitReason.error(failure), None
        return reason, failure
    if isinstance(failure, BaseExceptionGroup):
        return _sort_out(process, failure, reason)
    # An Exception: a scope of its own is open, so that of the process cannot end.
    return ExitReason.error(failure), None if isinstance(failure, Exception) else failure


def leaves(process: Process, what: str, error: BaseException) -> BaseException | None:
    """Return what the task group must hear of the `error` of `what`; log it if that is nothing."""
    # A cancellation that nobody asked for is an error like any other.
    if isinstance(error, anyio.get_cancelled_exc_class()) and not is_cancelled_by_loop(process):
        failed_as_it_ended(process, what, error)
        return None
    return error


def _sort_out(
    process: Process, group: BaseExceptionGroup, reason: ExitReason | None
) -> tuple[ExitReason, BaseException | None]:
    """Return why the actor ended, and what of `group` is more than its own affair.

    `reason` is what is known already; errors that came after it are logged.
    """
    stops, others = group.split(ActorExit)
    errors, fatal = (None, None) if others is None else others.split(Exception)
    if stops is not None:  # `stop` was called in a task group of the actor's own
        reason = reason or _first(stops).reason
    if errors is not None and reason is not None:
        failed_as_it_ended(process, "the end", _plain(errors))
    elif errors is not None:
        reason = ExitReason.error(_plain(errors))
    if fatal is None:
        return reason or CANCELLED, None
    return reason or ExitReason.error(_plain(fatal)), _plain(fatal)


def _plain(group: BaseExceptionGroup) -> BaseException:
    return group.exceptions[0] if len(group.exceptions) == 1 else group


def _first(stops: BaseExceptionGroup[ActorExit]) -> ActorExit:
    first: ActorExit | BaseExceptionGroup[ActorExit] = stops
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
