"""Restarts: whether a child is started again, and who hears of it."""

from __future__ import annotations

from typing import Protocol

from fauxtp._base.exit_reason import ExitReason
from fauxtp._core.process import Process
from fauxtp._core.reports import who
from fauxtp._supervision import reports
from fauxtp._supervision.child import Child
from fauxtp._supervision.child_spec import ChildInfo
from fauxtp._supervision.hooks import hook
from fauxtp._supervision.intensity import Intensity
from fauxtp.errors import MaxRestartsExceeded

__all__ = ["Hooks", "may_restart"]


class Hooks(Protocol):
    """What the class of a supervisor wants to be told of."""

    def on_restart(self, child: ChildInfo, reason: ExitReason, count: int, /) -> object: ...
    def on_give_up(self, child: ChildInfo, reason: ExitReason, /) -> object: ...


def may_restart(
    chief: Process, hooks: Hooks, of_chief: Intensity, child: Child, reason: ExitReason
) -> bool:
    """Count one more restart of `child`, which ended by `reason`; return False to give it up.

    Raises `MaxRestartsExceeded` if its supervisor, `chief`, has to give up.
    """
    spec = child.spec
    intensity = child.intensity if spec.stands_alone else of_chief
    count = child.restarts + 1 if intensity is None else intensity.count()
    if intensity is None or not intensity.is_exceeded:
        hook(chief, hooks.on_restart, child.info, reason, count)
        if spec.backoff is None:
            reports.restarting(chief, spec, reason, count)
        return True
    hook(chief, hooks.on_give_up, child.info, reason)
    if intensity is of_chief:
        raise MaxRestartsExceeded(
            spec.id, intensity.max_restarts, intensity.max_seconds, supervisor=who(chief)
        ) from reason.exception
    reports.gave_up(chief, spec, intensity)
    return False
