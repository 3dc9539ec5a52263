"""How errors and exit reasons travel to other nodes: by name, as their classes are there."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any, Final

from fauxtp import errors
from fauxtp._base.errors import FauxtpError
from fauxtp._base.exit_reason import ExitReason
from fauxtp._base.own_errors import own_errors
from fauxtp._base.texts import shown
from fauxtp.cluster._wire.wire_types import TYPES

__all__ = ["RemoteError", "error_of", "fields_of", "reason_fields", "reason_of"]

CAUSES: Final = 8  # errors of which each is the cause of the one before
LONGEST: Final = 10_000  # characters of the text of an error


def _known() -> dict[str, type[Exception]]:
    """Return the classes that every node has, by name."""
    found: dict[str, type[Exception]] = {}
    for module in (builtins, errors):
        for name, kind in vars(module).items():
            if isinstance(kind, type) and issubclass(kind, Exception):
                found.setdefault(name, kind)
    return found


KNOWN: Final = _known()
NAMES: Final = {kind: name for name, kind in reversed(KNOWN.items())}


class RemoteError(FauxtpError):
    """An error on another node, of a class that is not registered here by `cluster_type`.

    `name` is the name of its class, `text` what it said.

    >>> print(RemoteError("shop.OutOfStock", "no apples"))
    shop.OutOfStock: no apples
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}" if text else name)
        self.name = name
        self.text = text


def fields_of(error: BaseException, can_travel: Callable[[object], bool]) -> list[Any]:
    """Return what an error is sent as: name, text, and if it can travel, what it is made of."""
    kind: Any = type(error)
    text = _text(error)
    cause = error.__cause__
    seen = 0
    while cause is not None and seen < CAUSES:
        seen, cause = seen + 1, cause.__cause__
    cause = error.__cause__ if seen < CAUSES else None
    if kind is RemoteError:
        return [error.name, error.text, None, None, cause]  # type: ignore[attr-defined]
    registered = TYPES.by_kind.get(kind)
    name = registered.name if registered is not None else NAMES.get(kind)
    if name is None:
        return [f"{kind.__module__}.{kind.__qualname__}", text, None, None, cause]
    args, facts = list(_arguments(error)), dict(vars(error))
    facts.pop("__notes__", None)
    if not can_travel(args) or not can_travel(facts):
        args, facts = (
            [part if can_travel(part) else shown(part) for part in args],
            {name: part if can_travel(part) else shown(part) for name, part in facts.items()},
        )
    return [name, text, args, facts, cause]


def _arguments(error: BaseException) -> tuple[Any, ...]:
    """Return what its constructor takes; those of Python itself keep more than their `args`."""
    if type(error).__module__ != "builtins":
        return error.args
    made_of = error.__reduce__()[1]
    return made_of if isinstance(made_of, tuple) else error.args


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except own_errors():
        text = shown(error)
    return text[:LONGEST].encode("utf-8", "replace").decode()


def error_of(fields: Any) -> Exception:
    """Return the error that another node has sent. Raises `ValueError` if it is none."""
    name, text, args, facts, cause = fields
    if type(name) is not str or type(text) is not str:
        raise ValueError("expected the name and the text of an error")
    if cause is not None and not isinstance(cause, Exception):
        raise ValueError("expected the cause of an error to be one")
    error = _made(name, text, args, facts)
    error.__cause__ = cause
    return error


def _made(name: str, text: str, args: Any, facts: Any) -> Exception:
    registered = TYPES.by_name.get(name)
    kind: Any = KNOWN.get(name) if registered is None else registered.kind
    if kind is None or args is None or not issubclass(kind, Exception):
        return RemoteError(name, text)
    if type(args) is not list or type(facts) is not dict:
        raise ValueError("expected what an error is made of")
    if not all(type(fact) is str and not fact.startswith("__") for fact in facts):
        raise ValueError("expected the facts of an error by name")
    try:
        if kind.__module__ == "builtins":
            error = kind(*args)
        else:
            error = kind.__new__(kind, *args)
            error.args = tuple(args)
        vars(error).update(facts)
    except (TypeError, ValueError, LookupError):
        return RemoteError(name, text)
    return error  # type: ignore[no-any-return]


def reason_fields(reason: ExitReason) -> list[Any]:
    """Return what an exit reason is sent as."""
    error = reason.exception
    return [str.__str__(reason), reason.abnormal, error]


def reason_of(fields: Any) -> ExitReason:
    """Return the exit reason that another node has sent. Raises `ValueError` if it is none."""
    text, abnormal, error = fields
    if type(text) is not str or type(abnormal) is not bool:
        raise ValueError("expected the text of an exit reason, and whether it is abnormal")
    if error is not None and not isinstance(error, Exception):
        raise ValueError("expected the error of an exit reason to be one")
    return ExitReason(text, exception=error, abnormal=abnormal)
