"""Restarts: whether a child is started again, and who hears of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

from fauxtp._base.events import note
from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.crash_log import who
from fauxtp._core.ended_loops import meet
from fauxtp._core.process import Process
from fauxtp._messaging.exits import wait_exit
from fauxtp._supervision import supervisor_log
from fauxtp._supervision.child import Child
from fauxtp._supervision.child_spec import ChildInfo, ChildSpec
from fauxtp._supervision.hooks import hook
from fauxtp._supervision.intensity import Intensity
from fauxtp.errors import MaxRestartsExceeded, NameTaken, ReceiveTimeout
from fauxtp.registry import whereis

__all__ = ["Hooks", "may_restart", "start_when_free", "tell_restarted"]

SECONDS: Final = 1.0  # after which it is looked whether a name that is waited for is free


class Hooks(Protocol):
    """What the class of a supervisor wants to be told of."""

    def on_restart(self, child: ChildInfo, reason: ExitReason, count: int, /) -> object: ...
    def on_give_up(self, child: ChildInfo, reason: ExitReason, /) -> object: ...


def may_restart(
    chief: Process,
    hooks: Hooks,
    of_chief: Intensity,
    child: Child,
    reason: ExitReason,
    label: str,
) -> bool:
    """Count one more restart of `child`, which ended by `reason`; return False to give it up.

    `label` is what it is called where restarts are counted: there are not many of these.

    Raises `MaxRestartsExceeded` if its supervisor, `chief`, has to give up.
    """
    spec = child.spec
    intensity = child.intensity if spec.stands_alone else of_chief
    count = child.restarts + 1 if intensity is None else intensity.count()
    labels = chief.kind.__name__, str.__str__(label)
    if intensity is None or not intensity.is_exceeded:
        note(("restarted", *labels), chief.pid, {"count": count, "reason": reason})
        hook(chief, hooks.on_restart, child.info, reason, count)
        return True
    note(("restarts_exceeded", *labels), chief.pid, {"reason": reason})
    hook(chief, hooks.on_give_up, child.info, reason)
    if intensity is of_chief:
        raise MaxRestartsExceeded(
            spec.id, intensity.max_restarts, intensity.max_seconds, supervisor=who(chief)
        ) from reason.exception
    supervisor_log.gave_up(chief, spec, intensity)
    return False


def tell_restarted(chief: Process, of_chief: Intensity, child: Child, reason: ExitReason) -> None:
    """Tell that `child` was started again, after an end by `reason` that was counted."""
    intensity = child.intensity if child.spec.stands_alone else of_chief
    count = child.restarts if intensity is None else intensity.counted
    supervisor_log.restarted(chief, child, reason, count, intensity)


async def start_when_free(
    chief: Process, spec: ChildSpec, start: Callable[[], Awaitable[object]]
) -> None:
    """Start a child again; if somebody has taken its name meanwhile, when that one has let it go.

    It is no crash, and counts as none: whoever asks by the name is answered by that one.
    """
    while True:
        try:
            await start()
            return
        except NameTaken as taken:
            name, holder = taken.name, taken.holder
            process = meet(holder)
            if process is None and whereis(name) is holder is not None:
                raise  # it means what never ends
        if process is not None and whereis(name) is holder:
            supervisor_log.waits_for_name(chief, spec, name, process)
        while process is not None and whereis(name) is process.pid:
            with suppress(ReceiveTimeout):
                await wait_exit(process.pid, SECONDS)
