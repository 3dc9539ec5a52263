"""Classes of actors: what a subclass may not define is refused when it is made, by name."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final

from fauxtp._base.arguments import unexpected

__all__ = ["ITS_BASE", "PREFIX", "check_class", "explained"]

ITS_BASE: Final = "its base class decides that"
"""Why a class may not define a name, if there is no more to say."""

PREFIX: Final = "_fauxtp"
"""Begins the names that are fauxtp's own, in classes where all others are the user's."""

_HANDLERS: Final = (
    "child_specs",
    "format_state",
    "handle_call",
    "handle_cast",
    "handle_continue",
    "handle_timeout",
    "handle_enter",
    "handle_event",
    "handle_info",
    "handle_task_end",
    "init",
    "run",
    "terminate",
)


def check_class(cls: type) -> None:
    """Raise `TypeError` if what `cls` defines would break the machinery, or never be used.

    That is a name that begins with `_fauxtp`, one of those that its bases keep, which tell why,
    and a handler that cannot be called.
    """
    kept: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if _is_of_fauxtp(base):
            kept.update(vars(base).get("_fauxtp_keeps", ()))
    for name, value in _defined(cls):
        if name.startswith(PREFIX):
            raise TypeError(
                f"expected {cls.__name__} to have no names that begin with {PREFIX!r},"
                f" got {name!r}"
            )
        if name in kept:
            raise TypeError(f"expected {cls.__name__} not to define {name!r}, as {kept[name]}")
        if name in _HANDLERS and not (callable(value) or hasattr(type(value), "__get__")):
            raise unexpected(f"{cls.__name__}.{name}", "a method", value)


def _defined(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield what `cls` has that is not fauxtp's: its own names, and those of its mixins."""
    for base in cls.__mro__:
        if not _is_of_fauxtp(base) and base is not object:
            yield from vars(base).items()


def _is_of_fauxtp(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "fauxtp"


def explained(cls: type, error: Exception) -> Exception:
    """Return what to say in place of `error`, if a handler of `cls` should be async and is not.

    What it has returned cannot be awaited, and that is told by the line that awaits it.
    """
    if not isinstance(error, TypeError) or not _is_ours(error.__traceback__):
        return error
    wrong = [
        f"{cls.__name__}.{name}"
        for name in _HANDLERS
        if name not in ("child_specs", "format_state")
        and (handler := getattr(cls, name, None)) is not None
        and not inspect.iscoroutinefunction(handler)
    ]
    if not wrong:
        return error
    clear = TypeError(f"expected {' and '.join(wrong)} to be async: {error}")
    clear.__cause__ = error
    return clear


def _is_ours(traceback: TracebackType | None) -> bool:
    """Return whether the error was raised by a line of fauxtp's."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return False
    name = traceback.tb_frame.f_globals.get("__name__", "")
    return isinstance(name, str) and name.startswith("fauxtp.")
