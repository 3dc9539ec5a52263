"""Reports: what the logger "fauxtp.supervisor" is told of children, and "fauxtp.progress"."""

from __future__ import annotations

from contextlib import suppress

from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.logs import DEBUG, INFO, logger
from fauxtp._base.own_frames import own_ends
from fauxtp._core.await_chain import stack_of
from fauxtp._core.crash_log import facts, logged, who
from fauxtp._core.process import Process, find_process
from fauxtp._supervision.child import Child
from fauxtp._supervision.child_spec import ChildSpec
from fauxtp._supervision.intensity import Intensity

SUPERVISOR = "fauxtp.supervisor"
PROGRESS = logger("fauxtp.progress")

__all__ = [
    "cut_off",
    "gave_up",
    "hook_failed",
    "not_restarted",
    "not_started",
    "restarted",
    "started_child",
    "waits",
    "waits_for_name",
]


def started_child(chief: Process, spec: ChildSpec, child: Process) -> None:
    """Tell that a supervisor has started a child."""
    if not PROGRESS.is_for(DEBUG):  # and the words take longer than most starts
        return
    PROGRESS.debug(
        "%s started child %r: %s",
        who(chief),
        spec.id,
        who(child),
        extra=facts(chief, child=spec.id, child_pid=repr(child.pid)),
    )


def not_started(child: Process, name: str | None, error: BaseException) -> None:
    """Tell that who was expected could not be started, as nobody may wait for it."""
    with logged(error) as shown:
        logger(SUPERVISOR).error(
            "%s%s %r could not be started",
            child.kind.__name__,
            "" if name is None else f" {name!r}",
            child.pid,
            exc_info=shown,
            extra=facts(child, name=name),
        )


def restarted(
    chief: Process, child: Child, reason: ExitReason, count: int, of: Intensity | None
) -> None:
    """Tell that a supervisor has started a child again, which ended by `reason`.

    It is the restart number `count` of the last `max_seconds` `of` an intensity; without one, of
    all.
    """
    log = logger(SUPERVISOR)
    if not log.is_for(INFO):
        return
    most = None if of is None else of.max_restarts
    seconds = None if of is None else of.max_seconds
    log.info(
        "%s restarted child %r as %s, which ended by %s: restart %s",
        who(chief),
        child.spec.id,
        repr(child.pid) if child.process is None else who(child.process),
        reason,
        count if of is None else f"{count} of {most} in {seconds:g} s",
        extra=facts(
            chief,
            child=child.spec.id,
            child_pid=repr(child.pid),
            child_reason=str(reason),
            restarts={"count": count, "most": most, "seconds": seconds},
        ),
    )


def not_restarted(chief: Process, spec: ChildSpec, error: Exception) -> None:
    """Tell that `init` of a child has failed as it was to be started again."""
    with logged(error) as shown:
        logger(SUPERVISOR).error(
            "child %r of %s could not be restarted",
            spec.id,
            who(chief),
            exc_info=shown,
            extra=facts(chief, child=spec.id),
        )


def cut_off(chief: Process, spec: ChildSpec, child: Process) -> None:
    """Tell that a child has not ended in the time that it had for that, and is killed."""
    waits = _whereabouts(child)
    logger(SUPERVISOR).error(
        "%s kills child %r, %s, which has not ended within its %g s%s",
        who(chief),
        spec.id,
        who(child),
        spec.shutdown,
        f": it waits {waits}" if waits else "",
        extra=facts(
            chief,
            child=spec.id,
            child_pid=repr(child.pid),
            child_waits=waits or None,
            shutdown=spec.shutdown,
        ),
    )


def _whereabouts(process: Process) -> str:
    """Return what a process waits for, and where, as far as that is known."""
    told = []
    with suppress(Exception):  # of somebody's own awaitable: the child is killed all the same
        if process.waiting_for is not None:
            target = process.waiting_for.target
            other = find_process(target)
            told.append(f"for {target!r}" if other is None else f"for {who(other)}")
        stack = stack_of(process)
        begin, end = own_ends([frame.filename for frame in stack])
        if begin < len(stack):
            place = stack[len(stack) - end - 1]
            told.append(f"at {place.filename}:{place.lineno}, in {place.name}")
        elif process.scope is not None and process.scope.has_children:
            told.append("for tasks of its own")
    return ", ".join(told)


def waits(
    chief: Process, spec: ChildSpec, reason: ExitReason, seconds: float, error: Exception | None
) -> None:
    """Tell that a supervisor waits before it starts a child again, after an `error` of `init`."""
    with logged(error) as shown:
        logger(SUPERVISOR).warning(
            "%s restarts child %r, which ended by %s, in %.3g s",
            who(chief),
            spec.id,
            reason,
            seconds,
            exc_info=shown,
            extra=facts(chief, child=spec.id, child_reason=str(reason), seconds=seconds),
        )


def waits_for_name(chief: Process, spec: ChildSpec, name: str, holder: Process) -> None:
    """Tell that a child can be started again only when another has let go of a name."""
    logger(SUPERVISOR).warning(
        "%s restarts child %r when %s has let go of %r",
        who(chief),
        spec.id,
        who(holder),
        name,
        extra=facts(chief, child=spec.id, name=name, holder=repr(holder.pid)),
    )


def gave_up(chief: Process, spec: ChildSpec, intensity: Intensity) -> None:
    """Tell that a child crashes too often by its own restart intensity, and stays down."""
    logger(SUPERVISOR).error(
        "%s gives up child %r: it would be restarted more than %s times in %g s",
        who(chief),
        spec.id,
        intensity.max_restarts,
        intensity.max_seconds,
        extra=facts(chief, child=spec.id),
    )


def hook_failed(chief: Process, name: str, error: BaseException) -> None:
    """Tell that a hook of a supervisor's class has raised, which harms nobody."""
    known = facts(chief, hook=name)
    with logged(error) as shown:
        logger(SUPERVISOR).error(
            "%s of %s has failed", name, who(chief), exc_info=shown, extra=known
        )
