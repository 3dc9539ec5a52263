"""Classes of actors: what a subclass may not define is refused when it is made, by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from fauxtp.arguments import unexpected

__all__ = ["PREFIX", "check_class"]

PREFIX: Final = "_fauxtp"
"""Begins the names that are fauxtp's own, in classes where all others are the user's."""

_HANDLERS: Final = (
    "child_specs",
    "handle_call",
    "handle_cast",
    "handle_info",
    "handle_task_end",
    "init",
    "run",
    "terminate",
)


def check_class(cls: type, kept: tuple[str, ...]) -> None:
    """Raise `TypeError` if what `cls` defines would break the machinery.

    That is a name that begins with `_fauxtp`, one of those that its base has `kept` for itself,
    and a handler that cannot be called.
    """
    for name, value in _defined(cls):
        if name.startswith(PREFIX):
            raise TypeError(
                f"expected {cls.__name__} to have no names that begin with {PREFIX!r},"
                f" got {name!r}"
            )
        if name in kept:
            raise TypeError(
                f"expected {cls.__name__} not to define {name!r}, which its base class needs"
            )
        if name in _HANDLERS and not (callable(value) or hasattr(type(value), "__get__")):
            raise unexpected(f"{cls.__name__}.{name}", "a method", value)


def _defined(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield what `cls` has that is not fauxtp's: its own names, and those of its mixins."""
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] != "fauxtp" and base is not object:
            yield from vars(base).items()
