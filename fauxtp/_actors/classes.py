"""Classes of actors: what a subclass may not define is refused when it is made, by name."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import suppress
from types import CodeType, FunctionType, TracebackType
from typing import Any, Final

from fauxtp._base.arguments import unexpected

__all__ = ["ITS_BASE", "OF_SERVERS", "PREFIX", "check_class", "explained", "lacking"]

ITS_BASE: Final = "its base class decides that"
"""Why a class may not define a name, if there is no more to say."""

PREFIX: Final = "_fauxtp"
"""Begins the names that are fauxtp's own, in classes where all others are the user's."""

OF_SERVERS: Final = (
    "handle_call",
    "handle_cast",
    "handle_info",
    "handle_continue",
    "handle_timeout",
    "handle_task_end",
    "idle_timeout",
)
"""What only a server has."""

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


_MEANT: Final = {"child_specs": "a Supervisor", "partition_spec": "a PartitionSupervisor"}
"""Words of fauxtp's alone, and whose they are.

Others, as `handle_event` or `strategy`, a class may well have for itself, or for who is given it.
"""


def check_class(cls: type) -> None:
    """Raise `TypeError` if what `cls` defines would break the machinery, or never be used.

    That is a name that begins with `_fauxtp`, one of those that its bases keep, which tell why,
    a method that another base would call, and nobody here, and a handler that cannot be called.
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
        if name in _MEANT and _is_for_nobody(cls, name, value):
            raise TypeError(
                f"expected {cls.__name__} not to define {name!r}, as that is for {_MEANT[name]},"
                " and nothing in the class calls it"
            )


def _is_for_nobody(cls: type, name: str, value: object) -> bool:
    """Return whether neither fauxtp nor the class itself would call its method `name`.

    What is no method of an instance may be for others: `*Cache.child_specs()` in a supervisor.
    """
    if type(value) is not FunctionType:
        return False
    if any(name in vars(base) for base in cls.__mro__ if _is_of_fauxtp(base)):
        return False
    if getattr(value, "__isabstractmethod__", False):
        return False  # who calls it may be as little there as it is
    others = [other for key, other in _defined(cls) if key != name]
    return not any(
        other is value or any(_mentions(code, name) for code in _codes(other)) for other in others
    )


def _codes(value: object) -> Iterator[CodeType]:
    """Yield what a method, a property or the like runs, and what those who decorate it do."""
    known: dict[int, object] = {}
    left = [value]
    while left and len(known) < MANY:
        part = left.pop(0)
        if id(part) not in known:
            known[id(part)] = part
            code = getattr(part, "__code__", None)
            if isinstance(code, CodeType):
                yield code
            left += filter(callable, _within(part))


def _within(value: object) -> Iterator[object]:
    """Yield what a function is wrapped around, as far as that can be told."""
    for name in _WITHIN:
        yield getattr(value, name, None)
    if isinstance(value, FunctionType):
        for cell in value.__closure__ or ():
            with suppress(ValueError):  # there is nothing in it
                yield cell.cell_contents
    elif not isinstance(value, type):
        yield from getattr(value, "__dict__", {}).values()


_WITHIN: Final = ("__func__", "__wrapped__", "fget", "fset", "func")
MANY: Final = 100  # parts of a method: a mock has one in each


def _mentions(code: CodeType, name: str) -> bool:
    return name in code.co_names or any(
        part == name or (isinstance(part, CodeType) and _mentions(part, name))
        for part in code.co_consts
        if isinstance(part, (str, CodeType))
    )


def _defined(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield what `cls` has that is not fauxtp's: its own names, and those of its mixins."""
    for base in cls.__mro__:
        if not _is_of_fauxtp(base) and base is not object:
            yield from vars(base).items()


def _is_of_fauxtp(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "fauxtp"


def lacking(cls: type, name: str, what: str = "") -> NotImplementedError:
    """Return what to raise as `cls` has no method `name`; it tells of one that is spelt alike."""
    from difflib import get_close_matches  # noqa: PLC0415  (seldom needed)

    others = [key for key, value in _defined(cls) if key not in _HANDLERS and callable(value)]
    alike = "".join(f"; it has {key!r}" for key in get_close_matches(name, others, 1, _ALIKE))
    return NotImplementedError(f"{cls.__name__} has no {name}{what}{alike}")


_ALIKE: Final = 0.85  # as far as `handle_calls`, and not as `handle_everything`


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
