"""Hooks: what the class of a supervisor wants to be told of. They cannot break it."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutine

from fauxtp._base.own_errors import is_own
from fauxtp._core.process import Process
from fauxtp._supervision import supervisor_log

__all__ = ["hook"]


def hook(chief: Process, tell: Callable[..., object], *arguments: object) -> None:
    """Call a hook; what it raises is logged."""
    name = getattr(tell, "__name__", "a hook")
    try:
        came = tell(*arguments)
        if iscoroutine(came):
            came.close()
            raise TypeError(f"expected {name} to be a plain function, got one that is async")
    except BaseException as error:
        if not is_own(error):
            raise
        supervisor_log.hook_failed(chief, name, error)
